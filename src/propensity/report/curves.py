"""Coordinates of the charts over two axes: gains, lift and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from propensity.report.charts import CurveChart, Dot, Frame, Line, Marker, model_slot, path
from propensity.report.formatting import has_interval, is_missing, percent, share
from propensity.report.scales import Kind, Scale, round_step, ticks

_LIFT_FROM = 0.01


def gains_chart(
    curves: Mapping[str, Any], *, selected: str | None, capacity_share: float | None, captured: float | None
) -> CurveChart | None:
    """Place the gains curves: share of buyers found (0 to 1) over share of prospects contacted (0 to 1).

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
    CurveChart or None
        None where no model has a curve.

    Examples
    --------
    >>> curve = {"gains": {"share": [0, 0.5, 1], "capture": [0, 0.8, 1]}}
    >>> chart = gains_chart({"lightgbm": curve}, selected="lightgbm", capacity_share=0.05, captured=0.2)
    >>> chart.lines[0].path
    'M46 268L235 67.2L424 17'
    """
    frame = _curve_frame()
    x, y = Scale(0, 1, frame.left, frame.right), Scale(0, 1, frame.bottom, frame.top)
    lines = _lines(curves, "capture", selected, x, y)
    if not lines:
        return None
    dots = []
    if not is_missing(capacity_share) and not is_missing(captured):
        dots = [Dot(x(_number(capacity_share)), y(_number(captured)), f"{percent(captured)} of buyers")]
    return CurveChart(
        frame,
        ticks(x, share),
        ticks(y, share),
        lines,
        reference=path([(x(0), y(0)), (x(1), y(1))]),
        capacity=_capacity(capacity_share, x),
        dots=dots,
    )


def lift_chart(curves: Mapping[str, Any], *, selected: str | None, capacity_share: float | None) -> CurveChart | None:
    """Place the lift curves over the share of prospects contacted, on a logarithmic axis from 1% to 100%.

    Parameters
    ----------
    curves : mapping
        Model to ``{"gains": {"share": [..], "lift": [..], ..}}``.
    selected, capacity_share
        As in `gains_chart`.

    Returns
    -------
    CurveChart or None
        None where no model has a lift at or above a share of 1%.

    Examples
    --------
    >>> curve = {"gains": {"share": [0, 0.1, 1], "lift": [None, 4, 1]}}
    >>> lift_chart({"blend": curve}, selected=None, capacity_share=None).lines[0].path
    'M235 67.2L424 217.8'
    """
    frame = _curve_frame()
    x = Scale(_LIFT_FROM, 1, frame.left, frame.right, "log")
    points = {name: _curve(curve, "lift") for name, curve in curves.items()}
    highest = max((lift for curve in points.values() for at, lift in curve if at >= _LIFT_FROM), default=None)
    if highest is None:
        return None
    step = round_step(max(highest, 1.0))
    # A whole step above the highest curve, so that no line runs along the upper edge.
    y = Scale(0, step * (highest // step + 1), frame.bottom, frame.top)
    return CurveChart(
        frame,
        ticks(x, share),
        ticks(y, lambda value: f"{value:g}×"),
        _lines(curves, "lift", selected, x, y, start=_LIFT_FROM),
        reference=path([(x(_LIFT_FROM), y(1)), (x(1), y(1))]),
        capacity=_capacity(capacity_share, x),
    )


def calibration_chart(bins: Sequence[Mapping[str, Any]]) -> CurveChart | None:
    """Place observed shares with their intervals over predicted probabilities.

    Both axes are the same, so that the diagonal is where predictions come true; they are logarithmic where the
    predictions span more than a factor of ten, as with rare buyers. A bin without buyers has no logarithm: it is
    drawn hollow on the lower edge.

    Parameters
    ----------
    bins : sequence of mapping
        ``predicted``, ``observed``, ``low``, ``high`` (0 to 1) and ``n``.

    Returns
    -------
    CurveChart or None

    Examples
    --------
    >>> chart = calibration_chart([{"bin": 1, "n": 50, "predicted": 0.2, "observed": 0.3, "low": 0.1, "high": 0.5}])
    >>> chart.logarithmic, len(chart.dots)
    (False, 1)
    """
    known = [row for row in bins if not is_missing(row.get("predicted")) and not is_missing(row.get("observed"))]
    if not known:
        return None
    frame = Frame(440, 400, 56, 12, 424, 352)
    low, high, logarithmic = _calibration_range(known)
    kind: Kind = "log" if logarithmic else "linear"
    x, y = Scale(low, high, frame.left, frame.right, kind), Scale(low, high, frame.bottom, frame.top, kind)
    return CurveChart(
        frame,
        ticks(x, share),
        ticks(y, share),
        reference=path([(x(low), y(low)), (x(high), y(high))]),
        dots=[_calibration_dot(row, x, y) for row in known],
        logarithmic=logarithmic,
    )


def _curve_frame() -> Frame:
    return Frame(440, 316, 46, 17, 424, 268)


def _number(value: float | None) -> float:
    # Only called for values that is_missing has let through.
    return float(value or 0.0)


def _curve(curve: Mapping[str, Any], key: str) -> list[tuple[float, float]]:
    gains = curve.get("gains") or {}
    pairs = zip(gains.get("share") or [], gains.get(key) or [], strict=False)
    return [(at, value) for at, value in pairs if not is_missing(at) and not is_missing(value)]


def _lines(
    curves: Mapping[str, Any], key: str, selected: str | None, x: Scale, y: Scale, *, start: float = 0.0
) -> list[Line]:
    # The selected model comes last: SVG draws in order, and its line shall lie on top.
    names = sorted(curves, key=lambda name: name == selected)
    points = {name: [(x(at), y(value)) for at, value in _curve(curves[name], key) if at >= start] for name in names}
    return [
        Line(name, model_slot(name), name == selected, path(_distinct(points[name]))) for name in names if points[name]
    ]


def _distinct(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    # A curve with a point for every prospect would weigh megabytes: steps of under half a unit cannot be seen.
    kept = points[:1]
    for point in points[1:]:
        if abs(point[0] - kept[-1][0]) >= 0.5 or abs(point[1] - kept[-1][1]) >= 0.5:
            kept.append(point)
    return kept if len(points) < 2 or kept[-1] == points[-1] else [*kept, points[-1]]


def _capacity(capacity_share: float | None, x: Scale) -> Marker | None:
    if is_missing(capacity_share):
        return None
    at = x(_number(capacity_share))
    anchor = "start" if at < (x.start + x.end) * 0.6 else "end"
    return Marker(at, f"capacity {share(capacity_share)}", anchor)


def _calibration_range(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, bool]:
    predicted: list[float] = [row["predicted"] for row in rows]
    shown: list[float] = [*predicted, *(row["observed"] for row in rows)]
    high = max(shown + [row["high"] for row in rows if not is_missing(row.get("high"))])
    if min(predicted) <= 0 or max(predicted) / min(predicted) <= 10:
        return 0.0, min(high * 1.05, 1.0) or 1.0, False
    return min(value for value in shown if value > 0) * 0.7, min(high * 1.15, 1.0), True


def _calibration_dot(row: Mapping[str, Any], x: Scale, y: Scale) -> Dot:
    known = has_interval([row.get("low"), row.get("high")])
    return Dot(
        x(row["predicted"]),
        y(row["observed"]),
        f"predicted {percent(row['predicted'])}, observed {percent(row['observed'])}",
        y(row["low"]) if known else None,
        y(row["high"]) if known else None,
        hollow=y.kind == "log" and row["observed"] < y.low,
    )
