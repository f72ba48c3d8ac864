"""One walk over sorted records for all cutoffs and windows.

Records come sorted by customer and time. The kernel (`propensity.features.kernel`) walks each customer's records once
and keeps totals between boundaries (all cutoffs and window starts), so that

    feature(cutoff, window) = total before cutoff − total before (cutoff − window).

A record counts for a cutoff if ``cutoff − window <= occurred_at < cutoff`` and it was known before the
cutoff. For the cutoffs that a customer's late record had happened before, and was not known at, the customer is
walked once more over what was known. Sums are of integers: row order changes nothing, not even the last bit.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from propensity.features.days import local_days
from propensity.features.kernel import (
    MEASURES,
    NEEDS,
    ZERO_WITHOUT_RECORDS,
    Edges,
    Walked,
    Wanted,
    read_only,
    sweep_customers,
)
from propensity.temporal import Duration, microseconds

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
T = TypeVar("T")
_NONE = np.iinfo(np.int64).min
BLOCK_ROWS = 131_072
"""Rows that leave the sweep at a time."""


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
    """Sorted records as arrays: n records, each in up to k slots (−1: none).

    Attributes
    ----------
    code, time, known : ndarray of int64, shape (n,)
        Customer number; microseconds since 1970 (UTC) of happening and of becoming known.
    day : ndarray of int32, shape (n,)
        Local day number.
    slots : ndarray of int32, shape (n, k)
        The slots that the record counts in.
    value : ndarray of int64, shape (n,)
        What `sum` adds, in whole units.
    keys : ndarray of int64, shape (n, d), optional
        Categories as numbers (0: none), of which `distinct` counts the different ones.
    """

    code: Ints
    time: Ints
    known: Ints
    day: npt.NDArray[np.int32]
    slots: npt.NDArray[np.int32]
    value: Ints
    keys: Ints | None = None

    def __len__(self) -> int:
        return len(self.code)

    def slice(self, start: int, stop: int) -> "Records":
        """The records from `start` to before `stop`."""
        return self._each(lambda name: getattr(self, name)[start:stop])

    def followed_by(self, other: "Records") -> "Records":
        """These records, then `other`."""
        return self._each(lambda name: np.concatenate([getattr(self, name), getattr(other, name)]))

    def _each(self, make: Callable[[str], Any]) -> "Records":
        names = [name for name in self.__dataclass_fields__ if getattr(self, name) is not None]
        return Records(**{name: make(name) for name in names})

    @property
    def walked(self) -> Walked:
        """As the kernel takes them."""
        keys = np.empty((len(self), 0), dtype=np.int64) if self.keys is None else self.keys
        parts: list[npt.NDArray[Any]] = [self.code, self.time, self.known, self.day, self.slots, self.value, keys]
        return Walked(*[read_only(part) for part in parts])


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
    """

    columns: tuple[Column, ...]
    cutoffs: tuple[datetime, ...]
    zone: ZoneInfo
    slots: int
    value_unit: int = 1
    threads: int = 1

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
        owners = np.array([c.slot if c.of is None else c.of for c in self.columns], dtype=np.int64)
        order = np.argsort(owners, kind="stable")
        tracks = [(c.slot, c.key, self._windows.index(c.window)) for c in self.columns if c.measure == "distinct"]
        needs = np.zeros(self.slots, dtype=np.int64)
        for column in self.columns:
            needs[column.slot] |= NEEDS.get(column.measure, 0)
        track = np.cumsum([c.measure == "distinct" for c in self.columns]) - 1
        table = [
            [MEASURES.index(c.measure), c.slot, self._windows.index(c.window), j, track[j]]
            for j, c in enumerate(self.columns)
        ]
        return Wanted(
            columns=np.array(table, dtype=np.int64).reshape(len(table), 5)[order],
            first=np.searchsorted(owners[order], np.arange(self.slots + 1)).astype(np.int64),
            needs=needs,
            tracks=np.array(tracks, dtype=np.int64).reshape(len(tracks), 3),
            value_unit=self.value_unit,
        )

    @cached_property
    def _empty(self) -> Floats:
        """The row of a customer without records, shape (columns,)."""
        zero = [c.measure in ZERO_WITHOUT_RECORDS for c in self.columns]
        return np.where(zero, 0.0, np.nan).astype(np.float32)

    def rows(self, records: Records, row_code: Ints, row_cutoff: Ints) -> Floats:
        """The rows of customers, all of whose records are given.

        Parameters
        ----------
        records : Records
            Sorted by ``code`` and ``time``; customers without rows are passed over.
        row_code, row_cutoff : ndarray of int64, shape (rows,)
            The rows wanted: customer number and position in `cutoffs`, sorted by both.

        Returns
        -------
        ndarray of float32, shape (rows, columns)
            Counts, sums, days, trends, distinct and streaks are 0 where there is no record; the others are NaN.
        """
        out = np.empty((len(row_code), len(self.columns)), dtype=np.float32)
        cuts = np.linspace(0, len(row_code), max(1, min(self.threads, len(row_code) // 64)) + 1).astype(int)
        cuts[1:-1] = np.searchsorted(row_code, row_code[cuts[1:-1]])  # a customer stays in one share
        shares = list(pairwise(cuts))
        if len(shares) == 1:
            self._share(records, row_code, row_cutoff, out)
            return out
        with ThreadPoolExecutor(len(shares)) as workers:
            running = [
                workers.submit(
                    self._share, _of_customers(records, row_code[a:b]), row_code[a:b], row_cutoff[a:b], out[a:b]
                )
                for a, b in shares
                if b > a
            ]
            for share in running:
                share.result()
        return out

    def _share(self, records: Records, row_code: Ints, row_cutoff: Ints, out: Floats) -> None:
        out[:] = self._empty
        sweep_customers(records.walked, row_code, row_cutoff, self._edges, self._wanted, out)


def _of_customers(records: Records, row_code: Ints) -> Records:
    """The records of the customers of some rows, as a view."""
    start, stop = np.searchsorted(records.code, [row_code[0], row_code[-1] + 1])
    return records.slice(int(start), int(stop))


def sweep_blocks(
    batches: Iterable[Records], sweep: Sweep, row_code: Ints, row_cutoff: Ints
) -> Iterator[tuple[int, Floats]]:
    """The rows in order, as their customers' records have all come, while the next batch is read.

    Parameters
    ----------
    batches : iterable of Records
        Records sorted by ``code`` and ``time``; a customer may go on in the next batch.
    sweep : Sweep
        What to compute.
    row_code, row_cutoff : ndarray of int64, shape (rows,)
        The rows wanted: customer number and position in the cutoffs, sorted by both.

    Yields
    ------
    start : int
        The block's first row.
    block : ndarray of float32, shape (rows of the block, columns)
        `BLOCK_ROWS` rows and the last customer's, at most.
    """
    done, carried = 0, _no_records()
    for batch in read_ahead(batches):
        if len(batch) == 0:
            continue
        records = batch if len(carried) == 0 else carried.followed_by(batch)
        last = records.code[-1]
        cut = int(np.searchsorted(records.code, last))  # the last customer may go on in the next batch
        stop = max(done, int(np.searchsorted(row_code, last)))
        yield from _complete(records.slice(0, cut), sweep, row_code, row_cutoff, done, stop)
        done, carried = stop, records.slice(cut, len(records))
    yield from _complete(carried, sweep, row_code, row_cutoff, done, len(row_code))


def _complete(
    records: Records, sweep: Sweep, row_code: Ints, row_cutoff: Ints, start: int, stop: int
) -> Iterator[tuple[int, Floats]]:
    """The rows from `start` to `stop`, cut into blocks between customers: few records may make many rows."""
    while start < stop:
        end = min(start + BLOCK_ROWS, stop)
        if end < stop:
            end = int(np.searchsorted(row_code, row_code[end - 1], side="right"))
        of_block = _of_customers(records, row_code[start:end])
        yield start, sweep.rows(of_block, row_code[start:end], row_cutoff[start:end])
        start = end


def _no_records() -> Records:
    empty = np.empty(0, dtype=np.int64)
    return Records(empty, empty, empty, empty.astype(np.int32), np.empty((0, 0), dtype=np.int32), empty)


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, the next of which is fetched in a thread of its own while one is worked on."""
    end = object()
    coming = iter(items)
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, coming, end)
        while (item := following.result()) is not end:
            following = reader.submit(next, coming, end)
            yield item  # type: ignore[misc]
