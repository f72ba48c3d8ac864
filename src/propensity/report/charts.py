"""Coordinates of the report's charts; the templates draw them as inline SVG.

Nothing is estimated here: values of ``report.json`` go in, places on the drawing come out. Missing values leave a
gap, and a chart without any value is None. Curves over two axes are placed in `propensity.report.curves`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from propensity.report.formatting import MINUS, has_interval, is_missing
from propensity.report.scales import Scale, Tick, ticks

# A model keeps its colour in every chart of every report.
_SLOTS = {"single_indicator": 1, "scorecard": 2, "logistic": 3, "lightgbm": 4, "blend": 5, "fitted_scorecard": 6}
_FREE_SLOTS = (7,)
_ROW = 30


@dataclass(frozen=True)
class Frame:
    """The drawing's size and the rectangle inside its axes, in drawing units."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Line:
    """A curve: the model's name, its colour slot, whether it was selected, its SVG path."""

    name: str
    slot: int
    selected: bool
    path: str


@dataclass(frozen=True)
class Dot:
    """A point, its interval where known, and the words that tell its values."""

    x: float
    y: float
    text: str
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True)
class Marker:
    """A vertical line, with its label: at the contact capacity, or where to stop."""

    at: float
    text: str
    anchor: str


@dataclass(frozen=True)
class CurveChart:
    """Curves over one pair of axes; `band` is the interval of the last one."""

    frame: Frame
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line] = field(default_factory=list)
    reference: str = ""
    capacity: Marker | None = None
    dots: list[Dot] = field(default_factory=list)
    logarithmic: bool = False
    band: str = ""
    down_to: Marker | None = None


@dataclass(frozen=True)
class IntervalRow:
    """One estimate of an interval chart."""

    name: str
    slot: int
    selected: bool
    y: float
    x: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class IntervalChart:
    """Estimates with their intervals, one row each, over one axis."""

    frame: Frame
    rows: list[IntervalRow]
    x_ticks: list[Tick]
    reference: float | None


@dataclass(frozen=True)
class Step:
    """One step of a waterfall, from and to in hundredths of the width."""

    x: float
    width: float
    sign: str


def model_slot(name: str) -> int:
    """Find the colour slot of a model, 1 to 7, the same in every chart.

    Examples
    --------
    >>> model_slot("scorecard"), model_slot("challenger")
    (2, 7)
    """
    return _SLOTS.get(name, _FREE_SLOTS[sum(name.encode()) % len(_FREE_SLOTS)])


def interval_chart(
    rows: Sequence[tuple[str, Any, Any]],
    *,
    write: Callable[[Any], str],
    selected: str | None = None,
    reference: float | None = None,
    origin: float | None = None,
    width: float = 320,
) -> IntervalChart | None:
    """Place estimates and intervals one below the other.

    Parameters
    ----------
    rows : sequence of (name, value, interval)
        The interval is ``[low, high]`` or None; a row without a value is left out.
    write : callable
        Turns a value into text.
    selected : str, optional
    reference : float, optional
        Where a vertical line is drawn, such as 0 for differences; always within the axis.
    origin : float, optional
        A value that the axis must reach without a line.
    width : float
        Drawing units; names and figures take 184 of them.

    Returns
    -------
    IntervalChart or None

    Examples
    --------
    >>> chart = interval_chart([("blend", 0.1, [0.0, 0.2])], write=str, reference=0.0)
    >>> chart.rows[0].x, chart.reference
    (190.0, 125.85)
    """
    known = [row for row in rows if not is_missing(row[1])]
    if not known:
        return None
    frame = Frame(width, _ROW * len(known) + 28, 122, 0, width - 62, _ROW * len(known) + 6)
    values = [value for _, value, bounds in known for value in (value, *(bounds if has_interval(bounds) else ()))]
    values += [value for value in (reference, origin) if value is not None]
    low, high = min(values), max(values)
    # A little room beyond the outermost value, so that no bar seems cut off.
    room = 0.03 * (high - low) or 0.5
    x = Scale(low - room, high + room, frame.left, frame.right)
    placed = [
        _interval_row(row, x, y=_ROW * index + _ROW / 2 + 3, write=write, selected=selected)
        for index, row in enumerate(known)
    ]
    return IntervalChart(
        frame, placed, ticks(x, _short, count=3 if width < 400 else 5), None if reference is None else x(reference)
    )


def bar_width(value: Any, top: Any) -> float:
    """Measure a bar, in hundredths of the width that `top` would fill.

    Examples
    --------
    >>> bar_width(5, 20), bar_width(None, 20), bar_width(1, 0)
    (25.0, 0.0, 0.0)
    """
    if is_missing(value) or is_missing(top) or top <= 0:
        return 0.0
    return round(100 * float(min(max(value / top, 0.0), 1.0)), 2)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Join points to an SVG path.

    Examples
    --------
    >>> path([(0.0, 1.5), (2.0, 3.0)])
    'M0 1.5L2 3'
    """
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def _short(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _interval_row(
    row: tuple[str, Any, Any], x: Scale, *, y: float, write: Callable[[Any], str], selected: str | None
) -> IntervalRow:
    name, value, bounds = row
    low, high = (x(bounds[0]), x(bounds[1])) if has_interval(bounds) else (None, None)
    return IntervalRow(name, model_slot(name), name == selected, y, x(value), low, high, write(value))
