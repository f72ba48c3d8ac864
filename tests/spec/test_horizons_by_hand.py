"""Who entered which interval and bought in it, and what is censored: worked out beside the tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.cohort import draw_cohort
from propensity.config import load_study
from propensity.errors import ConfigError
from propensity.features.catalogue import Feature
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.features.profile import ProfilePlan
from propensity.horizons import Periods, judge_horizons, learn_horizons, person_periods
from propensity.labels import first_purchases
from propensity.samples import express
from propensity.temporal import to_instant

Little = Callable[..., Any]
CUTOFF = "2025-03-01"


def bought(key: str, when: str, product: str = "tea") -> dict[str, Any]:
    return {"customer_id": key, "at": when, "product": product, "amount": 1.0}


PURCHASES = [
    bought("a", "2025-03-08"),  # gap of 2 days: counted from the 3rd, so that the 10th is the first interval's end
    bought("b", "2025-03-10"),  # the first instant of the second interval
    bought("b", "2025-03-20"),  # later ones do not count
    bought("c", "2025-04-02"),  # the main horizon's end: third interval, to the 1st of June
    bought("d", "2025-06-01"),  # after all of them
    bought("e", "2025-03-05", product="soap"),
]


def periods(little_study: Little, observed_until: str, *, lag: str = "0d") -> tuple[list[str], Periods, Frame]:
    little = little_study(
        {
            "outcome": {"horizon": "30d", "horizons": ["90d", "7d"], "gap": "2d", "reporting_lag": lag},
            "data": {"recorded_until": "2025-12-01"},
            "cutoffs": {"train": "2024-09-01", "validation": "2025-01-01", "test": CUTOFF},
        },
        customers=[{"customer_id": key} for key in "abcde"],
        purchases=PURCHASES,
    )
    study = little.load()
    assert [str(h) for h in study.outcome.all_horizons] == ["7d", "30d", "90d"]
    instant = to_instant(CUTOFF, zone=study.zone)
    with little.open() as tables:
        cohort = draw_cohort(tables, instant, target=study.target, outcome=study.outcome, express=express)
        found = first_purchases(tables, cohort.keys, instant, study=study, express=express)
    frame = Frame(X=found[[]], keys=cohort.keys, purchases=found)
    told = person_periods(frame, study, observed_until=to_instant(observed_until, zone=study.zone))
    return cohort.keys["customer_id"].tolist(), told, frame


def test_each_interval_is_entered_by_who_has_not_bought_before_it(little_study: Little) -> None:
    keys, told, _ = periods(little_study, "2025-12-01")
    assert keys == list("abcde")
    assert told.entered.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert told.bought.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("until", "lag", "known"),
    [
        ("2025-06-01 00:00:00", "0d", 3),  # the longest window ends at this very instant
        ("2025-05-31 23:59:59", "0d", 2),
        ("2025-04-02 00:00:00", "0d", 2),
        ("2025-04-02 00:00:00", "1d", 1),  # told of a day later
        ("2025-03-09 23:59:59", "0d", 0),
    ],
)
def test_an_interval_that_was_not_observed_to_its_end_is_censored(
    little_study: Little, until: str, lag: str, known: int
) -> None:
    _, told, _ = periods(little_study, until, lag=lag)
    assert told.entered.any(axis=0).tolist() == [k < known for k in range(3)]
    assert not told.bought[:, known:].any()


def test_what_was_bought_after_the_instant_changes_nothing(little_study: Little) -> None:
    _, told, frame = periods(little_study, "2025-04-02")
    later = frame.purchases["bought_at"] >= np.datetime64("2025-04-02")
    assert later.any()
    frame.purchases.loc[later, "bought_at"] = np.datetime64("2025-05-17")
    frame.purchases.loc[~later & frame.purchases["bought_at"].isna(), "bought_at"] = np.datetime64("2025-04-03")
    study = little_study(
        {"outcome": {"horizon": "30d", "horizons": ["90d", "7d"], "gap": "2d"}},
        customers=[{"customer_id": "a"}],
        purchases=PURCHASES,
    ).load()
    again = person_periods(frame, study, observed_until=to_instant("2025-04-02", zone=study.zone))
    assert (again.entered == told.entered).all()
    assert (again.bought == told.bought).all()


@pytest.mark.parametrize("wrong", [["0d"], ["seven days"]])
def test_a_horizon_is_a_length_of_time(little_study: Little, wrong: list[str]) -> None:
    little = little_study({"outcome": {"horizons": wrong}}, customers=[{"customer_id": "a"}], purchases=PURCHASES)
    with pytest.raises(ConfigError, match="horizons"):
        little.load()


@pytest.mark.parametrize(
    ("horizons", "message"),
    [
        (["1w", "7d"], "1w and 7d from 2025-01-01 do not end one after the other"),  # the same length twice
        (["720h"], "30d and 720h from 2025-01-01 do not end"),  # as long as the study's own
        (["1mo"], "30d and 1mo from 2025-02-01 do not end one after the other .2025-03-03 and 2025-03-01."),  # February
    ],
)
def test_horizons_end_one_after_the_other_at_every_cutoff(
    little_study: Little, horizons: list[str], message: str
) -> None:
    changes = {"outcome": {"horizons": horizons}, "cutoffs": {"validation": "2025-02-01"}}
    with pytest.raises(ConfigError, match=message):
        little_study(changes, customers=[{"customer_id": "a"}], purchases=PURCHASES).load()


def test_a_snapshot_has_one_horizon(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "study: flat\ndata: {source: tables, customers: {table: rows, attributes: {age: number}}}\n"
        "outcome: {column: bought, horizons: [7d]}\nsplit: {column: part}\nmodels: [logistic]\n"
    )
    with pytest.raises(ConfigError, match="leave 'horizons' out"):
        load_study(tmp_path / "study.yaml")


def test_a_horizon_with_few_buyers_is_left_out_and_the_longer_ones_stay(little_study: Little) -> None:
    # Of 200 prospects 3 buy within a day, 60 within 30 days, 100 within 90: a hazard of the first day is not learnt.
    study = little_study(
        {"outcome": {"horizon": "30d", "horizons": ["1d", "90d"]}},
        customers=[{"customer_id": "a"}],
        purchases=PURCHASES,
    ).load()
    days = np.array([0] * 3 + [10] * 57 + [50] * 40 + [0] * 100)
    cutoff = np.datetime64("2025-01-01", "us")
    bought_at = cutoff + days.astype("timedelta64[D]")
    bought_at[100:] = np.datetime64("NaT")
    rows = Frame(
        X=pd.DataFrame({"x": np.arange(200, dtype=np.float32) % 7}),
        keys=pd.DataFrame({"customer_id": np.arange(200), "code": np.arange(200), "cutoff": cutoff}),
        y=(np.arange(200) < 60).astype(np.int8),
        purchases=pd.DataFrame({"bought_at": bought_at, "amount": 1.0}),
    )
    order = np.random.default_rng(0).permutation(200)
    rows, until = rows.take(order), to_instant("2025-05-01", zone=study.zone)
    x = Feature("x", "x", "number", "demographics", "value", "customers")
    plan = FeaturePlan(profile=ProfilePlan(features=(x,), sources=("x",), orders={}), records=(), features=(x,))
    z = np.full(200, np.log(0.3 / 0.7))
    halves = [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))]
    model = learn_horizons(study, plan, rows, z, folds=halves, observed_until=until)
    assert model is not None
    assert (model.horizons, model.main) == (("30d", "90d"), 0)
    found = model.probabilities(z, np.full(200, 0.3), rows.X.to_numpy())
    # The interval of the 90 days: 40 of the 140 who had not bought. 1 - 0.7 * 100 / 140 = 0.5.
    assert found[0] == pytest.approx([0.3, 0.5], abs=0.005)
    told = judge_horizons(study, rows, model, found, observed_until=until)
    assert told is not None
    assert told["level"] == 0.95
    day, month, quarter = told["table"]
    assert day["why"] == "too few buyers were known as of the test cutoff"
    assert (month["buyers"], quarter["buyers"]) == (60, 100)
    assert quarter["mean_probability"] == pytest.approx(0.5, abs=0.005)
    early = judge_horizons(study, rows, model, found, observed_until=to_instant("2025-03-31", zone=study.zone))
    assert early is not None
    assert [row["why"] for row in early["table"]][1:] == [None, "not matured yet"]
