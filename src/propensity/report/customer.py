"""One prospect's page: why the score is what it is, what was recorded, who is alike, and what would move it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from propensity.report.interactive import policy
from propensity.report.prospects import prospect_drawings
from propensity.report.render import environment
from propensity.report.scales import Scale, Tick
from propensity.results import CustomerExplanation

REASONS = 12
"""Contributions that are drawn one by one; the others are added up."""
RECORDS = 50
"""Records that are told one by one."""
_DAYS = 365
_KINDS = 12
_ROW, _LEFT, _WIDTH = 22, 170, 760


@dataclass(frozen=True)
class KindRow:
    """One kind of record on the drawing: its name, its height, and where its records lie."""

    name: str
    y: float
    at: list[float]
    is_purchase: bool
    count: int


@dataclass(frozen=True)
class TimelineDrawing:
    """A year before the cutoff, a row for each kind of record; earlier records and rarer kinds are counted."""

    width: float
    height: float
    left: float
    months: list[Tick]
    kinds: list[KindRow]
    earlier: int
    rarer: int


def render_customer(explanation: CustomerExplanation, *, question: str, simulated: bool) -> str:
    """Render the page to HTML text.

    Parameters
    ----------
    explanation : CustomerExplanation
        Nothing of it is trusted to be free of markup.
    question : str
        What the study asks.
    simulated : bool
        Whether the customer was made up.

    Returns
    -------
    str
        A whole HTML document that loads nothing.
    """
    told, timeline = explanation.contributions, explanation.timeline
    first = told.head(REASONS)
    person: dict[str, Any] = {
        "probability": explanation.probability,
        "probability_low": explanation.probability_low,
        "probability_high": explanation.probability_high,
        "base_points": explanation.base_points,
        "reasons": [
            {"text": row["reason"], "points": row["points"], "typical": row["typical"], "group": row["group"]}
            for row in first.to_dict("records")
        ],
        "other_points": float(told["points"].iloc[REASONS:].sum()),
        "points": explanation.points,
    }
    return (
        environment()
        .get_template("customer.html")
        .render(
            explanation=explanation,
            person=person,
            drawing=prospect_drawings([person])[0],
            others=max(len(told) - REASONS, 0),
            scorecard=explanation.scorecard.to_dict("records"),
            timeline=None if timeline is None or timeline.empty else draw_timeline(timeline, explanation.as_of),
            records=[] if timeline is None else timeline.iloc[::-1].head(RECORDS).to_dict("records"),
            recorded=0 if timeline is None else len(timeline),
            neighbours=[] if explanation.neighbours is None else explanation.neighbours.to_dict("records"),
            moves=explanation.moves.to_dict("records"),
            question=question,
            simulated=simulated,
            policy=policy(None),
        )
    )


def draw_timeline(timeline: pd.DataFrame, as_of: str | None) -> TimelineDrawing:
    """Place a customer's records of the last year, the most frequent kinds first.

    Parameters
    ----------
    timeline : DataFrame
        ``at``, ``role`` and ``what``, not empty.
    as_of : str or None
        The cutoff; None: the last record.

    Examples
    --------
    >>> at = pd.to_datetime(["2024-01-01", "2025-05-01", "2025-05-31"]).tz_localize("UTC")
    >>> rows = pd.DataFrame({"at": at, "role": "event", "what": "visit"})
    >>> drawing = draw_timeline(rows, "2025-06-01")
    >>> drawing.earlier, [(row.name, row.count) for row in drawing.kinds]
    (1, [('visit', 2)])
    """
    # Local times without their zone: a clock that is turned at midnight leaves days without one.
    timeline = timeline.assign(at=timeline["at"].dt.tz_localize(None))
    end = timeline["at"].max() if as_of is None else pd.Timestamp(as_of)
    start = end - pd.Timedelta(days=_DAYS)
    shown = timeline[timeline["at"] >= start]
    names = shown["what"].fillna("not given").astype(str)
    kinds = names.groupby([shown["role"], names]).size().sort_values(ascending=False, kind="stable")
    x = Scale(start.timestamp(), end.timestamp(), _LEFT, _WIDTH - 8)
    rows = []
    for i, (role, name) in enumerate(kinds.index[:_KINDS]):
        own = shown.loc[(names == name) & (shown["role"] == role), "at"]
        places = [x(moment.timestamp()) for moment in own]
        rows.append(KindRow(name.replace("_", " "), 30 + _ROW * i, places, role == "purchase", len(own)))
    months = pd.date_range(start.normalize(), end, freq="MS")
    return TimelineDrawing(
        width=_WIDTH,
        height=30 + _ROW * max(len(rows), 1),
        left=_LEFT,
        months=[
            Tick(x(month.timestamp()), f"{month:%b}" + (f" {month:%Y}" if month.month == 1 else "")) for month in months
        ],
        kinds=rows,
        earlier=len(timeline) - len(shown),
        rarer=int(kinds.iloc[_KINDS:].sum()),
    )
