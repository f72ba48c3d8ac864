"""One walk over sorted records for all cutoffs and windows.

Records come sorted by customer and time. The kernel walks each customer's records once and keeps running
totals; at every boundary (a cutoff, or a cutoff minus a window) it remembers them, so that

    feature(cutoff, window) = total before cutoff − total before (cutoff − window).

A record counts for a cutoff if ``cutoff − window <= occurred_at < cutoff`` and it was known before the
cutoff. Where a customer has a record that became known late, that customer is walked once per cutoff over
the records known by then. Sums are of integers: row order changes nothing, not even the last bit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numba
import numpy as np
import numpy.typing as npt

from propensity.temporal import Duration, microseconds

if not numba.config.CACHE_DIR:  # numba's cache is a pickle: it stays in the user's cache, away from every artifact
    numba.config.CACHE_DIR = str(Path.home() / ".cache" / "propensity" / "numba")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MEASURES = ("count", "sum", "days", "trend", "recency", "since_first", "gap_mean", "gap_sd", "gap_last")
"""What a column reads: count; sum of values; distinct days; count minus the count of the window before; days
since the last and since the first record; mean, standard deviation and last of the gaps between active days."""

_COUNT, _SUM, _DAYS, _TREND, _RECENCY, _SINCE_FIRST, _GAP_MEAN, _GAP_SD, _GAP_LAST = range(9)
# Rows of the running state: what adds up, then what is only read at cutoffs.
_FIRST_TIME, _LAST_TIME, _FIRST_DAY, _LAST_DAY, _GAP_SQUARES, _LAST_GAP = range(3, 9)
_STATE, _ADDITIVE = 9, 3
_NEVER = np.iinfo(np.int64).max
_DAY = 86_400_000_000.0


@dataclass(frozen=True)
class Column:
    """One swept column: a measure of the records in a slot within a window (None: all time before the cutoff)."""

    name: str
    measure: str
    slot: int
    window: Duration | None = None


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
    """

    code: Ints
    time: Ints
    known: Ints
    day: npt.NDArray[np.int32]
    slots: npt.NDArray[np.int32]
    value: Ints

    def __len__(self) -> int:
        return len(self.code)

    def slice(self, start: int, stop: int) -> "Records":
        """The records from `start` to before `stop`."""
        return Records(**{name: getattr(self, name)[start:stop] for name in self.__dataclass_fields__})

    def followed_by(self, other: "Records") -> "Records":
        """These records, then `other`."""
        return Records(
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__}
        )


class _Edges(NamedTuple):
    """All boundary instants, and where each cutoff's end and window starts stand among them (−1: no start)."""

    instants: Ints
    is_cutoff: npt.NDArray[np.bool_]
    cutoffs: Ints
    end: Ints
    start: Ints


class _Walked(NamedTuple):
    """Records as the kernel takes them: see `Records`."""

    code: Ints
    time: Ints
    known: Ints
    day: npt.NDArray[np.int32]
    slots: npt.NDArray[np.int32]
    value: Ints


class _Memory(NamedTuple):
    """What the kernel remembers of one customer.

    `state` and `snapshots` hold a row for each running total (see the constants) and a column for each slot;
    `version` is the snapshot of each boundary; `resumed` is when a day that began before a boundary went on behind
    it; `passed` is how many boundaries lay before a slot's last record.
    """

    state: Ints
    snapshots: Ints
    version: Ints
    resumed: Ints
    passed: Ints


@dataclass(frozen=True)
class _Wanted:
    """What to compute: `columns` holds measure, slot and window of each, as numbers."""

    edges: _Edges
    columns: Ints
    slots: int
    value_unit: int


def _boundaries(cutoffs: list[datetime], windows: list[Duration | None], zone: ZoneInfo) -> _Edges:
    ends = np.array([microseconds(cutoff) for cutoff in cutoffs], dtype=np.int64)
    starts = np.array(
        [[microseconds(w.before(cutoff, zone=zone)) if w else -1 for w in windows] for cutoff in cutoffs],
        dtype=np.int64,
    ).reshape(len(cutoffs), len(windows))
    bounded = np.array([w is not None for w in windows], dtype=bool)
    instants = np.unique(np.concatenate([ends, starts[:, bounded].ravel()]))
    start = np.where(bounded, np.searchsorted(instants, starts), -1)
    return _Edges(
        instants=instants,
        is_cutoff=np.isin(instants, ends),
        cutoffs=ends,
        end=np.searchsorted(instants, ends).astype(np.int64),
        start=start.astype(np.int64),
    )


def sweep(
    batches: Iterable[Records],
    *,
    row_code: Ints,
    row_cutoff: Ints,
    cutoffs: list[datetime],
    columns: list[Column],
    zone: ZoneInfo,
    slots: int,
    value_unit: int = 1,
    out: Floats | None = None,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Compute all columns for all rows in one pass over the records.

    Parameters
    ----------
    batches : iterable of Records
        Records sorted by ``code`` and ``time``; a customer may go on in the next batch.
    row_code, row_cutoff : ndarray of int64, shape (rows,)
        The rows wanted: customer number and position in `cutoffs`, sorted by both.
    cutoffs : list of datetime
        Aware instants.
    columns : list of Column
        What to compute.
    zone : ZoneInfo
        The calendar that windows in days and months are counted on.
    slots : int
        Number of slots.
    value_unit : int, default=1
        Sums are told in this many units of ``value``: exact whole numbers are divided once, at the end.
    out : ndarray of float32, shape (rows, columns), optional
        Where to write.
    progress : callable, optional
        Called with the number of records done.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Counts, sums and days are 0 where there is no record; recency and gaps are NaN.
    """
    windows: list[Duration | None] = [None, *sorted({c.window for c in columns if c.window}, key=str)]
    doubled = [Duration(w.count * 2, w.unit) for w in windows if w]
    wanted = _Wanted(
        edges=_boundaries(cutoffs, [*windows, *doubled], zone),
        columns=np.array(
            [[MEASURES.index(c.measure), c.slot, windows.index(c.window)] for c in columns], dtype=np.int64
        ).reshape(len(columns), 3),
        slots=slots,
        value_unit=value_unit,
    )
    result = np.zeros((len(row_code), len(columns)), dtype=np.float32) if out is None else out
    done, carried = 0, None
    for batch in batches:
        records = batch if carried is None else carried.followed_by(batch)
        if len(records) == 0:
            continue
        last = records.code[-1]
        cut = int(np.searchsorted(records.code, last))  # the last customer may go on in the next batch
        stop = int(np.searchsorted(row_code, last))
        if stop > done:
            _walk(records.slice(0, cut), row_code[done:stop], row_cutoff[done:stop], wanted, result[done:stop])
        done, carried = max(done, stop), records.slice(cut, len(records))
        if progress:
            progress(cut)
    _walk(carried or _no_records(), row_code[done:], row_cutoff[done:], wanted, result[done:])
    return result


def _no_records() -> Records:
    empty = np.empty(0, dtype=np.int64)
    return Records(empty, empty, empty, empty.astype(np.int32), np.empty((0, 1), dtype=np.int32), empty)


def _walk(records: Records, row_code: Ints, row_cutoff: Ints, wanted: _Wanted, out: Floats) -> None:
    walked = _Walked(*[_read_only(getattr(records, name)) for name in _Walked._fields])
    _sweep_kernel(walked, row_code, row_cutoff, wanted.edges, wanted.columns, wanted.slots, wanted.value_unit, out)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written, as arrays out of Arrow are: numba compiles the kernel for one of the two only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@numba.njit(cache=True, nogil=True)
def _sweep_kernel(records, row_code, row_cutoff, edges, columns, slots, value_unit, out):  # type: ignore[no-untyped-def]
    bounds, rows = len(edges.instants), len(row_code)
    memory = _Memory(
        np.zeros((_STATE, slots), dtype=np.int64),
        np.zeros((bounds + 1, _STATE, slots), dtype=np.int64),
        np.zeros(bounds, dtype=np.int64),
        np.full((bounds, slots), _NEVER, dtype=np.int64),
        np.zeros(slots, dtype=np.int64),
    )
    row, first = 0, 0
    while row < rows:
        customer, last_row = row_code[row], row
        while last_row < rows and row_code[last_row] == customer:
            last_row += 1
        while first < len(records.code) and records.code[first] < customer:
            first += 1
        stop = first
        while stop < len(records.code) and records.code[stop] == customer:
            stop += 1
        late = _has_late(records, first, stop, row_cutoff[row:last_row], edges.cutoffs)
        if not late:
            _walk_customer(records, first, stop, _NEVER, edges, memory)
        for r in range(row, last_row):
            if late:
                _walk_customer(records, first, stop, edges.cutoffs[row_cutoff[r]], edges, memory)
            _read_row(r, row_cutoff[r], edges, columns, value_unit, memory, out)
        row, first = last_row, stop


@numba.njit(cache=True, nogil=True)
def _has_late(records, first, stop, row_cutoff, cutoffs):  # type: ignore[no-untyped-def]
    """Whether a record had happened, and was not yet known, at one of the cutoffs."""
    for i in range(first, stop):
        if records.known[i] > records.time[i]:
            for c in row_cutoff:
                if records.time[i] < cutoffs[c] and records.known[i] >= cutoffs[c]:
                    return True
    return False


@numba.njit(cache=True, nogil=True)
def _walk_customer(records, first, stop, visible, edges, memory):  # type: ignore[no-untyped-def]
    """Fill the snapshots of one customer from the records known before `visible`."""
    state, snapshots = memory.state, memory.snapshots
    state[:] = 0
    memory.resumed[:] = _NEVER
    memory.passed[:] = 0
    bound, used, full, changed = 0, 0, True, False
    snapshots[0] = 0
    for i in range(first, stop + 1):
        if i < stop and records.known[i] >= visible:
            continue
        while bound < len(edges.instants) and (i == stop or edges.instants[bound] <= records.time[i]):
            # Boundaries with no record between them share one snapshot.
            if changed or (edges.is_cutoff[bound] and not full):
                if changed:
                    used += 1
                full = edges.is_cutoff[bound]
                kept = _STATE if full else _ADDITIVE
                snapshots[used, :kept] = state[:kept]
                changed = False
            memory.version[bound] = used
            bound += 1
        if i < stop:
            for slot in records.slots[i]:
                if slot >= 0:
                    _add(memory, slot, records.time[i], records.day[i], records.value[i], bound)
            changed = True


@numba.njit(cache=True, nogil=True, inline="always")
def _add(memory, slot, time, day, value, bound):  # type: ignore[no-untyped-def]
    state = memory.state
    if state[_COUNT, slot] == 0:
        state[_FIRST_TIME, slot] = time
        state[_FIRST_DAY, slot] = day
        state[_DAYS, slot] = 1
    elif day != state[_LAST_DAY, slot]:
        gap = day - state[_LAST_DAY, slot]
        state[_GAP_SQUARES, slot] += gap * gap
        state[_LAST_GAP, slot] = gap
        state[_DAYS, slot] += 1
    else:
        # The day began before these boundaries and goes on behind them: it is active on both sides.
        for b in range(memory.passed[slot], bound):
            memory.resumed[b, slot] = time
    state[_COUNT, slot] += 1
    state[_SUM, slot] += value
    state[_LAST_TIME, slot] = time
    state[_LAST_DAY, slot] = day
    memory.passed[slot] = bound


@numba.njit(cache=True, nogil=True)
def _read_row(row, cutoff, edges, columns, value_unit, memory, out):  # type: ignore[no-untyped-def]
    snapshots, version, start = memory.snapshots, memory.version, edges.start[cutoff]
    now, windows = edges.cutoffs[cutoff], len(start) // 2 + 1
    at = snapshots[version[edges.end[cutoff]]]
    for column in range(len(columns)):
        measure, slot, window = columns[column, 0], columns[column, 1], columns[column, 2]
        opening = start[window]
        if measure <= _DAYS:
            total = at[measure, slot]
            if opening >= 0:
                total -= snapshots[version[opening], measure, slot]
                if measure == _DAYS and memory.resumed[opening, slot] < now:
                    total += 1
            out[row, column] = total / value_unit if measure == _SUM else total
        elif measure == _TREND:
            # The windows' doubles stand behind the windows, in the same order.
            before = start[windows - 1 + window]
            middle = snapshots[version[opening], _COUNT, slot]
            out[row, column] = at[_COUNT, slot] - 2 * middle + snapshots[version[before], _COUNT, slot]
        elif measure == _RECENCY and opening >= 0 and at[_LAST_TIME, slot] < edges.instants[opening]:
            out[row, column] = np.nan
        else:
            out[row, column] = _read_state(at, measure, slot, now)


@numba.njit(cache=True, nogil=True)
def _read_state(at, measure, slot, cutoff):  # type: ignore[no-untyped-def]
    gaps = at[_DAYS, slot] - 1
    if gaps < 0 or (measure >= _GAP_MEAN and gaps < 1) or (measure == _GAP_SD and gaps < 2):
        return np.nan
    if measure == _RECENCY:
        return (cutoff - at[_LAST_TIME, slot]) / _DAY
    if measure == _SINCE_FIRST:
        return (cutoff - at[_FIRST_TIME, slot]) / _DAY
    if measure == _GAP_LAST:
        return float(at[_LAST_GAP, slot])
    mean = (at[_LAST_DAY, slot] - at[_FIRST_DAY, slot]) / gaps
    if measure == _GAP_MEAN:
        return mean
    return np.sqrt(max(0.0, at[_GAP_SQUARES, slot] / gaps - mean * mean))
