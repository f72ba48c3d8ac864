"""Records dealt out by customer: read in any order, kept in as many heaps as there are groups of customers.

A walk over a customer's records needs them together, and nothing needs all records in order. Each batch is dealt
into heaps in one pass; a heap is small enough to be put in order inside the processor's cache. What exceeds a limit
of memory is written to a file, heap by heap, and read back when its customers' turn comes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from propensity.features.layout import Edges, read_only

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Spill:
    """Where records go that memory is not to hold: into `folder`, from `limit` bytes on."""

    folder: Path
    limit: int


class Grid(NamedTuple):
    """The boundaries, and for each day from the first one's on the first boundary that lies in it or later.

    Attributes
    ----------
    instants : ndarray of int64, shape (e,)
        Boundaries in order (microseconds since 1970 UTC).
    first_day : int
        The day of the first boundary, in days since 1970.
    at_day : ndarray of int32, shape (days,)
        What a search for the boundary after an instant of that day begins with.
    """

    instants: Ints
    first_day: int
    at_day: Numbers

    @classmethod
    def of(cls, edges: Edges) -> "Grid":
        """The grid of a sweep's boundaries."""
        days = edges.instants // _DAY
        midnights = np.arange(days[0], days[-1] + 1, dtype=np.int64) * _DAY
        at_day = np.searchsorted(edges.instants, midnights, side="left").astype(np.int32)
        return cls(edges.instants, int(days[0]), at_day)


@dataclass(frozen=True)
class Groups:
    """Customers in groups, whose records lie in one heap and whose rows are swept together.

    Attributes
    ----------
    customers : ndarray of int64, shape (m,)
        Customer numbers that have rows, ascending. Each group has ``2 ** shift`` of them, the last what is left.
    shift : int
        See `customers`.
    rows : ndarray of int64, shape (g + 1,)
        Where each group's rows begin.
    row_who : ndarray of int16, shape (n,)
        The customer of each row, by position among its group's.
    """

    customers: Ints
    shift: int
    rows: Ints
    row_who: npt.NDArray[np.int16]

    @classmethod
    def of(cls, row_code: Ints, *, most_rows: int) -> "Groups":
        """Groups of up to `most_rows` rows (at most 32,768), or of one customer."""
        is_first = np.ones(len(row_code), dtype=bool)
        is_first[1:] = row_code[1:] != row_code[:-1]
        first_rows = np.append(np.flatnonzero(is_first), len(row_code))
        most_of_one = int(np.diff(first_rows).max(initial=1))
        shift = max(most_rows // most_of_one, 1).bit_length() - 1
        who = np.cumsum(is_first) - 1
        rows = np.append(first_rows[:-1][:: 1 << shift], len(row_code))
        return cls(row_code[first_rows[:-1]], shift, rows, (who & ((1 << shift) - 1)).astype(np.int16))

    def __len__(self) -> int:
        return len(self.rows) - 1

    def position_of(self) -> Numbers:
        """The position of each customer number among `customers` (−1: no rows); empty where the two are the same."""
        if len(self.customers) and self.customers[-1] == len(self.customers) - 1:
            return np.empty(0, dtype=np.int32)
        found = np.full(int(self.customers[-1]) + 1 if len(self.customers) else 0, -1, dtype=np.int32)
        found[self.customers] = np.arange(len(self.customers))
        return found


class Dealt:
    """The heaps.

    Parameters
    ----------
    groups : Groups
        Whose records lie in a heap together; records of other customers, or after the last boundary, are left out.
    edges : Edges
        The boundaries that records fall between.
    timed : bool
        Whether times are kept.
    spill : Spill, optional
        None keeps everything in memory.
    """

    def __init__(self, groups: Groups, edges: Edges, *, timed: bool, spill: Spill | None = None) -> None:
        self._position_of, self._shift, self._groups = groups.position_of(), groups.shift, len(groups)
        self._customers = len(groups.customers)
        self._grid, self._timed, self._spill = Grid.of(edges), timed, spill
        # Boundaries are few: half the memory of what is kept of a record.
        self._small = np.empty(0, dtype=np.int16 if len(edges.instants) < 2**15 else np.int32)
        self._parts: list[_Part] = []
        self._held = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Dealt":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def is_empty(self) -> bool:
        """Whether no batch has been dealt out."""
        return not self._parts

    def add(self, batch: Mapping[str, npt.NDArray[Any] | None]) -> None:
        """Deal out a batch: its columns by name, as `propensity.features.sweep.Records` has them."""
        given = {name: read_only(column) for name, column in batch.items() if column is not None}
        columns = [given[name] for name in ("code", "time", "known")]
        order, who, at, known_at, starts = _deal(
            *columns, self._grid, self._position_of, self._customers, self._shift, self._groups, self._small
        )
        part = {"who": who, "at": at, "known_at": known_at, "slots": _taken(given["slots"], order)}
        more = ["value", "keys", *(["time"] if self._timed else [])]
        part |= {name: given[name][order] for name in more if name in given}
        self._parts.append(_Part(starts, part))
        self._held += sum(column.nbytes for column in part.values())
        if self._spill is not None and self._held > self._spill.limit:
            self._write(self._spill.folder)

    def heap(self, group: int) -> dict[str, npt.NDArray[Any]]:
        """The records of a group by column: ``who`` (position among the group's), ``at``, ``known_at``, ``slots``, …"""
        names = list(dict.fromkeys(name for part in self._parts for name in part.columns))
        return {name: np.concatenate([part.slice(name, group) for part in self._parts]) for name in names}

    def _write(self, folder: Path) -> None:
        if self._file is None:
            self._file = (folder / "records").open("w+b", buffering=0)
        for part in self._parts:
            part.write(self._file)
        self._held = 0


@dataclass(frozen=True)
class _Stored:
    """A column in a file: where it begins, and its type and the shape of one record."""

    file: BinaryIO
    offset: int
    dtype: np.dtype[Any]
    width: tuple[int, ...]

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        each = self.dtype.itemsize * int(np.prod(self.width))
        # Without a position in the file, which threads would share.
        read = os.pread(self.file.fileno(), (rows.stop - rows.start) * each, self.offset + rows.start * each)
        return np.frombuffer(read, self.dtype).reshape(-1, *self.width)


@dataclass
class _Part:
    """A batch that has been dealt out: its columns, heap after heap, and where each heap begins."""

    starts: Ints
    columns: dict[str, npt.NDArray[Any] | _Stored] = field(default_factory=dict)

    def slice(self, name: str, group: int) -> npt.NDArray[Any]:
        return self.columns[name][slice(int(self.starts[group]), int(self.starts[group + 1]))]

    def write(self, file: BinaryIO) -> None:
        for name, column in self.columns.items():
            if isinstance(column, np.ndarray):
                offset = file.seek(0, 2)
                column.tofile(file)
                self.columns[name] = _Stored(file, offset, column.dtype, column.shape[1:])


@numba.njit(cache=True, nogil=True)
def _after(grid, time, least):  # type: ignore[no-untyped-def]
    """The first boundary after an instant, from the boundary `least` on."""
    count = len(grid.instants)
    at, day = least, time // _DAY - grid.first_day
    if day >= len(grid.at_day):
        return count
    if day >= 0:
        at = max(at, grid.at_day[day])
    while at < count and grid.instants[at] <= time:
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _deal(code, time, known, grid, position_of, customers, shift, groups, small):  # type: ignore[no-untyped-def]
    """Where each record goes: its place, customer and boundaries, heap after heap, and where each heap begins."""
    count, last, mask = len(code), len(grid.instants), (1 << shift) - 1
    found, after = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int32)
    starts = np.zeros(groups + 2, dtype=np.int64)
    for i in range(count):
        if len(position_of) == 0:  # every number has rows: to look each up would miss the cache
            found[i] = code[i] if code[i] < customers else -1
        else:
            found[i] = position_of[code[i]] if code[i] < len(position_of) else -1
        if found[i] >= 0:
            after[i] = _after(grid, time[i], 0)
            if after[i] < last:
                starts[(found[i] >> shift) + 2] += 1
            else:
                found[i] = -1
    for g in range(2, groups + 2):
        starts[g] += starts[g - 1]
    kept = starts[groups + 1]
    order, who = np.empty(kept, dtype=np.int32), np.empty(kept, dtype=np.int16)
    at, known_at = np.empty(kept, dtype=small.dtype), np.empty(kept, dtype=small.dtype)
    for i in range(count):
        if found[i] >= 0:
            heap = (found[i] >> shift) + 1
            order[starts[heap]] = i
            starts[heap] += 1
    # What is written goes on in one place: to write several columns in hundreds of places at a time is slow.
    for place in range(kept):
        i = order[place]
        who[place], at[place] = found[i] & mask, after[i]
        in_time = known[i] < grid.instants[after[i]]  # most are known long before the next boundary
        known_at[place] = after[i] if in_time else _after(grid, known[i], after[i])
    return order, who, at, known_at, starts[: groups + 1]


@numba.njit(cache=True, nogil=True)
def _taken(table, order):  # type: ignore[no-untyped-def]
    """Some rows of a table: NumPy takes them one by one, with more ado."""
    out = np.empty((len(order), table.shape[1]), dtype=table.dtype)
    for i in range(len(order)):
        for k in range(table.shape[1]):
            out[i, k] = table[order[i], k]
    return out


@numba.njit(cache=True, nogil=True)
def by_customer(who, time, customers):  # type: ignore[no-untyped-def]
    """A heap in the order of its customers, and of time where `time` is not empty; where each customer begins."""
    first_of = np.zeros(customers + 2, dtype=np.int64)
    for i in range(len(who)):
        first_of[who[i] + 2] += 1
    for c in range(2, customers + 2):
        first_of[c] += first_of[c - 1]
    order = np.empty(len(who), dtype=np.int32)
    for i in range(len(who)):
        order[first_of[who[i] + 1]] = i
        first_of[who[i] + 1] += 1
    if len(time) > 0:
        for c in range(customers):
            _by_time(order, first_of[c], first_of[c + 1], time)
    return order, first_of[: customers + 1]


@numba.njit(cache=True, nogil=True)
def _by_time(order, first, stop, time):  # type: ignore[no-untyped-def]
    for j in range(first + 1, stop):
        if time[order[j]] < time[order[j - 1]]:
            own = order[first:stop].copy()
            own_time = np.empty(len(own), dtype=np.int64)
            for k in range(len(own)):
                own_time[k] = time[own[k]]
            sorted_ = np.argsort(own_time, kind="mergesort")
            for k in range(len(own)):
                order[first + k] = own[sorted_[k]]
            return
