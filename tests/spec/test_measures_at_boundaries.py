"""Every measure at the edges of its window, worked out by hand: leap days, month ends, changing clocks, time zones.

Six records stand around the window of a cutoff, and what each is worth is written beside it. Which of them count is
the same wherever the window lies; on which days they fall differs, and is stated for each place.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from propensity.features.layout import NO_VALUE
from propensity.features.sweep import Column, Records, Sweep, sweep_blocks
from propensity.temporal import Duration, microseconds, to_instant

NAN = float("nan")
MICRO = timedelta(microseconds=1)


@dataclass(frozen=True)
class Place:
    """Where a window lies, and on which days its records fall.

    `days` are the active days in the window, `gaps` the days between active days so far; `streak` and `longest` are
    the days in a row up to the last one, and at most.
    """

    zone: str
    cutoff: str
    window: str
    start: str
    days: int
    gaps: list[int]
    streak: int
    longest: int


PLACES = {
    # The day before the window, its first day (two records), and the day before the cutoff.
    "30 days": Place("UTC", "2025-03-01", "30d", "2025-01-30", 2, [1, 29], 1, 2),  # 29 Jan, 30 Jan, 28 Feb
    "over a leap day": Place("UTC", "2024-03-01", "30d", "2024-01-31", 2, [1, 29], 1, 2),  # 30 Jan, 31 Jan, 29 Feb
    "a month to a month's end": Place("UTC", "2025-03-31", "1mo", "2025-02-28", 2, [1, 30], 1, 2),  # 27 Feb … 30 Mar
    "a month to a leap day": Place("UTC", "2024-03-31", "1mo", "2024-02-29", 2, [1, 30], 1, 2),  # 28 Feb … 30 Mar
    "a year from a leap day": Place("UTC", "2024-02-29", "1y", "2023-02-28", 2, [1, 365], 1, 2),  # 27 Feb … 28 Feb
    # Clocks go forward on 30 March in Berlin: the week is an hour short. 25 Mar, 26 Mar, 1 Apr.
    "a week with a short day": Place("Europe/Berlin", "2025-04-02", "1w", "2025-03-26", 2, [1, 6], 1, 2),
    # A day of 23 hours, as the window itself. 29 Mar, 30 Mar (first record and last).
    "a short day": Place("Europe/Berlin", "2025-03-31", "1d", "2025-03-30", 1, [1], 2, 2),
    # Clocks go back on 2 November in St. John's, three and a half hours behind UTC. 31 Oct, 1 Nov, 2 Nov.
    "two days with a long one": Place("America/St_Johns", "2025-11-03", "2d", "2025-11-01", 2, [1, 1], 3, 3),
    "a half-hour zone": Place("Asia/Kathmandu", "2025-03-01", "30d", "2025-01-30", 2, [1, 29], 1, 2),
    # Windows that begin inside a day cut it: it is active on both sides. 27 Feb (three records), 28 Feb.
    "hours": Place("UTC", "2025-03-01", "36h", "2025-02-27 12:00", 2, [1], 2, 2),
    # 30 Jan (three records), 1 Mar.
    "from noon to noon": Place("UTC", "2025-03-01 12:00", "30d", "2025-01-30 12:00", 2, [30], 1, 1),
}


def around(place: Place) -> Records:
    """The records: when, kind (slot 1 or 2), value, category."""
    zone = ZoneInfo(place.zone)
    start, cutoff = to_instant(place.start, zone=zone), to_instant(place.cutoff, zone=zone)
    rows = [
        (start - MICRO, 1, 100, 11),  # too old, by a microsecond
        (start, 1, 7, 12),  # the window's first instant
        (start + MICRO, 2, 3, 12),
        (cutoff - MICRO, 1, 5, 13),  # the last that counts
        (cutoff, 1, 1000, 14),  # the future
        (cutoff + MICRO, 2, 1000, 15),
    ]
    time = np.array([microseconds(at) for at, *_ in rows], np.int64)
    return Records(
        code=np.zeros(len(rows), np.int64),
        time=time,
        known=time,
        slots=np.array([[0, kind] for _, kind, *_ in rows], np.int16),
        value=np.array([value for *_, value, _ in rows], np.int64),
        keys=np.array([[key] for *_, key in rows], np.int64),
    )


def some(given: Records, rows: Any) -> Records:
    """Some of the records."""
    return Records(*[None if column is None else column[rows] for column in vars(given).values()])


def one(
    records: Records,
    place: Place,
    measure: str,
    window: str | None,
    *,
    slot: int = 0,
    of: int | None = None,
    key: int | None = None,
) -> float:
    zone = ZoneInfo(place.zone)
    column = Column("x", measure, slot, Duration.parse(window) if window else None, of=of, key=key)
    sweep = Sweep((column,), (to_instant(place.cutoff, zone=zone),), zone, slots=3)
    zero = np.zeros(1, np.int64)
    ((_, block),) = sweep_blocks([records], sweep, zero, zero)
    return float(block[0, 0])


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_window_starts_where_the_place_says(place: Place) -> None:
    zone = ZoneInfo(place.zone)
    start = Duration.parse(place.window).before(to_instant(place.cutoff, zone=zone), zone=zone)
    assert start == to_instant(place.start, zone=zone)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_every_measure_in_its_window(place: Place) -> None:
    records, window = around(place), place.window
    assert one(records, place, "count", window) == 3
    assert one(records, place, "count", window, slot=1) == 2
    assert one(records, place, "sum", window) == 15  # 7 + 3 + 5
    assert one(records, place, "mean", window) == 5
    assert one(records, place, "mean", window, slot=2) == 3
    assert one(records, place, "min", window) == 3
    assert one(records, place, "max", window) == 7  # not the 100 of a microsecond before
    assert one(records, place, "days", window) == place.days
    assert one(records, place, "distinct", window, key=0) == 2  # 12 twice, 13
    assert one(records, place, "share", window, slot=1, of=0) == np.float32(2 / 3)
    assert one(records, place, "trend", window) == 2  # 3 against the one a microsecond before
    assert one(records, place, "recency", window) == np.float32(1 / 86_400e6)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_every_measure_so_far(place: Place) -> None:
    records, gaps = around(place), place.gaps
    zone = ZoneInfo(place.zone)
    assert one(records, place, "count", None) == 4
    assert one(records, place, "sum", None) == 115
    assert one(records, place, "mean", None) == 28.75
    assert (one(records, place, "min", None), one(records, place, "max", None)) == (3, 100)
    assert one(records, place, "days", None) == len(gaps) + 1
    assert one(records, place, "distinct", None, key=0) == 3
    assert one(records, place, "share", None, slot=2, of=0) == 0.25
    assert one(records, place, "recency", None) == np.float32(1 / 86_400e6)
    first = to_instant(place.cutoff, zone=zone) - to_instant(place.start, zone=zone) + MICRO
    assert one(records, place, "since_first", None) == np.float32(first / timedelta(days=1))
    assert one(records, place, "gap_mean", None) == np.float32(sum(gaps) / len(gaps))
    # Two gaps a and b deviate from their mean by |a - b| / 2; of one gap there is no spread.
    spread = abs(gaps[0] - gaps[1]) / 2 if len(gaps) == 2 else NAN
    assert one(records, place, "gap_sd", None) == pytest.approx(spread, nan_ok=True)
    assert one(records, place, "gap_last", None) == gaps[-1]
    assert one(records, place, "streak", None) == place.streak
    assert one(records, place, "streak_longest", None) == place.longest


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_at_the_cutoff_of_a_microsecond_later_the_next_record_counts_and_the_first_does_not(place: Place) -> None:
    """Hours are absolute, so that the window moves by the microsecond that the cutoff moves by."""
    zone = ZoneInfo(place.zone)
    cutoff = to_instant(place.cutoff, zone=zone)
    length = cutoff - to_instant(place.start, zone=zone)
    hours = length // timedelta(hours=1)
    assert length == timedelta(hours=hours)
    later = (cutoff + MICRO).astimezone(zone).replace(tzinfo=None).isoformat(sep=" ")
    moved = Place(place.zone, later, f"{hours}h", place.start, 0, [], 0, 0)
    records = around(place)
    assert one(records, moved, "count", f"{hours}h") == 3  # start + 1, cutoff - 1, cutoff
    assert one(records, moved, "sum", f"{hours}h") == 1008
    assert one(records, moved, "max", f"{hours}h") == 1000
    assert one(records, moved, "min", f"{hours}h") == 3
    assert one(records, moved, "distinct", f"{hours}h", key=0) == 3  # 12, 13, 14
    assert one(records, moved, "trend", f"{hours}h") == 3 - 2


def test_what_is_measured_of_nothing() -> None:
    place = PLACES["30 days"]
    future = some(around(place), slice(4, 6))
    for measure in ("count", "sum", "days", "trend", "streak", "streak_longest"):
        assert one(future, place, measure, "30d" if measure in ("count", "sum", "days", "trend") else None) == 0
    assert one(future, place, "distinct", "30d", key=0) == 0
    for measure in ("mean", "min", "max", "recency"):
        assert np.isnan(one(future, place, measure, "30d"))
    assert np.isnan(one(future, place, "share", "30d", slot=1, of=0))
    for measure in ("since_first", "gap_mean", "gap_sd", "gap_last"):
        assert np.isnan(one(future, place, measure, None))


def test_a_record_without_a_value_counts_and_is_in_no_mean() -> None:
    place = PLACES["30 days"]
    given = around(place)
    value = given.value.copy()
    value[[1, 3]] = NO_VALUE  # the 7 and the 5
    records = Records(given.code, given.time, given.known, given.slots, value, given.keys)
    figures = [one(records, place, measure, "30d") for measure in ("count", "sum", "mean", "min", "max")]
    assert figures == [3, 3, 3, 3, 3]
    assert np.isnan(one(records, place, "mean", "30d", slot=1))
    assert np.isnan(one(records, place, "max", "30d", slot=1))


def test_a_share_of_what_is_there_is_zero_where_the_part_is_not() -> None:
    place = PLACES["30 days"]
    only_one_kind = some(around(place), slice(3, 4))
    assert one(only_one_kind, place, "share", "30d", slot=2, of=0) == 0
    assert one(only_one_kind, place, "share", "30d", slot=1, of=0) == 1


def test_what_became_known_at_the_cutoff_is_in_no_measure() -> None:
    """The 5 of a microsecond before the cutoff is told of exactly at the cutoff: it is not there yet."""
    place = PLACES["30 days"]
    given = around(place)
    known = given.time.copy()
    known[3] = microseconds(datetime(2025, 3, 1, tzinfo=UTC))
    records = Records(given.code, given.time, known, given.slots, given.value, given.keys)
    figures = {m: one(records, place, m, "30d") for m in ("count", "sum", "mean", "min", "max", "days", "trend")}
    assert figures == {"count": 2, "sum": 10, "mean": 5, "min": 3, "max": 7, "days": 1, "trend": 1}
    assert one(records, place, "distinct", "30d", key=0) == 1
    assert one(records, place, "share", "30d", slot=1, of=0) == 0.5
    assert one(records, place, "recency", "30d") == np.float32(30 - 1 / 86_400e6)
    assert one(records, place, "gap_last", None) == 1
    assert one(records, place, "streak", None) == 2
    known[3] -= 1
    records = Records(given.code, given.time, known, given.slots, given.value, given.keys)
    assert one(records, place, "count", "30d") == 3
