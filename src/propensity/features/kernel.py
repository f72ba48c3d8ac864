"""The compiled walk over one customer's records: totals between boundaries, summed up, read off for each row.

The boundaries are all cutoffs and window starts in order of time. A record falls between two of them, and adds to
what its slots hold there. Summed up from the first boundary on, ``total before cutoff − total before window start``
is what a window holds, for everything that adds up. What does not add up has its state beside it: the last record,
day and gap; runs of days; the least and greatest value between two boundaries; where each category was last seen.

How many records there are is kept apart, boundary by boundary with all slots side by side: most columns are counts,
and a processor adds and subtracts many slots at once.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from propensity.features.measures import (
    DAYS,
    DISTINCT,
    GAP_LAST,
    GAP_MEAN,
    GAP_SD,
    MAX,
    MEAN,
    MIN,
    NEEDS_DAYS,
    NEEDS_FIRST,
    NEEDS_LAST,
    NEEDS_RANGE,
    NEEDS_TOTAL,
    RECENCY,
    SINCE_FIRST,
    STREAK,
    STREAK_LONGEST,
    SUM,
)

if not numba.config.CACHE_DIR:  # numba's cache is a pickle: it stays in the user's cache, away from every artifact
    numba.config.CACHE_DIR = str(Path.home() / ".cache" / "propensity" / "numba")

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]

NEVER = np.iinfo(np.int64).max
_LEAST = np.iinfo(np.int64).min
_ALWAYS = np.iinfo(np.int32).max
NO_VALUE = _LEAST
"""The value of a record that has none: it counts, and is in no sum, mean, minimum or maximum."""
_DAY = 86_400_000_000.0

# What a slot holds between two boundaries.
_TOTAL, _ACTIVE, _SQUARES, _LAST_TIME, _LAST_DAY, _LAST_GAP, _RUN, _LONGEST, _LOW, _HIGH, _VALUED = range(11)
_HELD = 11
# What a slot remembers of its records so far.
_FIRST_TIME, _FIRST_DAY, _NOW_DAY, _NOW_AT, _NOW_RUN, _NOW_LONGEST = range(6)
_REMEMBERED = 6


class Walked(NamedTuple):
    """Records as the kernel takes them, customer by customer; times only where something asks for them.

    Attributes
    ----------
    order : ndarray of int32, shape (n,)
        Where each record stands in the other arrays: by customer, and by time where there are times.
    at, known_at : ndarray of int32, shape (n,)
        The first boundary after the record, and after it became known.
    time : ndarray of int64, shape (n,) or (0,)
        Microseconds since 1970 (UTC).
    day : ndarray of int32, shape (n,) or (0,)
        Local day number.
    slots : ndarray of int16, shape (n, k)
        The slots that the record counts in (−1: none).
    value : ndarray of int64, shape (n,) or (0,)
        What `sum` adds, in whole units.
    keys : ndarray of int64, shape (n, d)
        Categories as numbers (0: none).
    """

    order: Numbers
    at: Numbers
    known_at: Numbers
    time: Ints
    day: Numbers
    slots: npt.NDArray[np.int16]
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
    counts : ndarray of uint64, shape (2, c, p)
        Of each cutoff and count: where two totals stand among those of all slots at all boundaries. The count is the
        first, before the cutoff, less the second, before the window's start.
    trends : ndarray of uint64, shape (3, c, q)
        Likewise of trends; the third is before the start of the window before.
    shares : ndarray of uint64, shape (4, c, r)
        Likewise of shares; the last two are those of the whole.
    columns : ndarray of int64, shape (t, 4)
        Of all others, by slot: measure, slot, window and distinct track (−1: none).
    first : ndarray of int64, shape (slots + 1,)
        Where each slot's `columns` begin.
    needs : ndarray of int64, shape (slots,)
        What each slot holds: see `propensity.features.measures.NEEDS`.
    tracks : ndarray of int64, shape (t, 3)
        For each distinct column: the slot of the records, the column of keys, and the window.
    places : ndarray of uint64, shape (p + q + r + t,)
        Where each column is written, in the order above.
    empty : ndarray of float32, shape (p + q + r + t,)
        What they hold where there is no record.
    value_unit : int
        Units of a value in one.
    """

    counts: npt.NDArray[np.uint64]
    trends: npt.NDArray[np.uint64]
    shares: npt.NDArray[np.uint64]
    columns: Ints
    first: Ints
    needs: Ints
    tracks: Ints
    places: npt.NDArray[np.uint64]
    empty: npt.NDArray[np.float32]
    value_unit: int


class _Memory(NamedTuple):
    """What the kernel holds of one customer: `counts` by boundary and slot, the same as `totals` in one row.

    `stamp` tells which slots belong to the present walk.
    """

    counts: Numbers
    totals: Numbers
    held: Ints
    remembered: Ints
    resumed: Numbers
    stamp: Ints
    used: Ints
    seen_in: Ints
    distinct: Ints
    late: npt.NDArray[np.bool_]
    chosen: Ints
    waiting: Ints
    walk: Ints


class _Seen(NamedTuple):
    """A hash table of the keys that a customer has had: track, key, walk, and where it was last seen."""

    track: Ints
    key: Ints
    walk: Ints
    at: Ints


@numba.njit(cache=True, nogil=True)
def sweep_customers(records, first_of, row_who, row_cutoff, edges, wanted, out):  # type: ignore[no-untyped-def]
    """Write the rows of customers: those of customer ``row_who[r]`` from ``order[first_of[row_who[r]]]`` on.

    One walk serves all cutoffs that knew all their records, and one more each cutoff that did not.
    """
    # Arrays are taken out of their tuples once: handing a tuple on counts references to all that it holds.
    order, ats, known_ats, slots = records.order, records.at, records.known_at, records.slots
    wanted_counts, places, ends, next_cutoff = wanted.counts, wanted.places, edges.end, edges.next_cutoff
    memory, seen = _new_memory(edges, wanted, len(row_who)), _new_seen(16)
    counts, totals, late, chosen, waiting = memory.counts, memory.totals, memory.late, memory.chosen, memory.waiting
    only_counts = len(places) == wanted_counts.shape[2]
    row = 0
    while row < len(row_who):
        customer, start = row_who[row], row
        first, stop = first_of[customer], first_of[customer + 1]
        ready, behind = 0, 0
        _count(order, ats, known_ats, slots, first, stop, _ALWAYS, next_cutoff, counts, late)
        while row < len(row_who) and row_who[row] == customer:
            if late[ends[row_cutoff[row]]]:
                waiting[behind] = row
                behind += 1
            else:
                chosen[ready] = row
                ready += 1
            row += 1
        _read_counts(ready, chosen, row_cutoff, totals, wanted_counts, places, out)
        if not only_counts:
            while len(seen.key) < 2 * (stop - first) * len(wanted.tracks):
                seen = _new_seen(2 * len(seen.key))
            _write_empty(start, row, wanted_counts.shape[2], wanted, out)
            _walk(records, first, stop, _ALWAYS, ready, row_cutoff, edges, wanted, memory, seen, out)
        for w in range(behind):
            chosen[0] = waiting[w]
            visible = ends[row_cutoff[chosen[0]]]
            _count(order, ats, known_ats, slots, first, stop, visible, next_cutoff, counts, late)
            _read_counts(1, chosen, row_cutoff, totals, wanted_counts, places, out)
            if not only_counts:
                _walk(records, first, stop, visible, 1, row_cutoff, edges, wanted, memory, seen, out)


@numba.njit(cache=True, nogil=True)
def _write_empty(row, last_row, since, wanted, out):  # type: ignore[no-untyped-def]
    """Write what rows without records hold, from the column `since` on."""
    for r in range(row, last_row):
        for p in range(since, len(wanted.places)):
            out[r, wanted.places[p]] = wanted.empty[p]


@numba.njit(cache=True, nogil=True)
def _new_memory(edges, wanted, rows):  # type: ignore[no-untyped-def]
    count, slots, tracks = len(edges.instants), len(wanted.needs), len(wanted.tracks)
    holding = slots if len(wanted.columns) > 0 else 0
    counts = np.zeros((count + 1, slots), dtype=np.int32)
    return _Memory(
        counts,
        counts.reshape(-1),
        np.empty((holding, _HELD, count), dtype=np.int64),
        np.empty((holding, _REMEMBERED), dtype=np.int64),
        np.empty((holding, count if edges.cuts_days else 0), dtype=np.int32),
        np.zeros(holding, dtype=np.int64),
        np.empty(holding, dtype=np.int64),
        np.zeros((tracks, count), dtype=np.int64),
        np.zeros((tracks, len(edges.end)), dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
        np.empty(rows, dtype=np.int64),
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
def _walk(records, first, stop, visible, count, row_cutoff, edges, wanted, memory, seen, out):  # type: ignore[no-untyped-def]
    """Write what is no plain count, of the rows chosen, from the records known before the boundary `visible`."""
    place = wanted.counts.shape[2]
    _read_trends(count, memory.chosen, row_cutoff, memory.totals, wanted.trends, wanted.places, place, out)
    place += wanted.trends.shape[2]
    _read_shares(count, memory.chosen, row_cutoff, memory.totals, wanted.shares, wanted.places, place, out)
    if len(wanted.columns) > 0:
        used = _hold_all(records, first, stop, visible, wanted, memory)
        if len(wanted.tracks) > 0:
            _see_all(records, first, stop, visible, edges, wanted, memory, seen)
        _read_held(used, count, row_cutoff, edges, wanted, memory, place + wanted.shares.shape[2], out)


@numba.njit(cache=True, nogil=True)
def _count(order, ats, known_ats, slots, first, stop, visible, next_cutoff, counts, late):  # type: ignore[no-untyped-def]
    """How many records lie before each boundary, and which cutoffs had not heard of some."""
    for edge in range(1, counts.shape[0]):
        late[edge - 1] = False
        for slot in range(counts.shape[1]):
            counts[edge, slot] = 0
    for j in range(first, stop):
        i = np.uint64(order[j])  # numba does not ask of an unsigned index whether it counts from the end
        at, known_at = ats[i], known_ats[i]
        if known_at > visible:
            continue
        if known_at > at and visible == _ALWAYS:
            edge = next_cutoff[at]
            while edge < known_at:
                late[edge] = True
                edge = next_cutoff[edge + 1]
        for k in range(slots.shape[1]):
            slot = slots[i, np.uint64(k)]
            if slot >= 0:
                counts[np.uint64(at + 1), np.uint64(slot)] += 1
    for edge in range(2, counts.shape[0]):
        for slot in range(counts.shape[1]):
            counts[edge, slot] += counts[edge - 1, slot]


@numba.njit(cache=True, nogil=True)
def _hold_all(records, first, stop, visible, wanted, memory):  # type: ignore[no-untyped-def]
    """What slots hold besides the count; the number of slots used."""
    # Arrays are taken out of their tuples, and never sliced, inside this loop: each would count references.
    order, ats, known_ats, slots = records.order, records.at, records.known_at, records.slots
    times, days, values = records.time, records.day, records.value
    held, remembered, resumed = memory.held, memory.remembered, memory.resumed
    stamp, used_slots, needs = memory.stamp, memory.used, wanted.needs
    timed, valued = len(times) > 0, len(values) > 0
    time, day, value = 0, 0, NO_VALUE
    memory.walk[0] += 1
    walk, used = memory.walk[0], 0
    for j in range(first, stop):
        i = order[j]
        if known_ats[i] > visible:
            continue
        if timed:
            time, day = times[i], days[i]
        if valued:
            value = values[i]
        for k in range(slots.shape[1]):
            slot = slots[i, k]
            if slot < 0 or needs[slot] == 0:
                continue
            if stamp[slot] != walk:
                _begin(held, remembered, resumed, slot, needs[slot], time, day)
                stamp[slot] = walk
                used_slots[used] = slot
                used += 1
            _hold(held, remembered, resumed, slot, needs[slot], ats[i], time, day, value)
    for u in range(used):
        _sum_up(held, used_slots[u], needs[used_slots[u]])
    return used


@numba.njit(cache=True, nogil=True)
def _hold(held, remembered, resumed, slot, need, at, time, day, value):  # type: ignore[no-untyped-def]
    """Add a record to what its slot holds besides the count."""
    if need & NEEDS_LAST:
        held[slot, _LAST_TIME, at] = time
    if need & NEEDS_TOTAL and value != NO_VALUE:
        held[slot, _TOTAL, at] += value
        held[slot, _VALUED, at] += 1
    if need & NEEDS_RANGE and value != NO_VALUE:
        held[slot, _LOW, at] = min(held[slot, _LOW, at], value)
        held[slot, _HIGH, at] = max(held[slot, _HIGH, at], value)
    if need & NEEDS_DAYS:
        before = remembered[slot, _NOW_DAY]
        if day != before:
            _hold_day(held, remembered, slot, at, day, before)
        else:
            # The day began before these boundaries and goes on behind them: it is active on both sides.
            for edge in range(remembered[slot, _NOW_AT], min(at, resumed.shape[1])):
                resumed[slot, edge] = at
        remembered[slot, _NOW_AT] = at


@numba.njit(cache=True, nogil=True)
def _begin(held, remembered, resumed, slot, needs, time, day):  # type: ignore[no-untyped-def]
    for at in range(held.shape[2]):
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
        resumed[slot, edge] = _ALWAYS
    if needs & (NEEDS_FIRST | NEEDS_DAYS):
        remembered[slot, _FIRST_TIME] = time
        remembered[slot, _FIRST_DAY] = day
        remembered[slot, _NOW_DAY] = _LEAST


@numba.njit(cache=True, nogil=True)
def _hold_day(held, remembered, slot, at, day, before):  # type: ignore[no-untyped-def]
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
def _sum_up(held, slot, needs):  # type: ignore[no-untyped-def]
    """From what lies between boundaries to what lies before each."""
    count = held.shape[2]
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
def _see_all(records, first, stop, visible, edges, wanted, memory, seen):  # type: ignore[no-untyped-def]
    """How many different categories each track has had, at each cutoff."""
    memory.seen_in[:] = 0
    memory.distinct[:] = 0
    passed = 0
    for j in range(first, stop):
        i = records.order[j]
        at = records.at[i]
        if records.known_at[i] > visible:
            continue
        while passed < at:
            _count_distinct(passed, edges, wanted, memory)
            passed += 1
        _see(records, i, at, wanted, memory, seen)
    for edge in range(passed, len(edges.instants)):
        _count_distinct(edge, edges, wanted, memory)


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
    """The categories that were last seen within each track's window, where the boundary is a cutoff."""
    cutoff = edges.cutoff_at[edge]
    if cutoff < 0:
        return
    for t in range(len(wanted.tracks)):
        total = 0
        for at in range(edges.start[cutoff, wanted.tracks[t, 2]] + 1, edge + 1):
            total += memory.seen_in[t, at]
        memory.distinct[t, cutoff] = total


@numba.njit(cache=True, nogil=True)
def _read_counts(count, chosen, row_cutoff, totals, wanted, places, out):  # type: ignore[no-untyped-def]
    """Write the counts of rows."""
    for i in range(count):
        r = np.uint64(chosen[i])
        cutoff = np.uint64(row_cutoff[r])
        for p in range(wanted.shape[2]):
            out[r, places[p]] = totals[wanted[0, cutoff, p]] - totals[wanted[1, cutoff, p]]


@numba.njit(cache=True, nogil=True)
def _read_trends(count, chosen, row_cutoff, totals, wanted, places, place, out):  # type: ignore[no-untyped-def]
    """Write the trends of rows."""
    for i in range(count):
        r = chosen[i]
        cutoff = row_cutoff[r]
        for p in range(wanted.shape[2]):
            upto, least, before = wanted[0, cutoff, p], wanted[1, cutoff, p], wanted[2, cutoff, p]
            out[r, places[place + p]] = totals[upto] - 2.0 * totals[least] + totals[before]


@numba.njit(cache=True, nogil=True)
def _read_shares(count, chosen, row_cutoff, totals, wanted, places, place, out):  # type: ignore[no-untyped-def]
    """Write the shares of rows; those of nothing are left missing."""
    for i in range(count):
        r = chosen[i]
        cutoff = row_cutoff[r]
        for p in range(wanted.shape[2]):
            whole = totals[wanted[2, cutoff, p]] - totals[wanted[3, cutoff, p]]
            if whole > 0:
                part = totals[wanted[0, cutoff, p]] - totals[wanted[1, cutoff, p]]
                out[r, places[place + p]] = part / whole


@numba.njit(cache=True, nogil=True)
def _read_held(used, count, row_cutoff, edges, wanted, memory, place, out):  # type: ignore[no-untyped-def]
    """Write the columns of rows whose slots hold more than counts."""
    held, remembered, resumed, totals = memory.held, memory.remembered, memory.resumed, memory.totals
    chosen, used_slots, distinct, columns = memory.chosen, memory.used, memory.distinct, wanted.columns
    ends, starts, instants, places, firsts = edges.end, edges.start, edges.instants, wanted.places, wanted.first
    width, unit = len(wanted.needs), wanted.value_unit
    for u in range(used):
        slot = used_slots[u]
        for q in range(firsts[slot], firsts[slot + 1]):
            measure, window, track = columns[q, 0], columns[q, 2], columns[q, 3]
            for i in range(count):
                r = chosen[i]
                cutoff = row_cutoff[r]
                end, start = ends[cutoff], starts[cutoff, window]
                if measure == DAYS:
                    figure = float(_between(held, slot, _ACTIVE, start, end))
                    if start >= 0 and resumed.shape[1] > 0:
                        figure += resumed[slot, start] <= end
                elif measure == SUM:
                    figure = _between(held, slot, _TOTAL, start, end) / unit
                elif measure == DISTINCT:
                    figure = float(distinct[track, cutoff])
                elif measure == STREAK:
                    figure = float(held[slot, _RUN, end])
                elif measure == STREAK_LONGEST:
                    figure = float(held[slot, _LONGEST, end])
                elif totals[(end + 1) * width + slot] == totals[(start + 1) * width + slot]:
                    figure = np.nan
                elif measure == RECENCY:
                    figure = (instants[end] - held[slot, _LAST_TIME, end]) / _DAY
                elif measure == SINCE_FIRST:
                    figure = (instants[end] - remembered[slot, _FIRST_TIME]) / _DAY
                elif measure == MEAN or measure == MIN or measure == MAX:  # noqa: SIM109 - numba compiles it faster
                    figure = _value(held, slot, measure, start, end, unit)
                else:
                    figure = _gap(held, remembered, slot, measure, end)
                out[r, places[place + q]] = figure


@numba.njit(cache=True, nogil=True)
def _value(held, slot, measure, start, end, unit):  # type: ignore[no-untyped-def]
    """The mean, least or greatest of values; missing where no record has one."""
    if measure == MEAN:
        valued = _between(held, slot, _VALUED, start, end)
        return _between(held, slot, _TOTAL, start, end) / (valued * unit) if valued else np.nan
    low, high = NEVER, _LEAST
    for at in range(start + 1, end + 1):
        low, high = min(low, held[slot, _LOW, at]), max(high, held[slot, _HIGH, at])
    return (low if measure == MIN else high) / unit if low <= high else np.nan


@numba.njit(cache=True, nogil=True)
def _gap(held, remembered, slot, measure, end):  # type: ignore[no-untyped-def]
    """The mean, spread or last of the days between active days; missing where they are too few."""
    gaps = held[slot, _ACTIVE, end] - 1
    if gaps < 1 or (measure == GAP_SD and gaps < 2):
        return np.nan
    if measure == GAP_LAST:
        return float(held[slot, _LAST_GAP, end])
    mean = (held[slot, _LAST_DAY, end] - remembered[slot, _FIRST_DAY]) / gaps
    if measure == GAP_MEAN:
        return mean
    return np.sqrt(max(0.0, held[slot, _SQUARES, end] / gaps - mean * mean))


@numba.njit(cache=True, nogil=True)
def _between(held, slot, total, start, end):  # type: ignore[no-untyped-def]
    return held[slot, total, end] - (held[slot, total, start] if start >= 0 else 0)


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written, as arrays out of Arrow are: numba compiles the kernel for one of the two only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
