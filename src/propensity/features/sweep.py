"""One walk over each customer's records for all cutoffs and windows.

Records are dealt out by customer (`propensity.features.dealing`). The kernel (`propensity.features.kernel`) walks each
customer's records once and keeps totals between boundaries (all cutoffs and window starts), so that

    feature(cutoff, window) = total before cutoff − total before (cutoff − window).

A record counts for a cutoff if ``cutoff − window <= occurred_at < cutoff`` and it was known before the
cutoff. For the cutoffs that a customer's late record had happened before, and was not known at, the customer is
walked once more over what was known. Sums are of integers: row order changes nothing, not even the last bit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from propensity.features.days import local_days
from propensity.features.dealing import Dealt, Groups, Spill, by_customer
from propensity.features.kernel import sweep_customers
from propensity.features.layout import Edges, Walked, Wanted, read_only
from propensity.features.measures import (
    ALL_TIME,
    MEASURES,
    NEEDS,
    NEEDS_KEYS,
    NEEDS_RANGE,
    NEEDS_TIME,
    NEEDS_TOTAL,
    OF_COUNTS,
    ZERO_WITHOUT_RECORDS,
)
from propensity.temporal import Duration, microseconds

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
T = TypeVar("T")
_NONE = np.iinfo(np.int64).min
BLOCK_ROWS = 131_072
"""Rows that leave the sweep at a time."""
GROUP_ROWS = 32_768
"""Rows of the customers whose records are put in order together: they fit into a processor's cache."""


@dataclass(frozen=True)
class Column:
    """One swept column: a measure of the records in a slot within a window (None: all time before the cutoff).

    Attributes
    ----------
    name : str
        The column's name.
    measure : str
        ``count``; ``sum``, ``mean``, ``min``, ``max`` of values; ``days``: distinct local days; ``trend``: the count
        minus that of the window before; ``share`` of the records of the slot `of`; ``distinct``: categories in the
        column `key` of keys, among records whose first slot this is; ``recency`` and ``since_first``: days since
        the last and since the first record; ``gap_mean``, ``gap_sd``, ``gap_last``: mean, standard deviation and
        last of the days between active days; ``streak``, ``streak_longest``: active days in a row, up to the last
        active day and at most.
    slot : int
        Which records.
    window : Duration or None
        Since-first, gaps and streaks look back over all time.
    of, key : int or None
        See `measure`.
    """

    name: str
    measure: str
    slot: int
    window: Duration | None = None
    of: int | None = None
    key: int | None = None


@dataclass(frozen=True)
class Records:
    """Records as arrays, in any order: n records, each in up to k slots (−1: none).

    Attributes
    ----------
    code : ndarray of int64, shape (n,)
        Customer number, 0 or more.
    time, known : ndarray of int64, shape (n,)
        Microseconds since 1970 (UTC) of happening and of becoming known.
    slots : ndarray of int16, shape (n, k)
        The slots that the record counts in.
    value : ndarray of int64, shape (n,), optional
        What `sum` adds, in whole units.
    keys : ndarray of int64, shape (n, d), optional
        Categories as numbers (0: none), of which `distinct` counts the different ones.
    """

    code: Ints
    time: Ints
    known: Ints
    slots: npt.NDArray[np.int16]
    value: Ints | None = None
    keys: Ints | None = None

    def __len__(self) -> int:
        return len(self.code)


@dataclass(frozen=True)
class Sweep:
    """What is computed for each row: columns at cutoffs.

    Attributes
    ----------
    columns : tuple of Column
        What to compute.
    cutoffs : tuple of datetime
        Aware instants; a row names its cutoff by the position here.
    zone : ZoneInfo
        The calendar that windows in days and months are counted on.
    slots : int
        Number of slots.
    value_unit : int, default=1
        Values are told in this many units: exact whole numbers are divided once, at the end.
    threads : int, default=1
        Customers are shared out among as many.
    places : tuple of int, optional
        Where each column stands in the rows that are written; None: as in `columns`, and nothing beside them.
    width : int, optional
        How many columns the rows have, where `places` are given.
    """

    columns: tuple[Column, ...]
    cutoffs: tuple[datetime, ...]
    zone: ZoneInfo
    slots: int
    value_unit: int = 1
    threads: int = 1
    places: tuple[int, ...] | None = None
    width: int | None = None

    @cached_property
    def since(self) -> datetime | None:
        """The earliest instant that a column looks back to; None where one looks back over all time."""
        if any(column.window is None or column.measure in ALL_TIME for column in self.columns):
            return None
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(self._edges.instants[0]))

    @cached_property
    def needs(self) -> int:
        """All that a column needs of the records: see `propensity.features.measures.NEEDS`."""
        return int(np.bitwise_or.reduce(self._wanted.needs, initial=0))

    @property
    def reads_values(self) -> bool:
        """Whether a column asks for values."""
        return bool(self.needs & (NEEDS_TOTAL | NEEDS_RANGE))

    @property
    def reads_keys(self) -> bool:
        """Whether a column counts different categories."""
        return bool(self.needs & NEEDS_KEYS)

    @property
    def reads_times(self) -> bool:
        """Whether a column asks for more than what lies between two boundaries."""
        return bool(self.needs & NEEDS_TIME)

    @cached_property
    def _windows(self) -> list[Duration | None]:
        return [None, *sorted({c.window for c in self.columns if c.window}, key=str)]

    @cached_property
    def _edges(self) -> Edges:
        ends = np.array([microseconds(cutoff) for cutoff in self.cutoffs], dtype=np.int64)
        trends = {c.window for c in self.columns if c.measure == "trend"}
        doubled = [Duration(w.count * 2, w.unit) if w and w in trends else None for w in self._windows]
        starts, befores = self._starts(self._windows), self._starts(doubled)
        found = np.concatenate([ends, starts[starts != _NONE], befores[befores != _NONE]])
        instants = np.unique(found)
        cutoff_at = np.full(len(instants), -1, dtype=np.int64)
        end = np.searchsorted(instants, ends)
        cutoff_at[end] = np.arange(len(ends))
        next_cutoff = np.full(len(instants) + 1, len(instants), dtype=np.int64)
        for edge in reversed(range(len(instants))):
            next_cutoff[edge] = edge if cutoff_at[edge] >= 0 else next_cutoff[edge + 1]
        return Edges(
            instants=instants,
            next_cutoff=next_cutoff,
            cutoff_at=cutoff_at,
            end=end.astype(np.int64),
            start=np.where(starts != _NONE, np.searchsorted(instants, starts), -1).astype(np.int64),
            before=np.where(befores != _NONE, np.searchsorted(instants, befores), -1).astype(np.int64),
            cuts_days=self._cuts_days(starts),
        )

    def _starts(self, windows: list[Duration | None]) -> Ints:
        """The instant at which each window starts (`_NONE`: none), shape (cutoffs, windows)."""
        starts = [[microseconds(w.before(c, zone=self.zone)) if w else _NONE for w in windows] for c in self.cutoffs]
        return np.array(starts, dtype=np.int64).reshape(len(self.cutoffs), len(windows))

    def _cuts_days(self, starts: Ints) -> bool:
        instants = np.unique(starts[starts != _NONE])
        just_before = local_days(instants - 1, self.zone)
        return bool((local_days(instants, self.zone) == just_before).any())

    @cached_property
    def _wanted(self) -> Wanted:
        tracks = [(c.slot, c.key, self._windows.index(c.window)) for c in self.columns if c.measure == "distinct"]
        track = np.cumsum([c.measure == "distinct" for c in self.columns]) - 1
        places = self.places or range(len(self.columns))
        rows = [
            (column, self._windows.index(column.window), place, own)
            for column, place, own in zip(self.columns, places, track, strict=True)
        ]
        counts, trends, shares = ([row for row in rows if row[0].measure == measure] for measure in OF_COUNTS)
        others = sorted((row for row in rows if row[0].measure not in OF_COUNTS), key=lambda row: row[0].slot)
        needs = np.zeros(self.slots, dtype=np.int64)
        for column, *_ in others:
            needs[column.slot] |= NEEDS[column.measure]
        table = [(MEASURES.index(column.measure), column.slot, window, own) for column, window, _, own in others]
        written = [*counts, *trends, *shares, *others]
        zero = [column.measure in ZERO_WITHOUT_RECORDS for column, *_ in written]
        return Wanted(
            counts=self._totals(counts, [self._upto, self._edges.start]),
            trends=self._totals(trends, [self._upto, self._edges.start, self._edges.before]),
            shares=np.concatenate(
                [
                    self._totals(shares, [self._upto, self._edges.start]),
                    self._totals(shares, [self._upto, self._edges.start], whole=True),
                ]
            ),
            columns=np.array(table, dtype=np.int64).reshape(-1, 4),
            first=np.searchsorted([row[1] for row in table], np.arange(self.slots + 1)).astype(np.int64),
            needs=needs,
            tracks=np.array(tracks, dtype=np.int64).reshape(-1, 3),
            places=np.array([place for _, _, place, _ in written], dtype=np.uint64),
            empty=np.where(zero, 0.0, np.nan).astype(np.float32),
            value_unit=self.value_unit,
        )

    @property
    def _upto(self) -> Ints:
        """The boundary of each cutoff, for each window alike, shape (cutoffs, windows)."""
        return np.broadcast_to(self._edges.end[:, None], self._edges.start.shape)

    def _totals(
        self, rows: Sequence[tuple[Column, int, int, int]], boundaries: Sequence[Ints], *, whole: bool = False
    ) -> npt.NDArray[np.uint64]:
        """Where totals stand among those of all slots at all boundaries, shape (boundaries, cutoffs, rows)."""
        slot = np.array([(column.of or 0) if whole else column.slot for column, *_ in rows], dtype=np.int64)
        window = [window for _, window, *_ in rows]
        return np.array([(at[:, window] + 1) * self.slots + slot for at in boundaries]).astype(np.uint64)

    def rows(self, records: Iterable[Records], row_code: Ints, row_cutoff: Ints) -> Floats:
        """The rows of customers, all at once: see `sweep_blocks`."""
        out = np.empty((len(row_code), self.width or len(self.columns)), dtype=np.float32)
        for _ in sweep_blocks(records, self, row_code, row_cutoff, into=out):
            pass
        return out

    def sweep_heap(
        self, heap: dict[str, npt.NDArray[Any]], row_who: npt.NDArray[np.int16], row_cutoff: Ints, out: Floats
    ) -> None:
        """Write the rows of the customers of one heap."""
        none = np.empty(0, dtype=np.int64)
        time = heap.get("time", none)
        order, first_of = by_customer(heap["who"], time, int(row_who[-1]) + 1)
        parts = Walked(
            order=order,
            at=heap["at"],
            known_at=heap["known_at"],
            time=time,
            day=local_days(time, self.zone),
            slots=heap["slots"],
            value=heap.get("value", none),
            keys=heap.get("keys", none.reshape(0, 0)),
        )
        records = Walked(*[read_only(part) for part in parts])
        sweep_customers(records, first_of, read_only(row_who), read_only(row_cutoff), self._edges, self._wanted, out)

    def dealt(self, groups: Groups, spill: Spill | None) -> Dealt:
        """Heaps of records for this sweep, still empty."""
        return Dealt(groups, self._edges, timed=self.reads_times, spill=spill)


def sweep_blocks(
    batches: Iterable[Records],
    sweep: Sweep,
    row_code: Ints,
    row_cutoff: Ints,
    *,
    into: Floats | None = None,
    spill: Spill | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Floats]]:
    """The rows in order, block by block, once all records have come.

    Parameters
    ----------
    batches : iterable of Records
        Records in any order; customers without rows are passed over.
    sweep : Sweep
        What to compute.
    row_code, row_cutoff : ndarray of int64, shape (rows,)
        The rows wanted: customer number and position in the cutoffs, sorted by both.
    into : ndarray of float32, shape (rows, columns), optional
        What the rows are written into; each block is a part of it.
    spill : Spill, optional
        Where records go that memory is not to hold.
    progress : callable, optional
        Told how many rows are done.

    Yields
    ------
    start : int
        The block's first row.
    block : ndarray of float32, shape (rows of the block, columns)
        `BLOCK_ROWS` rows, and the last customer's, at most. Counts, sums, days, trends, distinct and streaks are 0
        where there is no record; the others are NaN.
    """
    most = min(GROUP_ROWS, BLOCK_ROWS)
    groups, at_once = Groups.of(row_code, most_rows=most), BLOCK_ROWS // most
    width = sweep.width or len(sweep.columns)
    with sweep.dealt(groups, spill) as dealt, ThreadPoolExecutor(sweep.threads) as workers:
        for batch in batches:
            dealt.add(vars(batch))
        if dealt.is_empty:
            dealt.add(vars(_no_records()))
        for first in range(0, len(groups), at_once):
            bounds = groups.rows[first : min(first + at_once, len(groups)) + 1]
            start, stop = int(bounds[0]), int(bounds[-1])
            block = np.empty((stop - start, width), dtype=np.float32) if into is None else into[start:stop]

            def work(group: int, block: Floats = block, start: int = start) -> None:
                a, b = int(groups.rows[group]), int(groups.rows[group + 1])
                sweep.sweep_heap(dealt.heap(group), groups.row_who[a:b], row_cutoff[a:b], block[a - start : b - start])

            for _ in workers.map(work, range(first, first + len(bounds) - 1)):
                pass
            if progress is not None:
                progress(stop)
            yield start, block


def _no_records() -> Records:
    empty = np.empty(0, dtype=np.int64)
    return Records(empty, empty, empty, np.empty((0, 0), dtype=np.int16))


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, the next of which is fetched in a thread of its own while one is worked on."""
    end = object()
    coming = iter(items)
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, coming, end)
        while (item := following.result()) is not end:
            following = reader.submit(next, coming, end)
            yield item  # type: ignore[misc]
