"""The SQL peers, on DuckDB: the floor (read and sort), and window counts once a cutoff or for all cutoffs at once.

Each form answers with every customer at each cutoff, 0 where nothing happened. Three forms for all cutoffs at once
lost at 2 million events and are not kept: daily counts, a range join and filtered sums took more than 20 times as long
as `ALL_AT_ONCE`, running sums by window functions over a dense grid 5 times, one wide pivot of all periods with sums
over its columns 2.5 times.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.window_counts import BUCKETS, THREADS, WINDOWS, Count, Part, Peer, Question, boundaries

BATCH_ROWS = 100_000
BLOCK = 10_000  # customers whose cutoffs are pivoted at once: 25,000 and 50,000 were slower
_FLOOR = "occurred_at, available_at, event_type, channel"


@contextmanager
def connect(question: Question) -> Iterator[Any]:
    """A DuckDB with the benchmark's threads and memory, that sees the market's events and customers."""
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        connection.execute(f"SET threads = {THREADS}")
        connection.execute(f"SET memory_limit = '{question.memory_limit}'")
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.execute("SET preserve_insertion_order = false")
        for name in ("events", "customers"):
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{question.folder / f'{name}.parquet'}')")
        _list(connection, "pairs", "event_type, channel, pair", [(*p, i) for i, p in enumerate(question.pairs)])
        yield connection


def floor(question: Question, *, as_codes: bool) -> Iterator[pa.RecordBatch]:
    """Read and sort the columns that everybody needs, streamed out as Arrow; optionally by customer number."""
    key, source = "customer_id", "events"
    with connect(question) as connection:
        if as_codes:
            _number_customers(connection)
            key, source = "code", "events JOIN codes USING (customer_id)"
        query = f"SELECT {key}, {_FLOOR} FROM {source} ORDER BY {key}, occurred_at"  # noqa: S608
        yield from connection.sql(query).to_arrow_reader(BATCH_ROWS)


def _number_customers(connection: Any) -> None:
    """A table of customer numbers, in the order of their keys."""
    connection.execute(
        "CREATE TEMP TABLE codes AS "
        "SELECT customer_id, (row_number() OVER (ORDER BY customer_id) - 1)::INTEGER AS code FROM customers"
    )


def _list(connection: Any, name: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    values = ", ".join(str(row) for row in rows)
    connection.execute(f"CREATE TEMP TABLE {name} AS FROM (VALUES {values}) AS t({columns})")


def _instant(value: datetime) -> str:
    return f"TIMESTAMP '{value:%Y-%m-%d}'"


def _known(cutoff: datetime) -> str:
    """What counts at a cutoff in the longest window."""
    at, since = _instant(cutoff), _instant(boundaries(cutoff)[-1])
    return f"occurred_at < {at} AND available_at < {at} AND occurred_at >= {since}"


def _bucket(cutoff: datetime) -> str:
    tests = [f"WHEN occurred_at >= {_instant(start)} THEN {i}" for i, start in enumerate(boundaries(cutoff)[:-1])]
    return f"CASE {' '.join(tests)} ELSE {BUCKETS - 1} END"


def _every_customer(question: Question, answer: str) -> str:
    columns = ", ".join(f"coalesce({c.name}, 0)::INTEGER AS {c.name}" for c in question.counts)
    return f"SELECT code, {columns} FROM codes LEFT JOIN ({answer}) USING (customer_id)"  # noqa: S608


def filtered_sql(question: Question, cutoff: datetime) -> str:
    """What people write: one filtered aggregate for each feature."""
    starts = dict(zip(WINDOWS, boundaries(cutoff), strict=True))
    columns = []
    for count in question.counts:
        tests = [f"occurred_at >= {_instant(starts[count.window])}"]
        tests += [f"event_type = '{count.kind}'"] if count.kind else []
        tests += [f"channel = '{count.channel}'"] if count.channel else []
        columns.append(f"count(*) FILTER (WHERE {' AND '.join(tests)}) AS {count.name}")
    return _every_customer(
        question,
        f"SELECT customer_id, {', '.join(columns)} FROM events "  # noqa: S608
        f"WHERE {_known(cutoff)} GROUP BY customer_id",
    )


def grouped_sql(question: Question, cutoff: datetime) -> str:
    """Group by customer, kind, channel and age bucket; then a filtered sum of the groups for each feature."""
    columns = []
    for count in question.counts:
        tests = [f"bucket <= {WINDOWS.index(count.window)}"]
        tests += [f"event_type = '{count.kind}'"] if count.kind else []
        tests += [f"channel = '{count.channel}'"] if count.channel else []
        columns.append(f"sum(n) FILTER (WHERE {' AND '.join(tests)}) AS {count.name}")
    groups = (
        f"SELECT customer_id, event_type, channel, {_bucket(cutoff)} AS bucket, count(*) AS n "  # noqa: S608
        f"FROM events WHERE {_known(cutoff)} GROUP BY ALL"
    )
    return _every_customer(
        question,
        f"SELECT customer_id, {', '.join(columns)} FROM ({groups}) GROUP BY customer_id",  # noqa: S608
    )


def pivoted_sql(question: Question, cutoff: datetime) -> str:
    """Group by customer and cell with PIVOT, one column for each cell; then sums over columns."""
    cells = (
        f"SELECT customer_id, (pair * {BUCKETS} + bucket)::USMALLINT AS cell FROM "  # noqa: S608
        f"(SELECT customer_id, event_type, channel, {_bucket(cutoff)} AS bucket FROM events WHERE {_known(cutoff)}) "
        "JOIN pairs USING (event_type, channel)"
    )
    return _every_customer(question, _sums(question, _pivot(question, cells, "customer_id"), "customer_id"))


def _pivot(question: Question, cells: str, key: str) -> str:
    numbers = ", ".join(str(cell) for cell in range(len(question.pairs) * BUCKETS))
    return f"PIVOT ({cells}) ON cell IN ({numbers}) USING count(*) GROUP BY {key}"


def _sums(question: Question, pivoted: str, key: str) -> str:
    """Cells to buckets of each subject first, then buckets to windows: every cell is added once only."""
    buckets, windows = [], []
    for count in question.counts:
        subject = Count(count.kind, count.channel, WINDOWS[0]).name
        if count.window == WINDOWS[0]:
            for bucket in range(BUCKETS):
                added = " + ".join(f'"{cell + bucket}"' for cell in question.cells(count))
                buckets.append(f"{added} AS {subject}_{bucket}")
        added = " + ".join(f"{subject}_{bucket}" for bucket in range(WINDOWS.index(count.window) + 1))
        windows.append(f"{added} AS {count.name}")
    inner = f"SELECT {key}, {', '.join(buckets)} FROM ({pivoted})"  # noqa: S608
    return f"SELECT {key}, {', '.join(windows)} FROM ({inner})"  # noqa: S608


def _columns(batch: pa.RecordBatch, names: list[str]) -> Any:
    return np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in names])


def _once_a_cutoff(form: Any) -> Any:
    def answer(_: None, question: Question, positions: Sequence[int]) -> Iterator[Part]:
        names = [count.name for count in question.counts]
        with connect(question) as connection:
            _number_customers(connection)
            for position in positions:
                query = connection.sql(form(question, question.cutoffs[position]))
                for batch in query.to_arrow_reader(BATCH_ROWS):
                    yield Part(batch.column("code").to_numpy(), position, partial(_columns, batch, names))

    return answer


def _all_at_once(_: None, question: Question, positions: Sequence[int]) -> Iterator[Part]:
    """Days, not instants; each day's cutoffs and buckets in a small table; a pivot with a row per customer and cutoff.

    A late record is told by the day on which it became known: cutoffs are midnights, so that this is exact.
    """
    names, customers = [count.name for count in question.counts], len(question.customers)
    with connect(question) as connection:
        _number_customers(connection)
        _write_days(connection, question, positions)
        for block in range(0, customers, BLOCK):
            query = _block_sql(question, block, min(block + BLOCK, customers))
            for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS):
                code, cutoff = batch.column("code").to_numpy(), batch.column("cutoff").to_numpy()
                yield Part(code, cutoff, partial(_columns, batch, names))


def _write_days(connection: Any, question: Question, positions: Sequence[int]) -> None:
    """`daily`: records by customer number, pair and days; `days`: the cutoffs (and buckets) that a day counts for."""
    origin = question.cutoffs[0] - timedelta(days=WINDOWS[-1])
    number = {position: (question.cutoffs[position] - origin).days for position in positions}
    rows = [
        (day, position, at, next(i for i, window in enumerate(WINDOWS) if at - day <= window))
        for position, at in number.items()
        for day in range(at - WINDOWS[-1], at)
    ]
    _list(connection, "days", "happened, cutoff, before, bucket", rows)
    connection.execute(
        "CREATE TEMP TABLE daily AS SELECT code, pair::UTINYINT AS pair, "  # noqa: S608
        f"(occurred_at::DATE - {_instant(origin)}::DATE)::SMALLINT AS happened, "
        f"(available_at::DATE - {_instant(origin)}::DATE)::SMALLINT AS known "
        "FROM events JOIN pairs USING (event_type, channel) JOIN codes USING (customer_id) "
        f"WHERE occurred_at >= {_instant(origin)}"
    )
    connection.execute("CREATE TEMP TABLE asked AS SELECT DISTINCT cutoff FROM days")


def _block_sql(question: Question, first: int, last: int) -> str:
    width, within = len(question.cutoffs), f"code >= {first} AND code < {last}"
    cells = (
        f"SELECT code * {width} + cutoff AS line, (pair * {BUCKETS} + bucket)::USMALLINT AS cell "  # noqa: S608
        f"FROM daily JOIN days USING (happened) WHERE known < before AND {within}"
    )
    sums = _sums(question, _pivot(question, cells, "line"), "line")
    columns = ", ".join(f"coalesce({c.name}, 0)::INTEGER AS {c.name}" for c in question.counts)
    lines = f"SELECT code, cutoff, code * {width} + cutoff AS line FROM codes, asked WHERE {within}"  # noqa: S608
    return f"SELECT code, cutoff, {columns} FROM ({lines}) LEFT JOIN ({sums}) USING (line)"  # noqa: S608


def _nothing(_: Question) -> None:
    return None


FILTERED = Peer("SQL, filtered aggregates, once a cutoff", _nothing, _once_a_cutoff(filtered_sql), slow=True)
GROUPED = Peer("SQL, group then filtered sums, once a cutoff", _nothing, _once_a_cutoff(grouped_sql), slow=True)
PIVOTED = Peer("SQL, group then PIVOT, once a cutoff", _nothing, _once_a_cutoff(pivoted_sql))
ALL_AT_ONCE = Peer("SQL, by day, all cutoffs at once", _nothing, _all_at_once)
