"""The too-good test: how well each feature ranks train's buyers by itself, and which is better than is believable.

A prospect's purchase is rare and hard to foresee. A single column that foresees it almost surely has most often been
written by it. Three things are judged for each feature: its value, whether it is given at all (a value that exists
only for buyers), and its value in bands, whose order is learnt on other customers (so that a peak in the middle
counts, and so do categories).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from propensity.splits import fold_of_rows

SURE = 0.85
"""No honest feature came near this AUC by itself (the best, on large simulated markets: 0.81); surely above it is
suspicious."""
GOOD, AHEAD = 0.70, 0.05
"""A feature surely above `GOOD`, and above all the others together by more than `AHEAD`, is suspicious as well."""
FEW = 20
"""Buyers (and non-buyers) that a judgement takes."""
ERRORS = 3.0
"""Standard errors below its AUC at which a feature is surely above: hundreds of features are tried."""
BY = ("value", "presence", "band")

_BANDS = 20
_PRIOR = 10.0  # rows of average buyers that each band gets besides its own
_CHUNK = 64
_ROWS_OF_CLASS = 100_000

Floats = npt.NDArray[np.float64]


def single_feature_aucs(
    X: npt.NDArray[np.float32],
    y: npt.NDArray[np.int8],
    groups: npt.NDArray[np.int64],
    *,
    is_category: npt.NDArray[np.bool_],
    seed: int = 0,
) -> pd.DataFrame:
    """The area under the ROC curve of each feature alone.

    Parameters
    ----------
    X : ndarray of float32, shape (n, features)
        Train rows; NaN where missing, category codes where `is_category`.
    y : ndarray of int8, shape (n,)
        Labels, 0 or 1.
    groups : ndarray of int64, shape (n,)
        Customer numbers: bands are learnt on other customers than they are judged on.
    is_category : ndarray of bool, shape (features,)
        Whose codes have no order.

    Returns
    -------
    DataFrame, a row per feature
        ``value``, ``presence``, ``band``: AUC, 0.5 to 1 whichever way the feature points (band: 0 to 1), NaN where
        fewer than 20 buyers or non-buyers are known. ``auc`` and ``by``: the largest of them by its lower end;
        ``low``: that end, 3 standard errors below (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747).

    Examples
    --------
    >>> y = np.repeat(np.array([0, 1], np.int8), 50)
    >>> told = np.column_stack([y, np.arange(100) % 2]).astype(np.float32)
    >>> found = single_feature_aucs(told, y, np.arange(100), is_category=np.zeros(2, bool))
    >>> found["value"].tolist(), found["by"][0]
    ([1.0, 0.5], 'value')
    """
    rows = _balanced(y)
    X, y, groups = X[rows], y[rows], groups[rows]
    fold = fold_of_rows(y, groups, folds=2, seed=seed)
    pieces = [
        _judge(X[:, at : at + _CHUNK], y == 1, fold, is_category[at : at + _CHUNK])
        for at in range(0, X.shape[1], _CHUNK)
    ]
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=[*BY, "auc", "by", "low"])


def _balanced(y: npt.NDArray[np.int8]) -> npt.NDArray[np.intp]:
    """Rows to judge on: of more than 100,000 of a class, evenly spread ones. An AUC does not depend on the classes'
    sizes.
    """
    kept = []
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        every = np.linspace(0, len(rows) - 1, min(len(rows), _ROWS_OF_CLASS)).astype(np.intp)
        kept.append(rows[every])
    return np.sort(np.concatenate(kept))


def _judge(
    X: npt.NDArray[np.float32],
    buys: npt.NDArray[np.bool_],
    fold: npt.NDArray[np.intp],
    is_category: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    known = ~np.isnan(X)
    ranks = rankdata(np.where(known, X, np.inf), axis=0)
    n1, n0 = known[buys].sum(axis=0), known[~buys].sum(axis=0)
    positives, negatives = int(buys.sum()), int((~buys).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (np.where(known, ranks, 0.0)[buys].sum(axis=0) - n1 * (n1 + 1) / 2) / (n1 * n0)
        presence = 0.5 + 0.5 * (n1 / positives - n0 / negatives)
    value = np.where(is_category | (np.minimum(n1, n0) < FEW), np.nan, value)
    value, presence = np.maximum(value, 1 - value), np.maximum(presence, 1 - presence)
    enough = min(positives, negatives) >= FEW
    band = _band_aucs(_bands(X, ranks, known, is_category), buys, fold) if enough else np.full(X.shape[1], np.nan)
    presence = np.where(enough & ~known.all(axis=0), presence, np.nan)
    areas = np.stack([value, presence, band])
    lows = np.stack(
        [
            lower_end(value, n1, n0),
            lower_end(presence, np.full_like(n1, positives), np.full_like(n0, negatives)),
            lower_end(band, np.full_like(n1, positives), np.full_like(n0, negatives)),
        ]
    )
    best = np.argmax(np.where(np.isnan(lows), -1.0, lows), axis=0)
    at = np.arange(X.shape[1])
    found = pd.DataFrame({"value": value, "presence": presence, "band": band})
    return found.assign(auc=areas[best, at], by=np.array(BY, dtype=object)[best], low=lows[best, at])


def lower_end(auc: Floats, positives: npt.NDArray[np.int64], negatives: npt.NDArray[np.int64]) -> Floats:
    """The AUC less 3 standard errors (Hanley and McNeil 1982), shape as given."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = positives * negatives.astype(np.float64)
        # Half a pair the other way: a perfect order of few rows is not sure.
        a = (auc * pairs + 0.5) / (pairs + 1.0)
        q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
        variance = (a * (1 - a) + (positives - 1) * (q1 - a**2) + (negatives - 1) * (q2 - a**2)) / pairs
        return np.asarray(auc - ERRORS * np.sqrt(np.maximum(variance, 0.0)))


def _bands(
    X: npt.NDArray[np.float32],
    ranks: Floats,
    known: npt.NDArray[np.bool_],
    is_category: npt.NDArray[np.bool_],
) -> npt.NDArray[np.intp]:
    """The band of each value: a twentieth of the known ones, or a category; missing ones have a band of their own."""
    of_rank = np.minimum(((ranks - 0.5) / np.maximum(known.sum(axis=0), 1) * _BANDS).astype(np.intp), _BANDS - 1)
    of_code = np.where(known, X, 0).astype(np.intp)
    bands = np.where(is_category, of_code, of_rank)
    missing = max(_BANDS, int(of_code[:, is_category].max(initial=0)) + 1)
    return np.asarray(np.where(known, bands, missing), dtype=np.intp)


def _band_aucs(bands: npt.NDArray[np.intp], buys: npt.NDArray[np.bool_], fold: npt.NDArray[np.intp]) -> Floats:
    """AUC of the bands, ordered by the share of buyers among the other half of the customers; mean of both halves."""
    features, width = bands.shape[1], int(bands.max(initial=0)) + 1
    at = bands + np.arange(features) * width
    halves = []
    for k in (0, 1):
        in_half = fold == k
        halves.append(
            [
                np.bincount(at[in_half & mask].ravel(), minlength=features * width).reshape(features, width)
                for mask in (buys, ~buys)
            ]
        )
    areas = [_ordered_auc(halves[k], halves[1 - k]) for k in (0, 1)]
    return np.asarray(np.mean(areas, axis=0))


def _ordered_auc(judged: Sequence[npt.NDArray[np.intp]], learnt: Sequence[npt.NDArray[np.intp]]) -> Floats:
    positives, negatives = learnt
    share = positives.sum(axis=1, keepdims=True) / (positives + negatives).sum(axis=1, keepdims=True)
    rate = (positives + _PRIOR * share) / (positives + negatives + _PRIOR)
    order = np.argsort(rate, axis=1, kind="stable")
    hits, misses = (np.take_along_axis(counts, order, axis=1).astype(np.float64) for counts in judged)
    below = np.cumsum(misses, axis=1) - misses
    won = (hits * (below + misses / 2)).sum(axis=1)
    return np.asarray(won / (hits.sum(axis=1) * misses.sum(axis=1)))
