"""The report's charts, drawn by matplotlib from values of ``report.json``; nothing is estimated here.

Missing values are left out, and a chart without any value is None. Sizes are those of the drawing in SVG units.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from propensity.report import drawing
from propensity.report.bars import model_slot
from propensity.report.formatting import MINUS, has_interval, is_missing, model_name, money, percent, share, thousands
from propensity.report.svg import inline_svg, plain_style, titled

_LIFT_FROM = 0.01
_PROFIT_TO = 0.1
"""Share of the prospects that the profit curve shows at least."""
_ROW = 30
_PYRAMID, _GAP = (320, 210), 3
_NAME = 17
"""Letters of a name beside a chart."""
_DASHES = {1: (0, (0.6, 2.3)), 2: (0, (4, 2.3))}
"""Line styles of the models that the others are held against."""

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A drawing, and what the words around it need to know.

    Attributes
    ----------
    figure : Figure
    names : list of str
        Models with a curve, the uppermost last.
    is_logarithmic : bool
    has_hollow : bool
        Whether a point lies outside of a logarithmic axis.
    """

    figure: Figure
    names: list[str]
    is_logarithmic: bool = False
    has_hollow: bool = False

    def svg(self, name: str, title: str, description: str) -> Markup:
        """Write the drawing as `propensity.report.svg.inline_svg` does."""
        return inline_svg(self.figure, name, title, description)


@plain_style()
def gains_chart(
    curves: Mapping[str, Any], *, selected: str | None, capacity_share: float | None, captured: float | None
) -> Chart | None:
    """Draw the gains curves: share of buyers found (0 to 1) over share of prospects contacted (0 to 1).

    Parameters
    ----------
    curves : mapping
        Model to ``{"gains": {"share": [..], "capture": [..], ..}}``.
    selected : str or None
        The model that is drawn last and strongest.
    capacity_share : float or None
        Share of prospects that can be contacted, 0 to 1.
    captured : float or None
        Share of buyers that the selected model finds there, 0 to 1.

    Returns
    -------
    Chart or None
        None where no model has a curve.

    Examples
    --------
    >>> curve = {"gains": {"share": [0, 0.5, 1], "capture": [0, 0.8, 1]}}
    >>> chart = gains_chart({"lightgbm": curve}, selected="lightgbm", capacity_share=0.05, captured=0.2)
    >>> chart.names, [text.get_text() for text in chart.figure.axes[0].texts]
    (['lightgbm'], ['capacity 5%', '20.0% of buyers'])
    """
    points = {name: _pairs(curve.get("gains") or {}, "capture") for name, curve in curves.items()}
    if not any(points.values()):
        return None
    axes = drawing.new_axes(440, 316, "prospects contacted, best first", left=46)
    drawing.span(axes, (0.0, 1.0), (0.0, 1.0), share, share)
    axes.plot([0, 1], [0, 1], **drawing.reference())
    drawing.mark_capacity(axes, capacity_share)
    names = _curves(axes, points, selected)
    if not is_missing(capacity_share) and not is_missing(captured):
        text = f"{percent(captured)} of buyers"
        style: dict[str, Any] = {
            "color": drawing.colour("ink"),
            "markeredgecolor": drawing.colour("paper"),
            "markeredgewidth": 2,
        }
        titled(
            axes.plot(drawing.number(capacity_share), drawing.number(captured), "o", markersize=9, **style)[0],
            text,
        )
        drawing.note(
            axes, (drawing.number(capacity_share), drawing.number(captured)), text, (9, -14), strong=True, end=1.0
        )
    return Chart(drawing.figure_of(axes), names)


@plain_style()
def lift_chart(curves: Mapping[str, Any], *, selected: str | None, capacity_share: float | None) -> Chart | None:
    """Draw the lift curves over the share of prospects contacted, on a logarithmic axis from 1% to 100%.

    Parameters
    ----------
    curves : mapping
        Model to ``{"gains": {"share": [..], "lift": [..], ..}}``.
    selected, capacity_share
        As in `gains_chart`.

    Returns
    -------
    Chart or None
        None where no model has a lift at or above a share of 1%.

    Examples
    --------
    >>> curve = {"gains": {"share": [0, 0.1, 1], "lift": [None, 4, 1]}}
    >>> lift_chart({"blend": curve}, selected=None, capacity_share=None).figure.axes[0].lines[-1].get_xdata()
    array([0.1, 1. ])
    """
    points = {
        name: [(at, lift) for at, lift in _pairs(curve.get("gains") or {}, "lift") if at >= _LIFT_FROM]
        for name, curve in curves.items()
    }
    lifts = [lift for own in points.values() for _, lift in own]
    if not lifts:
        return None
    axes = drawing.new_axes(440, 316, "prospects contacted, best first", left=46)
    # A whole step above the highest curve, so that no line runs along the upper edge.
    highest = max(*lifts, 1.0)
    step = float(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, highest)[1])
    top = step * (highest // step + 1)
    drawing.span(axes, (_LIFT_FROM, 1.0), (0.0, top), share, lambda value: f"{value:g}×", x_log=True)
    axes.plot([_LIFT_FROM, 1], [1, 1], **drawing.reference())
    drawing.mark_capacity(axes, capacity_share)
    return Chart(drawing.figure_of(axes), _curves(axes, points, selected), is_logarithmic=True)


@plain_style()
def steps_chart(
    dates: Sequence[str],
    values: Mapping[str, Sequence[float | None]],
    *,
    selected: str | None,
    lot: Sequence[float | None] = (),
    write: Callable[[Any], str],
    y_label: str = "",
    width: float = 680,
) -> Chart | None:
    """Draw a figure of several methods over the steps of a backtest.

    Parameters
    ----------
    dates : sequence of str
        One a step.
    values : mapping
        Method → its figure at each step.
    selected : str or None
        The method that is drawn last and strongest.
    lot : sequence of float, optional
        The figure of a list by lot, drawn as a reference.
    write : callable
        Turns a figure into text.
    y_label : str
        What the figure is.
    width : float
        Drawing units.

    Returns
    -------
    Chart or None
        None where no method has a figure.

    Examples
    --------
    >>> chart = steps_chart(["2025-01", "2025-02"], {"blend": [0.2, 0.4]}, selected="blend", write=str)
    >>> chart.names, [label.get_text() for label in chart.figure.axes[0].get_xticklabels()]
    (['blend'], ['2025-01', '2025-02'])
    """
    points = {
        name: [(float(i), drawing.number(value)) for i, value in enumerate(own) if not is_missing(value)]
        for name, own in values.items()
    }
    heights = [value for own in points.values() for _, value in own]
    if not heights:
        return None
    axes = drawing.new_axes(width, 300, "list as of", y_label=y_label, left=66)
    low, high = min(0.0, *heights), max(0.0, *heights)
    drawing.span(axes, (-0.3, len(dates) - 0.7), (low, high * 1.06 if high > low else low + 1), str, write)
    every = -(-len(dates) // 8)
    axes.set_xticks(range(0, len(dates), every), [dates[i] for i in range(0, len(dates), every)])
    axes.grid(visible=False, axis="x")
    if lot:
        axes.plot(range(len(lot)), [drawing.number(value) for value in lot], **drawing.reference())
    names = _curves(axes, points, selected)
    for name in names:
        for at, value in points[name]:
            dot = axes.plot(at, value, "o", color=drawing.model_colour(name), markersize=5)[0]
            titled(dot, f"{model_name(name)}, {dates[int(at)]}: {write(value)}")
    return Chart(drawing.figure_of(axes), names)


@plain_style()
def profit_chart(profit: Mapping[str, Any], *, selected: str | None, beside: str) -> Chart | None:
    """Draw profit (money) over the share of prospects contacted (0 to 1), of the selected model and one beside it.

    The axis ends where nobody would go: at four times the capacity, or the depth of the rule, whichever is deeper.

    Parameters
    ----------
    profit : mapping
        The block ``profit`` of ``report.json``.
    selected : str or None
        The model that is drawn last and strongest, with its interval and where to stop.
    beside : str
        Name of the other.

    Returns
    -------
    Chart or None
        None where neither has a curve.

    Examples
    --------
    >>> own = {"curve": {"share": [0, 0.1], "profit": [0, 8], "low": [0, 5], "high": [0, 10]}, "down_to": {"rank": 2}}
    >>> chart = profit_chart({"models": {"blend": own}, "prospects": 100}, selected="blend", beside="scorecard")
    >>> [text.get_text() for text in chart.figure.axes[0].texts]
    ['contact down to here']
    """
    models = {name: own["curve"] for name, own in profit["models"].items() if name in (selected, beside)}
    rule = (profit["models"].get(selected) or {}).get("down_to") or {}
    capacity = (profit.get("capacity") or {}).get("share")
    depth = 0.0 if is_missing(rule.get("rank")) else drawing.number(rule["rank"]) / max(profit["prospects"] or 0, 1)
    depth = min(depth, 1.0)
    end = min(1.0, max(_PROFIT_TO, 4 * depth, 0.0 if is_missing(capacity) else 4 * drawing.number(capacity)))
    points = {
        key: {name: [pair for pair in _pairs(own, key) if pair[0] <= end + 1e-9] for name, own in models.items()}
        for key in ("profit", "low", "high")
    }
    heights = [value for by_name in points.values() for own in by_name.values() for _, value in own]
    if not any(points["profit"].values()):
        return None
    axes = drawing.new_axes(440, 316, "test prospects contacted, best first", left=60)
    low, high = min(0.0, *heights), max(0.0, *heights)
    drawing.span(axes, (0.0, end), (low, high if high > low else low + 1), share, money)
    axes.plot([0, end], [0, 0], **drawing.reference())
    band = [(at, value) for key in ("low", "high") for at, value in points[key].get(selected or "", [])]
    if band:
        by_depth = pd.DataFrame(band, columns=["at", "value"]).groupby("at")["value"].agg(["min", "max"])
        axes.fill_between(
            by_depth.index,
            by_depth["min"],
            by_depth["max"],
            color=drawing.model_colour(selected or ""),
            alpha=0.16,
            linewidth=0,
        )
    drawing.mark_capacity(axes, capacity)
    if depth:
        axes.axvline(depth, color=drawing.colour("ink"), linewidth=1.5)
        drawing.note(axes, (depth, low), "contact down to here", (5, 7), strong=True, end=end)
    return Chart(drawing.figure_of(axes), _curves(axes, points["profit"], selected))


@plain_style()
def calibration_chart(name: str, bins: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Draw observed shares with their intervals over predicted probabilities.

    Both axes are the same, so that the diagonal is where predictions come true; they are logarithmic where the
    predictions span more than a factor of ten, as with rare buyers. A bin without buyers has no logarithm: it is
    drawn hollow on the lower edge.

    Parameters
    ----------
    name : str
        The model.
    bins : sequence of mapping
        ``predicted``, ``observed``, ``low``, ``high`` (0 to 1) and ``n``.

    Returns
    -------
    Chart or None

    Examples
    --------
    >>> bin_ = {"bin": 1, "n": 50, "predicted": 0.2, "observed": 0.3, "low": 0.1, "high": 0.5}
    >>> calibration_chart("lightgbm", [bin_]).is_logarithmic
    False
    """
    known = [row for row in bins if not is_missing(row.get("predicted")) and not is_missing(row.get("observed"))]
    if not known:
        return None
    axes = drawing.new_axes(440, 400, "predicted probability", y_label="share who bought", left=56, top=12)
    low, high, is_logarithmic = _calibration_range(known)
    drawing.span(axes, (low, high), (low, high), share, share, x_log=is_logarithmic, y_log=is_logarithmic)
    axes.plot([low, high], [low, high], **drawing.reference())
    colour, paper = drawing.model_colour(name), drawing.colour("paper")
    hollows = [is_logarithmic and row["observed"] < low for row in known]
    for row, hollow in zip(known, hollows, strict=True):
        x = min(max(row["predicted"], low), high)
        if has_interval([row.get("low"), row.get("high")]):
            ends = [min(max(row[key], low), high) for key in ("low", "high")]
            axes.plot([x, x], ends, color=colour, linewidth=3, alpha=0.42, solid_capstyle="round")
        fill, edge = (paper, colour) if hollow else (colour, paper)
        style: dict[str, Any] = {"color": fill, "markeredgecolor": edge, "markersize": 10}
        style["markeredgewidth"] = 2 if hollow else 1.5
        dot = axes.plot(x, min(max(row["observed"], low), high), "o", **style)[0]
        titled(dot, f"predicted {percent(row['predicted'])}, observed {percent(row['observed'])}")
    return Chart(drawing.figure_of(axes), [name], is_logarithmic, any(hollows))


@plain_style()
def interval_chart(
    rows: Sequence[tuple[str, Any, Any]],
    *,
    write: Callable[[Any], str],
    selected: str | None = None,
    reference: float | None = None,
    origin: float | None = None,
    width: float = 320,
) -> Chart | None:
    """Draw estimates of models and their intervals one below the other.

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
    Chart or None

    Examples
    --------
    >>> interval_chart([("blend", 0.1, [0.0, 0.2]), ("logistic", None, None)], write=str, reference=0.0).names
    ['blend']
    """
    known = [row for row in rows if not is_missing(row[1])]
    if not known:
        return None
    axes = drawing.new_axes(width, _ROW * len(known) + 28, "", left=122, right=62, top=0, bottom=22)
    values = [value for _, value, bounds in known for value in (value, *(bounds if has_interval(bounds) else ()))]
    values += [value for value in (reference, origin) if value is not None]
    low, high = min(values), max(values)
    # A little room beyond the outermost value, so that no bar seems cut off.
    room = 0.03 * (high - low) or 0.5
    drawing.span(axes, (low - room, high + room), (len(known), 0), _short, None, count=3 if width < 400 else 5)
    if reference is not None:
        axes.axvline(reference, color=drawing.colour("soft"), linewidth=1.25)
    for y, (name, value, bounds) in enumerate(known):
        colour, is_selected = drawing.model_colour(name), name == selected
        if has_interval(bounds):
            axes.plot(bounds, [y + 0.5] * 2, color=colour, linewidth=3, alpha=0.42, solid_capstyle="round")
        size = 11 if is_selected else 9
        axes.plot(value, y + 0.5, "o", color=colour, markeredgecolor=drawing.colour("paper"), markersize=size)
        shown = model_name(name)
        for x, text, side in (
            (0, shown if len(shown) <= _NAME else f"{shown[: _NAME - 1]}…", "left"),
            (width, write(value), "right"),
        ):
            drawing.name_row(axes, x, y + 0.5, text, side=side, strong=is_selected)
    return Chart(drawing.figure_of(axes), [name for name, _, _ in known])


@plain_style()
def pyramid_chart(tiers: Sequence[Mapping[str, Any]]) -> Chart:
    """Draw a pyramid of tiers from the top: the area of each is its share of the prospects.

    Parameters
    ----------
    tiers : sequence of mapping
        ``tier``, ``share`` (0 to 1) and ``prospects``.

    Examples
    --------
    >>> tiers = [{"tier": "key", "share": 0.25, "prospects": 1}, {"tier": "other", "share": 0.75, "prospects": 3}]
    >>> [patch.get_xy().max(axis=0).tolist() for patch in pyramid_chart(tiers).figure.axes[0].patches]
    [[240.0, 103.5], [320.0, 210.0]]
    """
    figure = Figure(figsize=(_PYRAMID[0] / 72, _PYRAMID[1] / 72), frameon=False)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False, xlim=(0, _PYRAMID[0]), ylim=(_PYRAMID[1], 0))
    axes.set_axis_off()
    # The part of a triangle above a height has the square of it as its share of the area; gaps come off the height.
    space = _PYRAMID[1] - _GAP * (len(tiers) - 1)
    above, middle = 0.0, _PYRAMID[0] / 2
    for i, tier in enumerate(tiers):
        below = min(above + float(tier["share"]), 1.0)
        top, bottom = (math.sqrt(part) * space + _GAP * i for part in (above, below))
        upper, lower = (middle * (y - _GAP * i) / space for y in (top, bottom))
        corners = [(middle - upper, top), (middle - lower, bottom), (middle + lower, bottom), (middle + upper, top)]
        drawn = Polygon(corners, closed=True, facecolor=drawing.colour(f"g{min(i + 1, 4)}"), linewidth=0)
        titled(axes.add_patch(drawn), f"{tier['tier']}: {thousands(tier['prospects'])}")
        above = below
    return Chart(figure, [])


@plain_style()
def timeline_chart(kinds: Sequence[tuple[str, bool, pd.Series]], start: pd.Timestamp, end: pd.Timestamp) -> Chart:
    """Draw records in their order in time, a row for each kind; squares are purchases.

    Parameters
    ----------
    kinds : sequence of (name, is a purchase, times)
    start, end : Timestamp
        Ends of the axis.

    Examples
    --------
    >>> start, end = pd.Timestamp("2025-01-01"), pd.Timestamp("2025-03-01")
    >>> chart = timeline_chart([("visit", False, pd.Series([pd.Timestamp("2025-02-01")]))], start, end)
    >>> [tick.get_text() for tick in chart.figure.axes[0].get_xticklabels()]
    ['Jan 2025', 'Feb', 'Mar']
    """
    axes = drawing.new_axes(760, 30 + 22 * max(len(kinds), 1), "", left=170, right=8, top=19, bottom=0)
    months = pd.date_range(start.normalize(), end, freq="MS")
    axes.set(xlim=(start.timestamp(), end.timestamp()), ylim=(max(len(kinds), 1), 0))
    axes.set_xticks(
        [month.timestamp() for month in months],
        [f"{month:%b}" + (f" {month:%Y}" if month.month == 1 else "") for month in months],
    )
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.grid(visible=True, axis="x", color=drawing.colour("rule"), linewidth=1)
    for y, (name, is_purchase, times) in enumerate(kinds):
        slot, marker = ("m2", "s") if is_purchase else ("m4", "o")
        style: dict[str, Any] = {
            "color": drawing.colour(slot),
            "markeredgecolor": drawing.colour("paper"),
            "markeredgewidth": 1.5,
            "linewidth": 0,
        }
        axes.plot([at.timestamp() for at in times], [y + 0.5] * len(times), marker, markersize=9, **style)
        drawing.name_row(axes, 0, y + 0.5, name if len(name) <= _NAME + 3 else f"{name[: _NAME + 2]}…", side="left")
        drawing.name_row(axes, 156, y + 0.5, thousands(len(times)), side="right")
    return Chart(drawing.figure_of(axes), [])


def line_style(name: str, *, strongest: str | None) -> dict[str, Any]:
    """How a model's curve is drawn: the strongest whole and wide."""
    is_strongest = name == strongest
    style = "-" if is_strongest else _DASHES.get(model_slot(name), "-")
    how: dict[str, Any] = {"color": drawing.model_colour(name), "linewidth": 3 if is_strongest else 1.75}
    return how | {"linestyle": style, "solid_capstyle": "round", "dash_capstyle": "round"}


def _curves(axes: Axes, points: Mapping[str, Points], selected: str | None) -> list[str]:
    # The selected model comes last: its line shall lie on top.
    names = sorted((name for name in points if points[name]), key=lambda name: name == selected)
    for name in names:
        line = axes.plot(*zip(*points[name], strict=True), **line_style(name, strongest=selected))[0]
        titled(line, model_name(name))
    return names


def _pairs(curve: Mapping[str, Any], key: str) -> Points:
    pairs = zip(curve.get("share") or [], curve.get(key) or [], strict=False)
    return [(float(at), float(value)) for at, value in pairs if not is_missing(at) and not is_missing(value)]


def _short(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _calibration_range(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, bool]:
    predicted: list[float] = [row["predicted"] for row in rows]
    shown: list[float] = [*predicted, *(row["observed"] for row in rows)]
    high = max(shown + [row["high"] for row in rows if not is_missing(row.get("high"))])
    if min(predicted) <= 0 or max(predicted) / min(predicted) <= 10:
        return 0.0, min(high * 1.05, 1.0) or 1.0, False
    return min(value for value in shown if value > 0) * 0.7, min(high * 1.15, 1.0), True
