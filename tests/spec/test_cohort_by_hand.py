"""Who is a prospect as of a cutoff: small tables, the answer worked out beside them.

Cutoffs are midnights UTC unless a test says otherwise; "a microsecond" is the smallest step that the product knows.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from propensity.cohort import Cohort, draw_cohort
from propensity.data.connect import to_frame
from propensity.data.tables import attributes_as_of
from propensity.samples import express

Little = Callable[..., Any]
CUTOFF = "2025-03-01"
JUST_BEFORE = "2025-02-28T23:59:59.999999"
JUST_AFTER = "2025-03-01T00:00:00.000001"


def at(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def drawn(little: Any, cutoff: str = CUTOFF) -> Cohort:
    study = little.load()
    with little.open() as tables:
        return draw_cohort(tables, at(cutoff), target=study.target, outcome=study.outcome, express=express)


def prospects(little: Any, cutoff: str = CUTOFF) -> str:
    """The keys of the cohort, one letter each, in order."""
    return "".join(drawn(little, cutoff).keys["customer_id"])


def attributes(little: Any, cutoff: str = CUTOFF) -> pd.DataFrame:
    with little.open() as tables:
        return to_frame(attributes_as_of(tables, at(cutoff))).set_index("customer_id").sort_index()


def customers(keys: str, **columns: list[Any]) -> list[dict[str, Any]]:
    return [{"customer_id": key, **{name: values[i] for name, values in columns.items()}} for i, key in enumerate(keys)]


def bought(key: str, when: str, product: str = "tea", amount: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"customer_id": key, "at": when, "product": product, "amount": amount, **more}


def did(key: str, when: str, kind: str = "out", **more: Any) -> dict[str, Any]:
    return {"customer_id": key, "at": when, "kind": kind, **more}


# --- never purchased, as of the cutoff --------------------------------------------------------------------------


def test_a_purchase_ends_being_a_prospect_only_from_the_microsecond_after_it(little_study: Little) -> None:
    little = little_study(
        customers=customers("abcd"),
        purchases=[
            bought("a", JUST_BEFORE),  # before the cutoff: has purchased
            bought("b", CUTOFF),  # exactly at the cutoff: that is future
            bought("c", JUST_AFTER),  # future
            # d never buys
        ],
    )
    assert prospects(little) == "bcd"
    # A microsecond later, the purchase at the cutoff lies before it, the one just after does not.
    assert prospects(little, JUST_AFTER) == "cd"
    assert prospects(little, "2025-03-01T00:00:00.000002") == "d"
    # Before all purchases, everybody is one: what comes later removes nobody.
    assert prospects(little, "2025-02-01") == "abcd"


def test_only_a_purchase_of_the_product_counts_and_a_return_is_none(little_study: Little) -> None:
    little = little_study(
        {"outcome": {"product": ["tea", "green tea"]}},
        customers=customers("abcdef"),
        purchases=[
            bought("a", "2025-01-01", "tea"),
            bought("b", "2025-01-01", "green tea"),
            bought("c", "2025-01-01", "teapot"),  # another product
            bought("d", "2025-01-01", "tea", -1.0),  # a return without its purchase
            bought("e", "2025-01-01", "tea", 0.0),  # for nothing, and bought all the same
            bought("f", "2025-01-01", "tea", 5.0),
            bought("f", "2025-01-02", "tea", -5.0),  # gave it back: bought it once
        ],
    )
    assert prospects(little) == "cd"


def test_a_purchase_counts_from_when_it_was_known(little_study: Little) -> None:
    little = little_study(
        {"data": {"purchases": {"available_at": "seen"}}},
        customers=customers("abcd"),
        purchases=[
            bought("a", "2025-02-01", seen=JUST_BEFORE),  # happened and known: has purchased
            bought("b", "2025-02-01", seen=CUTOFF),  # happened, but becomes known at the cutoff only
            bought("c", "2025-02-01", seen="2025-04-01"),  # a late record
            bought("d", "2025-02-01", seen=None),  # known when it happened
        ],
    )
    assert prospects(little) == "bc"
    assert prospects(little, JUST_AFTER) == "c"


def test_products_that_match_a_pattern(little_study: Little) -> None:
    names = ["CAKE CASES", "BAKING SET", "RED CAKE CASE", "cake case", "CAKE", None]
    little = little_study(
        {"outcome": {"product": {"matches": "CAKE CASE|BAKING"}}},
        customers=customers("abcdef"),
        purchases=[bought(key, "2025-01-01", name) for key, name in zip("abcdef", names, strict=True)],  # type: ignore[arg-type]
    )
    # The pattern may stand anywhere in the name, in this case of letters; a purchase without a name matches nothing.
    assert prospects(little) == "def"


def test_an_outcome_that_is_an_event_with_a_condition(little_study: Little) -> None:
    little = little_study(
        {
            "data": {"purchases": None, "events": {"attributes": ["offer"]}},
            "outcome": {"product": None, "event": {"kind": "completed", "where": "offer = 'bogo'"}},
        },
        customers=customers("abcd"),
        events=[
            did("a", "2025-01-01", "completed", offer="bogo"),
            did("b", "2025-01-01", "completed", offer="discount"),
            did("c", "2025-01-01", "viewed", offer="bogo"),
            did("d", "2025-01-01", "completed", offer=None),
        ],
    )
    assert prospects(little) == "bcd"


# --- who is known -----------------------------------------------------------------------------------------------


def test_a_customer_exists_from_the_microsecond_after_known_from(little_study: Little) -> None:
    little = little_study(
        {"data": {"customers": {"known_from": "since"}}},
        customers=customers("abcd", since=[JUST_BEFORE, CUTOFF, JUST_AFTER, None]),
        purchases=[bought("a", "2025-06-01")],
    )
    # d's beginning is not given: known always.
    assert prospects(little) == "ad"
    assert drawn(little).funnel[0].count == 2
    tenure = attributes(little)["tenure_days"]
    assert tenure["a"] == pytest.approx(1 / 86_400e6)
    assert pd.isna(tenure["d"])


VERSIONS = [
    # a moves from north to south on 10 February, and to the east at the very cutoff (which is future).
    {"customer_id": "a", "since": "2025-01-10", "region": "north"},
    {"customer_id": "a", "since": "2025-02-10", "region": "south"},
    {"customer_id": "a", "since": CUTOFF, "region": "east"},
    # b moves from south to north; the row that says so comes first in the table.
    {"customer_id": "b", "since": "2025-02-20", "region": "north"},
    {"customer_id": "b", "since": "2025-02-01", "region": "south"},
    # c becomes known after the cutoff only.
    {"customer_id": "c", "since": JUST_AFTER, "region": "south"},
    # d's first row is known always, and has no region.
    {"customer_id": "d", "since": None, "region": None},
    {"customer_id": "d", "since": JUST_BEFORE, "region": "south"},
]


def test_of_several_rows_the_newest_before_the_cutoff_counts(little_study: Little) -> None:
    little = little_study(
        {
            "data": {"customers": {"known_from": "since", "attributes": {"region": "category"}}},
            "target": {"where": "region = 'south'"},
        },
        customers=VERSIONS,
        purchases=[bought("b", "2025-06-01")],
    )
    assert attributes(little)["region"].to_dict() == {"a": "south", "b": "north", "d": "south"}
    assert prospects(little) == "ad"
    # On 5 February: a is still in the north, b in the south, d nowhere yet.
    assert prospects(little, "2025-02-05") == "b"
    # From just after the cutoff, a is in the east; c becomes known another microsecond later.
    assert prospects(little, JUST_AFTER) == "d"
    assert prospects(little, "2025-03-01T00:00:00.000002") == "cd"


def test_tenure_counts_from_the_first_row_not_from_the_newest(little_study: Little) -> None:
    little = little_study(
        {"data": {"customers": {"known_from": "since"}}},
        customers=VERSIONS,
        purchases=[bought("b", "2025-06-01")],
    )
    tenure = attributes(little)["tenure_days"]
    # 10 January to 1 March: 21 + 28 + 1 = 50 days. 1 February to 1 March: 28 days. d: known always, so not known.
    assert tenure.fillna(-1).to_dict() == {"a": 50.0, "b": 28.0, "d": -1.0}


def test_known_from_the_first_purchase_of_anything(little_study: Little) -> None:
    little = little_study(
        {"data": {"customers": {"known_from": "first_purchase"}, "purchases": {"available_at": "seen"}}},
        customers=customers("abcdef"),
        purchases=[
            bought("a", "2025-02-01", "cup", seen="2025-02-01"),
            bought("a", "2025-02-09", "cup", seen="2025-02-09"),
            bought("b", CUTOFF, "cup", seen=CUTOFF),  # first seen at the cutoff: not there yet
            bought("c", "2025-02-01", "cup", seen="2025-03-05"),  # bought, but nobody knew
            bought("d", "2025-01-01", "cup", -2.0, seen="2025-01-01"),  # a return is no purchase
            bought("d", "2025-04-01", "cup", seen="2025-04-01"),
            bought("e", "2025-02-28", "tea", seen="2025-02-28"),  # known, and has purchased the product
            # f never buys anything: a row in the customers table alone makes nobody known
        ],
    )
    assert prospects(little) == "a"
    assert [step.count for step in drawn(little).funnel] == [2, 2, 1, 1]
    assert prospects(little, "2025-04-02") == "abcd"
    # From 1 February to 1 March: 28 days.
    assert attributes(little)["tenure_days"].to_dict() == {"a": 28.0, "e": 1.0}


# --- the target criteria ----------------------------------------------------------------------------------------


def test_whole_years_of_age_count_from_the_birthday_in_leap_years_too(little_study: Little) -> None:
    born = ["2004-02-29", "2007-03-01", "2007-03-02", "2025-03-01", "2025-02-28", None, "2004-03-01"]
    little = little_study(
        {
            "data": {"customers": {"attributes": {"birth_date": "date"}}},
            "target": {"where": "age >= 18"},
        },
        customers=customers("abcdefg", birth_date=born),
        purchases=[bought("a", "2025-12-01")],
    )
    ages = attributes(little)["age"]
    # On 1 March 2025: a (29 February) had the birthday, in a year without that day on 1 March; b has it today;
    # c has it tomorrow; d is born today, which is not before the cutoff; e yesterday.
    assert ages.fillna(-1).to_dict() == {"a": 21, "b": 18, "c": 17, "d": -1, "e": 0, "f": -1, "g": 21}
    # Who gives no age meets no criterion of age.
    assert prospects(little) == "abg"
    # On 28 February 2025, a has not had the birthday yet; on 29 February 2024 it is the day itself.
    assert attributes(little, "2025-02-28")["age"]["a"] == 20
    assert attributes(little, "2024-02-29")["age"]["a"] == 20
    assert attributes(little, "2024-02-28")["age"]["a"] == 19


def test_days_since_a_date_count_local_days_and_are_missing_for_what_is_to_come(little_study: Little) -> None:
    little = little_study(
        {"data": {"time_zone": "Europe/Berlin", "customers": {"attributes": {"joined": "date"}}}},
        customers=customers("abc", joined=["2025-02-27", "2025-03-01", "2024-02-29"]),
        purchases=[bought("a", "2025-12-01")],
    )
    # The cutoff is midnight of 1 March in Berlin, 23:00 UTC of the day before. b joins today.
    # 29 February 2024 to 1 March 2025: 366 days.
    found = attributes(little, "2025-02-28T23:00:00")["days_since_joined"]
    assert found.fillna(-1).to_dict() == {"a": 2.0, "b": -1.0, "c": 366.0}


def test_a_criterion_that_cannot_be_decided_is_not_met(little_study: Little) -> None:
    little = little_study(
        {
            "data": {"customers": {"attributes": {"region": "category", "income": "number"}}},
            "target": {"where": "region <> 'north' OR income > 10"},
        },
        customers=customers("abcd", region=["south", "north", None, None], income=[None, 11.0, 11.0, 5.0]),
        purchases=[bought("a", "2025-12-01")],
    )
    # c: the region is unknown, but the income decides. d: unknown or false is not true.
    assert prospects(little) == "abc"


# --- suppression ------------------------------------------------------------------------------------------------


def test_suppressed_customers_are_counted_and_never_scored(little_study: Little) -> None:
    little = little_study(
        {
            "data": {"customers": {"attributes": {"region": "category", "dead": "boolean"}}},
            "target": {"where": "region = 'north'", "suppress": {"event": ["out", "blocked"], "where": "dead"}},
        },
        customers=customers(
            "abcdefgh",
            region=["north"] * 6 + ["south", "north"],
            dead=["no", "no", "no", "yes", None, "no", "no", "no"],
        ),
        purchases=[bought("f", "2025-02-01"), bought("h", "2025-03-15")],
        events=[
            did("a", JUST_BEFORE),  # opted out before the cutoff
            did("b", CUTOFF),  # at the cutoff: that is future
            did("c", "2025-01-01", "view"),  # another kind of event
            did("f", "2025-01-01", "blocked"),  # has purchased anyway: removed by the step before
            did("g", "2025-01-01"),  # is no target customer anyway
        ],
    )
    # a opted out, d is dead, f has purchased, g lives in the south; of e it is not known whether he is dead.
    assert prospects(little) == "bceh"
    funnel = [(step.name, step.count, step.removed) for step in drawn(little).funnel]
    assert funnel == [
        ("customers", 8, 0),
        ("target customers", 7, 1),
        ("never purchased", 6, 1),
        ("prospects", 4, 2),
    ]
    # A microsecond later, b has opted out too.
    assert prospects(little, JUST_AFTER) == "ceh"


def test_an_objection_counts_from_when_it_was_known(little_study: Little) -> None:
    little = little_study(
        {"target": {"suppress": {"event": "out"}}, "data": {"events": {"available_at": "seen"}}},
        customers=customers("ab"),
        purchases=[bought("a", "2025-12-01")],
        events=[did("a", "2025-02-01", seen="2025-02-02"), did("b", "2025-02-01", seen="2025-03-02")],
    )
    assert prospects(little) == "b"


# --- time zones -------------------------------------------------------------------------------------------------


def test_a_local_midnight_is_the_boundary_when_the_clocks_change(little_study: Little) -> None:
    little = little_study(
        {"data": {"time_zone": "Europe/Berlin"}},
        customers=customers("abcd"),
        purchases=[
            # Local times. On 30 March 2025 clocks go forward: its midnight is 23:00 UTC, that of the 31st 22:00 UTC.
            bought("a", "2025-03-29 23:59:59.999999"),
            bought("b", "2025-03-30 00:00:00"),
            bought("c", "2025-03-30 23:59:59.999999"),
            bought("d", "2025-03-31 00:00:00"),
        ],
    )
    assert prospects(little, "2025-03-29T23:00:00") == "bcd"
    assert prospects(little, "2025-03-30T22:00:00") == "d"


def test_keys_carry_the_cutoff_in_utc_and_codes_in_the_order_of_keys(little_study: Little) -> None:
    little = little_study(customers=customers("cab"), purchases=[bought("b", "2025-01-01")])
    keys = drawn(little, "2025-03-01T01:00:00+01:00").keys
    assert keys["customer_id"].tolist() == ["a", "c"]
    assert keys["code"].tolist() == [0, 2]
    assert keys["cutoff"].unique().tolist() == [pd.Timestamp("2025-03-01")]
    assert str(keys["cutoff"].dtype) == "datetime64[us]"


def test_a_cohort_may_be_empty(little_study: Little) -> None:
    little = little_study(
        {"data": {"customers": {"known_from": "since"}}},
        customers=customers("a", since=["2025-06-01"]),
        purchases=[bought("a", "2025-07-01")],
    )
    cohort = drawn(little)
    assert len(cohort) == 0
    assert [step.count for step in cohort.funnel] == [0, 0, 0, 0]
