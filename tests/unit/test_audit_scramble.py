"""What the scramble test does to raw rows, and how it holds two looks against each other."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.audit.findings import NOTE, PROVEN, SUSPICIOUS, UNDATED, UNTESTED, Finding, ordered, verdict
from propensity.audit.lineage import Tracer
from propensity.audit.scramble import ALTERED, DELETED, DUPLICATED, AsOf, alteration, count_later, difference
from propensity.audit.untouched import Recorder
from propensity.data.connect import to_frame
from propensity.data.tables import open_tables
from propensity.samples import express

CUTOFF = datetime(2025, 3, 1, tzinfo=UTC)
BEFORE, LAST, AT, AFTER = (
    pd.Timestamp(text) for text in ("2025-01-10", "2025-02-28 23:59:59.999999", "2025-03-01", "2025-04-01")
)
CUSTOMERS = pd.DataFrame(
    {
        "customer_id": [7, 8, 9],
        "since": ["2024-01-01", "2025-03-01", "2025-04-01"],
        "income": ["10", "20", "30"],
    }
)
PURCHASES = pd.DataFrame(
    {
        "customer_id": [7, 7, 7, 8, 8, 9, 9],
        "at": [BEFORE, LAST, AT, AFTER, LAST, AFTER, AFTER],
        "known": [BEFORE, LAST, None, AFTER, AT, BEFORE, AFTER],
        "product": list("abcdefg"),
        "amount": np.array([1, 2, 3, 4, 5, 6, 127], dtype=np.int8),
        "price": [1.5, 2.5, 3.5, 4.5, 5.5, np.nan, 7.5],
    }
)
LATER = ["c", "d", "e", "f", "g"]  # at the cutoff; after it; known at the cutoff; after it with an early clock; after


@pytest.fixture
def scrambled(little_study: Callable[..., Any]) -> Callable[[str], dict[str, pd.DataFrame]]:
    """The raw tables as a study sees them after a change."""

    def change(how: str) -> dict[str, pd.DataFrame]:
        roles = {
            "customers": {"known_from": "since", "attributes": {"income": "number"}},
            "purchases": {"available_at": "known"},
        }
        study = little_study({"data": roles}, customers=CUSTOMERS, purchases=PURCHASES).load()
        record = Recorder()
        with open_tables(study.data, study.source_path, express=express, alter=record):
            raws = record.tables
            lineage = Tracer(study.data, lambda name: raws[name].columns, {}).lineage()
            counts = count_later(raws, lineage=lineage, spec=study.data, cutoff=CUTOFF)
            assert counts == {"purchases": 5, "customers": 2}
            alter = alteration(how, lineage=lineage, spec=study.data, cutoff=CUTOFF, seed=1)
            return {name: to_frame(alter(name, raw)) for name, raw in raws.items()}

    return change


def test_deleted(scrambled):
    tables = scrambled(DELETED)
    assert tables["purchases"]["product"].tolist() == ["a", "b"]
    assert tables["customers"]["customer_id"].tolist() == [7]


def test_duplicated(scrambled):
    tables = scrambled(DUPLICATED)
    counts = tables["purchases"]["product"].value_counts()
    assert counts[["a", "b"]].tolist() == [1, 1]
    assert counts[LATER].tolist() == [3] * 5
    assert tables["customers"]["customer_id"].tolist() == [7, 8, 9]  # a key that is there twice would be refused


def test_altered(scrambled):
    tables = scrambled(ALTERED)
    rows = tables["purchases"]
    pd.testing.assert_frame_equal(rows.iloc[:2], to_types(PURCHASES.iloc[:2], rows))
    later, was = rows.iloc[2:], PURCHASES[PURCHASES["product"].isin(LATER)]
    assert sorted(later["product"]) == LATER
    assert sorted(later["customer_id"]) == sorted(was["customer_id"])
    assert later["product"].tolist() != was["product"].tolist()
    # Times stay where they are: what is later stays later, and no other row becomes so.
    pd.testing.assert_frame_equal(
        later[["at", "known"]].reset_index(drop=True),
        to_types(was[["at", "known"]], later).reset_index(drop=True),
    )
    assert sorted(later["price"].dropna()) == [3507.0, 4507.0, 5507.0, 7507.0]
    assert sorted(later["amount"]) == [3, 4, 5, 6, 127]  # one byte cannot hold a thousand times as much
    customers = tables["customers"].sort_values("customer_id")
    assert customers["since"].tolist() == CUSTOMERS["since"].tolist()
    assert customers["income"].iloc[0] == "10"
    assert sorted(customers["income"].iloc[1:].astype(float)) == [20_007.0, 30_007.0]


def to_types(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({name: like[name].dtype for name in frame.columns})


def seen(keys: list[str], X: list[list[float]], **funnel: int) -> AsOf:
    return AsOf(pd.Index(keys), funnel, np.array(X, dtype=np.float32).reshape(len(keys), 2), None)


def held(before: AsOf, after: AsOf, **named: Any) -> Any:
    return difference(before, after, cutoff=CUTOFF, change=DELETED, names=["f", "g"], **{"log_odds": None, **named})


def test_customers_are_matched_by_key_whatever_their_order():
    before = seen(["a", "b"], [[1, np.nan], [2, 3]], prospects=2)
    after = seen(["b", "a"], [[2, 3], [1, np.nan]], prospects=2)
    assert held(before, after).is_same


def test_what_moved_is_counted():
    before = seen(["a", "b", "c"], [[1, np.nan], [2, 3], [4, 5]], customers=9, prospects=3)
    after = seen(
        ["b", "a", "d"], [[2, np.nextafter(np.float32(3), np.float32(4))], [1, 0], [4, 5]], customers=9, prospects=3
    )
    found = held(before, after, log_odds=lambda X: X["f"].to_numpy(float) * (X["g"] > 3).to_numpy())
    assert (found.left, found.entered, found.prospects) == (1, 1, 3)
    assert dict(found.features) == {"g": 2}  # one no longer missing, one by its last bit
    assert found.scores == 1
    assert found.largest == pytest.approx(1 / (1 + np.exp(-2)) - 0.5)
    assert not found.is_same
    assert not found.funnel


def test_a_funnel_that_moves_is_a_difference_though_the_cohort_stays():
    found = held(seen(["a"], [[1, 2]], customers=9, prospects=1), seen(["a"], [[1, 2]], customers=8, prospects=1))
    assert dict(found.funnel) == {"customers": (9, 8)}
    assert not found.is_same


def test_a_cohort_that_vanishes_is_a_difference():
    found = held(
        seen(["a"], [[1, 2]], prospects=1), AsOf(pd.Index([]), {"prospects": 0}, np.empty((0, 2), np.float32), None)
    )
    assert found.left == 1


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], "no leak found"),
        ([NOTE, UNTESTED], "no leak found"),
        ([NOTE, SUSPICIOUS], "suspicious"),
        ([SUSPICIOUS, PROVEN, NOTE], "leak proven"),
    ],
)
def test_the_surest_finding_decides_the_verdict(levels, expected):
    findings = [Finding(UNDATED, level, f"subject-{level}", "text") for level in levels]
    said, sentence = verdict(findings)
    assert said == expected
    if findings:
        first = ordered(findings)[0]
        assert (first.subject in sentence) == (first.level != NOTE)
