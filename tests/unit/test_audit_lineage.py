"""Which raw rows are dated, by which columns, through joins, unions, renames and types."""

from collections.abc import Callable
from typing import Any

import pytest

from propensity.audit.lineage import Lineage, RawColumn, Tracer
from propensity.audit.untouched import Recorder
from propensity.data.tables import open_tables
from propensity.samples import express

CUSTOMERS = [{"customer_id": "a", "since": "2024-01-01", "age": 30}]
LINES = [{"order_id": 1, "customer_id": "a", "product": "tea", "amount": 3.0}]
ORDERS = [{"order_id": 1, "at": "2025-01-15"}]
PURCHASES = [{"customer_id": "a", "at": "2025-01-15", "product": "tea", "amount": 3.0}]


@pytest.fixture
def traced(little_study: Callable[..., Any]) -> Callable[..., tuple[Tracer, Lineage]]:
    def trace(changes: dict[str, Any] | None = None, **tables: Any) -> tuple[Tracer, Lineage]:
        study = little_study(changes, **{"customers": CUSTOMERS, **tables}).load()
        record = Recorder()
        with open_tables(study.data, study.source_path, express=express, alter=record) as opened:
            raw = {name: table.columns for name, table in record.tables.items()}
            columns = {
                name: opened.source.table(name, place="test").columns for name in {*record.tables, *study.data.tables}
            }
        tracer = Tracer(study.data, columns.__getitem__, raw)
        return tracer, tracer.lineage()

    return trace


def columns(lineage: Lineage) -> dict[str, list[str]]:
    return {name: [time.source.column for time in times] for name, times in lineage.times.items()}


def test_a_table_that_is_a_role_by_itself(traced):
    _, lineage = traced(purchases=PURCHASES)
    assert columns(lineage) == {"purchases": ["at"]}
    assert lineage.unique == {"customers": {"customer_id"}}
    assert lineage.untraced == {}
    assert "customer_id" in lineage.keys
    assert lineage.numbers == {"amount"}


def test_known_from_dates_the_customers(traced):
    _, lineage = traced({"data": {"customers": {"known_from": "since"}}}, purchases=PURCHASES)
    assert columns(lineage) == {"purchases": ["at"], "customers": ["since"]}
    assert [time.role for time in lineage.times["customers"]] == ["customers"]


def test_unions_renames_and_types_lead_to_every_part(traced):
    year = [{"buyer": "a", "day": "2025-01-15", "product": "tea", "amount": "3"}]
    sales = {
        "union": ["sales_2024", "sales_2025"],
        "types": {"day": "text"},
        "compute": {"at": "day", "customer_id": "buyer"},
    }
    tracer, lineage = traced({"data": {"tables": {"purchases": sales}}}, sales_2024=year, sales_2025=year)
    assert columns(lineage) == {"sales_2024": ["day"], "sales_2025": ["day"]}
    assert tracer.trace("purchases", "at")[0][0] == RawColumn("sales_2024", "day", ("text",))
    assert tracer.bases("purchases") == ["sales_2024", "sales_2025"]


def test_lines_that_are_dated_by_their_order_are_said_not_to_be_scrambled(traced):
    sales = {"union": "lines", "join": [{"table": "orders", "on": "order_id"}]}
    changes = {"data": {"tables": {"sales": sales}, "purchases": {"table": "sales"}}}
    _, lineage = traced(changes, lines=LINES, orders=ORDERS)
    assert columns(lineage) == {"orders": ["at"]}
    assert lineage.unique["orders"] == {"order_id"}
    assert list(lineage.untraced) == ["lines"]
    assert "dated only through a join with orders" in lineage.untraced["lines"]


def test_a_time_that_is_calculated_cannot_be_followed(traced):
    tables = {"sales": {"union": "purchases", "compute": {"moment": "day + 1"}}}
    changes = {"data": {"tables": tables, "purchases": {"table": "sales", "occurred_at": "moment", "format": "%Y%m%d"}}}
    _, lineage = traced(changes, purchases=[{**PURCHASES[0], "day": 20250115.0}])
    assert lineage.times == {}
    assert "computed in data.tables.sales" in lineage.untraced["purchases.moment"]


def test_numbered_rows_are_left_alone(traced):
    tables = {"sales": {"union": "purchases", "row_number": "row"}}
    _, lineage = traced({"data": {"tables": tables, "purchases": {"table": "sales"}}}, purchases=PURCHASES)
    assert lineage.times == {}
    assert "numbers its rows" in lineage.untraced["purchases.at"]


def test_files_are_raw_tables_under_the_names_they_get(traced):
    tables = {"sales": {"file": "purchases.parquet", "compute": {"when_bought": "at"}}}
    changes = {"data": {"tables": tables, "purchases": {"table": "sales", "occurred_at": "when_bought"}}}
    _, lineage = traced(changes, purchases=PURCHASES)
    assert columns(lineage) == {"sales": ["at"]}


def test_what_keeps_one_row_of_each_key_may_stand_on_rows_that_repeat_it(traced):
    tables = {"buyers": {"union": "purchases", "first": {"key": "customer_id", "order": "at"}}}
    changes = {"data": {"tables": tables, "customers": {"table": "buyers", "known_from": "first_purchase"}}}
    _, lineage = traced(changes, purchases=PURCHASES)
    assert lineage.unique == {}
    assert columns(lineage) == {"purchases": ["at"]}


def test_an_attribute_is_decided_by_the_rows_it_is_made_of(traced):
    tables = {
        "buyers": {
            "union": "purchases",
            "compute": {"ever": "'yes'"},
            "first": {"key": "customer_id", "order": "at"},
        },
        "people": {"union": "customers", "join": [{"table": "buyers", "on": "customer_id"}], "compute": {"old": "age"}},
    }
    tracer, _ = traced({"data": {"tables": tables, "customers": {"table": "people"}}}, purchases=PURCHASES)
    assert tracer.raw_tables("people", "ever") == ["purchases"]
    assert tracer.raw_tables("people", "product") == ["purchases"]
    assert tracer.raw_tables("people", "age") == ["customers"]
    assert tracer.raw_tables("people", "old") == ["customers"]
