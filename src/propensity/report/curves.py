"""Coordinates of the charts over two axes: gains, lift, profit and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from propensity.report.charts import CurveChart, Dot, Frame, Line, Marker, model_slot, path
from propensity.report.formatting import has_interval, is_missing, money, percent, share
from propensity.report.scales import Kind, Scale, round_step, ticks

_LIFT_FROM = 0.01
_PROFIT_TO = 0.1
"""Share of the prospects that the profit curve shows at least."""


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


def profit_chart(profit: Mapping[str, Any], *, selected: str | None, beside: str) -> CurveChart | None:
    """Place profit (money) over the share of prospects contacted (0 to 1), of the selected model and one beside it.

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
    CurveChart or None
        None where neither has a curve.

    Examples
    --------
    >>> own = {"curve": {"share": [0, 0.1], "profit": [0, 8], "low": [0, 5], "high": [0, 10]}, "down_to": {"rank": 2}}
    >>> chart = profit_chart({"models": {"blend": own}, "prospects": 100}, selected="blend", beside="scorecard")
    >>> chart.lines[0].path, chart.band, chart.down_to.text
    ('M60 268L424 67.2', 'M60 268L424 17L424 142.5L60 268Z', 'contact down to here')
    """
    models = {name: own["curve"] for name, own in profit["models"].items() if name in (selected, beside)}
    rule = (profit["models"].get(selected) or {}).get("down_to") or {}
    capacity = (profit.get("capacity") or {}).get("share")
    depth = 0.0 if is_missing(rule.get("rank")) else _number(rule["rank"]) / max(profit["prospects"] or 0, 1)
    known = [_PROFIT_TO, 4 * depth, *([] if is_missing(capacity) else [4 * _number(capacity)])]
    end = min(1.0, max(known))
    curves = {key: {name: _pairs(own, key, end) for name, own in models.items()} for key in ("profit", "low", "high")}
    heights = [value for by_name in curves.values() for points in by_name.values() for _, value in points]
    if not any(curves["profit"].values()):
        return None
    frame = Frame(440, 316, 60, 17, 424, 268)
    x = Scale(0, end, frame.left, frame.right)
    low, high = min(0.0, *heights), max(0.0, *heights)
    y = Scale(low, high if high > low else low + 1, frame.bottom, frame.top)
    names = sorted((name for name in models if curves["profit"][name]), key=lambda name: name == selected)
    lines = [
        Line(
            name, model_slot(name), name == selected, path([(x(at), y(value)) for at, value in curves["profit"][name]])
        )
        for name in names
    ]
    upper, lower = curves["high"].get(selected or "", []), curves["low"].get(selected or "", [])
    band = path([(x(at), y(value)) for at, value in [*upper, *reversed(lower)]])
    return CurveChart(
        frame,
        ticks(x, share),
        ticks(y, money),
        lines,
        reference=path([(x(0), y(0)), (x(end), y(0))]),
        capacity=_capacity(capacity, x),
        band=band + "Z" if band else "",
        down_to=_marker(depth, "contact down to here", x) if depth else None,
    )


def _pairs(curve: Mapping[str, Any], key: str, end: float) -> list[tuple[float, float]]:
    pairs = zip(curve.get("share") or [], curve.get(key) or [], strict=False)
    return [(at, value) for at, value in pairs if not is_missing(at) and not is_missing(value) and at <= end + 1e-9]


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
    return _marker(_number(capacity_share), f"capacity {share(capacity_share)}", x)


def _marker(value: float, text: str, x: Scale) -> Marker:
    at = x(value)
    return Marker(at, text, "start" if at < (x.start + x.end) * 0.6 else "end")


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
