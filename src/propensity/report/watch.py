"""A model's health as a page: the verdict, what was looked at, and what has moved."""

from propensity.report.charts import steps_chart
from propensity.report.formatting import decimal
from propensity.report.interactive import policy
from propensity.report.render import environment
from propensity.results import MonitoringResult

_FEATURES = 25


def render_watch(result: MonitoringResult, *, question: str, simulated: bool) -> str:
    """Render the page to HTML text.

    Parameters
    ----------
    result : MonitoringResult
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
    months = result.months.to_dict("records")
    chart = None
    if len(months) > 1:
        dates = [str(row["as_of"]) for row in months]
        bought = {"selected": [row["ratio"] for row in months]}
        lot = [1.0] * len(months)
        chart = steps_chart(dates, bought, selected="selected", lot=lot, write=decimal, y_label="bought ÷ expected")
    return (
        environment()
        .get_template("monitoring.html")
        .render(
            result=result,
            checks=result.checks.to_dict("records"),
            months=months,
            chart=chart,
            features=result.features.head(_FEATURES).to_dict("records"),
            hidden=max(len(result.features) - _FEATURES, 0),
            mix=result.mix.to_dict("records"),
            question=question,
            simulated=simulated,
            selected=None,
            policy=policy(None),
        )
    )
