"""Contacted beside not contacted: how many, how many bought, and how many were expected to."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from propensity.evaluation.curves import wilson_interval
from propensity.evaluation.ranking import as_labels, as_probabilities

GROUPS = ("contacted", "not contacted")


def by_contact(y: ArrayLike, contacted: ArrayLike, probability: ArrayLike | None = None) -> list[dict[str, Any]]:
    """Count the contacted and the others.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    contacted : array-like of bool, shape (n,)
        Who was contacted.
    probability : array-like of shape (n,), optional
        What was promised of each.

    Returns
    -------
    list of dict
        A group each, the contacted first, without empty ones: ``group``, ``prospects``, ``share`` of all rows (0 to 1),
        ``buyers``, ``expected`` (sum of the probabilities; None without), ``bought`` (share, 0 to 1) with ``low`` and
        ``high``: Wilson's 95 % interval. Nobody was contacted by lot: the difference is no effect.

    Examples
    --------
    >>> rows = by_contact([1, 0, 0, 0], [True, True, False, False], [0.5, 0.25, 0.25, 0.0])
    >>> [(row["group"], row["buyers"], row["expected"], row["bought"]) for row in rows]
    [('contacted', 1, 0.75, 0.5), ('not contacted', 0, 0.25, 0.0)]
    """
    labels = as_labels(y)
    was = np.asarray(contacted, dtype=bool)
    p = None if probability is None else as_probabilities(probability, labels.size)
    rows = []
    for group, own in zip(GROUPS, (was, ~was), strict=True):
        n, buyers = int(own.sum()), int(labels[own].sum())
        if n == 0:
            continue
        low, high = wilson_interval(buyers, n)
        rows.append(
            {
                "group": group,
                "prospects": n,
                "share": n / labels.size,
                "buyers": buyers,
                "expected": None if p is None else float(p[own].sum()),
                "bought": buyers / n,
                "low": low,
                "high": high,
            }
        )
    return rows
