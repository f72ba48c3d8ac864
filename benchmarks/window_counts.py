"""What the feature benchmark asks of everybody: counts of events in windows, for all customers at many cutoffs.

A record counts at a cutoff if ``cutoff - window <= occurred_at < cutoff`` and ``available_at < cutoff``. Ages are cut
into buckets that do not overlap (bucket 0: the shortest window); a cell is a pair of kind and channel in one bucket.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from propensity.data.market import cutoff_day
from propensity.data.simulate import simulate

WINDOWS = (7, 30, 90, 365)
BUCKETS = len(WINDOWS)
PAIRS_WITH_FEATURES = 15
THREADS = 2
PERIODS = 38


@dataclass(frozen=True)
class Count:
    """One feature: events of a kind (None: any), through a channel (None: any), in a window of days."""

    kind: str | None
    channel: str | None
    window: int

    @property
    def name(self) -> str:
        """The column's name, the same for everybody."""
        return "_".join(["events", *filter(None, (self.kind, self.channel)), f"{self.window}d"])

    def holds(self, kind: str, channel: str) -> bool:
        """Whether events of this pair count."""
        return self.kind in (None, kind) and self.channel in (None, channel)


@dataclass(frozen=True)
class Question:
    """The data, and what is to be counted.

    Attributes
    ----------
    folder : Path
        A simulated market.
    cutoffs : tuple of datetime
        Naive UTC midnights, every 30 days; the last is the end of the records.
    pairs : tuple of (kind, channel)
        All pairs that occur, most frequent first.
    customers : pandas Index
        The keys, sorted: a customer's number is its position.
    events : int
        Rows of the events table.
    memory_limit : str
        What every DuckDB may take before it spills.
    """

    folder: Path
    cutoffs: tuple[datetime, ...]
    pairs: tuple[tuple[str, str], ...]
    customers: pd.Index
    events: int
    memory_limit: str

    @property
    def counts(self) -> list[Count]:
        """The features, in column order: all, by kind, by channel, and by the most frequent pairs."""
        kinds = sorted({kind for kind, _ in self.pairs})
        channels = sorted({channel for _, channel in self.pairs})
        subjects: list[tuple[str | None, str | None]] = [(None, None)]
        subjects += [(kind, None) for kind in kinds]
        subjects += [(None, channel) for channel in channels]
        subjects += self.pairs[:PAIRS_WITH_FEATURES]
        return [Count(kind, channel, window) for kind, channel in subjects for window in WINDOWS]

    def cells(self, count: Count) -> list[int]:
        """The cells that add up to a count: position of the pair times the number of buckets, plus the bucket."""
        buckets = WINDOWS.index(count.window) + 1
        positions = [i for i, pair in enumerate(self.pairs) if count.holds(*pair)]
        return [position * BUCKETS + bucket for position in positions for bucket in range(buckets)]

    def membership(self) -> npt.NDArray[np.float32]:
        """1 where a cell adds to a feature, shape (cells, features)."""
        matrix = np.zeros((len(self.pairs) * BUCKETS, len(self.counts)), dtype=np.float32)
        for column, count in enumerate(self.counts):
            matrix[self.cells(count), column] = 1
        return matrix

    def with_cutoffs(self, number: int) -> "Question":
        """The same question at the last `number` cutoffs."""
        return replace(self, cutoffs=cutoffs_of(number))


@dataclass(frozen=True)
class Part:
    """Some rows of an answer.

    Attributes
    ----------
    customer : array of n customer numbers, or of n keys
        Whose rows these are.
    cutoff : int, or array of n
        Position among the question's cutoffs.
    matrix : callable
        Gives the features, shape (n, features).
    """

    customer: Any
    cutoff: Any
    matrix: Callable[[], npt.NDArray[Any]]


@dataclass(frozen=True)
class Peer:
    """One way to answer.

    Attributes
    ----------
    prepare : callable
        What is done once, before all cutoffs (loading, a connection, a table made in advance).
    answer : callable
        ``answer(prepared, question, positions)`` gives the rows of the cutoffs at these positions.
    slow : bool
        Whether time is taken at three of the cutoffs and scaled up.
    """

    name: str
    prepare: Callable[[Question], Any]
    answer: Callable[[Any, Question, Sequence[int]], Iterator[Part]]
    slow: bool = False


def cutoffs_of(number: int, *, periods: int = PERIODS) -> tuple[datetime, ...]:
    """The last `number` midnights of the market's grid of 30 days, up to the end of its records.

    Examples
    --------
    >>> [f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs_of(2)]
    ['2026-09-23', '2026-10-23']
    """
    return tuple(datetime.combine(cutoff_day(k), time()) for k in range(periods - number + 1, periods + 1))


def boundaries(cutoff: datetime) -> list[datetime]:
    """Where the windows of a cutoff begin, in the order of `WINDOWS`."""
    return [cutoff - timedelta(days=window) for window in WINDOWS]


def make_market(folder: Path, *, customers: int) -> Path:
    """The folder of a market of this size under `folder`; simulated when it is not there yet.

    Events are laid down in the order of time, as a log is: sorting them by customer is work for everybody.
    """
    market = folder / f"market-{customers}-{PERIODS}"
    if not market.exists():
        simulate(market, customers=customers, periods=PERIODS)
        _lay_down_by_time(market / "events.parquet")
    return market


def _lay_down_by_time(events: Path) -> None:
    """The same rows in the same types (texts with few values stay dictionaries), sorted by time."""
    schema, by_time = pq.read_schema(events), events.with_name("by_time.parquet")
    with duckdb.connect() as connection, pq.ParquetWriter(by_time, schema) as writer:
        for batch in connection.read_parquet(str(events)).order("occurred_at").to_arrow_reader(1_000_000):
            columns = [batch.column(field.name).cast(field.type) for field in schema]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    by_time.replace(events)


def read_question(market: Path, *, cutoffs: int, memory_limit: str) -> Question:
    """The question on a market, with its pairs and customers."""
    with duckdb.connect() as connection:
        pairs = connection.execute(
            "SELECT event_type, channel, count(*) FROM read_parquet($1) GROUP BY ALL ORDER BY 3 DESC, 1, 2",
            [str(market / "events.parquet")],
        ).fetchall()
    keys = pd.read_parquet(market / "customers.parquet", columns=["customer_id"])["customer_id"].astype("str")
    return Question(
        folder=market,
        cutoffs=cutoffs_of(cutoffs),
        pairs=tuple((kind, channel) for kind, channel, _ in pairs),
        customers=pd.Index(keys.sort_values(), name="customer_id"),
        events=sum(number for *_, number in pairs),
        memory_limit=memory_limit,
    )


def rows_of(question: Question, part: Part) -> npt.NDArray[np.int64]:
    """Where a part's rows stand when all are ordered by customer, then cutoff."""
    if part.customer is question.customers:
        numbers = np.arange(len(question.customers))
    else:
        numbers = np.asarray(part.customer)
        if not np.issubdtype(numbers.dtype, np.integer):
            numbers = question.customers.get_indexer(pd.Index(numbers))
    return numbers.astype(np.int64) * len(question.cutoffs) + np.asarray(part.cutoff, dtype=np.int64)


def assemble(question: Question, parts: Iterator[Part], positions: Sequence[int]) -> npt.NDArray[np.float32]:
    """What everybody delivers: one block, shape (customers * cutoffs, features), by customer, then cutoff.

    Where only some cutoffs are asked for, the block has their rows only.
    """
    at, width = np.full(len(question.cutoffs), -1), len(question.cutoffs)
    at[list(positions)] = np.arange(len(positions))
    out = np.empty((len(question.customers) * len(positions), len(question.counts)), dtype=np.float32)
    for part in parts:
        rows = rows_of(question, part)
        out[rows // width * len(positions) + at[rows % width]] = part.matrix()
    return out


def differences(question: Question, parts: Iterator[Part], expected: npt.NDArray[Any], positions: Sequence[int]) -> int:
    """How many numbers of an answer are not exactly those expected; rows that are absent or doubled count whole.

    Parameters
    ----------
    expected : ndarray, shape (customers * cutoffs, features)
        Ordered by customer, then cutoff.
    """
    width = len(question.cutoffs)
    seen = np.zeros(len(expected), dtype=np.int8)
    wrong = 0
    for part in parts:
        rows = rows_of(question, part)
        seen[rows] += 1
        wrong += int((part.matrix() != expected[rows]).sum())
    asked = np.isin(np.arange(len(expected)) % width, np.asarray(positions))
    unanswered = int((seen != asked).sum())
    return wrong + unanswered * int(expected.shape[1])
