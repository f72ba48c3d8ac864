"""Events, purchases and contacts on their way into the sweep: vocabularies learnt on train, codes, slots, and batches.

Each role has slots of its own: one for all its records, then one for each frequent value of a vocabulary. The engine
turns each column of text into small numbers, the values' codes; which slots a record counts in is looked up here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

import ibis
import ibis.expr.types as ir
import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from propensity.data.connect import to_frame
from propensity.data.tables import Tables, as_of, sweep_records
from propensity.features.catalogue import Feature, top_categories, unique_slugs
from propensity.features.layout import NO_VALUE, read_only
from propensity.features.sweep import Column, Records, Sweep
from propensity.temporal import Duration

Progress = Callable[[str], None]
BATCH_ROWS = 262_144
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
        return [(self.first_slot + i, name, self.parts(value)) for i, (name, value) in enumerate(named)]

    def parts(self, value: str) -> tuple[str, ...]:
        """The value of each column that a value is made of."""
        return (value,) if len(self.columns) == 1 else tuple(value.split(_JOINT, maxsplit=1))

    def text(self, table: ir.Table) -> ir.StringValue:
        """The value of each row as text, missing where a part of it is."""
        first, *rest = [table[column] for column in self.columns]
        for part in rest:
            first = first + _JOINT + part
        return first

    def slots_of(self, codes: Mapping[str, Sequence[str]]) -> npt.NDArray[np.int16]:
        """The slot of each code, or of each combination of two.

        Parameters
        ----------
        codes : mapping
            The texts of each column in the order of their codes, which begin with 2: see `Slotted.prepared`.

        Returns
        -------
        ndarray of int16, one axis for each of `columns`
            −1: none, as where a value is missing.
        """
        slots = np.full([2 + len(codes[column]) for column in self.columns], self.next_slot - 1 if self.other else -1)
        for axis in range(slots.ndim):
            np.moveaxis(slots, axis, 0)[0] = -1
        for i, value in enumerate(self.values):
            at = [codes[column].index(part) + 2 for column, part in zip(self.columns, self.parts(value), strict=True)]
            slots[tuple(at)] = self.first_slot + i
        return slots.astype(np.int16)


@dataclass(frozen=True)
class RecordPlan:
    """What the sweep computes of one role.

    Attributes
    ----------
    role : str
        ``events``, ``purchases`` or ``contacts``.
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
        next_slot = vocabularies[-1].next_slot if vocabularies else first_slot + 1
        return cls(role, first_slot, next_slot, vocabularies, keys, columns, features)

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
class Shape:
    """What records of all roles have in common: how many slots each counts in, how many keys, and whether values."""

    slots: int
    keys: int
    values: bool


@dataclass(frozen=True)
class Slotted:
    """A role's records with what the sweep reads.

    Attributes
    ----------
    plan : RecordPlan
        What is computed of them.
    records : ibis Table
        Canonical records.
    value : ibis column, optional
        What is summed; None: records have no values.
    aside : ibis boolean column, optional
        Records that count in the role's second slot, and in no value's.
    """

    plan: RecordPlan
    records: ir.Table
    value: ir.IntegerValue | None = None
    aside: ir.BooleanValue | None = None

    @property
    def codes(self) -> dict[str, list[str]]:
        """The texts of each column that slots are looked up by."""
        texts: dict[str, dict[str, None]] = {}
        for vocabulary in self.plan.vocabularies:
            for column in vocabulary.columns:
                texts.setdefault(column, {})
            for value in vocabulary.values:
                for column, part in zip(vocabulary.columns, vocabulary.parts(value), strict=True):
                    texts[column][part] = None
        return {column: list(found) for column, found in texts.items()}

    def prepared(self, shape: Shape) -> ir.Table:
        """The records with codes of their texts, ``sweep_aside``, values and keys.

        A code is 0 where the text is missing, 1 where it is none of those asked for, else its position and 2.
        """
        more: dict[str, ir.Value] = {}
        for i, (column, values) in enumerate(self.codes.items()):
            text = self.records[column]
            position = ibis.array(values).index(text) if values else ibis.ifelse(text.isnull(), None, -1)
            more[f"sweep_text_{i}"] = (ibis.coalesce(position, -2) + 2).cast("int16")
        if self.aside is not None:
            more["sweep_aside"] = self.aside.cast("int16")
        if shape.values and self.value is not None:
            more["sweep_value"] = self.value.fill_null(NO_VALUE).cast("int64")
        for i, column in enumerate(self.plan.keys[: shape.keys]):
            text = self.records[column]
            more[f"sweep_key_{i}"] = ibis.ifelse(text.isnull(), 0, _number_of(text)).cast("int64")
        return self.records.mutate(**more)

    def reading(self, shape: Shape) -> "Reading":
        """How batches of `prepared` records are read."""
        codes = self.codes
        at = {column: i for i, column in enumerate(codes)}
        lookups = [(tuple(at[c] for c in v.columns), v.slots_of(codes)) for v in self.plan.vocabularies]
        return Reading(self.plan.first_slot, tuple(lookups), shape)


def _number_of(text: ir.StringValue) -> ir.IntegerValue:
    """A number for each text, by its hash: 52 bits tell the categories of one customer apart.

    By way of a float: engines differ in whether a hash has a sign, and Ibis does not know.
    """
    return (text.hash().cast("float64") / 4096).floor().cast("int64")


@dataclass(frozen=True)
class Reading:
    """How a role's batches become `Records`; plain values, which workers can be sent.

    Attributes
    ----------
    first_slot : int
        The slot of all records; those set aside count in the next one.
    lookups : tuple of (tuple of int, ndarray)
        For each vocabulary: which texts it looks at, and the slot of their codes.
    shape : Shape
        What is filled up where the role has less.
    """

    first_slot: int
    lookups: tuple[tuple[tuple[int, ...], npt.NDArray[np.int16]], ...]
    shape: Shape

    def records(self, batch: pa.RecordBatch) -> Records:
        """A batch as arrays."""
        names, time = batch.schema.names, _instants(batch.column("sweep_time"))
        slots = np.full((batch.num_rows, self.shape.slots), -1, dtype=np.int16)
        slots[:, 0] = self.first_slot
        for v, (texts, lookup) in enumerate(self.lookups):
            first, *more = [batch.column(f"sweep_text_{i}").to_numpy() for i in texts]
            second = more[0] if more else first[:0]
            _look_up(read_only(lookup.reshape(len(lookup), -1)), first, second, 1 + v, slots)
        if "sweep_aside" in names:
            aside = batch.column("sweep_aside").to_numpy() != 0
            slots[aside, 0] += 1
            slots[aside, 1:] = -1
        value = keys = None
        if self.shape.values:
            value = np.full(batch.num_rows, NO_VALUE)
            if "sweep_value" in names:
                value = batch.column("sweep_value").to_numpy()
        if self.shape.keys:
            keys = np.zeros((batch.num_rows, self.shape.keys), dtype=np.int64)
            for name in names:
                if name.startswith("sweep_key_"):
                    keys[:, int(name.removeprefix("sweep_key_"))] = batch.column(name).to_numpy()
        known = _instants(batch.column("sweep_known")) if "sweep_known" in names else time
        return Records(batch.column("sweep_code").to_numpy(), time, known, slots, value, keys)


@numba.njit(cache=True, nogil=True)
def _look_up(lookup, first, second, column, slots):  # type: ignore[no-untyped-def]
    """Fill a column of slots by one code, or by two."""
    for i in range(len(first)):
        slots[i, column] = lookup[first[i], second[i] if len(second) > 0 else 0]


def shape_of(roles: Sequence[Slotted], sweep: Sweep) -> Shape:
    """What the records of all roles have in common for a sweep."""
    return Shape(
        slots=1 + max(len(role.plan.vocabularies) for role in roles),
        keys=max(len(role.plan.keys) for role in roles) if sweep.reads_keys else 0,
        values=sweep.reads_values,
    )


def role_records(tables: Tables, role: Slotted, sweep: Sweep, shape: Shape, *, codes: ir.Table) -> ir.Table:
    """The records of a role that a sweep looks at: what `Reading.records` reads."""
    return sweep_records(role.prepared(shape), since=sweep.since, until=max(sweep.cutoffs), codes=codes)


def record_batches(
    tables: Tables, roles: Sequence[Slotted], sweep: Sweep, *, codes: ir.Table, progress: Progress | None = None
) -> Iterator[Records]:
    """The records of all roles that a sweep looks at, in batches, in no order."""
    shape = shape_of(roles, sweep)
    told = Told("sweeping records", sum(fact.rows for fact in tables.facts if fact.role != "customers"), progress)
    for role in roles:
        reading = role.reading(shape)
        for batch in tables.source.batches(role_records(tables, role, sweep, shape, codes=codes), rows=BATCH_ROWS):
            yield reading.records(batch)
            told.more(batch.num_rows)


def _instants(column: pa.Array) -> npt.NDArray[np.int64]:
    micros: npt.NDArray[np.int64] = column.cast(pa.timestamp("us", tz=column.type.tz)).view(pa.int64()).to_numpy()
    return micros


class Told:
    """Tells how much of something is done, and how long the rest will take."""

    def __init__(self, what: str, most: int, tell: Progress | None) -> None:
        self._what, self._most, self._tell, self._done, self._started = what, most, tell, 0, perf_counter()

    def more(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if self._tell is not None and self._done:
            left = (perf_counter() - self._started) * max(self._most - self._done, 0) / self._done
            self._tell(f"{self._what}: {self._done:,} of at most {self._most:,}, about {left:.0f} s left")
