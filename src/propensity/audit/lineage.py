"""Which raw tables a study's dated rows come from, and by which of their columns they are dated.

Roles name tables; tables are made out of others (``data.tables``). The audit changes rows at the source, so that what
an author joins out of later rows is seen as well: for that it must know when a raw row happens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ibis.expr.types as ir

from propensity.config import DataSpec, JoinSpec, TableSpec
from propensity.data.connect import READERS
from propensity.data.schema import read_time
from propensity.rules.nodes import Column
from propensity.rules.parsing import parse


@dataclass(frozen=True)
class RawColumn:
    """A column of a raw table, and how ``data.tables`` reads it on the way up."""

    table: str
    column: str
    kinds: tuple[str, ...] = ()

    def read(self, raw: ir.Table) -> ir.Value:
        """The column's values as the study's tables have them."""
        value = raw[self.column]
        for kind in self.kinds:
            value = READERS[kind](value)
        return value


@dataclass(frozen=True)
class Time:
    """A column that says when a raw row happened, became known, or made a customer known."""

    role: str
    source: RawColumn
    form: str | None

    def read(self, raw: ir.Table, spec: DataSpec) -> ir.TimestampValue:
        """The instants, read exactly as the staging reads them (naive UTC)."""
        return read_time(self.source.read(raw), self.form, spec, place=f"data.{self.role}")


@dataclass(frozen=True)
class Lineage:
    """What the audit knows about the raw tables.

    Attributes
    ----------
    times : dict
        Raw table → the columns that date its rows, for each role that they serve.
    unique : dict
        Raw tables that hold each key once → the columns of that key.
    keys : set of str
        Columns that rows are joined, told apart or put in order by: they are no quantities.
    numbers : set of str
        Columns that are read as numbers, though the source may hold them as text.
    untraced : dict
        What cannot be scrambled → why, in words.
    """

    times: Mapping[str, Sequence[Time]]
    unique: Mapping[str, set[str]]
    keys: set[str]
    numbers: set[str]
    untraced: Mapping[str, str]


@dataclass(frozen=True)
class Tracer:
    """Follows columns of a study's tables down to the raw tables that they come from.

    Attributes
    ----------
    spec : DataSpec
        The study's data section.
    columns : callable
        The columns of a table by its name, as roles see it.
    raw : mapping
        Raw table → its own columns, before anything is joined or computed.
    """

    spec: DataSpec
    columns: Callable[[str], Sequence[str]]
    raw: Mapping[str, Sequence[str]]

    def trace(self, table: str, column: str) -> tuple[list[RawColumn], str | None]:
        """The raw columns that a column of a table comes from; where there are none, why not.

        A column that is computed is followed where the computation only renames.
        """
        made = self.spec.tables.get(table)
        if made is None:
            return [RawColumn(table, column)], None
        if column in made.compute:
            node = parse(made.compute[column], where=f"data.tables.{table}.compute.{column}")
            if not isinstance(node, Column) or node.name in made.compute:
                return [], f"'{column}' is computed in data.tables.{table}"
            column = node.name
        kinds = (made.types[column],) if column in made.types else ()
        found, reason = self._below(table, made, column)
        if made.row_number and found:
            return [], f"data.tables.{table} numbers its rows, and a row less would give the others other numbers"
        return [RawColumn(raw.table, raw.column, (*raw.kinds, *kinds)) for raw in found], reason

    def _below(self, table: str, made: TableSpec, column: str) -> tuple[list[RawColumn], str | None]:
        """The raw columns of a column that a table stands on or joins."""
        if made.file and column in self.raw.get(table, ()):
            return [RawColumn(table, column)], None
        parts = self._holders(made, column)
        traced = [self.trace(part, column) for part in parts]
        reasons = [reason for _, reason in traced if reason]
        missing = None if parts else f"'{column}' of {table} comes from no table"
        return [raw for found, _ in traced for raw in found], reasons[0] if reasons else missing

    def _holders(self, made: TableSpec, column: str) -> list[str]:
        """The tables that a table takes a column from: those it stands on, else one that it joins."""
        parts = [part for part in made.union if column in self.columns(part)]
        return parts or [join.table for join in made.join if column in self.columns(join.table)][:1]

    def raw_tables(self, table: str, column: str) -> list[str]:
        """The raw tables whose rows decide what a column of a table holds, whether it is computed or not."""
        made = self.spec.tables.get(table)
        parts = self._holders(made, column) if made and column not in made.compute else []
        if not parts:
            return self.bases(table)
        return sorted({raw for part in parts for raw in self.raw_tables(part, column)})

    def bases(self, table: str, *, of_unique: bool = False) -> list[str]:
        """The raw tables whose rows a table's rows are, without those that it joins.

        Parameters
        ----------
        of_unique : bool
            Whether to leave out what lies below a table that keeps one row of each key.
        """
        made = self.spec.tables.get(table)
        if made is None:
            return [table]
        if of_unique and made.first:
            return []
        if made.file:
            return [table]
        return [raw for part in made.union for raw in self.bases(part, of_unique=of_unique)]

    def lineage(self) -> Lineage:
        """When the rows of each raw table happen, and what must stay in place when they are changed."""
        times: dict[str, list[Time]] = {}
        untraced: dict[str, str] = {}
        for role, table, column, form in _dated(self.spec):
            found, reason = self.trace(table, column)
            for source in found:
                times.setdefault(source.table, []).append(Time(role=role, source=source, form=form))
            if reason:
                untraced[f"{role}.{column}"] = f"the times of {role} cannot be followed to the source: {reason}"
        for role, table, column, _ in _dated(self.spec):
            by = sorted({source.table for source in self.trace(table, column)[0]})
            for raw in self.bases(table):
                if by and raw not in times:
                    untraced[raw] = f"rows of {raw} ({role}) are dated only through a join with {', '.join(by)}"
        return Lineage(times, self._unique(), _keys(self.spec), _numbers(self.spec), untraced)

    def _unique(self) -> dict[str, set[str]]:
        wanted = [(self.spec.customers.table, [str(self.spec.customers.key)])]
        wanted += [(join.table, list(_pairs(join).values())) for join in _joins(self.spec)]
        unique: dict[str, set[str]] = {}
        for table, keys in wanted:
            for raw in self.bases(table, of_unique=True):
                held = [source.column for key in keys for source in self.trace(table, key)[0] if source.table == raw]
                unique.setdefault(raw, set()).update(held)
        return unique


def _dated(spec: DataSpec) -> list[tuple[str, str, str, str | None]]:
    """Role, table, column and format of every time that the study names."""
    found: list[tuple[str, str, str, str | None]] = []
    for name, role in spec.records.items():
        found.append((name, role.table, role.occurred_at, role.format))
        if role.available_at:
            found.append((name, role.table, role.available_at, role.format))
    customers = spec.customers
    if customers.known_from not in (None, "first_purchase"):
        found.append(("customers", customers.table, str(customers.known_from), customers.known_from_format))
    return found


def _joins(spec: DataSpec) -> list[JoinSpec]:
    return [join for made in spec.tables.values() for join in made.join]


def _pairs(join: JoinSpec) -> dict[str, str]:
    return join.on if isinstance(join.on, dict) else {join.on: join.on}


def _keys(spec: DataSpec) -> set[str]:
    keys = {role.key for role in spec.records.values()} | {str(spec.customers.key)}
    for join in _joins(spec):
        keys |= {*_pairs(join), *_pairs(join).values()}
    for made in spec.tables.values():
        keys |= {made.first.key, made.first.order} if made.first else set()
    return keys


def _numbers(spec: DataSpec) -> set[str]:
    kinds = ("number", "text_number")
    numbers = {column for made in spec.tables.values() for column, kind in made.types.items() if kind in kinds}
    numbers |= {a.column or name for name, a in spec.customers.attributes.items() if a.type in kinds}
    amount = spec.purchases.amount if spec.purchases else None
    value = spec.events.value if spec.events else None
    return numbers | {column for column in (amount, value) if column}
