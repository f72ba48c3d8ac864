"""Cutoffs, durations and windows: half-open intervals in time, stated once.

A feature looks at ``[cutoff - window, cutoff)``, a label at ``[cutoff + gap, cutoff + gap + horizon)``.
Instants are time-zone aware and kept in UTC; days, weeks, months and years are calendar steps in the
study's time zone, hours are absolute.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_UNITS = {"h": "hours", "d": "days", "w": "weeks", "mo": "months", "y": "years"}
_DURATION = re.compile(r"^\s*(\d+)\s*(h|d|w|mo|y)\s*$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CENTURY = 36_525


@dataclass(frozen=True)
class Duration:
    """A length of time in one unit: ``160h``, ``30d``, ``4w``, ``1mo``, ``1y``.

    Examples
    --------
    >>> Duration.parse("30d")
    Duration(count=30, unit='d')
    >>> Duration.parse("1mo").after(datetime(2024, 1, 31, tzinfo=UTC), zone=ZoneInfo("UTC"))
    datetime.datetime(2024, 2, 29, 0, 0, tzinfo=datetime.timezone.utc)
    """

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read a duration; raises ValueError when `text` is not one."""
        found = _DURATION.match(str(text))
        if not found:
            raise ValueError(f"{text!r} is not a duration: write a whole number and h, d, w, mo or y, such as 30d")
        duration = cls(count=int(found[1]), unit=found[2])
        if duration.approximate_days > _CENTURY:
            raise ValueError(f"{text!r} is longer than a century")
        return duration

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def words(self) -> str:
        """The duration in words, as in "the last 30 days"."""
        unit = _UNITS[self.unit]
        return f"{self.count} {unit}" if self.count != 1 else unit[:-1]

    @property
    def approximate_days(self) -> float:
        """Length in days (a month counts 30.4375 days, a year 365.25): to order and compare, never to cut."""
        return self.count * {"h": 1 / 24, "d": 1.0, "w": 7.0, "mo": 30.4375, "y": 365.25}[self.unit]

    def after(self, instant: datetime, *, zone: ZoneInfo, times: int = 1) -> datetime:
        """`instant` plus `times` of this duration, in UTC (negative `times` go back)."""
        count = self.count * times
        # Nothing added is the same instant, also in the hour that a clock set back shows twice.
        if self.unit == "h" or count == 0:
            return instant + timedelta(hours=count)
        local = instant.astimezone(zone).replace(tzinfo=None)
        if self.unit in ("d", "w"):
            moved = local + timedelta(days=count * (7 if self.unit == "w" else 1))
        else:
            moved = _add_months(local, count * (12 if self.unit == "y" else 1))
        return moved.replace(tzinfo=zone).astimezone(UTC)

    def before(self, instant: datetime, *, zone: ZoneInfo) -> datetime:
        """`instant` minus this duration, in UTC."""
        return self.after(instant, zone=zone, times=-1)


@dataclass(frozen=True)
class Window:
    """A half-open interval ``[start, end)`` of aware instants."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"


def _add_months(local: datetime, months: int) -> datetime:
    index = local.year * 12 + local.month - 1 + months
    year, month = divmod(index, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)


def to_instant(value: date | datetime | str, *, zone: ZoneInfo) -> datetime:
    """A date, a date-time or its ISO text as an aware instant in UTC; naive values are local to `zone`.

    Examples
    --------
    >>> to_instant("2025-07-01", zone=ZoneInfo("Europe/Berlin")).isoformat()
    '2025-06-30T22:00:00+00:00'
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC)


def format_instant(instant: datetime, *, zone: ZoneInfo | None = None) -> str:
    """A date when `instant` is a midnight of `zone` (default UTC), else a date-time."""
    local = instant.astimezone(zone or UTC)
    return local.date().isoformat() if local.time() == time() else local.replace(tzinfo=None).isoformat()


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    return (instant.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def label_window(cutoff: datetime, *, gap: Duration, horizon: Duration, zone: ZoneInfo) -> Window:
    """The window in which a purchase makes a prospect positive: ``[cutoff + gap, cutoff + gap + horizon)``.

    Examples
    --------
    >>> utc = ZoneInfo("UTC")
    >>> str(label_window(to_instant("2025-07-01", zone=utc), gap=Duration.parse("0d"),
    ...                  horizon=Duration.parse("30d"), zone=utc))
    '[2025-07-01, 2025-07-31)'
    """
    start = gap.after(cutoff, zone=zone)
    return Window(start=start, end=horizon.after(start, zone=zone))


def maturity(
    cutoff: datetime, *, gap: Duration, horizon: Duration, reporting_lag: Duration, zone: ZoneInfo
) -> datetime:
    """The instant from which the cutoff's labels are known: the label window's end plus the reporting lag."""
    return reporting_lag.after(label_window(cutoff, gap=gap, horizon=horizon, zone=zone).end, zone=zone)
