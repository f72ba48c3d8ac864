"""A backtest's steps and counts: the study moved back in time, and what each list would have found."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import propensity as pp
from propensity.backtest import RANDOM, counted, step_studies, totals
from propensity.config import ContactSpec, Study
from propensity.errors import InputError
from propensity.evaluation.ranking import taken
from propensity.temporal import Duration

ROOT = Path(__file__).resolve().parents[2]
LATEST = datetime(2025, 8, 29, tzinfo=UTC)
MONTH = Duration.parse("30d")


@pytest.fixture(scope="module")
def demo() -> Study:
    return pp.load_study(ROOT / "configs" / "demo.yaml")


def moved(study: Study, steps: int | None, *, begins: datetime | None = None, every: Duration = MONTH) -> list[Study]:
    return step_studies(study, steps=steps, every=every, latest=LATEST, begins=begins)[0]


def test_all_cutoffs_move_together_and_the_last_step_is_the_latest_that_is_known(demo: Study) -> None:
    studies = moved(demo, 3)
    tests = [study.cutoff_instants()["test"][0].date() for study in studies]
    assert tests == [date(2025, 6, 30), date(2025, 7, 30), date(2025, 8, 29)]
    own, first = demo.cutoff_instants(), studies[0].cutoff_instants()
    for split in own:
        assert [(a - b).days for a, b in zip(own[split], first[split], strict=True)] == [30] * len(own[split])
    assert all(study.cutoffs is not None and study.cutoffs.list is None for study in studies)


def test_train_cutoffs_before_the_records_are_left_out_and_none_at_all_is_an_error(demo: Study) -> None:
    begins = datetime(2025, 3, 2, tzinfo=UTC)
    (study,) = moved(demo, 1, begins=begins)
    train = study.cutoff_instants()["train"]
    assert len(train) == 4
    assert train[0] > begins
    with pytest.raises(InputError, match=r"nothing to learn from.*At most 2 steps are possible"):
        moved(demo, 12, begins=datetime(2025, 5, 1, tzinfo=UTC))
    assert len(moved(demo, None, begins=datetime(2025, 5, 1, tzinfo=UTC))) == 2
    assert len(moved(demo, None)) == 12


def test_steps_that_break_the_embargo_are_left_out_with_the_reason(demo: Study) -> None:
    month = Duration.parse("1mo")
    studies, left_out = step_studies(demo, steps=12, every=month, latest=LATEST, begins=None)
    assert len(studies) + len(left_out) == 12
    assert (
        left_out["2025-02-28"] == "the outcome of 2025-01-30 is known from 2025-03-01 on, after the cutoff 2025-02-28"
    )
    for study in studies:
        train, validation, test = (study.cutoff_instants()[split][-1] for split in ("train", "validation", "test"))
        assert study.matures_at(train) <= validation
        assert study.matures_at(validation) <= test
    with pytest.raises(InputError, match="no step from 1mo to 1mo can be; as of 2025-02-28"):
        step_studies(demo, steps=1, every=month, latest=datetime(2025, 3, 1, tzinfo=UTC), begins=None)


def test_a_study_whose_test_lies_after_what_is_known_moves_back(demo: Study) -> None:
    earlier = datetime(2025, 5, 15, tzinfo=UTC)
    (study,), _ = step_studies(demo, steps=1, every=MONTH, latest=earlier, begins=None)
    assert study.cutoff_instants()["test"][0].date() == date(2025, 5, 1)


def test_taken_counts_ties_with_their_chance() -> None:
    score = np.array([3.0, 1.0, 1.0, 1.0, 0.0])
    assert taken(score, 2).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])
    for k in range(6):
        assert taken(score, k).sum() == pytest.approx(k)


def step(rng: np.random.Generator, customers: np.ndarray) -> pd.DataFrame:
    y = (rng.random(len(customers)) < 0.2).astype(int)
    good, poor = y + rng.normal(size=len(y)), rng.normal(size=len(y))
    frame = pd.DataFrame({"customer_id": customers, "label": y, "brought": 10.0})
    return frame.assign(scorecard=poor, lightgbm=good)


def test_a_list_counts_its_buyers_and_what_they_bring() -> None:
    rows = step(np.random.default_rng(0), np.arange(400))
    contact = ContactSpec(capacity=0.1, cost=1.0, value=10.0)
    found = {row["method"]: row for row in counted(rows, ["lightgbm", RANDOM], contact)}
    top = rows.nlargest(40, "lightgbm")
    own = found["lightgbm"]
    assert own["captured"] == top["label"].sum()
    assert own["profit"] == pytest.approx(10 * top["label"].sum() - 40)
    assert own["lift"] == pytest.approx(top["label"].mean() / rows["label"].mean())
    assert found[RANDOM]["captured"] == pytest.approx(rows["label"].mean() * 40)
    assert found[RANDOM]["roc_auc"] == 0.5
    nobody = counted(rows.assign(label=0), ["lightgbm"], contact)[0]
    assert (nobody["captured"], nobody["capture"], nobody["lift"], nobody["profit"]) == (0.0, None, None, -40.0)
    unknown = counted(rows.assign(brought=np.nan), ["lightgbm"], contact)[0]
    assert unknown["profit"] is None
    assert unknown["captured"] == own["captured"]


def test_the_interval_of_the_difference_is_that_of_drawing_customers_with_all_their_steps() -> None:
    rng = np.random.default_rng(1)
    who = np.arange(600)
    steps = [step(rng, rng.permutation(who)[:500]) for _ in range(4)]
    contact = ContactSpec(capacity=0.1, cost=1.0, value=10.0)
    told = {row["method"]: row for row in totals(steps, ["scorecard", "lightgbm"], contact)}
    assert told["scorecard"]["captured_more"] is None
    own = told["lightgbm"]
    assert own["captured_more"] == pytest.approx(own["captured"] - told["scorecard"]["captured"])
    assert own["profit_more"] == pytest.approx(10 * own["captured_more"])
    # the same by resampling: each customer's difference over all steps, customers drawn with replacement
    each = np.zeros(len(who))
    for rows in steps:
        gained = (taken(rows["lightgbm"], 50) - taken(rows["scorecard"], 50)) * rows["label"]
        np.add.at(each, rows["customer_id"].to_numpy(), gained.to_numpy())
    drawn = each[rng.integers(0, len(who), (4_000, len(who)))].sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert own["captured_more_low"] == pytest.approx(low, abs=2)
    assert own["captured_more_high"] == pytest.approx(high, abs=2)


def test_without_rules_the_baseline_is_a_list_by_lot() -> None:
    rows = step(np.random.default_rng(2), np.arange(300))
    (own,) = totals([rows], ["lightgbm"], ContactSpec(capacity=0.1))
    assert own["baseline"] == RANDOM
    assert own["captured_more"] == pytest.approx(own["captured"] - 30 * rows["label"].mean())
    assert own["profit"] is None
    assert own["profit_more"] is None
