"""Drawing coordinates of the ten prospects: one shared scale, so that their bars can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from propensity.report.bars import Scale, Step
from propensity.report.formatting import is_missing


@dataclass(frozen=True)
class ProspectDrawing:
    """One prospect's probability strip and waterfall, in hundredths of the width."""

    probability: float | None
    low: float | None
    high: float | None
    base: Step | None
    reasons: list[Step | None]
    other: Step | None
    total: Step | None


def prospect_drawings(prospects: Sequence[Mapping[str, Any]]) -> list[ProspectDrawing]:
    """Place every prospect's probability, interval and waterfall on scales that all of them share.

    Parameters
    ----------
    prospects : sequence of mapping
        As in ``report.json``: ``base_points``, ``reasons`` with ``points``, ``other_points``, ``points``.

    Returns
    -------
    list of ProspectDrawing
        One per prospect, in the same order; parts whose values are missing are None.

    Examples
    --------
    >>> person = {"probability": 0.2, "probability_low": 0.1, "probability_high": 0.4, "base_points": 500,
    ...           "reasons": [{"text": "4 visits", "points": 30}], "other_points": -10, "points": 520}
    >>> drawing = prospect_drawings([person])[0]
    >>> drawing.probability, drawing.reasons[0].sign, drawing.other.sign
    (50.0, 'up', 'down')
    """
    strip = _strip_scale(prospects)
    levels = [level for person in prospects for level in _levels(person) if level is not None]
    low, high = (min(levels), max(levels)) if levels else (0.0, 1.0)
    # A tenth of the span is left on the lower side, so that the base itself has a bar to start from.
    points = Scale(low - 0.1 * (high - low or 1.0), high)
    return [_drawing(person, strip, points) for person in prospects]


def _strip_scale(prospects: Sequence[Mapping[str, Any]]) -> Scale:
    keys = ("probability", "probability_high")
    known = [person[key] for person in prospects for key in keys if not is_missing(person.get(key))]
    return Scale(0, max(known, default=1.0) or 1.0)


def _levels(person: Mapping[str, Any]) -> list[float | None]:
    """Add up the waterfall: the level after the base, after each reason, and after everything else."""
    base = person.get("base_points")
    if is_missing(base):
        return [None] * (len(person["reasons"]) + 2)
    parts = [*(reason["points"] for reason in person["reasons"]), person.get("other_points")]
    return list(accumulate((0.0 if is_missing(part) else part for part in parts), initial=base))


def _drawing(person: Mapping[str, Any], strip: Scale, points: Scale) -> ProspectDrawing:
    levels = _levels(person)
    steps = [_step(before, after, points) for before, after in pairwise(levels)]
    place = {key: person.get(key) for key in ("probability", "probability_low", "probability_high")}
    drawn = {key: None if value is None or is_missing(value) else strip(value) for key, value in place.items()}
    return ProspectDrawing(
        drawn["probability"],
        drawn["probability_low"],
        drawn["probability_high"],
        base=_whole(levels[0], points),
        reasons=steps[:-1],
        other=steps[-1],
        total=_whole(person.get("points"), points),
    )


def _step(before: float | None, after: float | None, points: Scale) -> Step | None:
    if before is None or after is None:
        return None
    left, right = points(min(before, after)), points(max(before, after))
    # A step too small to see still gets a hair's width.
    return Step(left, round(max(right - left, 0.4), 2), "up" if after >= before else "down")


def _whole(level: Any, points: Scale) -> Step | None:
    return None if is_missing(level) else Step(0.0, points(level), "whole")
