"""What a study declares under `features`, from its tables to the matrix and the words of the catalogue."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from propensity.cohort import draw_cohort
from propensity.config import EVENT_MEASURES
from propensity.errors import ConfigError, DataError
from propensity.features.matrix import build_frame
from propensity.features.plan import FeaturePlan, learn_plan
from propensity.samples import express

Little = Callable[..., Any]

EVENTS = [
    ("c1", "2024-12-01 10:00", "visit", "web", 2.5),
    ("c1", "2024-12-02 10:00", "visit", "app", None),
    ("c1", "2024-12-20 10:00", "quote", "web", 40.0),
    ("c1", "2024-12-20 11:00", "visit", "web", 7.5),
    ("c2", "2024-11-05 10:00", "visit", "web", 1.0),
    ("c2", "2024-12-31 23:00", "quote", None, 8.0),
]
PURCHASES = [
    ("c1", "2024-12-05", "cups", "shop", 4.0),
    ("c1", "2024-12-06", "cups", "web", 8.0),
    ("c1", "2024-12-24", "pots", "web", -8.0),  # a return
    ("c2", "2024-10-01", "pots", "shop", 3.0),
    ("c3", "2025-01-10", "tea", "shop", 3.0),
    ("c1", "2025-03-10", "tea", "web", 3.0),
    ("c2", "2025-05-10", "tea", "web", 3.0),
]
EVERYTHING = {
    "data": {
        "events": {"attributes": ["channel"], "value": "minutes", "labels": {"visit": "visits", "quote": "quotes"}},
        "purchases": {"attributes": ["place"]},
        "recorded_until": "2025-07-01",
    },
    "features": {"windows": ["7d", "30d"], "events": "all", "purchases": "all", "cross": ["channel", "place"]},
}


def events(rows: list[tuple[Any, ...]] = EVENTS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["customer_id", "at", "kind", "channel", "minutes"])


def purchases(rows: list[tuple[Any, ...]] = PURCHASES) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["customer_id", "at", "product", "place", "amount"])


def matrix(written: Any) -> tuple[FeaturePlan, pd.DataFrame]:
    """The plan, and the matrix of the first train cutoff by customer."""
    study = written.load()
    cutoff = study.cutoff_instants()["train"][0]
    with written.open() as tables:
        cohort = draw_cohort(tables, cutoff, target=study.target, outcome=study.outcome, express=express)
        plan, _ = learn_plan(tables, study, cohorts=[cohort.keys], cutoffs=[cutoff])
        frame = build_frame(tables, plan, cohorts=[cohort.keys], cutoffs=[cutoff])
    return plan, frame.X.set_index(frame.keys["customer_id"])


@pytest.fixture
def everything(little_study: Little) -> tuple[FeaturePlan, pd.DataFrame]:
    customers = [{"customer_id": f"c{i}"} for i in range(1, 5)]
    return matrix(little_study(EVERYTHING, customers=customers, events=events(), purchases=purchases()))


def test_every_measure_of_what_customers_did(everything: tuple[FeaturePlan, pd.DataFrame]) -> None:
    _, X = everything
    expected = {  # of c1 as of 1 January 2025
        "events_30d": 3,  # from 2 December on
        "events_ever": 4,
        "events_visit_30d": 2,
        "events_channel_web_30d": 2,
        "events_kind_channel_visit_web_30d": 1,
        "events_kind_channel_visit_web_7d": 0,
        "active_days_30d": 2,  # 2 and 20 December
        "active_days_visit_30d": 2,
        "trend_events_7d": -2,  # none from 25 December on, two on the 20th, in the week before
        "trend_visit_7d": -1,
        "recency_days_quote": 11 + 14 / 24,  # 20 December 10:00
        "tenure_days_event": 30 + 14 / 24,  # 1 December 10:00
        "gap_days_mean_event": 9.5,  # 1, 2, 20 December
        "gap_days_last_event": 18,
        "streak_days_event": 1,
        "streak_longest_days_event": 2,  # 1 and 2 December
        "streak_longest_days_visit": 2,
        "distinct_kind_30d": 2,
        "distinct_channel_30d": 2,
        "share_events_quote_30d": 1 / 3,
        "share_events_channel_app_30d": 1 / 3,
        "share_events_kind_channel_quote_web_30d": 1 / 3,
        "value_sum_30d": 47.5,
        "value_mean_30d": 23.75,  # of two: the visit of 2 December has no value
        "value_min_visit_ever": 2.5,
        "value_max_30d": 40,
    }
    assert {name: float(X.loc["c1", name]) for name in expected} == {n: np.float32(v) for n, v in expected.items()}
    assert X.loc["c4", "events_ever"] == 0
    assert np.isnan(X.loc["c4", "share_events_quote_30d"])
    assert X.loc["c2", "share_events_channel_web_30d"] == 0  # one event, of no channel
    assert X.loc["c2", "events_kind_channel_quote_web_30d"] == 0


def test_every_measure_of_purchases(everything: tuple[FeaturePlan, pd.DataFrame]) -> None:
    _, X = everything
    expected = {
        "purchases_30d": 2,
        "returns_30d": 1,
        "returned_30d": 8,
        "spend_30d": 12,
        "spend_mean_30d": 6,
        "spend_min_30d": 4,
        "spend_max_ever": 8,
        "purchase_days_30d": 2,
        "purchases_cups_30d": 2,
        "purchases_place_web_30d": 1,
        "purchases_product_place_cups_web_30d": 1,
        "share_purchases_cups_30d": 1,
        "share_purchases_place_web_30d": 0.5,
        "distinct_products_30d": 1,  # what was sent back is no purchase
        "distinct_purchases_place_30d": 2,
        "streak_days_purchase": 2,
        "gap_days_mean_purchase": 1,
    }
    assert {name: float(X.loc["c1", name]) for name in expected} == expected


def test_the_catalogue_says_in_words_what_each_is(everything: tuple[FeaturePlan, pd.DataFrame]) -> None:
    plan, _ = everything
    words = {feature.name: feature.description for feature in plan.features}
    assert {name: words[name] for name in words if name in SAID} == SAID
    assert len(set(words.values())) == len(words), "two features read alike"


SAID = {
    "events_kind_channel_visit_web_30d": "visits (channel: web) in the last 30 days",
    "share_events_quote_30d": "share of quotes in all events in the last 30 days",
    "distinct_kind_30d": "different kinds of events in the last 30 days",
    "distinct_products_ever": "different products bought so far",
    "value_mean_visit_7d": "average minutes of visits in the last 7 days",
    "streak_longest_days_visit": "days in a row with visits at most",
    "spend_mean_30d": "average amount of a purchase in the last 30 days",
    "gap_days_sd_event": "days of spread between events",
}


def test_roles_need_not_have_the_same_number_of_categories(little_study: Little) -> None:
    changes = {
        "data": {"events": {"attributes": ["channel"]}, "recorded_until": "2025-07-01"},
        "features": {"windows": ["30d"], "events": ["distinct"], "purchases": ["distinct", "count"]},
    }
    customers = [{"customer_id": f"c{i}"} for i in range(1, 5)]
    _, X = matrix(little_study(changes, customers=customers, events=events(), purchases=purchases()))
    names = ["distinct_kind_30d", "distinct_channel_30d", "distinct_products_30d"]
    assert X.loc["c1", names].tolist() == [2, 2, 1]
    assert X.loc["c2", names].tolist() == [1, 0, 0]
    assert X.loc["c4", names].tolist() == [0, 0, 0]


def test_a_plan_survives_json(everything: tuple[FeaturePlan, pd.DataFrame]) -> None:
    plan, _ = everything
    assert FeaturePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_of_tens_of_thousands_of_categories_the_most_frequent_count_and_the_rest_are_other(
    little_study: Little,
) -> None:
    often = [("c1", "2024-12-20 10:00", "visit", f"page {i % 3}", None) for i in range(30)]
    rare = [("c1", "2024-12-21 10:00", "visit", f"rare {i:05}", None) for i in range(30_000)]
    changes = {
        "data": {"events": {"attributes": ["channel"]}, "recorded_until": "2025-07-01"},
        "features": {"top_categories": 3, "events": ["count", "distinct"]},
    }
    customers = [{"customer_id": f"c{i}"} for i in range(1, 5)]
    plan, X = matrix(little_study(changes, customers=customers, events=events(often + rare), purchases=purchases()))
    assert plan.records[0].vocabularies[1].values == ("page 0", "page 1", "page 2")
    names = [name for name in plan.names if name.startswith("events_channel")]
    assert names == [f"events_channel_{value}_30d" for value in ("page_0", "page_1", "page_2", "other")]
    assert X.loc["c1", names].tolist() == [10, 10, 10, 30_000]
    assert X.loc["c1", "distinct_channel_30d"] == 30_003  # each of them, also those that share a slot


@pytest.mark.parametrize("kind", ["integer", "text", "uuid", "uuid as bytes"])
def test_keys_of_any_type(kind: str, little_study: Little) -> None:
    ids = [uuid.UUID(int=2**100 + i) for i in range(1, 5)]
    make: dict[str, Callable[[str], Any]] = {
        "integer": lambda c: 10**12 + int(c[1:]),
        "text": lambda c: f"00{c}",
        "uuid": lambda c: str(ids[int(c[1:]) - 1]),
        "uuid as bytes": lambda c: ids[int(c[1:]) - 1].bytes,
    }

    def rekeyed(table: pd.DataFrame) -> pa.Table:
        keys = [make[kind](c) for c in table["customer_id"]]
        column = pa.array(keys, pa.binary(16)).cast(pa.uuid()) if kind == "uuid as bytes" else pa.array(keys)
        return pa.Table.from_pandas(table, preserve_index=False).set_column(0, "customer_id", column)

    customers = rekeyed(pd.DataFrame({"customer_id": [f"c{i}" for i in range(1, 5)]}))
    _, X = matrix(
        little_study(EVERYTHING, customers=customers, events=rekeyed(events()), purchases=rekeyed(purchases()))
    )
    _, plain = matrix(
        little_study(
            EVERYTHING,
            customers=[{"customer_id": f"c{i}"} for i in range(1, 5)],
            events=events(),
            purchases=purchases(),
        )
    )
    assert X.to_numpy().tobytes() == plain.to_numpy().tobytes()


@pytest.mark.parametrize(
    "features",
    [
        {"events": [], "purchases": []},
        {"windows": ["30d"], "events": ["trend"], "purchases": ["trend"]},  # there is no shorter window
        {"events": ["share"], "purchases": ["share"]},
    ],
)
def test_few_measures_or_none(features: dict[str, Any], little_study: Little) -> None:
    customers = [{"customer_id": f"c{i}"} for i in range(1, 5)]
    changes = {"features": features, "data": {"recorded_until": "2025-07-01"}}
    plan, X = matrix(little_study(changes, customers=customers, events=events(), purchases=purchases()))
    assert X.columns.tolist() == plan.names
    assert all(name.startswith("share") for name in plan.names)


def test_values_that_cannot_be_read_are_counted_and_refused_above_the_limit(little_study: Little) -> None:
    odd = events([*EVENTS, ("c1", "2024-12-21 10:00", "visit", "web", "12,5O")]).astype({"minutes": "str"})
    changes = {"data": {"events": {"value": "minutes"}, "max_unreadable": 0.5, "recorded_until": "2025-07-01"}}
    customers = [{"customer_id": f"c{i}"} for i in range(1, 5)]
    written = little_study(changes, customers=customers, events=odd, purchases=purchases())
    with written.open() as tables:
        assert tables.warnings == ["events: 1 rows with an unreadable value count without one."]
    changes["data"]["max_unreadable"] = 0.0
    strict = little_study(changes, customers=customers, events=odd, purchases=purchases())
    with pytest.raises(DataError, match="1 of 7 values of 'value' cannot be read"), strict.open():
        pass


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"purchases": ["count", "max"]}, r"'max' of purchases needs their amount: name its column under data\.purch"),
        (
            {"events": ["count", "mean"]},
            r"'mean' of events needs their value: name its column under data\.events\.value",
        ),
        ({"events": ["counts"]}, "features.events"),
        ({"cross": ["colour"]}, "'colour' is no attribute of events or purchases"),
        ({"custom": ["module.function"]}, "is not module:function"),
    ],
)
def test_declarations_that_cannot_be(features: dict[str, Any], message: str, little_study: Little) -> None:
    changes = {"features": features, "data": {"purchases": {"amount": None}}}
    written = little_study(changes, customers=[{"customer_id": "c1"}], events=events(), purchases=purchases())
    with pytest.raises(ConfigError, match=message):
        written.load()


def test_all_measures_without_a_value_leave_out_those_of_values(little_study: Little) -> None:
    written = little_study({"features": {"events": "all"}}, customers=[{"customer_id": "c1"}], events=events())
    assert written.load().features.events == EVENT_MEASURES


def test_weeks_and_months(little_study: Little) -> None:
    changes = {"features": {"windows": ["1w", "2w", "1mo"]}, "data": {"recorded_until": "2025-07-01"}}
    customers = [{"customer_id": f"c{i}"} for i in range(1, 5)]
    plan, X = matrix(little_study(changes, customers=customers, events=events(), purchases=purchases()))
    assert X.loc["c1", ["events_1w", "events_2w", "events_1mo"]].tolist() == [0, 2, 4]
    feature = next(f for f in plan.features if f.name == "events_2w")
    assert feature.description == "events in the last 2 weeks"


def test_cutoffs_need_no_grid(little_study: Little) -> None:
    """Whatever the cutoffs, each reads what it reads alone."""
    written = little_study(
        EVERYTHING,
        customers=[{"customer_id": f"c{i}"} for i in range(1, 5)],
        events=events(),
        purchases=purchases(),
    )
    study = written.load()
    cutoffs = [
        datetime(2024, 12, 2, 9, 30, tzinfo=UTC),
        datetime(2024, 12, 21, tzinfo=UTC),
        datetime(2025, 2, 11, tzinfo=UTC),
    ]
    with written.open() as tables:
        cohorts = [
            draw_cohort(tables, c, target=study.target, outcome=study.outcome, express=express).keys for c in cutoffs
        ]
        plan, _ = learn_plan(tables, study, cohorts=cohorts, cutoffs=cutoffs)
        together = build_frame(tables, plan, cohorts=cohorts, cutoffs=cutoffs)
        for cohort, cutoff in zip(cohorts, cutoffs, strict=True):
            alone = build_frame(tables, plan, cohorts=[cohort], cutoffs=[cutoff])
            at = (together.keys["cutoff"] == pd.Timestamp(cutoff.replace(tzinfo=None))).to_numpy()
            assert together.X[at].to_numpy().tobytes() == alone.X.to_numpy().tobytes()


def test_columns_stand_under_their_own_names_in_whatever_order(little_study: Little) -> None:
    written = little_study(
        EVERYTHING,
        customers=[{"customer_id": f"c{i}"} for i in range(1, 5)],
        events=events(),
        purchases=purchases(),
    )
    study = written.load()
    cutoff = study.cutoff_instants()["train"][0]
    with written.open() as tables:
        keys = draw_cohort(tables, cutoff, target=study.target, outcome=study.outcome, express=express).keys
        plan, _ = learn_plan(tables, study, cohorts=[keys], cutoffs=[cutoff])
        forward = build_frame(tables, plan, cohorts=[keys], cutoffs=[cutoff]).X
        swept = [feature for feature in plan.features if feature.source != "customers"]
        for features in (swept[::-1], [*swept[5:], *swept[:5]], swept[3:40:4]):
            other = build_frame(tables, replace(plan, features=tuple(features)), cohorts=[keys], cutoffs=[cutoff]).X
            pd.testing.assert_frame_equal(other, forward[[feature.name for feature in features]])
