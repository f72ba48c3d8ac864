"""Pictures of numbers that were computed before: nothing is measured here.

Figures are made with matplotlib's objects alone, without pyplot's global state. Colours are told apart by colour-blind
readers (https://doi.org/10.1038/nmeth.1618), and line styles repeat what colours say. Titles say what is seen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from propensity.evaluation.ranking import Floats

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)), "-")
_INK, _QUIET, _GRID = "#333333", "#8a8a8a", "#e6e6e6"

_WORDS: Mapping[str, str] = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "lift_at_1pct": "lift, best 1 %",
    "lift_at_5pct": "lift, best 5 %",
    "lift_at_10pct": "lift, best 10 %",
    "lift_at_20pct": "lift, best 20 %",
    "lift_at_capacity": "lift at capacity",
    "capture_at_capacity": "capture at capacity",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "log_loss": "log loss",
    "brier": "Brier score",
}
# what a model that knows nothing, or one that is calibrated, would show
_REFERENCES: Mapping[str, float] = {
    "roc_auc": 0.5,
    **{f"lift_at_{name}": 1.0 for name in ("1pct", "5pct", "10pct", "20pct", "capacity")},
    "calibration_slope": 1.0,
    "calibration_intercept": 0.0,
}


def plot_gains(curves: Mapping[str, Mapping[str, Sequence[Any]]], *, capacity: float | None = None) -> Figure:
    """Draw gains and lift of several models side by side.

    Parameters
    ----------
    curves : mapping of str to mapping
        Model to what `gains_curve` gave.
    capacity : float, optional
        Share of the list that can be contacted, marked in both panels.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels: share of buyers reached, and lift.

    Examples
    --------
    >>> curve = {"share": [0.0, 0.5, 1.0], "capture": [0.0, 0.8, 1.0], "lift": [None, 1.6, 1.0]}
    >>> plot_gains({"logistic": curve}, capacity=0.5).get_suptitle()
    'Contacting the best 50 % reaches 80 % of the buyers (logistic)'
    """
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    gains, lift = figure.subplots(1, 2)
    for i, (model, curve) in enumerate(curves.items()):
        style = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _LINES[i % len(_LINES)], "linewidth": 1.8}
        share = _numbers(curve["share"])
        gains.plot(share, _numbers(curve["capture"]), label=model, **style)
        lift.plot(share, _numbers(curve["lift"]), label=model, **style)
    gains.plot([0, 1], [0, 1], color=_QUIET, linewidth=1)
    lift.axhline(1, color=_QUIET, linewidth=1)
    _frame(gains, "share of the list contacted", "share of buyers reached")
    _frame(lift, "share of the list contacted", "buyers found, times those of a random pick")
    gains.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (gains, lift):
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        if capacity is not None:
            axes.axvline(capacity, color=_QUIET, linewidth=1, linestyle=":")
            axes.annotate("capacity", (capacity, 0), (3, 3), textcoords="offset points", color=_QUIET, fontsize=8)
    if curves:
        gains.legend(frameon=False, fontsize=9, loc="lower right")
    _title(figure, _gains_title(curves, 0.1 if capacity is None else capacity))
    return figure


def plot_calibration(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw promised against observed, a panel a model.

    Parameters
    ----------
    tables : mapping of str to sequence of mapping
        Model to what `calibration_table` gave.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a model, on the same scales; on the diagonal the promise was kept.

    Examples
    --------
    >>> row = {"bin": 1, "n": 90, "predicted": 0.1, "observed": 0.12, "low": 0.07, "high": 0.2}
    >>> plot_calibration({"logistic": [row]}).axes[0].get_title(loc="left")
    'logistic: promise kept in 1 of 1 groups'
    """
    columns = min(3, max(1, len(tables)))
    rows = -(-max(1, len(tables)) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    top = max((max(row["high"], row["predicted"]) for table in tables.values() for row in table), default=1.0)
    for i, (axes, (model, table)) in enumerate(zip(panels.flat, tables.items(), strict=False)):
        axes.plot([0, top], [0, top], color=_QUIET, linewidth=1)
        _calibration_points(axes, table, _COLOURS[i % len(_COLOURS)])
        kept = sum(row["low"] <= row["predicted"] <= row["high"] for row in table)
        _frame(axes, "predicted probability", "share that bought")
        axes.set_title(f"{model}: promise kept in {kept} of {len(table)} groups", loc="left", fontsize=9, color=_INK)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    for axes in panels.flat:
        axes.label_outer()
    # above an empty place a panel keeps its own scale
    for axes in panels.flat[max(0, len(tables) - columns) : len(tables)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("predicted probability", color=_INK, fontsize=9)
    for axes in panels.flat[len(tables) :]:
        axes.set_visible(False)
    _title(figure, "What was promised, and what came true (bars: 95 % intervals)")
    return figure


def plot_models(
    models: Mapping[str, Mapping[str, Any]],
    *,
    metrics: Sequence[str] = ("roc_auc", "average_precision", "lift_at_10pct", "lift_at_capacity", "calibration_slope"),
) -> Figure:
    """Draw metrics of several models side by side, each with its interval.

    Parameters
    ----------
    models : mapping of str to mapping
        Model to its metrics, with ``intervals`` (metric to [low, high]) where there are any.
    metrics : sequence of str
        Metrics to draw, a panel each.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a metric; grey lines mark a model that knows nothing, or a calibrated one.

    Examples
    --------
    >>> found = {"average_precision": 0.31, "intervals": {"average_precision": [0.27, 0.35]}}
    >>> plot_models({"lightgbm": found}, metrics=["average_precision"]).get_suptitle()
    'lightgbm has the highest average precision: 0.310 [0.270, 0.350]'
    """
    figure = Figure(figsize=(1.2 + 2.1 * len(metrics), 1.3 + 0.36 * len(models)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for place, found in enumerate(models.values()):
            _model_point(axes, place, found.get(metric), found.get("intervals", {}).get(metric), metric)
        _reference(axes, metric, models)
        _frame(axes, _WORDS.get(metric, metric), "")
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(models)), list(models))
        axes.set_ylim(len(models) - 0.5, -0.5)
    _title(figure, _models_title(models))
    return figure


def _numbers(values: Sequence[Any]) -> Floats:
    """Give a list with None in it as floats with NaN, which lines leave out."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _frame(axes: Axes, x: str, y: str) -> None:
    """Name the axes and quieten everything that is not data."""
    axes.set_xlabel(x, color=_INK, fontsize=9)
    axes.set_ylabel(y, color=_INK, fontsize=9)
    axes.grid(visible=True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_QUIET)


def _title(figure: Figure, text: str) -> None:
    """Set the figure's title at its left edge."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, color=_INK)


def _gains_title(curves: Mapping[str, Mapping[str, Sequence[Any]]], share: float) -> str:
    """Say what the best model reaches at the share."""
    reached: dict[str, float] = {}
    for model, curve in curves.items():
        capture = float(np.interp(share, _numbers(curve["share"]), _numbers(curve["capture"])))
        if not np.isnan(capture):
            reached[model] = capture
    if not reached:
        return "No curve: without both buyers and others there is nothing to rank"
    best = max(reached, key=lambda model: reached[model])
    return f"Contacting the best {100 * share:.3g} % reaches {100 * reached[best]:.0f} % of the buyers ({best})"


def _models_title(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the model with the highest average precision, and its interval."""
    known = {name: found for name, found in models.items() if found.get("average_precision") is not None}
    if not known:
        return "Models side by side (lines: 95 % intervals)"
    best = max(known, key=lambda name: known[name]["average_precision"])
    interval = known[best].get("intervals", {}).get("average_precision")
    within = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return f"{best} has the highest average precision: {known[best]['average_precision']:.3f}{within}"


def _calibration_points(axes: Axes, table: Sequence[Mapping[str, Any]], colour: str) -> None:
    """Draw one model's bins with their intervals."""
    predicted = _numbers([row["predicted"] for row in table])
    low, high = _numbers([row["low"] for row in table]), _numbers([row["high"] for row in table])
    axes.vlines(predicted, low, high, color=colour, linewidth=1.2, alpha=0.6)
    axes.plot(predicted, _numbers([row["observed"] for row in table]), "o", color=colour, markersize=4)


def _model_point(axes: Axes, place: int, value: float | None, interval: Sequence[float] | None, metric: str) -> None:
    """Draw one model's figure with its interval; an undefined one is said, not left out."""
    colour = _COLOURS[place % len(_COLOURS)]
    if value is None:
        axes.text(0.5, place, "undefined", transform=axes.get_yaxis_transform(), ha="center", color=_QUIET, fontsize=8)
        return
    if interval is not None:
        axes.hlines(place, *interval, color=colour, linewidth=2, alpha=0.6)
    axes.plot([value], [place], "o", color=colour, markersize=5)
    digits = 2 if metric.startswith(("lift", "calibration")) else 3
    axes.annotate(
        f"{value:.{digits}f}", (value, place), (0, 5), textcoords="offset points", ha="center", fontsize=8, color=_INK
    )


def _reference(axes: Axes, metric: str, models: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the line of a model that knows nothing, or of a calibrated one."""
    rates = [found["base_rate"] for found in models.values() if found.get("base_rate") is not None]
    value = rates[0] if metric == "average_precision" and rates else _REFERENCES.get(metric)
    if value is not None:
        axes.axvline(value, color=_QUIET, linewidth=1)
