"""Local days of instants, against the calendar of the standard library."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from propensity.features.days import local_days
from propensity.temporal import microseconds, to_instant

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe"]


def by_the_calendar(instants: list[datetime], zone: ZoneInfo) -> list[int]:
    return [(instant.astimezone(zone).date() - date(1970, 1, 1)).days for instant in instants]


@pytest.mark.parametrize("key", ZONES)
def test_days_are_those_of_the_calendar(key: str) -> None:
    rng = np.random.default_rng(3)
    anywhere = [datetime(1950, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(u)) for u in rng.integers(0, 25e14, 3000)]
    # Samoa skipped 30 December 2011; St. John's set its clocks back a minute after midnight, and thus a day.
    skipped = [datetime(2011, 12, 29, tzinfo=UTC) + timedelta(minutes=7 * i) for i in range(600)]
    back = [datetime(2006, 10, 29, tzinfo=UTC) + timedelta(minutes=i) for i in range(400)]
    instants = [*anywhere, *skipped, *back]
    found = local_days(np.array([microseconds(i) for i in instants], np.int64), ZoneInfo(key))
    assert found.dtype == np.int32
    assert found.tolist() == by_the_calendar(instants, ZoneInfo(key))


def test_midnight_and_the_microsecond_before() -> None:
    zone = ZoneInfo("Europe/Berlin")
    midnight = microseconds(to_instant("2025-07-15", zone=zone))
    assert np.diff(local_days(np.array([midnight - 1, midnight, midnight + 1]), zone)).tolist() == [1, 0]
    assert local_days(np.array([-1, 0]), ZoneInfo("UTC")).tolist() == [-1, 0]
    assert local_days(np.array([], np.int64), zone).tolist() == []
