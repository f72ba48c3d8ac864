"""Quiet axes, and what is written and marked on them, for `propensity.report.charts`."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from propensity.report.bars import model_slot
from propensity.report.formatting import is_missing, share
from propensity.report.svg import as_xml, classed, theme

_DOTTED = (0, (1.2, 3.2))


def new_axes(
    width: float,
    height: float,
    x_label: str,
    *,
    y_label: str = "",
    left: float,
    right: float = 16,
    top: float = 17,
    bottom: float = 48,
) -> Axes:
    """Axes on a figure of their own, everything quiet that is not data."""
    figure = Figure(figsize=(width / 72, height / 72), frameon=False)
    place = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    axes = figure.add_axes(place, frameon=False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=7, labelsize=12, labelcolor=colour("soft"))
    middle = place[0] + place[2] / 2, place[1] + place[3] / 2
    label: dict[str, Any] = {"ha": "center", "fontsize": 12, "color": colour("soft"), "rotation_mode": "anchor"}
    figure.text(middle[0], 6 / height, x_label, va="bottom", **label)
    figure.text(12 / width, middle[1], y_label, va="center", rotation=90, **label)
    return axes


def figure_of(axes: Axes) -> Figure:
    """The figure of some axes."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)  # noqa: S101 - made by new_axes
    return figure


def span(
    axes: Axes,
    x: tuple[float, float],
    y: tuple[float, float],
    write_x: Callable[[Any], str],
    write_y: Callable[[Any], str] | None,
    *,
    x_log: bool = False,
    y_log: bool = False,
    count: int = 5,
) -> None:
    """Set the ends of both axes, and round ticks with the report's ways to write figures."""
    axes.set(xscale="log" if x_log else "linear", yscale="log" if y_log else "linear", xlim=x, ylim=y)
    for axis, (low, high), write, logarithmic in (
        (axes.xaxis, x, write_x, x_log),
        (axes.yaxis, y, write_y, y_log),
    ):
        if write is None:
            axis.set_major_locator(NullLocator())
            continue
        values = (
            _log_ticks(low, high) if logarithmic else MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
        )
        inside = [round(float(value), 12) for value in values if low - 1e-12 <= value <= high + 1e-12]
        told: dict[str, float] = {}
        for value in inside:
            told.setdefault(write(value), value)  # what reads the same is told once
        axis.set_minor_locator(NullLocator())
        axis.set_ticks(list(told.values()), list(told))
        if axis is axes.yaxis or write_y is None:
            axis.grid(visible=True, color=colour("rule"), linewidth=1)


def _log_ticks(low: float, high: float) -> Sequence[float]:
    # Four decades or more leave room for the powers of ten only.
    factors = (1, 2, 5) if high / low < 1e3 else (1, 3) if high / low < 1e4 else (1,)
    return list(LogLocator(subs=factors, numticks=100).tick_values(low, high))


def mark_capacity(axes: Axes, capacity_share: float | None) -> None:
    """Draw the contact capacity as a line with its words above it, where there is one."""
    if is_missing(capacity_share):
        return
    start, end = axes.get_xlim()
    at = min(max(number(capacity_share), start), end)
    axes.axvline(at, ymax=1.045, color=colour("soft"), linewidth=1, linestyle=(0, (4, 3)))
    note(axes, (at, axes.get_ylim()[1]), f"capacity {share(capacity_share)}", (5, 5), end=end)


def note(
    axes: Axes,
    at: tuple[float, float],
    text: str,
    offset: tuple[float, float],
    *,
    strong: bool = False,
    end: float | None = None,
) -> None:
    """Words beside a place, to its left where there is no room on the right."""
    start = axes.get_xlim()[0]
    place = axes.transAxes.inverted().transform(axes.transData.transform(at))[0]
    is_left = end is not None and end > start and place >= 0.6
    words = axes.annotate(
        as_xml(text), at, (-offset[0] if is_left else offset[0], offset[1]), textcoords="offset points", fontsize=12,
        ha="right" if is_left else "left", color=colour("ink" if strong else "soft"), annotation_clip=False,
    )  # fmt: skip
    words.set_parse_math(False)
    classed(words, "note strong" if strong else "note")


def name_row(axes: Axes, x: float, y: float, text: str, *, side: str, strong: bool = False) -> None:
    """Words beside a row, `x` drawing units from the left edge."""
    figure = figure_of(axes)
    mixed = axes.get_yaxis_transform()
    place = mixed.inverted().transform(figure.dpi_scale_trans.transform((x / 72, 0)))[0]
    drawn = axes.text(
        place, y, as_xml(text), transform=mixed, ha=side, va="center_baseline", fontsize=13, color=colour("ink")
    )
    drawn.set_parse_math(False)
    classed(drawn, "name strong" if strong else "name")


def reference() -> dict[str, Any]:
    """The style of a dotted line of what knows nothing, or keeps every promise."""
    return {"color": colour("faint"), "linewidth": 1.25, "linestyle": _DOTTED, "dash_capstyle": "round"}


def colour(name: str) -> str:
    """A colour of the page by its name in the style sheet."""
    return theme()[name]


def model_colour(name: str) -> str:
    """The colour that a model has in every chart."""
    return colour(f"m{model_slot(name)}")


def number(value: float | None) -> float:
    """The value, which is known not to be missing."""
    return float(value or 0.0)
