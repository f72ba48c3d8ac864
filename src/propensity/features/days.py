"""Local days of instants, for whole arrays."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from propensity.temporal import microseconds

Ints = npt.NDArray[np.int64]

_DAY = 86_400_000_000
_STEP = timedelta(hours=6)  # no zone has changed its offset twice within


def local_days(instants: Ints, zone: ZoneInfo) -> npt.NDArray[np.int32]:
    """The day number (days since 1970-01-01) of instants on the calendar of `zone`.

    Parameters
    ----------
    instants : ndarray of int64, shape (n,)
        Microseconds since 1970 UTC.

    Returns
    -------
    ndarray of int32, shape (n,)

    Examples
    --------
    >>> local_days(np.array([0, 23 * 3_600_000_000]), ZoneInfo("Europe/Berlin")).tolist()
    [0, 1]
    """
    if len(instants) == 0 or zone.key == "UTC":
        return (instants // _DAY).astype(np.int32)
    years = [1970 + int(instant // (366 * _DAY)) for instant in (instants.min(), instants.max())]
    since, offset = _offsets(zone, min(years) - 1, max(years) + max(2, max(years) // 366))
    return ((instants + offset[np.searchsorted(since, instants, side="right") - 1]) // _DAY).astype(np.int32)


@lru_cache(maxsize=64)
def _offsets(zone: ZoneInfo, first: int, last: int) -> tuple[Ints, Ints]:
    """From when on which offset to UTC holds, from the year `first` to the year `last`, in microseconds."""
    at, end = (datetime(min(max(year, 1), 9998), 1, 2, tzinfo=UTC) for year in (first, last + 1))
    since, offsets = [np.iinfo(np.int64).min], [_offset(at, zone)]
    while at < end:
        following = at + _STEP
        if (offset := _offset(following, zone)) != offsets[-1]:
            since.append(microseconds(_change(at, following, zone)))
            offsets.append(offset)
        at = following
    return np.array(since, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - an aware instant
    return offset // timedelta(microseconds=1)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The second, after `before` and up to `after`, from which the offset of `after` holds."""
    seconds, offset = int((after - before).total_seconds()), _offset(after, zone)
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(before + timedelta(seconds=middle), zone) == offset:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)
