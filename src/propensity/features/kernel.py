"""The compiled walk over one customer's records: totals between boundaries, summed up, read off for each row.

The boundaries are all cutoffs and window starts in order of time. A record falls between two of them, and adds to
what its slots hold there. Summed up from the first boundary on, ``total before cutoff − total before window start``
is what a window holds, for everything that adds up. What does not add up has its state beside it: the last record,
day and gap; runs of days; the least and greatest value between two boundaries; where each category was last seen.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

if not numba.config.CACHE_DIR:  # numba's cache is a pickle: it stays in the user's cache, away from every artifact
    numba.config.CACHE_DIR = str(Path.home() / ".cache" / "propensity" / "numba")

Ints = npt.NDArray[np.int64]

MEASURES = (
    "count",
    "sum",
    "days",
    "trend",
    "mean",
    "min",
    "max",
    "share",
    "distinct",
    "recency",
    "since_first",
    "gap_mean",
    "gap_sd",
    "gap_last",
    "streak",
    "streak_longest",
)
(
    _COUNT,
    _SUM,
    _DAYS,
    _TREND,
    _MEAN,
    _MIN,
    _MAX,
    _SHARE,
    _DISTINCT,
    _RECENCY,
    _SINCE_FIRST,
    _GAP_MEAN,
    _GAP_SD,
    _GAP_LAST,
    _STREAK,
    _STREAK_LONGEST,
) = range(len(MEASURES))

ZERO_WITHOUT_RECORDS = ("count", "sum", "days", "trend", "distinct", "streak", "streak_longest")
"""Measures that are 0 where there is no record; the others are missing."""

NEVER = np.iinfo(np.int64).max
_LEAST = np.iinfo(np.int64).min
NO_VALUE = _LEAST
"""The value of a record that has none: it counts, and is in no sum, mean, minimum or maximum."""
_DAY = 86_400_000_000.0

# What a slot holds between two boundaries.
_N, _TOTAL, _ACTIVE, _SQUARES, _LAST_TIME, _LAST_DAY, _LAST_GAP, _RUN, _LONGEST, _LOW, _HIGH, _VALUED = range(12)
_HELD = 12
# What a slot remembers of its records so far.
_FIRST_TIME, _FIRST_DAY, _NOW_DAY, _NOW_AT, _NOW_RUN, _NOW_LONGEST = range(6)
_REMEMBERED = 6

NEEDS_TOTAL, NEEDS_LAST, NEEDS_DAYS, NEEDS_RANGE = 1, 2, 4, 8
NEEDS = {
    "sum": NEEDS_TOTAL,
    "mean": NEEDS_TOTAL,
    "recency": NEEDS_LAST,
    "days": NEEDS_DAYS,
    "min": NEEDS_RANGE,
    "max": NEEDS_RANGE,
    "gap_mean": NEEDS_DAYS,
    "gap_sd": NEEDS_DAYS,
    "gap_last": NEEDS_DAYS,
    "streak": NEEDS_DAYS,
    "streak_longest": NEEDS_DAYS,
}
"""What a slot must hold, besides the number of records, for a measure."""


class Walked(NamedTuple):
    """Records as the kernel takes them: see `propensity.features.sweep.Records`."""

    code: Ints
    time: Ints
    known: Ints
    day: npt.NDArray[np.int32]
    slots: npt.NDArray[np.int32]
    value: Ints
    keys: Ints


class Edges(NamedTuple):
    """The boundaries, and where each cutoff's end and window starts stand among them.

    Attributes
    ----------
    instants : ndarray of int64, shape (e,)
        All boundaries in order (microseconds since 1970 UTC).
    next_cutoff : ndarray of int64, shape (e + 1,)
        The first boundary from here on that is a cutoff (e: none).
    cutoff_at : ndarray of int64, shape (e,)
        Which cutoff the boundary is (−1: none).
    end : ndarray of int64, shape (c,)
        The boundary of each cutoff.
    start, before : ndarray of int64, shape (c, w)
        The boundary at which each window starts, and the window before it (−1: all time).
    cuts_days : bool
        Whether a window starts inside a local day.
    """

    instants: Ints
    next_cutoff: Ints
    cutoff_at: Ints
    end: Ints
    start: Ints
    before: Ints
    cuts_days: bool


class Wanted(NamedTuple):
    """What to compute.

    Attributes
    ----------
    columns : ndarray of int64, shape (p, 5)
        Measure, slot, window, position in the output and distinct track (−1: none), ordered by the slot that the
        column is read with: a share is read with the slot that it is a share of.
    first : ndarray of int64, shape (slots + 1,)
        Where each slot's columns begin.
    needs : ndarray of int64, shape (slots,)
        What each slot holds: see `NEEDS`.
    tracks : ndarray of int64, shape (t, 3)
        For each distinct column: the slot of the records, the column of keys, and the window.
    value_unit : int
        Units of a value in one.
    """

    columns: Ints
    first: Ints
    needs: Ints
    tracks: Ints
    value_unit: int


class _Memory(NamedTuple):
    """What the kernel holds of one customer; `stamp` tells which slots belong to the present walk."""

    held: Ints
    remembered: Ints
    resumed: Ints
    stamp: Ints
    used: Ints
    seen_in: Ints
    distinct: Ints
    late: npt.NDArray[np.bool_]
    chosen: Ints
    walk: Ints


class _Seen(NamedTuple):
    """A hash table of the keys that a customer has had: track, key, walk, and where it was last seen."""

    track: Ints
    key: Ints
    walk: Ints
    at: Ints


@numba.njit(cache=True, nogil=True)
def sweep_customers(records, row_code, row_cutoff, edges, wanted, out):  # type: ignore[no-untyped-def]
    """Write the rows of customers whose records are all here; `out` holds what a row without records has."""
    memory = _new_memory(len(wanted.needs), edges, wanted, len(row_code))
    seen = _new_seen(16)
    row, first = 0, 0
    while row < len(row_code):
        customer, last_row = row_code[row], row
        while last_row < len(row_code) and row_code[last_row] == customer:
            last_row += 1
        while first < len(records.code) and records.code[first] < customer:
            first += 1
        stop = first
        while stop < len(records.code) and records.code[stop] == customer:
            stop += 1
        if stop > first:
            while len(seen.key) < 2 * (stop - first) * len(wanted.tracks):
                seen = _new_seen(2 * len(seen.key))
            _sweep_customer(records, first, stop, row_cutoff, row, last_row, edges, wanted, memory, seen, out)
        row, first = last_row, stop


@numba.njit(cache=True, nogil=True)
def _new_memory(slots, edges, wanted, rows):  # type: ignore[no-untyped-def]
    count, tracks = len(edges.instants), len(wanted.tracks)
    return _Memory(
        np.empty((slots, _HELD, count), dtype=np.int64),
        np.empty((slots, _REMEMBERED), dtype=np.int64),
        np.empty((slots, count if edges.cuts_days else 0), dtype=np.int64),
        np.zeros(slots, dtype=np.int64),
        np.empty(slots, dtype=np.int64),
        np.zeros((tracks, count), dtype=np.int64),
        np.zeros((tracks, len(edges.end)), dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
        np.empty(rows, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


@numba.njit(cache=True, nogil=True)
def _new_seen(size):  # type: ignore[no-untyped-def]
    return _Seen(
        np.empty(size, dtype=np.int64),
        np.empty(size, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        np.empty(size, dtype=np.int64),
    )


@numba.njit(cache=True, nogil=True)
def _sweep_customer(  # type: ignore[no-untyped-def]
    records, first, stop, row_cutoff, row, last_row, edges, wanted, memory, seen, out
):
    """One walk for all cutoffs that knew all their records, and one more for each cutoff that did not."""
    memory.late[:] = False
    used = _walk(records, first, stop, NEVER, edges, wanted, memory, seen)
    count = 0
    for r in range(row, last_row):
        if not memory.late[edges.end[row_cutoff[r]]]:
            memory.chosen[count] = r
            count += 1
    _read(count, used, row_cutoff, edges, wanted, memory, out)
    if count == last_row - row:
        return
    for r in range(row, last_row):
        end = edges.end[row_cutoff[r]]
        if memory.late[end]:
            used = _walk(records, first, stop, edges.instants[end], edges, wanted, memory, seen)
            memory.chosen[0] = r
            _read(1, used, row_cutoff, edges, wanted, memory, out)


@numba.njit(cache=True, nogil=True)
def _walk(records, first, stop, visible, edges, wanted, memory, seen):  # type: ignore[no-untyped-def]
    """Fill the memory from the records known before `visible`; the number of slots used."""
    # Arrays are taken out of their tuples, and never sliced, inside this loop: each would count references.
    times, knowns, days, slots, values = records.time, records.known, records.day, records.slots, records.value
    instants, cutoff_at, next_cutoff, late = edges.instants, edges.cutoff_at, edges.next_cutoff, memory.late
    held, remembered, resumed, stamp, used_slots = (
        memory.held,
        memory.remembered,
        memory.resumed,
        memory.stamp,
        memory.used,
    )
    needs, count, tracks, per_record = wanted.needs, len(instants), len(wanted.tracks), slots.shape[1]
    memory.walk[0] += 1
    walk, at, used = memory.walk[0], 0, 0
    if tracks > 0:
        memory.seen_in[:] = 0
        memory.distinct[:] = 0
    for i in range(first, stop):
        time, known = times[i], knowns[i]
        if known >= visible:
            continue
        while at < count and instants[at] <= time:
            if tracks > 0 and cutoff_at[at] >= 0:
                _count_distinct(at, edges, wanted, memory)
            at += 1
        if at == count:
            break
        if visible == NEVER and known > time:
            edge = next_cutoff[at]
            while edge < count and instants[edge] <= known:
                late[edge] = True
                edge = next_cutoff[edge + 1]
        for k in range(per_record):
            slot = slots[i, k]
            if slot < 0:
                continue
            need = needs[slot]
            if stamp[slot] != walk:
                _begin(held, remembered, resumed, slot, need, times[i], days[i])
                stamp[slot] = walk
                used_slots[used] = slot
                used += 1
            held[slot, _N, at] += 1
            if need != 0:
                _add(held, remembered, resumed, slot, need, at, times[i], days[i], values[i])
        if tracks > 0:
            _see(records, i, at, wanted, memory, seen)
    if tracks > 0:
        for edge in range(at, count):
            if cutoff_at[edge] >= 0:
                _count_distinct(edge, edges, wanted, memory)
    for u in range(used):
        _sum_up(held, used_slots[u], needs[used_slots[u]], count)
    return used


@numba.njit(cache=True, nogil=True)
def _begin(held, remembered, resumed, slot, needs, time, day):  # type: ignore[no-untyped-def]
    for at in range(held.shape[2]):
        held[slot, _N, at] = 0
        if needs & NEEDS_TOTAL:
            held[slot, _TOTAL, at] = 0
            held[slot, _VALUED, at] = 0
        if needs & NEEDS_LAST:
            held[slot, _LAST_TIME, at] = _LEAST
        if needs & NEEDS_DAYS:
            for total in (_ACTIVE, _SQUARES, _LAST_GAP, _RUN, _LONGEST):
                held[slot, total, at] = 0
            held[slot, _LAST_DAY, at] = _LEAST
        if needs & NEEDS_RANGE:
            held[slot, _LOW, at] = NEVER
            held[slot, _HIGH, at] = _LEAST
    for edge in range(resumed.shape[1]):
        resumed[slot, edge] = NEVER
    remembered[slot, _FIRST_TIME] = time
    remembered[slot, _FIRST_DAY] = day
    remembered[slot, _NOW_DAY] = _LEAST


@numba.njit(cache=True, nogil=True)
def _add(held, remembered, resumed, slot, needs, at, time, day, value):  # type: ignore[no-untyped-def]
    if needs & NEEDS_LAST:
        held[slot, _LAST_TIME, at] = time
    if needs & NEEDS_TOTAL and value != NO_VALUE:
        held[slot, _TOTAL, at] += value
        held[slot, _VALUED, at] += 1
    if needs & NEEDS_RANGE and value != NO_VALUE:
        held[slot, _LOW, at] = min(held[slot, _LOW, at], value)
        held[slot, _HIGH, at] = max(held[slot, _HIGH, at], value)
    if needs & NEEDS_DAYS:
        before = remembered[slot, _NOW_DAY]
        if day != before:
            _add_day(held, remembered, slot, at, day, before)
        else:
            # The day began before these boundaries and goes on behind them: it is active on both sides.
            for edge in range(remembered[slot, _NOW_AT], min(at, resumed.shape[1])):
                resumed[slot, edge] = time
        remembered[slot, _NOW_AT] = at


@numba.njit(cache=True, nogil=True)
def _add_day(held, remembered, slot, at, day, before):  # type: ignore[no-untyped-def]
    held[slot, _ACTIVE, at] += 1
    held[slot, _LAST_DAY, at] = day
    run, longest = 1, 1
    if before != _LEAST:
        gap = day - before
        held[slot, _SQUARES, at] += gap * gap
        held[slot, _LAST_GAP, at] = gap
        if gap == 1:
            run = remembered[slot, _NOW_RUN] + 1
        longest = max(remembered[slot, _NOW_LONGEST], run)
    held[slot, _RUN, at] = remembered[slot, _NOW_RUN] = run
    held[slot, _LONGEST, at] = remembered[slot, _NOW_LONGEST] = longest
    remembered[slot, _NOW_DAY] = day


@numba.njit(cache=True, nogil=True)
def _sum_up(held, slot, needs, count):  # type: ignore[no-untyped-def]
    """From what lies between boundaries to what lies before each."""
    for at in range(1, count):
        held[slot, _N, at] += held[slot, _N, at - 1]
    if needs & NEEDS_TOTAL:
        for at in range(1, count):
            held[slot, _TOTAL, at] += held[slot, _TOTAL, at - 1]
            held[slot, _VALUED, at] += held[slot, _VALUED, at - 1]
    if needs & NEEDS_LAST:
        for at in range(1, count):
            held[slot, _LAST_TIME, at] = max(held[slot, _LAST_TIME, at], held[slot, _LAST_TIME, at - 1])
    if needs & NEEDS_DAYS:
        for at in range(1, count):
            held[slot, _ACTIVE, at] += held[slot, _ACTIVE, at - 1]
            held[slot, _SQUARES, at] += held[slot, _SQUARES, at - 1]
            held[slot, _LONGEST, at] = max(held[slot, _LONGEST, at], held[slot, _LONGEST, at - 1])
            if held[slot, _LAST_DAY, at] == _LEAST:
                held[slot, _LAST_DAY, at] = held[slot, _LAST_DAY, at - 1]
                held[slot, _RUN, at] = held[slot, _RUN, at - 1]
            if held[slot, _LAST_GAP, at] == 0:
                held[slot, _LAST_GAP, at] = held[slot, _LAST_GAP, at - 1]


@numba.njit(cache=True, nogil=True)
def _see(records, i, at, wanted, memory, seen):  # type: ignore[no-untyped-def]
    """Move the record's categories to where they were last seen."""
    mask = len(seen.key) - 1
    for t in range(len(wanted.tracks)):
        key = records.keys[i, wanted.tracks[t, 1]]
        if key == 0 or records.slots[i, 0] != wanted.tracks[t, 0]:
            continue
        place = (key ^ (key >> 29) ^ t * 0x9E3779B9) & mask
        while seen.walk[place] == memory.walk[0] and (seen.key[place] != key or seen.track[place] != t):
            place = (place + 1) & mask
        if seen.walk[place] == memory.walk[0]:
            memory.seen_in[t, seen.at[place]] -= 1
        seen.walk[place], seen.key[place], seen.track[place], seen.at[place] = memory.walk[0], key, t, at
        memory.seen_in[t, at] += 1


@numba.njit(cache=True, nogil=True)
def _count_distinct(edge, edges, wanted, memory):  # type: ignore[no-untyped-def]
    """The categories that were last seen within each track's window, at a cutoff."""
    cutoff = edges.cutoff_at[edge]
    for t in range(len(wanted.tracks)):
        total = 0
        for at in range(edges.start[cutoff, wanted.tracks[t, 2]] + 1, edge + 1):
            total += memory.seen_in[t, at]
        memory.distinct[t, cutoff] = total


@numba.njit(cache=True, nogil=True)
def _read(count, used, row_cutoff, edges, wanted, memory, out):  # type: ignore[no-untyped-def]
    """Write the columns of the slots used, for the rows chosen."""
    held, chosen, columns, unit = memory.held, memory.chosen, wanted.columns, float(wanted.value_unit)
    ends, starts, instants, resumed = edges.end, edges.start, edges.instants, memory.resumed
    for u in range(used):
        slot = memory.used[u]
        for q in range(wanted.first[slot], wanted.first[slot + 1]):
            measure, source, window, column = columns[q, 0], columns[q, 1], columns[q, 2], columns[q, 3]
            if measure <= _DAYS:
                for i in range(count):
                    r = chosen[i]
                    end, start = ends[row_cutoff[r]], starts[row_cutoff[r], window]
                    total = held[source, measure, end]
                    if start >= 0:
                        total -= held[source, measure, start]
                        if measure == _DAYS and edges.cuts_days:
                            total += resumed[source, start] < instants[end]
                    out[r, column] = total / unit if measure == _SUM else total
            else:
                for i in range(count):
                    r = chosen[i]
                    out[r, column] = _figure(q, slot, row_cutoff[r], edges, wanted, memory)


@numba.njit(cache=True, nogil=True)
def _figure(q, slot, cutoff, edges, wanted, memory):  # type: ignore[no-untyped-def]
    """What does not simply add up, of one column, for the customer of the walk."""
    measure, source, window = wanted.columns[q, 0], wanted.columns[q, 1], wanted.columns[q, 2]
    held, remembered = memory.held, memory.remembered
    end, start = edges.end[cutoff], edges.start[cutoff, window]
    if measure == _DISTINCT:
        return float(memory.distinct[wanted.columns[q, 4], cutoff])
    if measure == _TREND:
        return held[source, _N, end] - 2.0 * held[source, _N, start] + held[source, _N, edges.before[cutoff, window]]
    if measure == _STREAK:
        return float(held[source, _RUN, end])
    if measure == _STREAK_LONGEST:
        return float(held[source, _LONGEST, end])
    # A share is read with the slot that it is a share of.
    records = _between(held, slot, _N, start, end)
    if records == 0:
        return np.nan
    if measure == _SHARE:
        present = memory.stamp[source] == memory.walk[0]
        return _between(held, source, _N, start, end) / records if present else 0.0
    if measure == _MEAN:
        valued = _between(held, source, _VALUED, start, end)
        return _between(held, source, _TOTAL, start, end) / (valued * wanted.value_unit) if valued else np.nan
    if measure == _MIN or measure == _MAX:  # noqa: SIM109 - numba compiles this faster
        low, high = NEVER, _LEAST
        for at in range(start + 1, end + 1):
            low, high = min(low, held[source, _LOW, at]), max(high, held[source, _HIGH, at])
        return (low if measure == _MIN else high) / wanted.value_unit if low <= high else np.nan
    if measure == _RECENCY:
        return (edges.instants[end] - held[source, _LAST_TIME, end]) / _DAY
    if measure == _SINCE_FIRST:
        return (edges.instants[end] - remembered[source, _FIRST_TIME]) / _DAY
    gaps = held[source, _ACTIVE, end] - 1
    if gaps < 1 or (measure == _GAP_SD and gaps < 2):
        return np.nan
    if measure == _GAP_LAST:
        return float(held[source, _LAST_GAP, end])
    mean = (held[source, _LAST_DAY, end] - remembered[source, _FIRST_DAY]) / gaps
    if measure == _GAP_MEAN:
        return mean
    return np.sqrt(max(0.0, held[source, _SQUARES, end] / gaps - mean * mean))


@numba.njit(cache=True, nogil=True)
def _between(held, slot, total, start, end):  # type: ignore[no-untyped-def]
    return held[slot, total, end] - (held[slot, total, start] if start >= 0 else 0)


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written, as arrays out of Arrow are: numba compiles the kernel for one of the two only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
