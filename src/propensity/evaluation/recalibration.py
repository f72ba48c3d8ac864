"""Calibration in two numbers: how far the probabilities are off on average, and whether they spread too far.

Both come from a logistic regression of the outcome on the log-odds that the model gave (Cox 1958,
https://doi.org/10.1093/biomet/45.3-4.562; as used today, https://doi.org/10.1186/s12916-019-1466-7). Rows may be
grouped: m groups of equal log-odds with their counts give the same answer as the rows themselves.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Floats = NDArray[np.float64]

_STEPS = 60
_TOLERANCE = 1e-9


def clip_probability(probability: Floats) -> Floats:
    """Keep probabilities off 0 and 1 by one machine epsilon, so that logarithms stay finite."""
    epsilon = np.finfo(np.float64).eps
    return np.clip(probability, epsilon, 1 - epsilon)


def log_odds(probability: Floats) -> Floats:
    """Give log(p / (1 - p)), p clipped as in `clip_probability` (log-odds within 36.04 of 0).

    Parameters
    ----------
    probability : ndarray of shape (n,)
        Probabilities, 0 to 1.

    Returns
    -------
    ndarray of shape (n,)
        Log-odds.

    Examples
    --------
    >>> log_odds(np.array([0.5, 0.8])).round(4)
    array([0.    , 1.3863])
    """
    p = clip_probability(probability)
    return np.asarray(np.log(p) - np.log1p(-p))


def calibration_intercept(z: ArrayLike, positives: ArrayLike, totals: ArrayLike) -> float | None:
    """Fit a in P(y = 1) = expit(a + z): calibration in the large, the slope held at 1.

    Parameters
    ----------
    z : array-like of shape (m,)
        Log-odds that the model gave.
    positives, totals : array-like of shape (m,)
        Positive rows, and all rows, that carry this log-odds.

    Returns
    -------
    float or None
        0 where the mean probability is right, above 0 where it is too low; None where only one class is there.

    Examples
    --------
    Half of the rows are positive where a quarter was promised: log(3) has to be added to the log-odds.

    >>> round(calibration_intercept([np.log(1 / 3)], [50], [100]), 4)
    1.0986
    """
    logits, hits, rows = _counted(z, positives, totals)
    total, observed = float(rows.sum()), float(hits.sum())
    if not 0 < observed < total:
        return None
    centre = math.log(observed / (total - observed))
    # were all rows at the largest z, or all at the smallest, a would be one of these: the root lies between
    low, high = centre - float(logits.max()), centre - float(logits.min())
    a = min(max(0.0, low), high)
    for _ in range(_STEPS):
        p = expit(logits + a)
        missing = observed - float(np.sum(rows * p))
        low, high = (a, high) if missing > 0 else (low, a)
        curvature = float(np.sum(rows * p * (1 - p)))
        following = a + missing / curvature if curvature > 0 else math.inf
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - a) < _TOLERANCE:
            return following
        a = following
    return a


def calibration_slope(z: ArrayLike, positives: ArrayLike, totals: ArrayLike) -> float | None:
    """Fit b in P(y = 1) = expit(a + b z): the calibration slope, a free.

    Parameters
    ----------
    z : array-like of shape (m,)
        Log-odds that the model gave.
    positives, totals : array-like of shape (m,)
        Positive rows, and all rows, that carry this log-odds.

    Returns
    -------
    float or None
        1 where the spread is right, below 1 where the model is overconfident, below 0 where it ranks backwards;
        None where no finite slope exists (https://doi.org/10.1093/biomet/71.1.1): one class, one log-odds, or
        classes that a threshold separates.

    Examples
    --------
    Promised odds 1:9 and 9:1, seen 1:3 and 3:1: the log-odds are exactly twice too far out.

    >>> round(calibration_slope([-np.log(9), np.log(9)], [25, 75], [100, 100]), 6)
    0.5
    """
    logits, hits, rows = _counted(z, positives, totals)
    if not _overlapping(logits, hits, rows):
        return None
    total = rows.sum()
    mean = np.sum(rows * logits) / total
    spread = float(np.sqrt(np.sum(rows * (logits - mean) ** 2) / total))
    slope = _newton((logits - mean) / spread, hits, rows)
    return None if slope is None else slope / spread


def _counted(z: ArrayLike, positives: ArrayLike, totals: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give the three arrays without groups that hold no row."""
    rows = np.asarray(totals, dtype=np.float64)
    there = rows > 0
    return np.asarray(z, dtype=np.float64)[there], np.asarray(positives, dtype=np.float64)[there], rows[there]


def _overlapping(z: Floats, hits: Floats, rows: Floats) -> bool:
    """Whether neither class lies wholly on one side of the other (touching counts as a side)."""
    of_hits, of_others = z[hits > 0], z[hits < rows]
    if of_hits.size == 0 or of_others.size == 0:
        return False
    return bool(of_others.max() > of_hits.min() and of_hits.max() > of_others.min())


def _newton(x: Floats, hits: Floats, rows: Floats) -> float | None:
    """Fit the slope on standardised x by Newton steps from the constant model, halved until the loss falls."""
    rate = hits.sum() / rows.sum()
    a, b = math.log(rate / (1 - rate)), 0.0
    loss = _loss(a, b, x, hits, rows)
    for _ in range(_STEPS):
        p = expit(a + b * x)
        residual, curvature = hits - rows * p, rows * p * (1 - p)
        g0, g1 = float(residual.sum()), float(np.sum(residual * x))
        bent = curvature * x
        h00, h01, h11 = float(curvature.sum()), float(bent.sum()), float(np.sum(bent * x))
        determinant = h00 * h11 - h01 * h01
        if not determinant > 0:
            return None
        step_a, step_b = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        a, b, fallen = _descend(a, b, step_a, step_b, loss, x, hits, rows)
        if abs(step_a) < _TOLERANCE and abs(step_b) < _TOLERANCE:
            return b
        loss = fallen
    return None


def _descend(
    a: float, b: float, step_a: float, step_b: float, loss: float, x: Floats, hits: Floats, rows: Floats
) -> tuple[float, float, float]:
    """Take the longest of the step, its half, its quarter ... that does not raise the loss beyond rounding."""
    for _ in range(_STEPS):
        fallen = _loss(a + step_a, b + step_b, x, hits, rows)
        if fallen <= loss + 1e-12 * abs(loss):
            break
        step_a, step_b = step_a / 2, step_b / 2
    return a + step_a, b + step_b, fallen


def _loss(a: float, b: float, x: Floats, hits: Floats, rows: Floats) -> float:
    """Give the negative log-likelihood of the grouped rows."""
    eta = a + b * x
    return float(np.sum(rows * np.logaddexp(0, eta) - hits * eta))
