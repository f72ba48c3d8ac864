"""Calibration in the large: as many buyers as were promised, group by group of rows?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import chi2

from propensity.evaluation.ranking import as_labels, as_probabilities
from propensity.evaluation.recalibration import calibration_intercept

USUAL_CHANGE = 0.2
"""What the log-odds of all are taken to change by from a cutoff to the next, before it is seen: a mild season."""
_DAY = 86_400


def in_the_large(y: ArrayLike, probability: ArrayLike, *, level: float = 0.95) -> dict[str, Any]:
    """Set actual beside expected buyers.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1; a customer stands in one row.
    probability : array-like of shape (n,)
        Probabilities of rows that the model was not fitted on.
    level : float, default=0.95
        Level of the interval.

    Returns
    -------
    dict
        ``n`` rows, ``buyers``, ``expected`` (sum of the probabilities), ``ratio`` (buyers over expected) with ``low``
        and ``high``: the exact interval of a Poisson count (Garwood 1936, doi:10.1093/biomet/28.3-4.437), a little
        wide where probabilities are high. 1 is right; above 1, more bought than was promised.

    Examples
    --------
    >>> found = in_the_large([1, 0, 0, 1], [0.25, 0.25, 0.25, 0.25])
    >>> found["ratio"], round(found["low"], 3), round(found["high"], 3)
    (2.0, 0.242, 7.225)
    """
    labels = as_labels(y)
    p = as_probabilities(probability, labels.size)
    buyers, expected = int(labels.sum()), float(p.sum())
    if expected <= 0:
        return {"n": labels.size, "buyers": buyers, "expected": expected, "ratio": None, "low": None, "high": None}
    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * buyers)) / 2 if buyers else 0.0
    high = float(chi2.isf(tail, 2 * buyers + 2)) / 2
    return {
        "n": int(labels.size),
        "buyers": buyers,
        "expected": expected,
        "ratio": buyers / expected,
        "low": low / expected,
        "high": high / expected,
    }


def by_cutoff(cutoffs: ArrayLike, y: ArrayLike, probability: ArrayLike) -> list[dict[str, Any]]:
    """Give calibration in the large of each cutoff, the earliest first; ``cutoff`` is None where rows have none.

    Parameters
    ----------
    cutoffs : array-like of datetime64, shape (n,)
        The cutoff of each row; NaT where there is none.
    y, probability : array-like of shape (n,)
        See `in_the_large`.
    """
    at, labels, p = np.asarray(cutoffs), np.asarray(y), np.asarray(probability)
    if np.isnat(at).all():
        return [{"cutoff": None, **in_the_large(labels, p)}]
    return [{"cutoff": when, **in_the_large(labels[at == when], p[at == when])} for when in np.unique(at)]


def level_of(y: ArrayLike, log_odds: ArrayLike) -> tuple[float, float]:
    """Give the level of buying and its standard error: what has to be added to the log-odds to be right on average.

    Both are infinite where all rows bought, or none.
    """
    labels, z = np.asarray(y, dtype=np.float64), np.asarray(log_odds, dtype=np.float64)
    level = calibration_intercept(z, labels, np.ones(len(z)))
    if level is None:
        return (np.inf if labels.any() else -np.inf), np.inf
    p = expit(z + level)
    return level, 1 / float(np.sqrt((p * (1 - p)).sum()))


def level_change(cutoffs: ArrayLike, y: ArrayLike, log_odds: ArrayLike, *, apart: float) -> float:
    """By how much the level of buying changes from one cutoff to the next, as a variance in log-odds.

    The level of a cutoff is its calibration in the large: what has to be added to the log-odds. It is set beside that
    of the next cutoff that is `apart` from it; what the squared steps have beyond chance is change. Steps weigh by
    their precision, change as `USUAL_CHANGE` counted in (the method of moments: Paule and Mandel 1982,
    doi:10.6028/jres.087.022), and one step of that size, free of chance, stands beside them: few tell it badly.

    Parameters
    ----------
    cutoffs : array-like of datetime64, shape (n,)
        The cutoff of each row; NaT where there is none.
    y : array-like of shape (n,)
        Labels, 0 or 1.
    log_odds : array-like of shape (n,)
        Log-odds of rows that the model was not fitted on. A constant added to them does not matter.
    apart : float
        Days between two cutoffs that are compared: a horizon at the least, so that their labels are of another time. A
        tenth less will do (months differ).

    Returns
    -------
    float
        0 or more. 0 where chance explains more than there is, or there are no cutoffs; `USUAL_CHANGE` squared where no
        two cutoffs with buyers are so far apart.

    Examples
    --------
    >>> at = np.repeat(np.array(["2025-01-01", "2025-02-01", "2025-03-01"], dtype="datetime64[D]"), 4_000)
    >>> bought = np.tile(np.arange(4_000), 3) < np.repeat([200, 400, 200], 4_000)
    >>> level_change(at, bought, np.full(12_000, -3.0), apart=30) ** 0.5  # two steps of log(19) - log(9) = 0.75
    0.59...
    """
    at, labels, z = np.asarray(cutoffs), np.asarray(y, dtype=np.float64), np.asarray(log_odds, dtype=np.float64)
    if np.isnat(at).any():
        return 0.0
    when = np.unique(at)
    levels, errors = np.array([level_of(labels[at == own], z[at == own]) for own in when]).T
    known = np.isfinite(levels)
    days, levels, errors = when[known].astype("datetime64[s]").astype(np.int64) / _DAY, levels[known], errors[known]
    following = np.maximum(np.searchsorted(days, days + 0.9 * apart), np.arange(len(days)) + 1)
    first = np.flatnonzero(following < len(days))
    following = following[first]
    steps = levels[following] - levels[first]
    chance = errors[following] ** 2 + errors[first] ** 2
    usual = USUAL_CHANGE**2
    weights = np.append(1 / (usual + chance), 1 / usual)
    return max(float(np.average(np.append(steps**2 - chance, usual), weights=weights)), 0.0)
