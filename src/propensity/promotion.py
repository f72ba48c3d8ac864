"""The gate: whether a challenger takes the champion's place. Pure: no I/O.

Both are judged on the same prospects, whose outcome neither had learnt from. Nothing is promoted by default: every
rule must hold, and what cannot be told does not hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import PromotionSpec
from propensity.evaluation.bootstrap import BootstrapResult, cluster_bootstrap
from propensity.evaluation.compare import compare
from propensity.evaluation.in_the_large import in_the_large

CHALLENGER, CHAMPION, SCORECARD = "challenger", "champion", "scorecard"
REPLICATES = 1_000
_KNOWN_SCORES = 0.95
"""Share of the prospects whose scorecard points must be known for a comparison with the scorecard."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a model says of the prospects: what it ranks them by, and their probabilities, shape (n,) each."""

    ranked_by: Floats
    probability: Floats


@dataclass(frozen=True)
class Rule:
    """One condition of the gate, whether it holds, and what was found."""

    name: str
    is_met: bool
    found: str


@dataclass(frozen=True)
class Decision:
    """What the gate says.

    Attributes
    ----------
    rules : list of Rule
    figures : dict
        Model → metrics on the prospects, with ``intervals``.
    comparisons : list of dict
        The challenger against the champion and against the scorecard, with the interval of each paired difference.
    """

    rules: list[Rule]
    figures: dict[str, dict[str, Any]]
    comparisons: list[dict[str, Any]]

    @property
    def is_promoted(self) -> bool:
        """Whether every rule holds."""
        return all(rule.is_met for rule in self.rules)


def judge(
    y: npt.NDArray[Any],
    scores: Mapping[str, Scores],
    *,
    points: Floats | None,
    drift: pd.DataFrame,
    score_drift: float,
    leaks: tuple[bool, str] | None,
    spec: PromotionSpec,
    capacity: float,
    seed: int,
) -> Decision:
    """Hold a challenger against the rules.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Who bought, 0 or 1; a customer stands in one row.
    scores : mapping
        ``challenger`` and, unless it is the first, ``champion``.
    points : ndarray of shape (n,) or None
        Points of the scorecard, NaN where they are not known; None where the study has no scorecard.
    drift : DataFrame
        From `propensity.drift.drift_table`, with ``weight``: the importance of each feature.
    score_drift : float
        The stability index of the challenger's log-odds.
    leaks : (bool, str) or None
        Whether a leak is proven, and the audit's sentence; None where the study does not ask.
    spec : PromotionSpec
    capacity : float
        Share of the prospects that can be contacted, 0 to 1.
    seed : int
        Of the draws of customers.

    Returns
    -------
    Decision
    """
    probabilities = {name: own.probability for name, own in scores.items()}
    ranked_by = {name: own.ranked_by for name, own in scores.items()}
    if points is not None:
        # Ranked by points; its probabilities are not asked for.
        probabilities[SCORECARD] = np.full(len(y), y.mean())
        ranked_by[SCORECARD] = np.nan_to_num(points, nan=np.nanmin(points) if np.isfinite(points).any() else 0.0)
    drawn = cluster_bootstrap(
        y, probabilities, np.arange(len(y)), capacity=capacity, seed=seed, replicates=REPLICATES, ranked_by=ranked_by
    )
    against = {name: compare(drawn, baseline=name, split="cohort") for name in drawn.estimates if name != CHALLENGER}
    own = [row for rows in against.values() for row in rows if row["model"] == CHALLENGER]
    rules = [_enough(y, spec)]
    if CHAMPION in scores:
        rules.append(_beats(own, drawn, spec))
    else:
        rules.append(Rule("champion", True, "there is none yet: the challenger is held against the other rules alone"))
    rules += [
        *_against_scorecard(own, points, spec),
        _calibration(y, drawn, scores[CHALLENGER].probability, spec),
        _drift(drift, score_drift, spec),
    ]
    if leaks is not None:
        rules.append(Rule("leaks", not leaks[0], leaks[1]))
    figures = {name: {**drawn.estimates[name], "intervals": drawn.intervals(name)} for name in scores}
    return Decision(rules, figures, own)


def _enough(y: npt.NDArray[Any], spec: PromotionSpec) -> Rule:
    buyers = int(y.sum())
    return Rule("buyers", buyers >= spec.min_buyers, f"{buyers:,} of {len(y):,} bought; at least {spec.min_buyers:,}")


def _difference(own: list[dict[str, Any]], baseline: str, metric: str) -> dict[str, Any]:
    return next(row for row in own if row["baseline"] == baseline and row["metric"] == metric)


def _beats(own: list[dict[str, Any]], drawn: BootstrapResult, spec: PromotionSpec) -> Rule:
    """Whether the challenger is better than the champion by more than the noise, or not worse by more than a margin."""
    row, champions = _difference(own, CHAMPION, spec.metric), drawn.estimates[CHAMPION][spec.metric]
    if row["difference"] is None or row["interval"] is None or champions is None:
        return Rule("champion", False, f"the difference in {spec.metric} cannot be told")
    low, high = row["interval"]
    chance = 0.5 if spec.metric == "roc_auc" else 0.0
    least = 0.0 if spec.allow == "better" else -spec.margin * (champions - chance)
    asked = "the interval must lie above 0" if spec.allow == "better" else f"the interval must lie above {least:.3f}"
    found = f"{spec.metric} {row['difference']:+.3f} ({low:+.3f} to {high:+.3f}) against the champion's {champions:.3f}"
    return Rule("champion", low > least, f"{found}; {asked}")


def _against_scorecard(own: list[dict[str, Any]], points: Floats | None, spec: PromotionSpec) -> list[Rule]:
    """That the scorecard can be compared with, and is not clearly better."""
    if points is None:
        return []
    known = float(np.isfinite(points).mean())
    if known < _KNOWN_SCORES:
        told = f"only {known:.0%} of the prospects have points; at least {_KNOWN_SCORES:.0%}"
        return [Rule("scorecard", False, told)]
    row = _difference(own, SCORECARD, spec.metric)
    if row["interval"] is None:
        return [Rule("scorecard", False, f"the difference in {spec.metric} cannot be told")]
    low, high = row["interval"]
    found = f"{spec.metric} {row['difference']:+.3f} ({low:+.3f} to {high:+.3f}) against the scorecard"
    return [Rule("scorecard", high >= 0, f"{found}; the scorecard must not be clearly better")]


def _calibration(y: npt.NDArray[Any], drawn: BootstrapResult, probability: Floats, spec: PromotionSpec) -> Rule:
    """Whether slope and actual over expected buyers can lie within the range."""
    lowest, highest = spec.calibration
    slope, large = drawn.intervals(CHALLENGER)["calibration_slope"], in_the_large(y, probability)
    if slope is None or large["ratio"] is None:
        return Rule("calibration", False, "calibration cannot be told")
    fits = [low <= highest and high >= lowest for low, high in (slope, (large["low"], large["high"]))]
    found = (
        f"slope {slope[0]:.2f} to {slope[1]:.2f}, actual over expected buyers {large['low']:.2f} to {large['high']:.2f}"
    )
    return Rule("calibration", all(fits), f"{found}; each must reach into {lowest:g} to {highest:g}")


def _drift(drift: pd.DataFrame, score_drift: float, spec: PromotionSpec) -> Rule:
    """Whether score and inputs, weighed by importance, have stayed."""
    weight = drift["weight"].to_numpy(dtype=np.float64)
    moved = drift["stability_index"].fillna(0.0).to_numpy(dtype=np.float64)
    inputs = float(weight @ moved / weight.sum()) if weight.sum() > 0 else 0.0
    worst = drift.iloc[int(np.argmax(weight * moved))]
    found = f"score {score_drift:.3f}, inputs {inputs:.3f} (most: {worst['feature']} {worst['stability_index']:.2f})"
    return Rule("drift", max(score_drift, inputs) <= spec.max_drift, f"{found}; at most {spec.max_drift:g}")
