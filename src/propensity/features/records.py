"""Events and purchases on their way into the sweep: vocabularies learnt on train, slots, and sorted batches.

Each role has slots of its own: one for all its records, then one for each frequent value of a vocabulary. Both roles
are put below one another and sorted once, so that one walk sees all that a customer did.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from propensity.data.connect import to_frame
from propensity.data.tables import SWEEP_ORDER, Tables, as_of, sweep_records
from propensity.features.catalogue import Feature, top_categories, unique_slugs
from propensity.features.days import local_days
from propensity.features.kernel import NO_VALUE
from propensity.features.sweep import Column, Records
from propensity.temporal import Duration

BATCH_ROWS = 1_000_000
_JOINT = "\x1f"  # the unit separator, between the two values of a combination


@dataclass(frozen=True)
class Vocabulary:
    """The values of a column, or of two together, that have slots of their own; the rest share the last slot.

    Attributes
    ----------
    columns : tuple of str
        One canonical column, or two whose combinations count.
    values : tuple of str
        Most frequent values on train, in slot order.
    other : bool
        Whether rarer values exist and share a slot.
    first_slot : int
        The slot of the first value.
    """

    columns: tuple[str, ...]
    values: tuple[str, ...]
    other: bool
    first_slot: int

    @property
    def name(self) -> str:
        """What the vocabulary's features are named by."""
        return "_".join(self.columns)

    @property
    def next_slot(self) -> int:
        """The first slot behind its own."""
        return self.first_slot + len(self.values) + self.other

    def slots(self) -> list[tuple[int, str, tuple[str, ...]]]:
        """Slot, name part and plain value (or both values) of each entry, "other" last."""
        values = [*self.values, *(["other"] if self.other else [])]
        named = zip(unique_slugs(values), values, strict=True)
        return [(self.first_slot + i, name, self._parts(value)) for i, (name, value) in enumerate(named)]

    def _parts(self, value: str) -> tuple[str, ...]:
        return (value,) if len(self.columns) == 1 else tuple(value.split(_JOINT, maxsplit=1))

    def text(self, table: ir.Table) -> ir.StringValue:
        """The value of each row as text, missing where a part of it is."""
        first, *rest = [table[column] for column in self.columns]
        for part in rest:
            first = first + _JOINT + part
        return first

    def add_slot(self, table: ir.Table, column: str, tables: Tables) -> ir.Table:
        """The table with the slot of each row's value as `column` (−1: none)."""
        rest = self.next_slot - 1 if self.other else -1
        lookup = tables.source.memtable(
            **{
                f"{column}_value": pa.array(self.values, type=pa.string()),
                f"{column}_found": pa.array(range(self.first_slot, self.first_slot + len(self.values)), pa.int32()),
            }
        )
        keyed = table.mutate(**{f"{column}_text": self.text(table)})
        joined = keyed.left_join(lookup, keyed[f"{column}_text"] == lookup[f"{column}_value"])
        given = ibis.ifelse(joined[f"{column}_text"].isnull(), -1, rest)
        slot = ibis.coalesce(joined[f"{column}_found"], given).cast("int32")
        return joined.select(*table.columns, **{column: slot})


@dataclass(frozen=True)
class RecordPlan:
    """What the sweep computes of one role.

    Attributes
    ----------
    role : str
        ``events`` or ``purchases``.
    first_slot, next_slot : int
        Its slots: from the slot of all its records to before `next_slot`.
    vocabularies : tuple of Vocabulary
        Whose values have slots.
    keys : tuple of str
        Columns whose different values are counted.
    columns, features : tuple
        The swept columns, and the catalogue's entries for them.
    """

    role: str
    first_slot: int
    next_slot: int
    vocabularies: tuple[Vocabulary, ...]
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    features: tuple[Feature, ...]

    @classmethod
    def of(
        cls,
        role: str,
        entries: Sequence[tuple[Column, Feature]],
        *,
        first_slot: int,
        vocabularies: tuple[Vocabulary, ...],
        keys: tuple[str, ...],
    ) -> "RecordPlan":
        """The plan of columns with their catalogue entries; its slots end with the last vocabulary's."""
        columns, features = zip(*entries, strict=True) if entries else ((), ())
        return cls(role, first_slot, vocabularies[-1].next_slot, vocabularies, keys, columns, features)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "role": self.role,
            "first_slot": self.first_slot,
            "next_slot": self.next_slot,
            "vocabularies": [
                {**vars(v), "columns": list(v.columns), "values": list(v.values)} for v in self.vocabularies
            ],
            "keys": list(self.keys),
            "columns": [{**vars(c), "window": str(c.window) if c.window else None} for c in self.columns],
            "features": [feature.to_dict() for feature in self.features],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RecordPlan":
        """The inverse of `to_dict`."""
        columns = [{**c, "window": Duration.parse(c["window"]) if c["window"] else None} for c in values["columns"]]
        vocabularies = [
            {**v, "columns": tuple(v["columns"]), "values": tuple(v["values"])} for v in values["vocabularies"]
        ]
        return cls(
            role=values["role"],
            first_slot=values["first_slot"],
            next_slot=values["next_slot"],
            vocabularies=tuple(Vocabulary(**v) for v in vocabularies),
            keys=tuple(values["keys"]),
            columns=tuple(Column(**c) for c in columns),
            features=tuple(Feature.from_dict(f) for f in values["features"]),
        )


def learn_vocabularies(
    records: ir.Table, columns: Sequence[tuple[str, ...]], *, cutoff: datetime, most: int, first_slot: int
) -> tuple[Vocabulary, ...]:
    """The most frequent values of each column (or combination) among records known before `cutoff`."""
    seen = as_of(records, cutoff)
    vocabularies: list[Vocabulary] = []
    for names in columns:
        empty = Vocabulary(columns=names, values=(), other=False, first_slot=first_slot)
        texts = seen.select(text=empty.text(seen))
        counted = to_frame(texts.filter(texts.text.notnull()).group_by("text").agg(n=ibis._.count()))
        values, other = top_categories(dict(zip(counted["text"], counted["n"], strict=True)), most=most)
        vocabularies.append(Vocabulary(columns=names, values=values, other=other, first_slot=first_slot))
        first_slot = vocabularies[-1].next_slot
    return tuple(vocabularies)


@dataclass(frozen=True)
class Slotted:
    """A role's records with what the sweep reads: the first slot, the value, and whether categories count."""

    plan: RecordPlan
    records: ir.Table
    base: ir.IntegerValue
    value: ir.IntegerValue
    counts: ir.BooleanValue

    def prepared(self, tables: Tables, *, slots: int, keys: int) -> ir.Table:
        """The records with so many columns of slots and of keys (``sweep_slot_0``, ``sweep_key_0``, …), and values."""
        table = self.records.mutate(
            sweep_slot_0=self.base.cast("int32"),
            sweep_value=self.value.fill_null(NO_VALUE).cast("int64"),
            sweep_counts=self.counts,
        )
        for i in range(1, slots):
            if i <= len(self.plan.vocabularies):
                table = self.plan.vocabularies[i - 1].add_slot(table, f"sweep_slot_{i}", tables)
                hidden = ibis.ifelse(table.sweep_counts, table[f"sweep_slot_{i}"], -1)
                table = table.mutate(**{f"sweep_slot_{i}": hidden.cast("int32")})
            else:
                table = table.mutate(**{f"sweep_slot_{i}": ibis.literal(-1, type="int32")})
        for i in range(keys):
            key: ir.IntegerValue = ibis.literal(0, type="int64")
            if i < len(self.plan.keys):
                text = table[self.plan.keys[i]]
                key = ibis.ifelse(text.isnull(), 0, _number_of(text)).cast("int64")
            table = table.mutate(**{f"sweep_key_{i}": key})
        return table.drop("sweep_counts")


def _number_of(text: ir.StringValue) -> ir.IntegerValue:
    """A number for each text, by its hash: 52 bits tell the categories of one customer apart.

    By way of a float: engines differ in whether a hash has a sign, and Ibis does not know.
    """
    return (text.hash().cast("float64") / 4096).floor().cast("int64")


def sorted_batches(
    tables: Tables,
    roles: Sequence[Slotted],
    *,
    until: datetime,
    codes: ir.Table,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Records]:
    """The records of all roles before `until`, sorted by customer and time, in batches."""
    expression, slots, keys = sweep_expression(tables, roles, until=until, codes=codes)
    expression = expression.order_by(*SWEEP_ORDER)
    told = _Progress(rows=sum(fact.rows for fact in tables.facts if fact.role != "customers"), tell=progress)
    for batch in tables.source.batches(expression, rows=BATCH_ROWS):
        if batch.num_rows:
            yield read_records(batch, slots=slots, keys=keys, zone=tables.spec.zone)
            told.done(batch.num_rows)


def sweep_expression(
    tables: Tables, roles: Sequence[Slotted], *, until: datetime, codes: ir.Table
) -> tuple[ir.Table, int, int]:
    """The records of all roles, not sorted yet, and how many columns of slots and of keys they have."""
    slots = 1 + max(len(role.plan.vocabularies) for role in roles)
    keys = max(len(role.plan.keys) for role in roles)
    prepared = [role.prepared(tables, slots=slots, keys=keys) for role in roles]
    return sweep_records(prepared, until=until, codes=codes), slots, keys


def read_records(batch: pa.RecordBatch, *, slots: int, keys: int, zone: ZoneInfo) -> Records:
    """A batch of sorted records as arrays."""
    time = _instants(batch.column("sweep_time"))
    known = _instants(batch.column("sweep_known")) if "sweep_known" in batch.schema.names else time
    return Records(
        code=batch.column("sweep_code").to_numpy(),
        time=time,
        known=known,
        day=local_days(time, zone),
        slots=_side_by_side(batch, "sweep_slot", slots, np.int32),
        value=batch.column("sweep_value").to_numpy(),
        keys=_side_by_side(batch, "sweep_key", keys, np.int64) if keys else None,
    )


def _instants(column: pa.Array) -> npt.NDArray[np.int64]:
    micros: npt.NDArray[np.int64] = column.cast(pa.timestamp("us", tz=column.type.tz)).view(pa.int64()).to_numpy()
    return micros


def _side_by_side(batch: pa.RecordBatch, name: str, count: int, kind: type) -> npt.NDArray[Any]:
    out = np.empty((batch.num_rows, count), dtype=kind)
    for i in range(count):
        out[:, i] = batch.column(f"{name}_{i}").to_numpy()
    return out


class _Progress:
    """Tells how many records are swept, and how long the rest will take."""

    def __init__(self, *, rows: int, tell: Callable[[str], None] | None) -> None:
        self._rows, self._tell, self._done, self._started = rows, tell, 0, perf_counter()

    def done(self, rows: int) -> None:
        self._done += rows
        if self._tell is None:
            return
        left = (perf_counter() - self._started) * max(self._rows - self._done, 0) / self._done
        self._tell(f"sweeping records: {self._done:,} of at most {self._rows:,}, about {left:.0f} s left")
