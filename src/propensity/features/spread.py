"""The sweep where an engine's workers hold the records: the same kernel, customers dealt out among the workers.

The rows wanted travel with the records: each is a row of its own at its cutoff, and brings along what goes beside the
swept columns, such as labels.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from propensity.data.tables import Tables
from propensity.features.records import Reading, Slotted, role_records, shape_of
from propensity.features.sweep import Sweep
from propensity.temporal import microseconds

Readings = tuple[tuple[Reading, tuple[str, ...]], ...]
"""Of each role, how it is read, and its columns."""

_ENOUGH_ROWS = 100_000
"""Rows that are waited for before customers are swept: Spark's own batches are small."""


def sweep_on_workers(tables: Tables, roles: Sequence[Slotted], sweep: Sweep, rows: pa.Table, *, folder: Path) -> None:
    """Sweep on the engine's workers, which write the rows as Parquet files into `folder`.

    Parameters
    ----------
    rows : pyarrow Table
        The rows wanted: ``sweep_code`` and ``sweep_cutoff`` (int64: customer number and position in the cutoffs), and
        whatever goes along.
    folder : Path
        Empty, or not there yet. Each file holds whole customers, ordered by customer and cutoff: what went along,
        then the swept columns (float32).
    """
    wanted = tables.source.memtable(code=pc.unique(rows["sweep_code"]))
    codes, shape = tables.codes.semi_join(wanted, "code"), shape_of(roles, sweep)
    parts = [role_records(tables, role, sweep, shape, codes=codes) for role in roles]
    readings = tuple((role.reading(shape), tuple(part.columns)) for role, part in zip(roles, parts, strict=True))
    along = [field for field in rows.schema if field.name not in ("sweep_code", "sweep_cutoff")]
    schema = pa.schema([*along, *[pa.field(column.name, pa.float32()) for column in sweep.columns]])
    tables.source.map_sorted(
        _with_rows(tables, parts, rows, sweep.cutoffs),
        key="sweep_code",
        order=["sweep_time", "sweep_cutoff"],
        function=partial(sweep_batches, sweep, readings, schema),
        schema=schema,
        folder=folder,
    )


def _with_rows(tables: Tables, parts: Sequence[ir.Table], rows: pa.Table, cutoffs: Sequence[datetime]) -> ir.Table:
    """The records of all roles, and the rows wanted as records at their cutoffs.

    ``sweep_role`` tells them apart (the role's position; −1: a row wanted); what one of them has not is null.
    """
    instants = np.array([microseconds(cutoff) for cutoff in cutoffs], dtype=np.int64)
    time = pa.array(instants[rows["sweep_cutoff"].to_numpy()]).cast(pa.timestamp("us"))
    asked = tables.source.memtable(**{name: rows[name] for name in rows.column_names}, sweep_time=time)
    tagged = [part.mutate(sweep_role=ibis.literal(i, type="int16")) for i, part in enumerate([*parts, asked])]
    types = {name: kind for part in tagged for name, kind in part.schema().items()}
    return ibis.union(
        *[
            part.select(**{name: part[name] if name in part.columns else ibis.null(types[name]) for name in types})
            for part in tagged
        ]
    )


def sweep_batches(
    sweep: Sweep, readings: Readings, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """What a worker does: the swept rows among sorted records, a customer of which may go on in the next batch."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) >= _ENOUGH_ROWS:
            table = pa.Table.from_batches(waiting).combine_chunks()
            code = table["sweep_code"].to_numpy()
            cut = int(np.searchsorted(code, code[-1]))
            yield from _swept(sweep, readings, schema, table.slice(0, cut))
            waiting = table.slice(cut).to_batches()
    if waiting:
        yield from _swept(sweep, readings, schema, pa.Table.from_batches(waiting).combine_chunks())


def _swept(sweep: Sweep, readings: Readings, schema: pa.Schema, table: pa.Table) -> Iterator[pa.RecordBatch]:
    def of_role(role: int) -> pa.Table:
        return table.filter(pc.equal(table["sweep_role"], role))

    rows = of_role(len(readings))
    if rows.num_rows:
        found = [reading.records(_one_batch(of_role(i).select(own))) for i, (reading, own) in enumerate(readings)]
        block = sweep.rows(found, rows["sweep_code"].to_numpy(), rows["sweep_cutoff"].to_numpy())
        along = _one_batch(rows.select(schema.names[: len(schema) - len(sweep.columns)])).columns
        yield pa.RecordBatch.from_arrays([*along, *float_columns(block)], schema=schema)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], names=table.column_names)


def float_columns(block: npt.NDArray[np.float32]) -> list[pa.Array]:
    """The columns of a block, shape (n, p), as Arrow arrays; NaN becomes null."""
    return [pa.array(column, from_pandas=True) for column in np.ascontiguousarray(block.T)]
