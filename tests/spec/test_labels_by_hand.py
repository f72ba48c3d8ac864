"""Who bought in the label window, and whether that can be known yet: small tables, answers worked out beside them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from propensity.cohort import draw_cohort
from propensity.errors import DataError
from propensity.labels import first_purchases, is_mature, label_cohort, require_mature
from propensity.samples import express
from propensity.temporal import to_instant

Little = Callable[..., Any]
CUTOFF = "2025-03-01"


def bought(key: str, when: str, product: str = "tea", amount: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"customer_id": key, "at": when, "product": product, "amount": amount, **more}


def customers(keys: str) -> list[dict[str, Any]]:
    return [{"customer_id": key} for key in keys]


def buyers(little: Any, cutoff: str = CUTOFF) -> str:
    """The keys of the cohort's positives, one letter each."""
    study = little.load()
    instant = to_instant(cutoff, zone=study.zone)
    with little.open() as tables:
        cohort = draw_cohort(tables, instant, target=study.target, outcome=study.outcome, express=express)
        y = label_cohort(tables, cohort.keys, instant, study=study, express=express)
    assert y.dtype == "int8"
    assert len(y) == len(cohort)
    return "".join(cohort.keys["customer_id"][y == 1])


def test_the_window_holds_its_start_and_not_its_end(little_study: Little) -> None:
    # 30 days from 1 March: [2025-03-01, 2025-03-31).
    little = little_study(
        customers=customers("abcdef"),
        purchases=[
            bought("a", "2025-03-01 00:00:00"),  # the first instant: in
            bought("b", "2025-03-30 23:59:59.999999"),  # the last microsecond: in
            bought("c", "2025-03-31 00:00:00"),  # the end: out
            bought("d", "2025-03-31 00:00:00.000001"),  # after it: out
            bought("e", "2025-02-28 23:59:59.999999"),  # before the cutoff: has purchased, no prospect at all
        ],
    )
    assert buyers(little) == "ab"


def test_a_gap_moves_the_window_and_purchases_in_it_count_nowhere(little_study: Little) -> None:
    # A gap of 7 days: the window is [2025-03-08, 2025-04-07).
    little = little_study(
        {"outcome": {"gap": "7d"}, "cutoffs": {"test": "2025-06-01"}},
        customers=customers("abcde"),
        purchases=[
            bought("a", "2025-03-07 23:59:59.999999"),  # in the gap: neither before the cutoff nor in the window
            bought("b", "2025-03-08"),
            bought("c", "2025-04-06 23:59:59.999999"),
            bought("d", "2025-04-07"),
            bought("e", "2025-03-01"),
        ],
    )
    assert buyers(little) == "bc"


def test_the_first_purchase_in_the_window_tells_its_time_and_all_that_was_paid_at_that_instant(
    little_study: Little,
) -> None:
    little = little_study(
        customers=customers("abc"),
        purchases=[
            bought("a", "2025-03-05 10:00:00", amount=1.25),
            bought("a", "2025-03-05 10:00:00", amount=2.5),  # the same till: 3.75 together
            bought("a", "2025-03-09", amount=100.0),  # a later one does not count
            bought("b", "2025-03-31", amount=7.0),  # after the window
            bought("c", "2025-03-02", product="soap", amount=9.0),  # another product
            bought("c", "2025-03-04", amount=4.0),
        ],
    )
    study = little.load()
    instant = to_instant(CUTOFF, zone=study.zone)
    with little.open() as tables:
        cohort = draw_cohort(tables, instant, target=study.target, outcome=study.outcome, express=express)
        found = first_purchases(tables, cohort.keys, instant, study=study, express=express)
    told = found.set_index(cohort.keys["customer_id"])
    at = {key: None if pd.isna(when) else when for key, when in told["bought_at"].items()}
    assert at == {"a": pd.Timestamp("2025-03-05 10:00:00"), "b": None, "c": pd.Timestamp("2025-03-04")}
    assert told["amount"].fillna(-1).to_dict() == {"a": 3.75, "b": -1, "c": 4.0}


def test_a_month_from_the_end_of_january_ends_with_february(little_study: Little) -> None:
    # 31 January + 1 month = 29 February in 2024, 28 February in 2025.
    little = little_study(
        {"outcome": {"horizon": "1mo"}},
        customers=customers("abcd"),
        purchases=[
            bought("a", "2024-02-28 23:59:59.999999"),
            bought("b", "2024-02-29"),
            bought("c", "2025-02-27 23:59:59.999999"),
            bought("d", "2025-02-28"),
        ],
    )
    assert buyers(little, "2024-01-31") == "a"
    assert buyers(little, "2025-01-31") == "c"


def test_days_are_local_and_hours_absolute_when_the_clocks_change(little_study: Little) -> None:
    # From 30 March 2025, 00:00 in Berlin (23:00 UTC), a day lasts 23 hours: it ends at 22:00 UTC, midnight of the 31st.
    rows = {"customers": customers("abc"), "purchases": [
        bought("a", "2025-03-30 23:30"),  # 21:30 UTC
        bought("b", "2025-03-31 00:30"),  # 22:30 UTC: after the local day, within 24 hours
        bought("c", "2025-03-31 01:00"),  # 23:00 UTC: after 24 hours, exactly
    ]}  # fmt: skip
    zone = {"data": {"time_zone": "Europe/Berlin"}}
    day = little_study({**zone, "outcome": {"horizon": "1d"}}, **rows)
    hours = little_study({**zone, "outcome": {"horizon": "24h"}}, **rows)
    assert buyers(day, "2025-03-30") == "a"
    assert buyers(hours, "2025-03-30") == "ab"


def test_a_purchase_counts_when_it_happened_however_late_it_was_known(little_study: Little) -> None:
    little = little_study(
        {"data": {"purchases": {"available_at": "seen"}}},
        customers=customers("abc"),
        purchases=[
            bought("a", "2025-03-10", seen="2025-09-01"),  # in the window, known half a year later
            bought("b", "2025-02-10", seen="2025-03-10"),  # before the cutoff, not known then: a prospect, and no buyer
            bought("c", "2025-02-10", seen="2025-03-10"),  # the same, and buys again in the window
            bought("c", "2025-03-20", seen="2025-03-20"),
        ],
    )
    assert buyers(little) == "ac"


def test_returns_and_cancellations_buy_nothing(little_study: Little) -> None:
    little = little_study(
        customers=customers("abcd"),
        purchases=[
            bought("a", "2025-03-10", amount=-5.0),  # a return
            bought("b", "2025-03-10", amount=5.0),  # bought and returned: bought
            bought("b", "2025-03-11", amount=-5.0),
            bought("c", "2025-03-10", amount=0.0),  # for nothing: bought
            bought("d", "2025-03-10", "cup"),  # something else
        ],
    )
    assert buyers(little) == "bc"


def test_a_label_is_one_however_often_somebody_buys(little_study: Little) -> None:
    little = little_study(
        customers=customers("ab"), purchases=[bought("a", f"2025-03-{day:02}") for day in range(1, 20)]
    )
    assert buyers(little) == "a"


# --- maturity ---------------------------------------------------------------------------------------------------


def test_labels_mature_when_the_window_and_the_reporting_lag_have_passed(little_study: Little) -> None:
    study = little_study({"outcome": {"gap": "1d", "reporting_lag": "12h"}, "cutoffs": {"test": "2025-06-01"}}).load()
    cutoff = to_instant(CUTOFF, zone=study.zone)
    # 1 March + 1 day + 30 days = 1 April; + 12 hours.
    matures = datetime(2025, 4, 1, 12, tzinfo=UTC)
    assert study.matures_at(cutoff) == matures
    assert is_mature(study, cutoff, until=matures)
    assert not is_mature(study, cutoff, until=matures.replace(hour=11, minute=59, second=59, microsecond=999_999))
    assert not is_mature(study, cutoff, until=None)


@pytest.mark.parametrize(
    ("horizon", "until", "latest"),
    [
        # Recorded up to 13 September: 30 days before that is 14 August.
        ("30d", "2025-09-13", "2025-08-14"),
        # A month from 31 January ends on 28 February too, that of 1 February does not.
        ("1mo", "2025-02-28", "2025-01-31"),
        ("1mo", "2025-02-15", "2025-01-15"),
        ("1mo", "2024-02-28", "2024-01-28"),
        # 1 July at noon is past its midnight: 1 June is the latest day whose month has passed.
        ("1mo", "2025-07-01T12:00", "2025-06-01"),
        ("24h", "2025-07-01T12:00", "2025-06-30"),
    ],
)
def test_the_message_names_the_latest_cutoff_that_would_do(
    horizon: str, until: str, latest: str, little_study: Little
) -> None:
    little = little_study(
        {
            "outcome": {"horizon": horizon},
            "cutoffs": {"train": "2025-06-01", "validation": "2025-08-01", "test": "2025-09-25"},
        }
    )
    study = little.load()
    recorded = to_instant(until, zone=study.zone)
    cutoff = to_instant("2025-09-25", zone=study.zone)
    with pytest.raises(DataError) as error:
        require_mature(study, cutoff, until=recorded, split="test")
    assert f"Choose a cutoff up to {latest}, or a shorter horizon." in str(error.value)
    # It holds what it promises, and the day after does not.
    day = to_instant(latest, zone=study.zone)
    require_mature(study, day, until=recorded, split="test")
    assert not is_mature(study, day + timedelta(days=1), until=recorded)


def test_the_message_says_what_ends_when(little_study: Little) -> None:
    study = little_study({"data": {"time_zone": "Europe/Berlin"}}).load()
    cutoff, until = (to_instant(day, zone=study.zone) for day in ("2025-09-01", "2025-09-13"))
    with pytest.raises(DataError) as error:
        require_mature(study, cutoff, until=until, split="test")
    assert str(error.value) == (
        "labels: the window of the test cutoff 2025-09-01 (with the reporting lag) ends 2025-10-01, after the last "
        "record (the source is recorded up to 2025-09-13).\nChoose a cutoff up to 2025-08-14, or a shorter horizon."
    )
    with pytest.raises(DataError, match="recorded up to nothing"):
        require_mature(study, cutoff, until=None, split="test")
