"""The tables as they were known at a cutoff, in a database of their own: what came later is not in it.

Features of a study's own are computed on these tables. They are filled from one cutoff to the next, so that a
function that looks for later rows, by whatever way, finds none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from propensity.data.connect import connect_duckdb
from propensity.data.tables import Tables, attributes_as_of, became_known

_ROWS = 100_000


@dataclass(frozen=True)
class PastTables:
    """What was known before a cutoff.

    Attributes
    ----------
    cutoff : datetime
        The aware instant.
    customers : ibis Table
        Customers known then, with their attributes as of the cutoff: see `data.tables.attributes_as_of`.
    events, purchases, contacts : ibis Table or None
        Canonical records that had happened and were known: see `data.schema`. Times are naive UTC.
    """

    cutoff: datetime
    customers: ir.Table
    events: ir.Table | None
    purchases: ir.Table | None
    contacts: ir.Table | None = None


@contextmanager
def past_tables(tables: Tables, cutoffs: Sequence[datetime]) -> Iterator[Iterator[PastTables]]:
    """The past at each of `cutoffs`, which must ascend; each is gone when the next is asked for."""
    with TemporaryDirectory(prefix="propensity-") as folder:
        connection = connect_duckdb(Path(folder), memory_limit=tables.spec.memory_limit)
        try:
            yield _fill(connection, tables, cutoffs)
        finally:
            connection.disconnect()


def _fill(connection: Any, tables: Tables, cutoffs: Sequence[datetime]) -> Iterator[PastTables]:
    past: dict[str, ir.Table] = {}
    since: datetime | None = None
    for i, cutoff in enumerate(cutoffs):
        customers = _copy(connection, f"customers_{i}", tables, attributes_as_of(tables, cutoff), more=False)
        for name, table in tables.records.items():
            new = became_known(table, since=since, before=cutoff)
            past[name] = _copy(connection, name, tables, new, more=name in past)
        yield PastTables(cutoff, customers, *(past.get(name) for name in ("events", "purchases", "contacts")))
        since = cutoff


def _copy(connection: Any, name: str, tables: Tables, rows: ir.Table, *, more: bool) -> ir.Table:
    """Put rows into a table of the database, a new one unless they are `more` of it; the table."""
    batches = tables.source.batches(rows, rows=_ROWS)
    first = next(batches, None)
    schema = first.schema if first is not None else rows.schema().to_pyarrow()

    def come() -> Iterator[pa.RecordBatch]:
        if first is not None:
            yield first
            yield from batches

    connection.con.register("incoming", pa.RecordBatchReader.from_batches(schema, come()))
    try:
        incoming = connection.table("incoming")
        if not more:
            return connection.create_table(name, incoming)
        connection.insert(name, incoming)
        return connection.table(name)
    finally:
        connection.con.unregister("incoming")
