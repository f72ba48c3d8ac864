"""Is there as much to make a list from as usual? Counted at training, and again for every list."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from propensity.config import ListSpec
from propensity.data.connect import to_frame
from propensity.data.tables import Tables, as_of, between
from propensity.temporal import Window, microseconds

_LATEST = 3
"""Cutoffs that prospects are counted against: a base that grows is not held against its beginnings."""
_DAYS = 30
"""Length of the window that records are counted in."""


def volumes(tables: Tables, cutoff: datetime) -> dict[str, dict[str, float | None]]:
    """What is recorded as of a cutoff, by role (events, purchases).

    Returns
    -------
    dict
        Role → ``recent``: records of the last 30 days, and ``age``: days since the newest; None where there is none.
    """
    window = Window(cutoff - timedelta(days=_DAYS), cutoff)
    found = {}
    for role, records in tables.records.items():
        if role == "contacts":
            continue  # campaigns pause
        recent = between(as_of(records, cutoff), window)
        counted = to_frame(recent.aggregate(recent=recent.count(), newest=recent.occurred_at.max())).iloc[0]
        newest = counted["newest"]
        days = None if newest != newest or newest is None else _days(cutoff, newest)
        found[role] = {"recent": float(counted["recent"]), "age": days}
    return found


def _days(cutoff: datetime, newest: Any) -> float:
    passed = microseconds(cutoff) - newest.to_datetime64().astype("datetime64[us]").astype("int64")
    return round(float(passed) / 86_400_000_000, 3)


def shortfalls(
    usual: Sequence[Mapping[str, Any]], prospects: int, found: Mapping[str, Mapping[str, Any]], spec: ListSpec
) -> list[str]:
    """What speaks against making a list: too few prospects or records, or too old ones.

    Parameters
    ----------
    usual : sequence of mapping
        At each cutoff that the model learnt from, the earliest first: ``prospects`` and `volumes`.
    prospects : int
        On the list.
    found : mapping
        `volumes` at the list's cutoff.
    spec : ListSpec
        `least` is the share of the prospects at the last three of them that is enough, `least_records` that of the
        records at any (they follow seasons), `max_age` how much older than usual the newest record may be.

    Returns
    -------
    list of str
        A sentence each; empty where nothing does.

    Examples
    --------
    >>> usual = [{"prospects": 1_000, "events": {"recent": 5_000.0, "age": 0.5}}]
    >>> shortfalls(usual, 550, {"events": {"recent": 5_100.0, "age": 0.1}}, ListSpec())
    ['550 prospects, 1,000 or more when the model learnt last (limit 70%)']
    """
    if not usual:
        return []
    told = []
    least = min(row["prospects"] for row in usual[-_LATEST:])
    if prospects < spec.least * least:
        told.append(f"{prospects:,} prospects, {least:,} or more when the model learnt last (limit {spec.least:.0%})")
    for role, now in found.items():
        known = [row[role] for row in usual if role in row]
        if not known:
            continue
        few = min(row["recent"] for row in known)
        if now["recent"] < spec.least_records * few:
            told.append(
                f"{now['recent']:,.0f} {role} in the last {_DAYS} days, {few:,.0f} or more while the model learnt "
                f"(limit {spec.least_records:.0%})"
            )
        ages = [row["age"] for row in known if row["age"] is not None]
        limit = max(ages, default=0.0) + spec.max_age.approximate_days
        if ages and now["age"] is not None and now["age"] > limit:
            told.append(
                f"the newest of the {role} is {now['age']:,.1f} days old, {max(ages):,.1f} at most while the model "
                f"learnt (limit {spec.max_age} more)"
            )
    return told
