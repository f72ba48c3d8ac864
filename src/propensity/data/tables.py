"""The one door to dated rows: nothing else in the product filters by date.

``as_of`` gives what was known before a cutoff, ``between`` what happened in a label window.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.types as ir

from propensity.config import DataSpec, MatchSpec, OutcomeSpec
from propensity.data.connect import (
    MICROSECONDS_PER_DAY,
    Alter,
    Express,
    Source,
    count_repeated,
    epoch_microseconds,
    first_of_each,
    open_source,
    table_digest,
    to_frame,
)
from propensity.data.schema import TableFacts, early_end, recorded_until, stage_customers, stage_records
from propensity.temporal import Window, microseconds


@dataclass(frozen=True)
class Tables:
    """The canonical tables of a study, and what was found in them.

    Attributes
    ----------
    customers, events, purchases, contacts : ibis Table
        Canonical tables (see `propensity.data.schema`); all but customers may be None.
    codes : ibis Table
        ``customer_id`` and ``code``: customers numbered 0, 1, … in the order of their keys.
    facts : list of TableFacts
        Counts and the time covered, by role.
    warnings : list of str
        What the analyst should know.
    until : datetime or None
        The instant up to which events and purchases are recorded.
    """

    source: Source
    spec: DataSpec
    customers: ir.Table
    codes: ir.Table
    events: ir.Table | None
    purchases: ir.Table | None
    facts: list[TableFacts]
    warnings: list[str]
    until: datetime | None
    contacts: ir.Table | None = None

    @property
    def records(self) -> dict[str, ir.Table]:
        """Canonical records by role."""
        roles = {"events": self.events, "purchases": self.purchases, "contacts": self.contacts}
        return {name: table for name, table in roles.items() if table is not None}

    def covered(self, role: str) -> tuple[datetime, datetime]:
        """The instants of a role's first and last record."""
        (fact,) = (fact for fact in self.facts if fact.role == role)
        assert fact.first is not None  # noqa: S101 - a role without records is refused
        assert fact.last is not None  # noqa: S101
        return fact.first.replace(tzinfo=UTC), fact.last.replace(tzinfo=UTC)

    @property
    def begins(self) -> datetime | None:
        """The instant of the first record."""
        firsts = [fact.first for fact in self.facts if fact.first and fact.role != "contacts"]
        return min(firsts).replace(tzinfo=UTC) if firsts else None

    def fingerprint(self) -> str:
        """A digest of all canonical rows, whatever their order: 16 hexadecimal digits for each table."""
        present = [self.customers, *self.records.values()]
        return "-".join(f"{table_digest(table) % 2**64:016x}" for table in present)

    def distinct_kinds(self) -> list[str]:
        """The kinds of events that occur."""
        if self.events is None:
            return []
        kinds = to_frame(self.events.select("kind").distinct().order_by("kind"))["kind"]
        return [str(kind) for kind in kinds.dropna()]


@contextmanager
def open_tables(
    spec: DataSpec,
    path: Path,
    *,
    express: Express,
    today: datetime | None = None,
    alter: Alter | None = None,
) -> Iterator[Tables]:
    """Open a study's source and stage its canonical tables; closes the connection at the end.

    Parameters
    ----------
    spec : DataSpec
        The study's data section.
    path : Path
        The source as a path.
    express : callable
        Turns checked expressions into columns (``rules.expressions``).
    today : datetime, optional
        Records after this instant are impossible: counted, left out, and refused above the limit.
    alter : callable, optional
        Changes each raw table before anything is made out of it: ``alter(name, table)``.
    """
    with open_source(spec, path, express=express, memory_limit=spec.memory_limit, alter=alter) as source:
        yield _stage(source, spec, today=today)


def _stage(source: Source, spec: DataSpec, *, today: datetime | None) -> Tables:
    customers, customer_facts, warnings = stage_customers(source, spec)
    facts, records = [customer_facts], {}
    for role in spec.records:
        records[role], fact, found = stage_records(source, spec, role, customers, today=today)
        facts, warnings = [*facts, fact], [*warnings, *found]
    if spec.customers.known_from == "first_purchase":
        customers = _known_from_first_purchase(source, customers, records["purchases"])
    customers = _with_first_known(source, customers, spec)
    return Tables(
        source=source,
        spec=spec,
        customers=customers,
        codes=_number_customers(source, customers),
        events=records.get("events"),
        purchases=records.get("purchases"),
        contacts=records.get("contacts"),
        facts=facts,
        warnings=[*warnings, *early_end(facts, spec)],
        until=recorded_until(facts, spec),
    )


def _instant(value: datetime) -> ir.TimestampValue:
    return ibis.literal(value.astimezone(UTC).replace(tzinfo=None), type="timestamp(6)")


def as_of(records: ir.Table, cutoff: datetime) -> ir.Table:
    """Rows that had happened and were known: ``occurred_at < cutoff`` and ``available_at < cutoff``."""
    table = records.filter(records.occurred_at < _instant(cutoff))
    return table.filter(table.available_at < _instant(cutoff)) if "available_at" in table.columns else table


def known_at(tables: Tables, cutoff: datetime) -> Tables:
    """The tables with those records alone that had happened and were known at a cutoff."""
    known: dict[str, Any] = {name: as_of(table, cutoff) for name, table in tables.records.items()}
    return replace(tables, **known)


def is_later(times: Sequence[ir.TimestampValue], cutoff: datetime) -> ir.BooleanValue:
    """Whether any of a row's times is at or after `cutoff`: what nothing as of the cutoff may know.

    Parameters
    ----------
    times : sequence of ibis timestamps
        When the row happened and became known, naive UTC; a missing time decides nothing.
    """
    later = [(time >= _instant(cutoff)).fill_null(False) for time in times]
    return reduce(or_, later, ibis.literal(value=False))


def became_known(records: ir.Table, *, since: datetime | None, before: datetime) -> ir.Table:
    """Rows that are among those `as_of` the cutoff `before`, and not among those as of the cutoff `since`."""
    table = as_of(records, before)
    if since is None:
        return table
    known = table.occurred_at >= _instant(since)
    if "available_at" in table.columns:
        known = known | (table.available_at >= _instant(since))
    return table.filter(known)


def between(records: ir.Table, window: Window) -> ir.Table:
    """Rows that happened in the half-open `window`; when they became known does not matter to a label."""
    return records.filter(
        (records.occurred_at >= _instant(window.start)) & (records.occurred_at < _instant(window.end))
    )


def customers_as_of(customers: ir.Table, cutoff: datetime) -> ir.Table:
    """One row per customer known before `cutoff`: the newest row with ``known_from < cutoff``.

    Customers whose table has no ``known_from`` are known always, and so are rows that miss it.
    """
    known = customers.filter(customers.known_from.isnull() | (customers.known_from < _instant(cutoff)))
    return first_of_each(known, "customer_id", order=[known.known_from.desc(nulls_first=False)])


def attributes_as_of(tables: Tables, cutoff: datetime) -> ir.Table:
    """Customers known before `cutoff` with their attributes as of it.

    Returns
    -------
    ibis Table
        ``customer_id``, ``tenure_days`` (days since first known) and the attributes; a date becomes ``age``
        (whole years) or ``days_since_<name>``, and is missing when it is not before the cutoff.
    """
    table = customers_as_of(tables.customers, cutoff)
    day = cutoff.astimezone(tables.spec.zone).date()
    tenure = ibis.literal(microseconds(cutoff)) - epoch_microseconds(table.first_known)
    columns: dict[str, ir.Value] = {
        "customer_id": table.customer_id,
        "tenure_days": tenure / float(MICROSECONDS_PER_DAY),
    }
    for name, attribute in tables.spec.customers.attributes.items():
        value = table[name]
        if attribute.type == "date":
            value = _whole_years(value, day) if attribute.feature_name(name) == "age" else _days_since(value, day)
        columns[attribute.feature_name(name)] = value
    return table.select(**columns)


def dates_ahead(tables: Tables, cutoff: datetime) -> dict[str, tuple[int, int, datetime]]:
    """Dates among the attributes of customers known before `cutoff` that lie at or after it.

    Returns
    -------
    dict
        Attribute → how many customers have a date, how many of these dates lie at or after `cutoff`, and the latest
        date of all (naive, local). Attributes that are no dates, or hold none, are left out.
    """
    names = [name for name, attribute in tables.spec.customers.attributes.items() if attribute.type == "date"]
    known = customers_as_of(tables.customers, cutoff)
    local = ibis.literal(cutoff.astimezone(tables.spec.zone).replace(tzinfo=None), type="timestamp(6)")
    found = {}
    for name in names:
        column = known[name]
        counts = to_frame(known.aggregate(given=column.count(), ahead=(column >= local).sum(), latest=column.max()))
        if counts["given"][0]:
            ahead = int(counts["ahead"].fillna(0)[0])
            found[name] = (int(counts["given"][0]), ahead, counts["latest"][0].to_pydatetime())
    return found


def _whole_years(born: ir.TimestampValue, day: date) -> ir.Value:
    before_birthday = (born.month() * 100 + born.day()) > day.month * 100 + day.day
    years = (ibis.literal(day.year) - born.year() - before_birthday.cast("int32")).cast("float64")
    return ibis.ifelse(born < ibis.literal(day, type="date").cast("timestamp(6)"), years, None)


def _days_since(past: ir.TimestampValue, day: date) -> ir.Value:
    midnight = microseconds(datetime.combine(day, time(), tzinfo=UTC))
    days = (ibis.literal(midnight) - epoch_microseconds(past)) / float(MICROSECONDS_PER_DAY)
    return ibis.ifelse(days > 0, days, None)


class Records(Protocol):
    """Whatever has canonical records: the tables, or their past."""

    @property
    def events(self) -> ir.Table | None:
        """Canonical events."""

    @property
    def purchases(self) -> ir.Table | None:
        """Canonical purchases."""


def outcome_records(tables: Records, outcome: OutcomeSpec, *, express: Express) -> ir.Table:
    """The purchases (or events) that the study asks about, over all time: cut them by `as_of` or `between`."""
    if outcome.event is not None and tables.events is not None:
        table = tables.events.filter(tables.events.kind == outcome.event.kind)
        if outcome.event.where:
            table = table.filter(express(outcome.event.where, table, "outcome.event.where"))
        return table
    assert tables.purchases is not None  # noqa: S101 - the study's own check
    bought = tables.purchases.filter(tables.purchases.amount_units >= 0)  # a return is no purchase
    if isinstance(outcome.product, MatchSpec):
        return bought.filter(bought["product"].re_search(outcome.product.matches).fill_null(False))
    return bought.filter(bought["product"].isin(list(outcome.product or ())))


def sweep_records(records: ir.Table, *, since: datetime | None, until: datetime, codes: ir.Table) -> ir.Table:
    """Records from `since` to before `until` of the customers in `codes`, in no order.

    The sweep applies ``available_at`` itself, cutoff by cutoff.

    Parameters
    ----------
    records : ibis Table
        Canonical records with further columns, whose names begin with ``sweep_``.

    Returns
    -------
    ibis Table
        ``sweep_code`` (int64), ``sweep_time``, ``sweep_known`` (where there is ``available_at``) and the further ones.
    """
    table = records.filter(records.occurred_at < _instant(until))
    if since is not None:
        table = table.filter(table.occurred_at >= _instant(since))
    table = table.inner_join(codes.rename(sweep_code="code"), "customer_id")
    known = {"sweep_known": table.available_at} if "available_at" in table.columns else {}
    own = {name: table[name] for name in records.columns if name.startswith("sweep_")}
    return table.select("sweep_code", sweep_time=table.occurred_at, **known, **own)


def _number_customers(source: Source, customers: ir.Table) -> ir.Table:
    keys = customers.select("customer_id").distinct()
    numbered = keys.mutate(code=ibis.row_number().over(order_by=keys.customer_id).cast("int64"))
    return source.materialise("customer_codes", numbered)


def _with_first_known(source: Source, customers: ir.Table, spec: DataSpec) -> ir.Table:
    """With ``first_known``: the ``known_from`` of the customer's oldest row, missing where that one misses it."""
    if spec.customers.known_from in (None, "first_purchase"):
        return customers.mutate(first_known=customers.known_from)
    if not count_repeated(customers, ["customer_id"]):
        return customers.mutate(first_known=customers.known_from)
    of_customer = ibis.window(group_by=customers.customer_id)
    always = customers.known_from.isnull().any().over(of_customer)
    first = ibis.ifelse(always, None, customers.known_from.min().over(of_customer))
    return source.materialise("customers_first_known", customers.mutate(first_known=first))


def _known_from_first_purchase(source: Source, customers: ir.Table, purchases: ir.Table) -> ir.Table:
    purchases = purchases.filter(purchases.amount_units >= 0)  # a return is no purchase
    known = purchases.available_at if "available_at" in purchases.columns else purchases.occurred_at
    first = purchases.group_by("customer_id").agg(known_from=known.min())
    bought = customers.drop("known_from").inner_join(first, "customer_id")
    return source.materialise("customers_since_first_purchase", bought)
