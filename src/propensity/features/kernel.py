"""The compiled walk over one customer's records: totals between boundaries, summed up, read off for each row.

The boundaries are all cutoffs and window starts in order of time. A record falls between two of them, and adds to
what its slots hold there. Summed up from the first boundary on, ``total before cutoff − total before window start``
is what a window holds, for everything that adds up. What does not add up has its state beside it: the last record,
day and gap; runs of days; the least and greatest value between two boundaries; where each category was last seen.

How many records there are is kept apart, boundary by boundary with all slots side by side: most columns are counts,
and a processor adds and subtracts many slots at once.
"""

import numba
import numpy as np

from propensity.features.distinct import new_seen, see_all
from propensity.features.held import hold_all, read_held
from propensity.features.layout import ALWAYS, new_memory


@numba.njit(cache=True, nogil=True)
def sweep_customers(records, first_of, row_who, row_cutoff, edges, wanted, out):  # type: ignore[no-untyped-def]
    """Write the rows of customers: those of customer ``row_who[r]`` from ``order[first_of[row_who[r]]]`` on.

    One walk serves all cutoffs that knew all their records, and one more each cutoff that did not.
    """
    # Arrays are taken out of their tuples once: handing a tuple on counts references to all that it holds.
    order, ats, known_ats, slots = records.order, records.at, records.known_at, records.slots
    wanted_counts, places, ends, next_cutoff = wanted.counts, wanted.places, edges.end, edges.next_cutoff
    memory, seen = new_memory(edges, wanted, len(row_who)), new_seen(16)
    counts, totals, late, chosen, waiting = memory.counts, memory.totals, memory.late, memory.chosen, memory.waiting
    only_counts = len(places) == wanted_counts.shape[2]
    row = 0
    while row < len(row_who):
        customer, start = row_who[row], row
        first, stop = first_of[customer], first_of[customer + 1]
        ready, behind = 0, 0
        _count(order, ats, known_ats, slots, first, stop, ALWAYS, next_cutoff, counts, late)
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
                seen = new_seen(2 * len(seen.key))
            _write_empty(start, row, wanted_counts.shape[2], wanted, out)
            _walk(records, first, stop, ALWAYS, ready, row_cutoff, edges, wanted, memory, seen, out)
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
def _walk(records, first, stop, visible, count, row_cutoff, edges, wanted, memory, seen, out):  # type: ignore[no-untyped-def]
    """Write what is no plain count, of the rows chosen, from the records known before the boundary `visible`."""
    place = wanted.counts.shape[2]
    _read_trends(count, memory.chosen, row_cutoff, memory.totals, wanted.trends, wanted.places, place, out)
    place += wanted.trends.shape[2]
    _read_shares(count, memory.chosen, row_cutoff, memory.totals, wanted.shares, wanted.places, place, out)
    if len(wanted.columns) > 0:
        used = hold_all(records, first, stop, visible, wanted, memory)
        if len(wanted.tracks) > 0:
            see_all(records, first, stop, visible, edges, wanted, memory, seen)
        read_held(used, count, row_cutoff, edges, wanted, memory, place + wanted.shares.shape[2], out)


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
        if known_at > at and visible == ALWAYS:
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
