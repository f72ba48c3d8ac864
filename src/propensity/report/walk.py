"""A backtest as a page and as a picture: what each method found, step by step."""

from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D

from propensity.backtest import FROZEN, RANDOM, SELECTED, TRUTH
from propensity.report.charts import Chart, line_style, steps_chart
from propensity.report.drawing import reference
from propensity.report.formatting import is_missing, model_name, percent
from propensity.report.interactive import policy
from propensity.report.render import environment
from propensity.report.svg import plain_style
from propensity.results import BacktestResult

_DPI = 144
_LEGEND = 0.75
"""Inches above the picture."""


def render_walk(result: BacktestResult, *, question: str, simulated: bool) -> str:
    """Render the page to HTML text.

    Parameters
    ----------
    result : BacktestResult
        Nothing of it is trusted to be free of markup.
    question : str
        What the study asks.
    simulated : bool
        Whether the customers were made up.

    Returns
    -------
    str
        A whole HTML document that loads nothing.
    """
    rows = {(row["as_of"], row["method"]): row for row in result.steps.to_dict("records")}
    methods = list(dict.fromkeys(result.steps["method"]))
    models = [name for name in methods if name not in (SELECTED, FROZEN)]
    total = {row["method"]: row for row in result.totals.to_dict("records")}
    return (
        environment()
        .get_template("backtest.html")
        .render(
            result=result,
            rows=rows,
            models=models,
            total=total,
            baseline=next(row["baseline"] for row in total.values()),
            left_out=result.left_out.to_dict("records"),
            chosen=result.chosen.to_dict("records"),
            has_profit=any(not is_missing(row["profit"]) for row in total.values()),
            by_model=_chart(result, [name for name in models if name != RANDOM], strongest=TRUTH),
            kept=_chart(result, [FROZEN, SELECTED], strongest=SELECTED),
            question=question,
            simulated=simulated,
            selected=None,
            policy=policy(None),
        )
    )


def draw_walk(result: BacktestResult, path: Path) -> None:
    """Draw what each method found, step by step, as a PNG image with its legend."""
    methods = [name for name in dict.fromkeys(result.steps["method"]) if name not in (SELECTED, FROZEN, RANDOM)]
    chart = _chart(result, methods, strongest=TRUTH)
    if chart is None:
        return
    figure = chart.figure
    width, height = figure.get_size_inches()
    share = height / (height + _LEGEND)
    figure.set_size_inches(width, height + _LEGEND)
    (axes,) = figure.axes
    place = axes.get_position()
    axes.set_position((place.x0, place.y0 * share, place.width, place.height * share))
    for text in figure.texts:
        text.set_y(text.get_position()[1] * share)
    with plain_style():
        lines = [Line2D([], [], **line_style(name, strongest=TRUTH)) for name in chart.names]
        names = [model_name(name) for name in [*chart.names, RANDOM]]
        figure.legend([*lines, Line2D([], [], **reference())], names, loc="upper center", ncols=4, frameon=False)
        figure.savefig(path, dpi=_DPI, facecolor="white")


def _chart(result: BacktestResult, methods: list[str], *, strongest: str) -> Chart | None:
    captured: dict[str, list[Any]] = {
        name: result.steps.loc[result.steps["method"] == name, "capture"].tolist() for name in [*methods, RANDOM]
    }
    lot = captured.pop(RANDOM)
    dates = result.chosen["as_of"].tolist()
    label = "share of all buyers found"
    return steps_chart(dates, captured, selected=strongest, lot=lot, write=percent, y_label=label)
