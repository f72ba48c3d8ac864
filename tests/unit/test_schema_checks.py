"""What is checked when tables are staged: every finding is counted, told, and refused where it is too much."""

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from propensity.data.connect import to_frame
from propensity.data.tables import Tables
from propensity.errors import ConfigError, DataError

CUSTOMERS = [{"customer_id": "a", "x": 1.0}, {"customer_id": "b", "x": 2.0}]
PURCHASES = [
    {"customer_id": "a", "at": "2025-01-05", "product": "tea", "amount": 2.5},
    {"customer_id": "b", "at": "2025-06-05", "product": "cup", "amount": 3.0},
]
Little = Callable[..., Any]


def purchase(**changes: Any) -> dict[str, Any]:
    return {**PURCHASES[0], **changes}


def findings(tables: Tables, role: str) -> dict[str, int]:
    return next(dict(fact.findings) for fact in tables.facts if fact.role == role)


def staged(table: Any, order: str = "customer_id") -> pd.DataFrame:
    return to_frame(table.order_by(order))


def refuse(little_study: Little, message: str, changes: dict[str, Any] | None = None, **tables: Any) -> None:
    tables = {"customers": CUSTOMERS, "purchases": PURCHASES, **tables}
    with pytest.raises(DataError, match=message), little_study(changes, **tables).open():
        pass


# --- columns and tables -----------------------------------------------------------------------------------------


def test_a_missing_column_is_named_with_a_close_match(little_study: Little) -> None:
    def attributes(**more: Any) -> dict[str, Any]:
        return {"data": {"customers": {"attributes": more}}}

    refuse(
        little_study,
        r"data\.customers\.attributes: there is no column 'X1'\. Found: customer_id, x\.",
        attributes(X1="number"),
    )
    refuse(little_study, r"data\.customers\.key: there is no column 'customer'\. Did you mean 'customer_id'\?",
           {"data": {"customers": {"key": "customer"}}})  # fmt: skip
    refuse(little_study, r"data\.purchases: there is no column 'ammount'\. Did you mean 'amount'\?",
           {"data": {"purchases": {"amount": "ammount"}}})  # fmt: skip
    refuse(little_study, r"data\.customers\.known_from: there is no column 'since'",
           {"data": {"customers": {"known_from": "since"}}})  # fmt: skip
    refuse(little_study, r"data\.purchases\.table: there is no table 'purchase' in .*Did you mean 'purchases'\?",
           {"data": {"purchases": {"table": "purchase"}}})  # fmt: skip


def test_an_empty_table_is_refused(little_study: Little) -> None:
    empty = pa.table({"customer_id": pa.array([], pa.string()), "x": pa.array([], pa.float64())})
    refuse(little_study, r"data\.customers: the table 'customers' is empty\. Check the source", customers=empty)
    refuse(
        little_study, r"data\.purchases: the table 'purchases' is empty", purchases="customer_id,at,product,amount\n"
    )


# --- keys -------------------------------------------------------------------------------------------------------


def test_a_doubled_customer_is_refused_and_versions_need_their_own_dates(little_study: Little) -> None:
    doubled = [*CUSTOMERS, {"customer_id": "a", "x": 9.0}]
    refuse(little_study, r"data\.customers\.key: 1 values of 'customer_id' occur more than once\. Keep one row each\. "
           "If rows are versions over time, name the column 'known_from'", customers=doubled)  # fmt: skip
    versions = [{"customer_id": "a", "since": day, "x": 1.0} for day in ("2025-01-01", "2025-02-01")]
    known = {"data": {"customers": {"known_from": "since"}}}
    with little_study(known, customers=versions, purchases=PURCHASES).open() as tables:
        assert len(staged(tables.customers)) == 2
        assert to_frame(tables.codes).to_dict("list") == {"customer_id": ["a"], "code": [0]}
    refuse(little_study, "1 values of 'customer_id' occur more than once", known, customers=[*versions, versions[0]])
    # Two versions that are both known always cannot be told apart either.
    unknown = [{**versions[0], "since": None}, {**versions[0], "since": None, "x": 2.0}, versions[1]]
    refuse(little_study, "1 values of 'customer_id' occur more than once", known, customers=unknown)


def test_a_customer_without_a_key_is_refused(little_study: Little) -> None:
    for key in (None, "", "  "):
        customers = [*CUSTOMERS, {"customer_id": key, "x": 0.0}]
        refuse(little_study, r"data\.customers\.key: 1 rows have no 'customer_id'\. Remove them", customers=customers)


def test_records_of_unknown_or_missing_customers_are_counted_and_left_out(little_study: Little) -> None:
    purchases = [*PURCHASES, purchase(customer_id="z"), purchase(customer_id="y"), purchase(customer_id=None)]
    with little_study(customers=CUSTOMERS, purchases=purchases).open() as tables:
        assert findings(tables, "purchases") == {"no_customer": 1, "unknown_customer": 2}
        assert staged(tables.purchases)["customer_id"].tolist() == ["a", "b"]
        assert tables.warnings == [
            "purchases: 1 rows without a customer were left out.",
            "purchases: 2 rows of customers who are not in the customers table were left out.",
        ]


def test_keys_that_never_meet_are_refused(little_study: Little) -> None:
    purchases = [purchase(customer_id=f"C-{key}") for key in "ab"]
    refuse(little_study, r"data\.purchases: none of the 2 rows belongs to a known customer at a readable time "
           r"\(unknown customer: 2\)\. Check the keys", purchases=purchases)  # fmt: skip


def test_leading_zeros_survive_on_both_sides(little_study: Little) -> None:
    study = little_study(
        customers="customer_id,x\n007,1\n7,2\n",
        purchases="customer_id,at,product,amount\n007,2025-01-01,tea,1\n 7 ,2025-01-02,tea,1\n",
    )
    with study.open() as tables:
        assert staged(tables.purchases, "occurred_at")["customer_id"].tolist() == ["007", "7"]


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        (["1", "2"], [1, 3], ["1"]),
        ([1, 2], ["1", "x"], [1]),
        ([1, 2], [1.0, float("nan")], [1]),
        ([1, 2], pa.array([1, 9], pa.int32()), [1]),
    ],
)
def test_keys_of_different_types_meet(mine: Any, theirs: Any, found: list[Any], little_study: Little) -> None:
    customers = pa.table({"customer_id": mine})
    purchases = pa.table({"customer_id": theirs, "at": ["2025-01-01"] * 2, "product": ["tea"] * 2, "amount": [1.0] * 2})
    with little_study(customers=customers, purchases=purchases).open() as tables:
        assert staged(tables.purchases)["customer_id"].tolist() == found


def test_uuid_keys_keep_their_form(little_study: Little) -> None:
    keys = [uuid.UUID(int=number) for number in (5, 2**127)]
    typed = pa.array([key.bytes for key in keys], pa.uuid())
    purchases = pa.table(
        {
            "customer_id": [str(key) for key in keys],
            "at": ["2025-01-01"] * 2,
            "product": ["tea"] * 2,
            "amount": [1.0] * 2,
        }
    )
    for customers in (pa.table({"customer_id": typed}), pa.table({"customer_id": [str(key) for key in keys]})):
        with little_study(customers=customers, purchases=purchases).open() as tables:
            assert [str(key) for key in staged(tables.purchases)["customer_id"]] == [str(key) for key in keys]
            assert to_frame(tables.codes.order_by("code"))["code"].tolist() == [0, 1]


# --- times ------------------------------------------------------------------------------------------------------


def many(bad: int, good: int, **changes: Any) -> list[dict[str, Any]]:
    return [purchase(**changes) for _ in range(bad)] + [purchase(amount=float(n)) for n in range(good)]


def test_unreadable_times_are_counted_and_refused_above_the_limit(little_study: Little) -> None:
    # 1 of 100 is the default limit of 1 %, 2 of 100 are above it.
    with little_study(customers=CUSTOMERS, purchases=many(1, 99, at="soon")).open() as tables:
        assert findings(tables, "purchases") == {"unreadable_occurred_at": 1}
        assert "purchases: 1 rows with an unreadable time were left out." in tables.warnings
        assert len(staged(tables.purchases)) == 99
    message = r"data\.purchases: 2 of 100 values of 'occurred_at' cannot be read \(limit 1\.0%\)\. Check its type and"
    refuse(little_study, message, purchases=many(2, 98, at="soon"))
    raised = {"data": {"max_unreadable": "2%"}}
    with little_study(raised, customers=CUSTOMERS, purchases=many(2, 98, at="soon")).open() as tables:
        assert findings(tables, "purchases") == {"unreadable_occurred_at": 2}


def test_a_time_that_is_missing_cannot_be_read_either(little_study: Little) -> None:
    with little_study(customers=CUSTOMERS, purchases=many(1, 99, at=None)).open() as tables:
        assert findings(tables, "purchases") == {"unreadable_occurred_at": 1}


def test_an_unreadable_known_from_is_no_licence_to_be_known_always(little_study: Little) -> None:
    known = {"data": {"customers": {"known_from": "since"}}}
    customers = [{"customer_id": key, "since": day} for key, day in (("a", "01.02.2025"), ("b", "02.02.2025"))]
    refuse(little_study, r"data\.customers: 2 of 2 values of 'known_from' cannot be read", known, customers=customers)
    formatted = {"data": {"customers": {"known_from": "since", "known_from_format": "%d.%m.%Y"}}}
    with little_study(formatted, customers=customers, purchases=PURCHASES).open() as tables:
        assert staged(tables.customers)["known_from"].tolist() == [pd.Timestamp(2025, 2, 1), pd.Timestamp(2025, 2, 2)]
    allowed = {"data": {"customers": {"known_from": "since"}, "max_unreadable": 1}}
    with little_study(allowed, customers=customers, purchases=PURCHASES).open() as tables:
        assert "customers: 2 rows with an unreadable known_from count as known always." in tables.warnings


def test_an_unreadable_available_at_is_counted_and_a_missing_or_early_one_is_not(little_study: Little) -> None:
    role = {"data": {"purchases": {"available_at": "seen"}, "max_unreadable": "50%"}}
    seen = ["2025-01-09", "2024-12-24", None, "later"]
    purchases = [purchase(seen=value, amount=float(n)) for n, value in enumerate(seen)]
    with little_study(role, customers=CUSTOMERS, purchases=purchases).open() as tables:
        assert findings(tables, "purchases") == {"unreadable_available_at": 1}
        found = staged(tables.purchases, "amount_units")["available_at"]
        # What was known before it happened, or is not said, was known when it happened (5 January).
        assert [f"{day:%m-%d}" for day in found] == ["01-09", "01-05", "01-05", "01-05"]


def test_the_future_is_counted_left_out_and_refused_above_the_limit(little_study: Little) -> None:
    today = datetime(2025, 6, 1, tzinfo=UTC)
    study = little_study(customers=CUSTOMERS, purchases=many(1, 99, at="2025-06-01T00:00:00.000001"))
    with study.open(today=today) as tables:
        assert findings(tables, "purchases") == {"future": 1}
        assert "purchases: 1 rows in the future were left out." in tables.warnings
        assert len(staged(tables.purchases)) == 99
    with study.open() as tables:  # who names no day trusts all times
        assert findings(tables, "purchases") == {}
    with little_study(customers=CUSTOMERS, purchases=many(1, 99, at="2025-06-01")).open(today=today) as tables:
        assert findings(tables, "purchases") == {}  # this very instant is no future
    wrong = little_study(customers=CUSTOMERS, purchases=many(2, 98, at="2125-01-01"))
    with pytest.raises(DataError, match=r"data\.purchases: 2 of 100 rows lie in the future \(limit 1\.0%\)\. Check the "
                       "format and the time zone"), wrong.open(today=today):  # fmt: skip
        pass


def test_today_is_an_instant_whatever_its_zone(little_study: Little) -> None:
    study = little_study(customers=CUSTOMERS, purchases=many(1, 99, at="2025-06-01T00:30"))
    # 03:00 in UTC+4 is 23:00 UTC of 31 May.
    with study.open(today=datetime.fromisoformat("2025-06-01T03:00+04:00")) as tables:
        assert findings(tables, "purchases") == {"future": 1}


def test_columns_of_no_time_are_refused_unless_a_format_reads_their_digits(little_study: Little) -> None:
    purchases = [purchase(at=20250105), purchase(at=20250106, customer_id="b")]
    message = r"data\.purchases\.occurred_at: the column is int64, neither a date, a timestamp nor text\. Name another "
    refuse(little_study, message + "column, or give the 'format'", purchases=purchases)
    role = {"data": {"purchases": {"format": "%Y%m%d"}}}
    with little_study(role, customers=CUSTOMERS, purchases=purchases).open() as tables:
        assert staged(tables.purchases)["occurred_at"].tolist() == [pd.Timestamp(2025, 1, 5), pd.Timestamp(2025, 1, 6)]
    refuse(little_study, r"data\.customers\.attributes\.x: the column is float64, neither a date",
           {"data": {"customers": {"attributes": {"x": "date"}}}})  # fmt: skip


def test_times_are_kept_in_utc_and_local_where_they_have_no_zone(little_study: Little) -> None:
    zone = {"data": {"time_zone": "Europe/Berlin"}}
    zoned = pa.array([datetime(2025, 7, 1, 10, tzinfo=UTC)], pa.timestamp("us", "America/New_York"))
    dated = pa.array([datetime(2025, 7, 1)], pa.date32())
    nanoseconds = pa.array([1_751_364_000_123_456_000], pa.timestamp("ns"))  # 2025-07-01 10:00:00.123456
    expected = {"zoned": "10:00:00", "dated": "22:00:00", "text": "08:00:00", "fine": "08:00:00.123456"}
    given = {"zoned": zoned, "dated": dated, "text": pa.array(["2025-07-01 10:00"]), "fine": nanoseconds}
    for name, at in given.items():
        purchases = pa.table({"customer_id": ["a"], "at": at, "product": ["tea"], "amount": [1.0]})
        with little_study(zone, customers=CUSTOMERS, purchases=purchases).open() as tables:
            found = staged(tables.purchases)["occurred_at"][0]
            assert str(found).split()[1] == expected[name], name


def test_what_was_found_covers_the_time_and_recording_ends_with_its_last_local_day(little_study: Little) -> None:
    zone = {"data": {"time_zone": "Europe/Berlin"}}
    purchases = [purchase(at="2025-01-01 00:30"), purchase(at="2025-07-01 00:30")]
    with little_study(zone, customers=CUSTOMERS, purchases=purchases).open() as tables:
        fact = tables.facts[1]
        assert fact.to_dict() == {
            "role": "purchases", "name": "purchases", "rows": 2, "first": "2024-12-31T23:30:00",
            "last": "2025-06-30T22:30:00", "findings": {},
        }  # fmt: skip
        # The last purchase is of 1 July in Berlin, so that 1 July counts as recorded: up to 22:00 UTC of that day.
        assert tables.until == datetime(2025, 7, 1, 22, tzinfo=UTC)
        assert tables.begins == datetime(2024, 12, 31, 23, 30, tzinfo=UTC)
    declared = {"data": {"recorded_until": "2025-08-01"}}
    with little_study(declared, customers=CUSTOMERS, purchases=purchases).open() as tables:
        assert tables.until == datetime(2025, 8, 1, tzinfo=UTC)


def test_purchases_that_end_long_before_events_are_warned_about(little_study: Little) -> None:
    def warnings(last: str, **changes: Any) -> list[str]:
        events = [{"customer_id": "a", "at": last, "kind": "view"}]
        study = little_study(changes, customers=CUSTOMERS, purchases=PURCHASES, events=events)
        with study.open() as tables:
            return tables.warnings

    assert warnings("2025-06-12") == []
    assert warnings("2025-06-13") == [
        "purchases: the last is of 2025-06-05, but events go on to 2025-06-13. If later purchases were not exported, "
        "set data.recorded_until: whoever bought since would count as not having bought."
    ]
    assert warnings("2025-06-13", data={"recorded_until": "2025-06-06"}) == []


# --- attributes -------------------------------------------------------------------------------------------------


def with_attributes(little_study: Little, customers: Any, **attributes: Any) -> Any:
    data = {"customers": {"attributes": attributes}}
    return little_study({"data": data}, customers=customers, purchases=PURCHASES)


def test_a_constant_or_empty_column_is_warned_about(little_study: Little) -> None:
    customers = [{"customer_id": key, "one": "x", "none": None, "two": n} for n, key in enumerate("ab")]
    study = with_attributes(little_study, customers, one="category", none="category", two="number")
    with study.open() as tables:
        assert tables.warnings == [
            "customers: 'one' is constant (one value).", "customers: 'none' is constant (empty).",
        ]  # fmt: skip


def test_identifiers_and_free_text_never_become_features(little_study: Little) -> None:
    def customers(distinct: int, rows: int) -> list[dict[str, Any]]:
        return [{"customer_id": f"c{n}", "word": f"w{n % distinct}"} for n in range(rows)]

    purchases = [purchase(customer_id="c0")]
    attributes = {"data": {"customers": {"attributes": {"word": "category"}}}}
    message = r"data\.customers\.attributes\.word: 151 different values in 300 rows: an identifier or free text"
    refuse(little_study, message, attributes, customers=customers(151, 300), purchases=purchases)
    with little_study(attributes, customers=customers(150, 300), purchases=purchases).open() as tables:
        assert tables.warnings == []


def test_special_values_mean_missing(little_study: Little) -> None:
    customers = [
        {"customer_id": "a", "age": 118, "pdays": 999.0, "city": "Select", "plan": "gold", "text_age": "118.0"},
        {"customer_id": "b", "age": 40, "pdays": 3.0, "city": " Select ", "plan": "999", "text_age": "40"},
        {"customer_id": "c", "age": 50, "pdays": 118.0, "city": "Selection", "plan": "118", "text_age": "50"},
    ]
    study = little_study(
        {
            "data": {
                "missing": ["Select"],
                "customers": {
                    "attributes": {
                        "age": {"type": "number", "missing": 118},
                        "pdays": {"type": "number", "missing": [999]},
                        "city": "category",
                        "plan": {"type": "category", "missing": [999]},
                        "text_age": {"type": "number", "missing": 118},
                    }
                },
            }
        },
        customers=customers,
        purchases=PURCHASES,
    )
    with study.open() as tables:
        found = staged(tables.customers).set_index("customer_id")
        given = found[["age", "pdays", "city", "plan", "text_age"]].notna()
    assert given.to_dict("index") == {
        "a": {"age": False, "pdays": False, "city": False, "plan": True, "text_age": False},
        "b": {"age": True, "pdays": True, "city": False, "plan": False, "text_age": True},
        "c": {"age": True, "pdays": True, "city": True, "plan": True, "text_age": True},
    }


def test_types_are_read_as_declared_and_what_cannot_be_read_is_refused(little_study: Little) -> None:
    customers = 'customer_id,income,born,active\na,"$90,000 ",2/29/1980,Y\nb,(5),12/31/1999,n\nc,,,\n'
    attributes = {
        "income": "text_number",
        "born": {"type": "date", "format": "%m/%d/%Y"},
        "active": {"type": "boolean", "true_values": ["Y"]},
    }
    with with_attributes(little_study, customers, **attributes).open() as tables:
        found = staged(tables.customers)
        assert found["income"].fillna(0).tolist() == [90_000, -5, 0]
        assert found["born"].dt.strftime("%Y-%m-%d").tolist()[:2] == ["1980-02-29", "1999-12-31"]
        assert found["active"].tolist() == [True, False, None]
    for wrong in ({"income": "number"}, {"born": "date"}):
        name = next(iter(wrong))
        study = with_attributes(little_study, customers, **wrong)
        with pytest.raises(DataError, match=rf"customers: 2 of 3 values of '{name}' cannot be read"), study.open():
            pass


def test_flags_are_read_from_numbers_with_gaps_too(little_study: Little) -> None:
    # pandas stores 0, 1 and a gap as 0.0, 1.0 and NaN.
    customers = pa.table({"customer_id": ["a", "b", "c", "d"], "active": pa.array([1.0, 0.0, float("nan"), None])})
    with with_attributes(little_study, customers, active="boolean").open() as tables:
        assert staged(tables.customers)["active"].tolist() == [True, False, None, None]


def test_an_unreadable_amount_is_not_silently_nothing(little_study: Little) -> None:
    refuse(little_study, r"data\.purchases: 2 of 2 values of 'amount' cannot be read",
           purchases=[purchase(amount="$2"), purchase(amount="$3")])  # fmt: skip
    purchases = [*(purchase(amount=str(n)) for n in range(98)), purchase(amount="n/a"), purchase(amount="")]
    with little_study(customers=CUSTOMERS, purchases=purchases).open() as tables:
        assert findings(tables, "purchases") == {"unreadable_amount": 1}
        assert "purchases: 1 rows with an unreadable amount count with an amount of 0." in tables.warnings


@pytest.mark.parametrize("amount", [float("inf"), 1e30])
def test_an_amount_beyond_all_money_is_unreadable(amount: float, little_study: Little) -> None:
    refuse(little_study, "1 of 1 values of 'amount' cannot be read", purchases=[purchase(amount=amount)])


def test_money_is_kept_in_whole_units(little_study: Little) -> None:
    # 0.1 + 0.2 is not 0.3 in floating point; 1,000 + 2,000 ten-thousandths are 3,000.
    purchases = [purchase(amount=value) for value in (0.1, 0.2, -19.99, 1e9)]
    with little_study(customers=CUSTOMERS, purchases=purchases).open() as tables:
        assert staged(tables.purchases, "amount_units")["amount_units"].tolist() == [-199_900, 1000, 2000, 10**13]


def test_suppression_by_events_needs_events(little_study: Little) -> None:
    from propensity.cohort import draw_cohort
    from propensity.samples import express

    little = little_study({"target": {"suppress": {"event": "out"}}}, customers=CUSTOMERS, purchases=PURCHASES)
    study = little.load()
    with little.open() as tables, pytest.raises(ConfigError, match=r"target\.suppress\.event: the study has no events"):
        draw_cohort(
            tables, study.cutoff_instants()["test"][0], target=study.target, outcome=study.outcome, express=express
        )


def test_logs_hold_counts_and_no_customers(little_study: Little, caplog: pytest.LogCaptureFixture) -> None:
    study = little_study(customers=CUSTOMERS, purchases=[*PURCHASES, purchase(customer_id="zorro")])
    with caplog.at_level(logging.DEBUG, logger="propensity"), study.open() as tables:
        assert "zorro" not in " ".join(tables.warnings)
    assert "zorro" not in caplog.text
