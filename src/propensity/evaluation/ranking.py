"""A ranking, sorted once and counted under any weights: what every ranking metric reads.

Rows with equal scores form one group. Inside a group the order is unknown, so a group counts as a whole (area under
the curve, average precision) or with its average (the best k rows). Weights are counts: 2 means that the row is there
twice, 0 that it is not there, which is all that a bootstrap needs.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

# share * n is rarely a whole number in binary: 0.07 * 100 is a little above 7 and must still be 7 rows
_ROUNDING = 1e-9


def rows_at(share: float, n: int) -> int:
    """Give the number of rows in the best share of a list: k = ceil(share * n), at most n.

    Parameters
    ----------
    share : float
        Share of the list, from 0 to 1.
    n : int
        Rows in the list.

    Returns
    -------
    int
        Rows, from 0 (nothing asked for, or an empty list) to n.

    Examples
    --------
    >>> rows_at(0.07, 100), rows_at(0.05, 30), rows_at(0.0, 30)
    (7, 2, 0)
    """
    return min(n, math.ceil(share * n - _ROUNDING))


def taken(score: ArrayLike, k: int) -> Floats:
    """Give how far each row is among the best k: 1, 0, or for those tied at the boundary the chance of it.

    Parameters
    ----------
    score : array-like of shape (n,)
        Finite scores; higher means more likely.
    k : int
        Rows taken, 0 to n.

    Returns
    -------
    ndarray of shape (n,)
        Shares from 0 to 1; their sum is k.

    Examples
    --------
    >>> taken([0.9, 0.2, 0.2, 0.1], 2)
    array([1. , 0.5, 0.5, 0. ])
    """
    scores = as_scores(score, np.size(score))
    if k == 0:
        return np.zeros(scores.size)
    boundary = np.partition(scores, scores.size - k)[scores.size - k]
    above, at = scores > boundary, scores == boundary
    return np.asarray(above + at * ((k - above.sum()) / at.sum()), dtype=np.float64)


def as_labels(y: ArrayLike) -> Floats:
    """Give labels as an (n,) float64 array of 0 and 1; anything else is a ValueError."""
    labels = np.asarray(y, dtype=np.float64)
    if labels.ndim != 1:
        raise ValueError(f"y: one label a row is needed, found an array of shape {labels.shape}.")
    wrong = ~((labels == 0) | (labels == 1))
    if wrong.any():
        raise ValueError(f"y: labels are 0 or 1, found {labels[wrong][0]} in {wrong.sum()} of {labels.size} rows.")
    return labels


def as_scores(score: ArrayLike, n: int) -> Floats:
    """Give scores as an (n,) float64 array of finite numbers; anything else is a ValueError."""
    scores = np.asarray(score, dtype=np.float64)
    if scores.shape != (n,):
        raise ValueError(f"scores: one a row is needed ({n} rows), found an array of shape {scores.shape}.")
    wrong = ~np.isfinite(scores)
    if wrong.any():
        raise ValueError(f"scores: {wrong.sum()} of {n} are not finite numbers; impute or drop them before evaluation.")
    return scores


def as_probabilities(probability: ArrayLike, n: int) -> Floats:
    """Give probabilities as an (n,) float64 array within [0, 1]; anything else is a ValueError."""
    p = as_scores(probability, n)
    wrong = (p < 0) | (p > 1)
    if wrong.any():
        raise ValueError(f"probabilities lie within 0 and 1, found {p[wrong][0]} in {wrong.sum()} of {n} rows.")
    return p


def as_counts(sample_weight: ArrayLike | None, n: int) -> Floats:
    """Give row counts as an (n,) float64 array of whole numbers from 0; None counts every row once."""
    if sample_weight is None:
        return np.ones(n)
    counts = as_scores(sample_weight, n)
    if (counts < 0).any() or (counts != np.floor(counts)).any():
        raise ValueError("sample_weight: whole numbers from 0 are needed (how often a row counts), found others.")
    return counts


@dataclass(frozen=True)
class Ranking:
    """Rows from best to worst, with the bounds of the groups of equal scores.

    Attributes
    ----------
    order : ndarray of shape (n,)
        Row numbers, best first.
    bounds : ndarray of shape (groups + 1,)
        Group g holds the places ``bounds[g]:bounds[g + 1]`` of the order.
    positives : ndarray of shape (m,)
        Places of the positive rows, ascending.
    positives_before : ndarray of shape (groups + 1,)
        Number of positive rows in the groups before g.
    group_of_positive : ndarray of shape (m,)
        Group of each positive row.
    bearing : ndarray
        The groups that hold a positive row: few, where buyers are few.
    """

    order: Places
    bounds: Places
    positives: Places
    positives_before: Places
    group_of_positive: Places
    bearing: Places

    @property
    def distinct(self) -> int:
        """Number of distinct scores."""
        return self.bounds.size - 1


def rank(y: Floats, score: Floats, *, customers: Places | None = None) -> Ranking:
    """Sort rows by score, highest first.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels, 0 or 1.
    score : ndarray of shape (n,)
        Finite scores; higher means more likely.
    customers : ndarray of shape (n,), optional
        Customer of each row, where rows will be counted by customer.

    Returns
    -------
    Ranking
        The order and its groups of equal scores.

    Examples
    --------
    >>> rank(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.9, 0.2])).bounds
    array([0, 1, 3])
    """
    # label and customer stand last only so that sums run in one order, whatever the order of the rows
    order = np.lexsort((y, -score) if customers is None else (customers, y, -score))
    ranked = score[order]
    first = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
    bounds = np.concatenate(([0], first, [y.size] if y.size else [])).astype(np.intp)
    positives = np.flatnonzero(y[order])
    before = np.searchsorted(positives, bounds)
    held = np.diff(before)
    group_of_positive = np.repeat(np.arange(held.size), held)
    return Ranking(order, bounds, positives, before, group_of_positive, np.flatnonzero(held))


class Hits(NamedTuple):
    """Positives among the best k rows, (len(k),) each: on average over the order of ties, at worst, at best."""

    expected: Floats
    worst: Floats
    best: Floats


class Tally:
    """A ranking counted under weights.

    Parameters
    ----------
    ranking : Ranking
        The sorted rows.
    counts : ndarray of shape (n,)
        How often each place of the ranking's order counts.

    Attributes
    ----------
    rows, hits : ndarray of shape (n + 1,) and (m + 1,)
        Count before each place, and before each positive.
    """

    def __init__(self, ranking: Ranking, counts: Floats) -> None:
        self.ranking = ranking
        self.rows = np.zeros(counts.size + 1)
        np.cumsum(counts, out=self.rows[1:])
        self.hits = np.zeros(ranking.positives.size + 1)
        np.cumsum(counts[ranking.positives], out=self.hits[1:])

    @property
    def n(self) -> int:
        """Rows counted."""
        return int(self.rows[-1])

    @property
    def n_positive(self) -> int:
        """Positive rows counted."""
        return int(self.hits[-1])

    @property
    def has_both_classes(self) -> bool:
        """Whether there is a positive and a negative row: without, there is nothing to rank."""
        return 0 < self.n_positive < self.n

    def _groups(self, groups: Places) -> tuple[Floats, Floats, Floats, Floats]:
        """Give for each group: rows before it, rows up to its end, hits before it, hits up to its end."""
        ranking = self.ranking
        start, end = ranking.bounds[groups], ranking.bounds[groups + 1]
        before, after = ranking.positives_before[groups], ranking.positives_before[groups + 1]
        return self.rows[start], self.rows[end], self.hits[before], self.hits[after]

    def roc_auc(self) -> float:
        """Give the area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

        The Mann-Whitney form, https://doi.org/10.1148/radiology.143.1.7063747. From 0 to 1; both classes are needed.
        """
        rows_before, rows_after, hits_before, hits_after = self._groups(self.ranking.bearing)
        negatives = self.n - self.n_positive
        outranked = negatives - ((rows_after - hits_after) + (rows_before - hits_before)) / 2
        return float(np.sum((hits_after - hits_before) * outranked) / (self.n_positive * negatives))

    def average_precision(self) -> float:
        """Give the mean over positives of the precision down to them, their whole group of ties included.

        The area under the precision-recall steps, https://doi.org/10.1145/1143844.1143874. Above 0, up to 1.
        """
        _, rows_after, hits_before, hits_after = self._groups(self.ranking.bearing)
        # where nothing counts yet the group adds nothing either; one row keeps 0 / 0 away
        precision = hits_after / np.maximum(rows_after, 1)
        return float(np.sum((hits_after - hits_before) * precision) / self.n_positive)

    def average_precision_of_draw(self) -> float:
        """Give the average precision of rows drawn with replacement, each positive meeting itself once.

        Copies of a positive stand tied with it and would raise the precision down to it: the mean over draws would
        lie above the estimate, most where positives are few, and noise would look good. Equal to
        `average_precision` where no row counts twice.
        """
        copies = np.diff(self.hits)
        _, rows_after, _, hits_after = self._groups(self.ranking.group_of_positive)
        precision = (hits_after - copies + 1) / (rows_after - copies + 1)
        return float(np.sum(copies * precision) / self.n_positive)

    def group_at(self, k: Places) -> Places:
        """Give for each k (1 to n) the group that holds the k-th row."""
        place = np.searchsorted(self.rows, k) - 1
        return np.searchsorted(self.ranking.bounds, place, side="right") - 1

    def hits_at(self, k: Places) -> Hits:
        """Count the positives among the best k rows.

        Rows tied at the boundary count with their average (https://doi.org/10.1007/978-3-540-78646-7_38); beside it
        stand the worst and the best that the order inside the ties could make of it.

        Parameters
        ----------
        k : ndarray of int
            Rows taken, 0 to n each.

        Returns
        -------
        Hits
            Positives, expected, worst and best.
        """
        if self.n == 0:
            nothing = np.zeros(k.size)
            return Hits(nothing, nothing, nothing)
        rows_before, rows_after, hits_before, hits_after = self._groups(self.group_at(np.maximum(k, 1)))
        size, gained = rows_after - rows_before, hits_after - hits_before
        # with nothing taken the first group that counts is entered with nothing
        taken = np.maximum(k - rows_before, 0)
        return Hits(
            expected=hits_before + gained * taken / size,
            worst=hits_before + np.maximum(0, taken - (size - gained)),
            best=hits_before + np.minimum(taken, gained),
        )
