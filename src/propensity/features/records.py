"""Events and purchases on their way into the sweep: vocabularies learnt on train, slots, and sorted batches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from propensity.data.connect import to_frame
from propensity.data.tables import Tables, as_of, sweep_columns
from propensity.features.catalogue import Feature, top_categories, unique_slugs
from propensity.features.sweep import Column, Records
from propensity.temporal import Duration

BATCH_ROWS = 1_000_000


@dataclass(frozen=True)
class Vocabulary:
    """The values of one column that have slots of their own; the rest share the last slot where `other`.

    Attributes
    ----------
    column : str
        The canonical column.
    values : tuple of str
        Most frequent values on train, in slot order.
    other : bool
        Whether rarer values exist and share a slot.
    first_slot : int
        The slot of the first value.
    """

    column: str
    values: tuple[str, ...]
    other: bool
    first_slot: int

    def slots(self) -> list[tuple[int, str, str]]:
        """Slot, name part and plain value of each value, "other" last."""
        values = [*self.values, *(["other"] if self.other else [])]
        named = zip(unique_slugs(values), values, strict=True)
        return [(self.first_slot + i, name, value) for i, (name, value) in enumerate(named)]

    def encode(self, column: pa.Array) -> npt.NDArray[np.int32]:
        """The slot of each value (−1: none), shape (n,)."""
        position = pc.index_in(column, value_set=pa.array(self.values, type=pa.string()))
        rest = len(self.values) if self.other else -1
        slot = pc.if_else(pc.is_null(column), -1, pc.fill_null(position, rest))
        codes: npt.NDArray[np.int32] = slot.to_numpy(zero_copy_only=False).astype(np.int32)
        return np.where(codes >= 0, codes + self.first_slot, -1).astype(np.int32)


@dataclass(frozen=True)
class RecordPlan:
    """What the sweep computes of one role: vocabularies, columns, and the catalogue's entries for them."""

    role: str
    vocabularies: tuple[Vocabulary, ...]
    columns: tuple[Column, ...]
    features: tuple[Feature, ...]
    slots: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "role": self.role,
            "slots": self.slots,
            "vocabularies": [{**vars(v), "values": list(v.values)} for v in self.vocabularies],
            "columns": [{**vars(c), "window": str(c.window) if c.window else None} for c in self.columns],
            "features": [feature.to_dict() for feature in self.features],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RecordPlan":
        """The inverse of `to_dict`."""
        columns = [{**c, "window": Duration.parse(c["window"]) if c["window"] else None} for c in values["columns"]]
        return cls(
            role=values["role"],
            slots=values["slots"],
            vocabularies=tuple(Vocabulary(**{**v, "values": tuple(v["values"])}) for v in values["vocabularies"]),
            columns=tuple(Column(**c) for c in columns),
            features=tuple(Feature.from_dict(f) for f in values["features"]),
        )


def learn_vocabularies(
    records: ir.Table, columns: list[str], *, cutoff: datetime, most: int, first_slot: int
) -> tuple[tuple[Vocabulary, ...], int]:
    """The most frequent values of each column among records known before `cutoff`, and the next free slot."""
    seen = as_of(records, cutoff)
    vocabularies = []
    for column in columns:
        counted = to_frame(seen.filter(seen[column].notnull()).group_by(column).agg(n=ibis._.count()))
        values, other = top_categories(dict(zip(counted[column], counted["n"], strict=True)), most=most)
        vocabularies.append(Vocabulary(column=column, values=values, other=other, first_slot=first_slot))
        first_slot += len(values) + other
    return tuple(vocabularies), first_slot


def read_sorted(
    tables: Tables, records: ir.Table, *, plan: RecordPlan, until: datetime, codes: ir.Table, value: str | None
) -> Iterator[tuple[Records, pa.RecordBatch]]:
    """Sorted batches of records with the slots of the plan's vocabularies, and the batch that they came from."""
    columns = [*[v.column for v in plan.vocabularies], *([value] if value else [])]
    expression = sweep_columns(records, until=until, codes=codes, spec=tables.spec, columns=columns)
    for batch in tables.source.batches(expression, rows=BATCH_ROWS):
        if batch.num_rows:
            slots = [v.encode(batch.column(v.column)) for v in plan.vocabularies]
            empty = np.empty((batch.num_rows, 0), dtype=np.int32)
            yield (
                Records(
                    code=_ints(batch, "sweep_code"),
                    time=_ints(batch, "sweep_time"),
                    known=_ints(batch, "sweep_known"),
                    day=batch.column("sweep_day").to_numpy(),
                    slots=np.column_stack(slots) if slots else empty,
                    value=_ints(batch, value) if value else np.zeros(batch.num_rows, dtype=np.int64),
                ),
                batch,
            )


def _ints(batch: pa.RecordBatch, column: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = batch.column(column).to_numpy()
    return values
