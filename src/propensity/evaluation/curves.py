"""Curves as plain lists, ready for JSON: gains and lift, calibration, precision and recall."""

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from propensity.evaluation.ranking import Places, Tally, as_labels, as_probabilities, as_scores, rank, rows_at


def ranked_tally(y: ArrayLike, score: ArrayLike) -> Tally:
    """Rank rows by score and count each once."""
    labels = as_labels(y)
    return Tally(rank(labels, as_scores(score, labels.size)), np.ones(labels.size))


def share_grid(points: int) -> list[float]:
    """Give `points` shares from 0 to 1, evenly spaced."""
    if points < 2:
        raise ValueError(f"points: at least 2 are needed (nobody and everybody), found {points}.")
    return [i / (points - 1) for i in range(points)]


def gains_curve(y: ArrayLike, score: ArrayLike, points: int = 101) -> dict[str, list[Any]]:
    """Give the share of positives reached, and the lift, at each share of the list.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    score : array-like of shape (n,)
        Scores; higher means more likely.
    points : int, default=101
        Points of the curve, from nobody to everybody.

    Returns
    -------
    dict
        ``share``: 0 to 1. ``capture``: share of all positives among the best ceil(share * n) rows, ties counting with
        their average. ``lift``: their rate over the base rate; None at share 0. At 1, 5, 10 and 20 % both equal those
        of `compute_metrics`. Without both classes capture and lift hold only None.

    Examples
    --------
    >>> gains_curve([1, 0, 0, 1], [0.9, 0.5, 0.2, 0.5], points=3)
    {'share': [0.0, 0.5, 1.0], 'capture': [0.0, 0.75, 1.0], 'lift': [None, 1.5, 1.0]}
    """
    tally = ranked_tally(y, score)
    share = share_grid(points)
    if not tally.has_both_classes:
        return {"share": share, "capture": [None] * points, "lift": [None] * points}
    k = np.array([rows_at(value, tally.n) for value in share], dtype=np.intp)
    hits = tally.hits_at(k).expected
    lift = hits[1:] * tally.n / (k[1:] * tally.n_positive)
    return {"share": share, "capture": (hits / tally.n_positive).tolist(), "lift": [None, *lift.tolist()]}


def calibration_table(y: ArrayLike, probability: ArrayLike, bins: int = 10) -> list[dict[str, Any]]:
    """Set promised beside observed, in bins of about equal size.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    probability : array-like of shape (n,)
        Predicted probabilities, 0 to 1.
    bins : int, default=10
        Largest number of bins. Equal probabilities stay in one bin, so there may be fewer.

    Returns
    -------
    list of dict
        Lowest probabilities first: ``bin`` (from 1), ``n`` rows, ``predicted`` mean probability, ``observed`` share
        of positives, and its 95 % Wilson interval ``low``, ``high``, which takes the rows as independent.

    Examples
    --------
    >>> [row["observed"] for row in calibration_table([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9], bins=2)]
    [0.0, 1.0]
    """
    labels = as_labels(y)
    p = as_probabilities(probability, labels.size)
    ranking = rank(labels, p)
    # a group of equal probabilities goes where its middle row lies, counted from the lowest
    start, end = ranking.bounds[:-1], ranking.bounds[1:]
    middle = labels.size - (start + end) / 2
    of_group = np.floor(middle * bins / max(labels.size, 1)).astype(np.intp)
    of_row: Places = np.repeat(of_group, end - start)
    order = ranking.order
    counted = np.bincount(of_row, minlength=bins)
    promised = np.bincount(of_row, weights=p[order], minlength=bins)
    positive = np.bincount(of_row, weights=labels[order], minlength=bins)
    held = np.flatnonzero(counted)
    return [
        _bin(number, int(counted[i]), float(promised[i]), float(positive[i])) for number, i in enumerate(held, start=1)
    ]


def _bin(number: int, n: int, promised: float, positive: float) -> dict[str, Any]:
    """Give one row of the calibration table from its sums."""
    low, high = wilson_interval(positive, n)
    return {
        "bin": number,
        "n": n,
        "predicted": promised / n,
        "observed": positive / n,
        "low": low,
        "high": high,
    }


def wilson_interval(positives: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Give Wilson's score interval of a share (https://doi.org/10.1080/01621459.1927.10502953).

    Parameters
    ----------
    positives : float
        Positive rows, 0 to n.
    n : float
        Rows, above 0; a fraction where rows count in part.
    level : float, default=0.95
        Level of the interval.

    Returns
    -------
    tuple of float
        Low and high, within 0 and 1; never of width 0, not even where nothing was positive.

    Examples
    --------
    >>> low, high = wilson_interval(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.2775)
    """
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (positives + z2 / 2) / (n + z2)
    half = (z2 * (positives * (n - positives) / n + z2 / 4)) ** 0.5 / (n + z2)
    # at the ends the formula gives 0 and 1 up to rounding
    low = 0.0 if positives == 0 else centre - half
    high = 1.0 if positives == n else centre + half
    return low, high
