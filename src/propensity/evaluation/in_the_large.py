"""Calibration in the large: as many buyers as were promised, group by group of rows?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from propensity.evaluation.ranking import as_labels, as_probabilities


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
