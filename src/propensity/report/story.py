"""Which sentence the numbers allow: the verdict on the selected model against the scorecard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from propensity.report.formatting import has_interval, is_missing, metric

BASELINE = "scorecard"
# What the verdict rests on: other figures repeat these (capture at k is lift at k) or have no better and worse.
VERDICT_METRICS = ("average_precision", "roc_auc", "lift_at_10pct", "lift_at_capacity")
Tone = Literal["better", "worse", "same", "mixed", "baseline", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What the test says of the selected model against the scorecard, and on which measures.

    ``better``, ``same`` and ``worse`` hold comparisons of ``report.json``: better and worse are those whose interval
    leaves out zero.
    """

    tone: Tone
    better: list[Mapping[str, Any]] = field(default_factory=list)
    same: list[Mapping[str, Any]] = field(default_factory=list)
    worse: list[Mapping[str, Any]] = field(default_factory=list)


def judge(comparison: Mapping[str, Any]) -> Literal["better", "same", "worse"] | None:
    """Say what one difference shows; None where it has no interval.

    Examples
    --------
    >>> judge({"metric": "roc_auc", "difference": 0.03, "interval": [0.01, 0.05]})
    'better'
    >>> judge({"metric": "brier", "difference": 0.03, "interval": [0.01, 0.05]})
    'worse'
    >>> judge({"metric": "roc_auc", "difference": 0.03, "interval": [-0.01, 0.07]})
    'same'
    """
    bounds = comparison.get("interval")
    if is_missing(comparison.get("difference")) or bounds is None or not has_interval(bounds):
        return None
    low, high = bounds
    if low <= 0 <= high:
        return "same"
    return "better" if (low > 0) != metric(comparison["metric"]).lower_is_better else "worse"


def verdict(selected: str | None, comparisons: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge the selected model against the scorecard on the test split, by the measures in `VERDICT_METRICS`.

    Parameters
    ----------
    selected : str or None
        The selected model's name.
    comparisons : sequence of mapping
        As in ``report.json``.

    Returns
    -------
    Verdict
        ``tone`` is "same" where no difference is clear, "mixed" where some measures are clear and others not,
        "baseline" where the scorecard itself was selected, "unknown" where nothing was compared.

    Examples
    --------
    >>> row = {"model": "blend", "baseline": "scorecard", "split": "test", "metric": "roc_auc",
    ...        "difference": 0.03, "interval": [0.01, 0.05]}
    >>> verdict("blend", [row]).tone, verdict("scorecard", [row]).tone, verdict("blend", []).tone
    ('better', 'baseline', 'unknown')
    """
    if selected == BASELINE:
        return Verdict("baseline")
    rows = [
        row
        for row in on_split(comparisons, "test")
        if row["model"] == selected and row["baseline"] == BASELINE and row["metric"] in VERDICT_METRICS
    ]
    groups: dict[str, list[Mapping[str, Any]]] = {"better": [], "same": [], "worse": []}
    for row in sorted(rows, key=lambda row: VERDICT_METRICS.index(row["metric"])):
        judged = judge(row)
        if judged is not None:
            groups[judged].append(row)
    return Verdict(_tone(groups), **groups)


def on_split(comparisons: Sequence[Mapping[str, Any]], split: str) -> list[Mapping[str, Any]]:
    """Keep the comparisons of one split.

    Examples
    --------
    >>> on_split([{"split": "test"}, {"split": "validation"}], "test")
    [{'split': 'test'}]
    """
    return [row for row in comparisons if row["split"] == split]


def _tone(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Tone:
    found: list[Tone] = [tone for tone in ("better", "same", "worse") if groups[tone]]
    if not found:
        return "unknown"
    return found[0] if len(found) == 1 else "mixed"
