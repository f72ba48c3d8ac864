"""Durations on the calendar and on the clock, instants, and label windows."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from propensity.temporal import (
    Duration,
    Window,
    format_instant,
    label_window,
    maturity,
    microseconds,
    to_instant,
)

Z = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")


def span(text: str) -> Duration:
    return Duration.parse(text)


def berlin(text: str) -> datetime:
    return to_instant(text, zone=BERLIN)


@pytest.mark.parametrize("text", ["30d", " 30 d ", "030d"])
def test_a_duration_is_a_whole_number_and_a_unit(text: str) -> None:
    assert Duration.parse(text) == Duration(30, "d")
    assert str(Duration.parse(text)) == "30d"


@pytest.mark.parametrize("text", ["30", "d", "1.5d", "-1d", "30 days", "30m", "1d12h", "", "d30", "30D"])
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write a whole number and h, d, w, mo or y, such as 30d"):
        Duration.parse(text)


@pytest.mark.parametrize("text", ["101y", "36526d", "1201mo", "9999999999h"])
def test_no_duration_is_longer_than_a_century_so_that_windows_stay_on_the_calendar(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a century"):
        Duration.parse(text)
    # The longest window, doubled for a trend, still has a beginning.
    assert Duration(200, "y").before(to_instant("1970-01-01", zone=Z), zone=Z).year == 1770


def test_durations_in_words_as_after_the_last() -> None:
    words = [span(text).words for text in ("1h", "160h", "1d", "30d", "4w", "1mo", "2y")]
    assert words == ["hour", "160 hours", "day", "30 days", "4 weeks", "month", "2 years"]


@pytest.mark.parametrize(
    ("start", "duration", "end"),
    [
        ("2025-01-31", "1mo", "2025-02-28"),  # the month's last day where the day does not exist
        ("2024-01-31", "1mo", "2024-02-29"),  # leap year
        ("2024-02-29", "1y", "2025-02-28"),
        ("2024-02-29", "4y", "2028-02-29"),
        ("2025-12-31", "2mo", "2026-02-28"),
        ("2025-11-30", "3mo", "2026-02-28"),
        ("2024-02-28", "1d", "2024-02-29"),
        ("2024-02-28", "1w", "2024-03-06"),
        ("2025-03-31", "0mo", "2025-03-31"),
    ],
)
def test_months_and_years_are_calendar_steps(start: str, duration: str, end: str) -> None:
    assert span(duration).after(to_instant(start, zone=Z), zone=Z) == to_instant(end, zone=Z)


@pytest.mark.parametrize(
    ("cutoff", "window", "start"),
    [
        ("2025-03-31", "1mo", "2025-02-28"),
        ("2024-03-31", "1mo", "2024-02-29"),
        ("2025-03-01", "1mo", "2025-02-01"),
        ("2024-02-29", "1y", "2023-02-28"),
        ("2025-01-15", "1mo", "2024-12-15"),
        ("2024-03-01", "1d", "2024-02-29"),
        ("2024-12-31", "366d", "2023-12-31"),  # a leap year has 366 days
    ],
)
def test_windows_go_back_on_the_calendar(cutoff: str, window: str, start: str) -> None:
    assert span(window).before(to_instant(cutoff, zone=Z), zone=Z) == to_instant(start, zone=Z)


def test_thirty_days_are_thirty_local_days_when_the_clocks_change() -> None:
    # Clocks went forward on 2025-03-30: the day had 23 hours, and went back on 2025-10-26: 25 hours.
    assert span("1d").after(berlin("2025-03-30"), zone=BERLIN) - berlin("2025-03-30") == timedelta(hours=23)
    assert span("1d").after(berlin("2025-10-26"), zone=BERLIN) - berlin("2025-10-26") == timedelta(hours=25)
    assert span("30d").before(berlin("2025-04-15"), zone=BERLIN) == berlin("2025-03-16")
    assert berlin("2025-04-15") - berlin("2025-03-16") == timedelta(days=30, hours=-1)
    # Hours are absolute: 24 of them from midnight end at one o'clock summer time.
    assert span("24h").after(berlin("2025-03-30"), zone=BERLIN) == berlin("2025-03-31T01:00")


def test_a_wall_clock_time_that_does_not_exist_moves_past_the_jump() -> None:
    # 02:30 did not exist on 2025-03-30: an hour later than the clock would have shown, 03:30 summer time (01:30 UTC).
    assert span("1d").after(berlin("2025-03-29T02:30"), zone=BERLIN) == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)


def test_nothing_added_is_the_same_instant_also_in_the_hour_that_comes_twice() -> None:
    # On 2025-10-26 the clock shows 02:30 at 00:30 UTC and again at 01:30 UTC.
    for hour in (0, 1):
        instant = datetime(2025, 10, 26, hour, 30, tzinfo=UTC)
        for nothing in ("0h", "0d", "0w", "0mo", "0y"):
            assert span(nothing).after(instant, zone=BERLIN) == instant
            assert label_window(instant, gap=span(nothing), horizon=span("1h"), zone=BERLIN).start == instant


def test_naive_values_are_local_and_aware_ones_are_what_they_say() -> None:
    assert to_instant(date(2025, 7, 1), zone=BERLIN) == datetime(2025, 6, 30, 22, tzinfo=UTC)
    assert to_instant("2025-01-01T12:00", zone=BERLIN) == datetime(2025, 1, 1, 11, tzinfo=UTC)
    assert to_instant("2025-01-01T12:00+05:30", zone=BERLIN) == datetime(2025, 1, 1, 6, 30, tzinfo=UTC)
    assert to_instant(datetime(2025, 1, 1, tzinfo=UTC), zone=BERLIN) == datetime(2025, 1, 1, tzinfo=UTC)
    assert to_instant("2025-01-01", zone=BERLIN).tzinfo is UTC
    with pytest.raises(ValueError, match="Invalid isoformat"):
        to_instant("1 January 2025", zone=Z)


def test_midnights_are_shown_as_dates_of_their_zone() -> None:
    instant = berlin("2025-07-01")
    assert format_instant(instant, zone=BERLIN) == "2025-07-01"
    assert format_instant(instant) == "2025-06-30T22:00:00"
    assert str(Window(to_instant("2025-07-01", zone=Z), to_instant("2025-07-02T06:00", zone=Z))) == (
        "[2025-07-01, 2025-07-02T06:00:00)"
    )


def test_microseconds_are_exact_far_from_1970() -> None:
    # 9999-12-31: a float64 of seconds would be off by more than a microsecond.
    assert microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == 253_402_300_799_999_999
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert microseconds(datetime(1970, 1, 1, 1, tzinfo=BERLIN)) == 0


def test_the_label_window_follows_the_gap_and_matures_after_the_lag() -> None:
    cutoff = berlin("2025-03-15")
    window = label_window(cutoff, gap=span("2w"), horizon=span("1mo"), zone=BERLIN)
    # 2 weeks after 15 March: the 29th; a month on: 29 April, across the change of clocks on the 30th.
    assert (window.start, window.end) == (berlin("2025-03-29"), berlin("2025-04-29"))
    assert maturity(cutoff, gap=span("2w"), horizon=span("1mo"), reporting_lag=span("36h"), zone=BERLIN) == berlin(
        "2025-04-30T12:00"
    )
