"""The plain verdict: the model against a simpler rule at the contact capacity, and whether buyers suffice to tell.

Both contact equally many prospects. A buyer whom both reach, or neither, tells nothing; of those whom only one
reaches, each is as likely the one's as the other's where both are equally good. So a difference is called only where
that (the exact sign test, McNemar's, doi:10.1007/BF02295996) is unlikely, and the bootstrap's interval agrees: it
holds with a handful of buyers, where percentiles of a bootstrap are too narrow.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from propensity.evaluation.bootstrap import BootstrapResult, percentile_interval
from propensity.evaluation.ranking import Floats, as_labels, as_scores, rows_at

Class = Literal["better", "as good", "worse", "too few"]
FEW = 50
"""Test buyers below which "no clear difference" says nothing of how good a model is."""
_LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """What test says of a model against a rule.

    Attributes
    ----------
    verdict : str
        ``better`` (the model), ``worse``, ``as good`` or ``too few``.
    text : str
        In a sentence, with figures.
    model, rival : str
        Who is compared.
    difference, low, high : float or None
        Buyers that the model reaches more at the capacity, and the 95 % interval (bootstrap over customers).
    only_model, only_rival : float
        Buyers whom only one of them reaches; rows tied at the capacity count in part.
    p_value : float
        Of the exact sign test, two-sided.
    positives : int
        Test prospects that bought.
    """

    verdict: Class
    text: str
    model: str
    rival: str
    difference: float | None
    low: float | None
    high: float | None
    only_model: float
    only_rival: float
    p_value: float
    positives: int

    def to_dict(self) -> dict[str, Any]:
        """Give the verdict as plain values; ``class`` is its class."""
        told = asdict(self)
        return {"class": told.pop("verdict"), **told}


def judge_against(
    result: BootstrapResult, y: ArrayLike, ranked_by: dict[str, Floats], *, model: str, rival: str, capacity: float
) -> Verdict:
    """Judge a model against a rule on the test rows.

    Parameters
    ----------
    result : BootstrapResult
        Both, measured on these rows.
    y : array-like of shape (n,)
        Labels, 0 or 1.
    ranked_by : dict
        Model → what ranks its rows, shape (n,).
    model, rival : str
        Names; the rival is the simpler rule.
    capacity : float
        Share of the rows that can be contacted.
    """
    labels = as_labels(y)
    reached = {name: _reached(as_scores(ranked_by[name], labels.size), capacity) for name in (model, rival)}
    more = (reached[model] - reached[rival])[labels == 1]
    only_model, only_rival = float(more[more > 0].sum()), float(-more[more < 0].sum())
    told = round(only_model), round(only_rival)
    p_value = float(binomtest(told[0], sum(told)).pvalue) if sum(told) else 1.0
    positives = int(labels.sum())
    draws = result.draws[model]["capture_at_capacity"] - result.draws[rival]["capture_at_capacity"]
    interval = percentile_interval(draws, level=result.level)
    low, high = (None, None) if interval is None else (interval[0] * positives, interval[1] * positives)
    found = _class(low, high, told=told, p_value=p_value, positives=positives)
    return Verdict(
        verdict=found,
        text=_text(found, model, rival, told=told, low=low, high=high, positives=positives),
        model=model,
        rival=rival,
        difference=only_model - only_rival,
        low=low,
        high=high,
        only_model=only_model,
        only_rival=only_rival,
        p_value=p_value,
        positives=positives,
    )


def _reached(score: Floats, capacity: float) -> Floats:
    """How far each row is among the best: 1, 0, or in part where the capacity cuts a group of equal scores."""
    k = rows_at(capacity, score.size)
    edge = np.sort(score)[::-1][k - 1]
    above, tied = score > edge, score == edge
    return np.asarray(above + tied * (k - above.sum()) / tied.sum())


def _class(low: float | None, high: float | None, *, told: tuple[int, int], p_value: float, positives: int) -> Class:
    if low is not None and high is not None and p_value <= _LEVEL:
        if told[0] > told[1] and low > 0:
            return "better"
        if told[0] < told[1] and high < 0:
            return "worse"
    return "too few" if positives < FEW else "as good"


def _text(
    found: Class,
    model: str,
    rival: str,
    *,
    told: tuple[int, int],
    low: float | None,
    high: float | None,
    positives: int,
) -> str:
    rule = "the " + rival.replace("_", " ")
    lead = {
        "better": f"The model ({model}) is better than {rule}",
        "worse": f"{rule.capitalize()} is better than the model ({model}): keep it",
        "as good": f"{rule.capitalize()} is as good as the model ({model}), as far as this test can tell: keep it",
        "too few": f"Too few buyers to tell whether the model ({model}) is better: keep {rule}",
    }[found]
    within = "" if low is None or high is None else f" (95 % interval {low:+.1f} to {high:+.1f})"
    return (
        f"{lead}. Of {positives:,} test buyers the model's list alone reaches {told[0]}, that of {rule} alone "
        f"{told[1]}: {told[0] - told[1]:+d}{within}."
    )
