"""What the kernel is handed, and what it holds: the names and shapes of its arrays."""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

import propensity.compiled  # noqa: F401

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]

NEVER = np.iinfo(np.int64).max
LEAST = np.iinfo(np.int64).min
ALWAYS = np.iinfo(np.int32).max
NO_VALUE = LEAST
"""The value of a record that has none: it counts, and is in no sum, mean, minimum or maximum."""

# What a slot holds between two boundaries.
TOTAL, ACTIVE, SQUARES, LAST_TIME, LAST_DAY, LAST_GAP, RUN, LONGEST, LOW, HIGH, VALUED = range(11)
_HELD = 11
# What a slot remembers of its records so far.
FIRST_TIME, FIRST_DAY, NOW_DAY, NOW_AT, NOW_RUN, NOW_LONGEST = range(6)
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


class Memory(NamedTuple):
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


@numba.njit(cache=True, nogil=True)
def new_memory(edges, wanted, rows):  # type: ignore[no-untyped-def]
    """A memory for customers of up to `rows` rows."""
    count, slots, tracks = len(edges.instants), len(wanted.needs), len(wanted.tracks)
    holding = slots if len(wanted.columns) > 0 else 0
    counts = np.zeros((count + 1, slots), dtype=np.int32)
    return Memory(
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


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written, as arrays out of Arrow are: numba compiles the kernel for one of the two only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
