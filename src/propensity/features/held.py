"""What slots hold besides the number of records, and what is read off it: values, days, gaps and runs."""

import numba
import numpy as np

from propensity.features.layout import (
    ACTIVE,
    ALWAYS,
    FIRST_DAY,
    FIRST_TIME,
    HIGH,
    LAST_DAY,
    LAST_GAP,
    LAST_TIME,
    LEAST,
    LONGEST,
    LOW,
    NEVER,
    NO_VALUE,
    NOW_AT,
    NOW_DAY,
    NOW_LONGEST,
    NOW_RUN,
    RUN,
    SQUARES,
    TOTAL,
    VALUED,
)
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

_DAY = 86_400_000_000.0


@numba.njit(cache=True, nogil=True)
def hold_all(records, first, stop, visible, wanted, memory):  # type: ignore[no-untyped-def]
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
        held[slot, LAST_TIME, at] = time
    if need & NEEDS_TOTAL and value != NO_VALUE:
        held[slot, TOTAL, at] += value
        held[slot, VALUED, at] += 1
    if need & NEEDS_RANGE and value != NO_VALUE:
        held[slot, LOW, at] = min(held[slot, LOW, at], value)
        held[slot, HIGH, at] = max(held[slot, HIGH, at], value)
    if need & NEEDS_DAYS:
        before = remembered[slot, NOW_DAY]
        if day != before:
            _hold_day(held, remembered, slot, at, day, before)
        else:
            # The day began before these boundaries and goes on behind them: it is active on both sides.
            for edge in range(remembered[slot, NOW_AT], min(at, resumed.shape[1])):
                resumed[slot, edge] = at
        remembered[slot, NOW_AT] = at


@numba.njit(cache=True, nogil=True)
def _begin(held, remembered, resumed, slot, needs, time, day):  # type: ignore[no-untyped-def]
    for at in range(held.shape[2]):
        if needs & NEEDS_TOTAL:
            held[slot, TOTAL, at] = 0
            held[slot, VALUED, at] = 0
        if needs & NEEDS_LAST:
            held[slot, LAST_TIME, at] = LEAST
        if needs & NEEDS_DAYS:
            for total in (ACTIVE, SQUARES, LAST_GAP, RUN, LONGEST):
                held[slot, total, at] = 0
            held[slot, LAST_DAY, at] = LEAST
        if needs & NEEDS_RANGE:
            held[slot, LOW, at] = NEVER
            held[slot, HIGH, at] = LEAST
    for edge in range(resumed.shape[1]):
        resumed[slot, edge] = ALWAYS
    if needs & (NEEDS_FIRST | NEEDS_DAYS):
        remembered[slot, FIRST_TIME] = time
        remembered[slot, FIRST_DAY] = day
        remembered[slot, NOW_DAY] = LEAST


@numba.njit(cache=True, nogil=True)
def _hold_day(held, remembered, slot, at, day, before):  # type: ignore[no-untyped-def]
    held[slot, ACTIVE, at] += 1
    held[slot, LAST_DAY, at] = day
    run, longest = 1, 1
    if before != LEAST:
        gap = day - before
        held[slot, SQUARES, at] += gap * gap
        held[slot, LAST_GAP, at] = gap
        if gap == 1:
            run = remembered[slot, NOW_RUN] + 1
        longest = max(remembered[slot, NOW_LONGEST], run)
    held[slot, RUN, at] = remembered[slot, NOW_RUN] = run
    held[slot, LONGEST, at] = remembered[slot, NOW_LONGEST] = longest
    remembered[slot, NOW_DAY] = day


@numba.njit(cache=True, nogil=True)
def _sum_up(held, slot, needs):  # type: ignore[no-untyped-def]
    """From what lies between boundaries to what lies before each."""
    count = held.shape[2]
    if needs & NEEDS_TOTAL:
        for at in range(1, count):
            held[slot, TOTAL, at] += held[slot, TOTAL, at - 1]
            held[slot, VALUED, at] += held[slot, VALUED, at - 1]
    if needs & NEEDS_LAST:
        for at in range(1, count):
            held[slot, LAST_TIME, at] = max(held[slot, LAST_TIME, at], held[slot, LAST_TIME, at - 1])
    if needs & NEEDS_DAYS:
        for at in range(1, count):
            held[slot, ACTIVE, at] += held[slot, ACTIVE, at - 1]
            held[slot, SQUARES, at] += held[slot, SQUARES, at - 1]
            held[slot, LONGEST, at] = max(held[slot, LONGEST, at], held[slot, LONGEST, at - 1])
            if held[slot, LAST_DAY, at] == LEAST:
                held[slot, LAST_DAY, at] = held[slot, LAST_DAY, at - 1]
                held[slot, RUN, at] = held[slot, RUN, at - 1]
            if held[slot, LAST_GAP, at] == 0:
                held[slot, LAST_GAP, at] = held[slot, LAST_GAP, at - 1]


@numba.njit(cache=True, nogil=True)
def read_held(used, count, row_cutoff, edges, wanted, memory, place, out):  # type: ignore[no-untyped-def]
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
                    figure = float(_between(held, slot, ACTIVE, start, end))
                    if start >= 0 and resumed.shape[1] > 0:
                        figure += resumed[slot, start] <= end
                elif measure == SUM:
                    figure = _between(held, slot, TOTAL, start, end) / unit
                elif measure == DISTINCT:
                    figure = float(distinct[track, cutoff])
                elif measure == STREAK:
                    figure = float(held[slot, RUN, end])
                elif measure == STREAK_LONGEST:
                    figure = float(held[slot, LONGEST, end])
                elif totals[(end + 1) * width + slot] == totals[(start + 1) * width + slot]:
                    figure = np.nan
                elif measure == RECENCY:
                    figure = (instants[end] - held[slot, LAST_TIME, end]) / _DAY
                elif measure == SINCE_FIRST:
                    figure = (instants[end] - remembered[slot, FIRST_TIME]) / _DAY
                elif measure == MEAN or measure == MIN or measure == MAX:  # noqa: SIM109 - numba compiles it faster
                    figure = _value(held, slot, measure, start, end, unit)
                else:
                    figure = _gap(held, remembered, slot, measure, end)
                out[r, places[place + q]] = figure


@numba.njit(cache=True, nogil=True)
def _value(held, slot, measure, start, end, unit):  # type: ignore[no-untyped-def]
    """The mean, least or greatest of values; missing where no record has one."""
    if measure == MEAN:
        valued = _between(held, slot, VALUED, start, end)
        return _between(held, slot, TOTAL, start, end) / (valued * unit) if valued else np.nan
    low, high = NEVER, LEAST
    for at in range(start + 1, end + 1):
        low, high = min(low, held[slot, LOW, at]), max(high, held[slot, HIGH, at])
    return (low if measure == MIN else high) / unit if low <= high else np.nan


@numba.njit(cache=True, nogil=True)
def _gap(held, remembered, slot, measure, end):  # type: ignore[no-untyped-def]
    """The mean, spread or last of the days between active days; missing where they are too few."""
    gaps = held[slot, ACTIVE, end] - 1
    if gaps < 1 or (measure == GAP_SD and gaps < 2):
        return np.nan
    if measure == GAP_LAST:
        return float(held[slot, LAST_GAP, end])
    mean = (held[slot, LAST_DAY, end] - remembered[slot, FIRST_DAY]) / gaps
    if measure == GAP_MEAN:
        return mean
    return np.sqrt(max(0.0, held[slot, SQUARES, end] / gaps - mean * mean))


@numba.njit(cache=True, nogil=True)
def _between(held, slot, total, start, end):  # type: ignore[no-untyped-def]
    return held[slot, total, end] - (held[slot, total, start] if start >= 0 else 0)
