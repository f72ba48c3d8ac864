"""A report's drawings, made before the templates are filled."""

from collections.abc import Mapping
from typing import Any

from propensity.report import charts, formatting, marketing, prospects, story

# The order in which the models are compared by eye: what the protocol selects by comes first.
_PANELS = (("average_precision", None, 0.0), ("roc_auc", 0.5, None), ("lift_at_10pct", 1.0, None))


def draw(report: Mapping[str, Any], selected: str | None, ranked: list[str]) -> dict[str, Any]:
    """Draw everything that the report shows.

    Parameters
    ----------
    report : mapping
        The content of ``report.json``.
    selected : str or None
        The selected model.
    ranked : list of str
        All models, best first.

    Returns
    -------
    dict
        By what the templates call it; None where there is nothing to draw.
    """
    by_model = report["curves"]
    capacity = report.get("capacity") or {}
    at_capacity = report["models"].get(selected, {}).get("test", {}).get("capture_at_capacity")
    return {
        "gains": charts.gains_chart(
            by_model, selected=selected, capacity_share=capacity.get("share"), captured=at_capacity
        ),
        "lift": charts.lift_chart(by_model, selected=selected, capacity_share=capacity.get("share")),
        "calibration": {
            name: charts.calibration_chart(name, by_model[name].get("calibration") or []) for name in by_model
        },
        "panels": _panels(report["models"], selected, ranked),
        "differences": _differences(report["comparisons"], selected, ranked),
        "profit": _draw_profit(report, selected),
        "prospects": prospects.prospect_drawings(report["prospects"]),
        **_draw_marketing(report),
    }


def _draw_profit(report: Mapping[str, Any], selected: str | None) -> charts.Chart | None:
    profit = report.get("profit")
    return charts.profit_chart(profit, selected=selected, beside=story.BASELINE) if profit else None


def _draw_marketing(report: Mapping[str, Any]) -> dict[str, Any]:
    moves = (report.get("stages") or {}).get("transitions") or []
    agreement = (report.get("swap_sets") or {}).get("agreement") or []
    avatars = report.get("avatars") or {"texts": [], "table": []}
    pyramids = (report.get("pyramid") or {}).items()
    return {
        "segments": marketing.grouped(report.get("segments") or [], "dimension"),
        "scorecard": marketing.grouped(report.get("scorecard") or [], "indicator"),
        "moves": marketing.matrix(moves, row="from", column="to", shade="share") if moves else None,
        "agreement": marketing.matrix(agreement, row="decile", column="tier", shade="conversion"),
        "pyramids": {name: charts.pyramid_chart(pyramid["tiers"]) for name, pyramid in pyramids},
        "avatars": [marketing.avatar_bars(avatars["table"], entry["avatar"]) for entry in avatars["texts"]],
    }


def _panels(
    models: Mapping[str, Any], selected: str | None, ranked: list[str]
) -> list[tuple[str, charts.Chart | None]]:
    panels = []
    for key, reference, origin in _PANELS:
        on_test = {name: models[name].get("test", {}) for name in ranked}
        rows = [(name, test.get(key), (test.get("intervals") or {}).get(key)) for name, test in on_test.items()]
        chart = charts.interval_chart(
            rows, write=formatting.metric(key).write, selected=selected, reference=reference, origin=origin
        )
        panels.append((key, chart))
    return panels


def _differences(
    comparisons: list[Mapping[str, Any]], selected: str | None, ranked: list[str]
) -> list[tuple[str, charts.Chart | None]]:
    on_test = story.on_split(comparisons, "test")
    keys = [key for key in story.VERDICT_METRICS if any(row["metric"] == key for row in on_test)]
    # Two or four charts stand in two columns, one or three in three: wider columns get wider drawings.
    width = 440 if len(keys) % 2 == 0 else 320
    panels = []
    for key in keys:
        by_model = {row["model"]: row for row in on_test if row["metric"] == key and row["baseline"] == story.BASELINE}
        rows = [(name, by_model[name]["difference"], by_model[name]["interval"]) for name in ranked if name in by_model]
        write = formatting.metric(key).write_difference
        panels.append((key, charts.interval_chart(rows, write=write, selected=selected, reference=0.0, width=width)))
    return panels
