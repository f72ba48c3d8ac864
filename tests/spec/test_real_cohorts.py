"""The cohorts of the studies on real sets, count by count, and the leak of a customer file.

The counts were found independently of this product. The sets are not part of it: where they are absent, these tests
are skipped.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from propensity.config import Study
from propensity.data.tables import as_of, open_tables
from propensity.samples import draw_labelled, express, read_snapshot_rows, snapshot_samples

pytestmark = pytest.mark.slow

Load = Callable[[str, str], Study]


def funnels(study: Study) -> dict[str, tuple[list[int], int]]:
    """Split → counts of the funnel, and positives."""
    with open_tables(study.data, study.source_path, express=express) as tables:
        _, _, found = draw_labelled(tables, study, progress=lambda _: None)
    return {entry["split"]: ([step["count"] for step in entry["steps"]], entry["positives"]) for entry in found}


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (
            "adventureworks_helmets",
            "adventureworks",
            # Customers with a row and an earlier purchase; those without a helmet; buyers within 90 days.
            {
                "train": ([6966, 6966, 5965, 5965], 428),
                "validation": ([10467, 10467, 8000, 8000], 485),
                "test": ([13687, 13687, 9812, 9812], 616),
            },
        ),
        (
            "adventureworks_clothing",
            "adventureworks",
            {
                "train": ([6966, 6966, 5819, 5819], 427),
                "validation": ([10467, 10467, 7668, 7668], 545),
                "test": ([13687, 13687, 9182, 9182], 666),
            },
        ),
        (
            "starbucks_bogo",
            "starbucks",
            {
                "train": ([17000, 17000, 14750, 14750], 2031),
                "validation": ([17000, 17000, 12699, 12699], 2679),
                "test": ([17000, 17000, 9985, 9985], 2043),
            },
        ),
        (
            "online_retail_baking",
            "online_retail",
            {
                "train": ([1861, 1861, 1168, 1168], 127),
                "validation": ([2800, 2800, 1698, 1698], 143),
                "test": ([3362, 3362, 1901, 1901], 210),
            },
        ),
    ],
)
def test_the_funnel_of_a_study_over_time(name: str, data: str, expected: dict[str, Any], real_study: Load) -> None:
    assert funnels(real_study(name, data)) == expected


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("coil2000", "coil2000", {"train": (5822, 348), "test": (4000, 238)}),
        ("bank_marketing", "bank_marketing", {"train": (21338, 1011), "validation": (7112, 593), "test": (7113, 1537)}),
    ],
)
def test_the_parts_of_a_snapshot(name: str, data: str, expected: dict[str, Any], real_study: Load) -> None:
    study = real_study(name, data)
    samples = snapshot_samples(read_snapshot_rows(study), study)
    found = {entry["split"]: (entry["steps"][-1]["count"], entry["positives"]) for entry in samples.funnels}
    assert found == expected


def test_a_customer_file_that_lists_later_buyers_leaks(real_study: Load) -> None:
    """Everybody in the file bought at some time: being listed without a purchase tells of a purchase to come."""
    study = real_study("adventureworks_helmets", "adventureworks")
    cutoff = study.cutoff_instants()["test"][0]
    customers = study.data.customers.model_copy(update={"known_from": None})
    leaking = study.model_copy(update={"data": study.data.model_copy(update={"customers": customers})})
    with open_tables(leaking.data, leaking.source_path, express=express) as tables:
        cohorts, labels, _ = draw_labelled(tables, leaking, progress=lambda _: None)
        assert tables.purchases is not None
        seen = as_of(tables.purchases, cutoff).customer_id.to_pyarrow().to_pylist()
    keys, y = cohorts["test"][0].keys, labels["test"][0]["y"].to_numpy()
    is_seen = keys["customer_id"].isin(set(seen)).to_numpy()
    assert (~is_seen).sum() == 4282
    assert is_seen.sum() == 9812
    assert y[~is_seen].mean() == pytest.approx(0.248, abs=0.0005)
    assert y[is_seen].mean() == pytest.approx(0.0628, abs=0.0005)
    # The study itself says `known_from: first_purchase`, and knows none of the 4,282.
    with open_tables(study.data, study.source_path, express=express) as tables:
        sound, _, _ = draw_labelled(tables, study, progress=lambda _: None)
    assert np.isin(sound["test"][0].keys["customer_id"], keys["customer_id"][is_seen]).all()
    assert len(sound["test"][0]) == 9812
