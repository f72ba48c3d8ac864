"""How many different categories a customer has had in a window: where each was last seen decides."""

from typing import NamedTuple

import numba
import numpy as np

from propensity.features.layout import Ints


class Seen(NamedTuple):
    """A hash table of the keys that a customer has had: track, key, walk, and where it was last seen."""

    track: Ints
    key: Ints
    walk: Ints
    at: Ints


@numba.njit(cache=True, nogil=True)
def new_seen(size):  # type: ignore[no-untyped-def]
    """A table of `size` places, which must be a power of two."""
    return Seen(
        np.empty(size, dtype=np.int64),
        np.empty(size, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        np.empty(size, dtype=np.int64),
    )


@numba.njit(cache=True, nogil=True)
def see_all(records, first, stop, visible, edges, wanted, memory, seen):  # type: ignore[no-untyped-def]
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
