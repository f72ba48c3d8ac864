"""One prospect's page: why the score is what it is, what was recorded, who is alike, and what would move it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from propensity.report.interactive import policy
from propensity.report.prospects import prospect_drawings
from propensity.report.render import environment
from propensity.results import CustomerExplanation

if TYPE_CHECKING:
    from propensity.report.charts import Chart

REASONS = 12
"""Contributions that are drawn one by one; the others are added up."""
RECORDS = 50
"""Records that are told one by one."""
_DAYS = 365
_KINDS = 12


@dataclass(frozen=True)
class Timeline:
    """A year before the cutoff: the drawing, the number of records of each kind in it, and what is not in it."""

    chart: "Chart"
    counts: list[tuple[str, int]]
    earlier: int
    rarer: int

    @property
    def description(self) -> str:
        """What is drawn, in words."""
        counted = " ".join(f"{kind}: {count}." for kind, count in self.counts)
        return f"{counted} The latest records stand in the table below."


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


def draw_timeline(timeline: pd.DataFrame, as_of: str | None) -> Timeline:
    """Draw a customer's records of the last year, the most frequent kinds first.

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
    >>> drawn = draw_timeline(rows, "2025-06-01")
    >>> drawn.earlier, drawn.counts
    (1, [('visit', 2)])
    """
    from propensity.report.charts import timeline_chart  # matplotlib is imported where it is needed

    # Local times without their zone: a clock that is turned at midnight leaves days without one.
    timeline = timeline.assign(at=timeline["at"].dt.tz_localize(None))
    end = timeline["at"].max() if as_of is None else pd.Timestamp(as_of)
    start = end - pd.Timedelta(days=_DAYS)
    shown = timeline[timeline["at"] >= start]
    names = shown["what"].fillna("not given").astype(str)
    kinds = names.groupby([shown["role"], names]).size().sort_values(ascending=False, kind="stable")
    rows = [
        (name.replace("_", " "), role == "purchase", shown.loc[(names == name) & (shown["role"] == role), "at"])
        for role, name in kinds.index[:_KINDS]
    ]
    return Timeline(
        chart=timeline_chart(rows, start, end),
        counts=[(name, len(at)) for name, _, at in rows],
        earlier=len(timeline) - len(shown),
        rarer=int(kinds.iloc[_KINDS:].sum()),
    )
