"""Predictions for rows that a fold did not train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Folds = Sequence[tuple[Rows, Rows]]


def mean_over_folds(n: int, folds: Folds, predict: Callable[[Rows, Rows], Float64]) -> Float64:
    """Collect each fold's predictions for its test rows.

    Parameters
    ----------
    n : int
        Number of rows.
    folds : sequence of (train, test)
        Row positions.
    predict : callable
        Takes train and test positions, returns one value per test row.

    Returns
    -------
    ndarray of shape (n,)
        The mean where a row is tested by several folds, NaN where by none.

    Examples
    --------
    >>> import numpy as np
    >>> folds = [(np.array([0]), np.array([1, 2])), (np.array([0, 1]), np.array([2]))]
    >>> mean_over_folds(3, folds, lambda train, test: np.full(len(test), float(len(train))))
    array([nan, 1. , 1.5])
    """
    total, times = np.zeros(n), np.zeros(n)
    for train, test in folds:
        np.add.at(total, test, predict(train, test))
        np.add.at(times, test, 1.0)
    mean = np.full(n, np.nan)
    np.divide(total, times, out=mean, where=times > 0)
    return mean


def mean_with_error(values: Float64, groups: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean of the rows' values and its standard error, clustered by customer.

    Parameters
    ----------
    values : ndarray of shape (n,)
    groups : ndarray of shape (n,)
        Customer numbers.

    Returns
    -------
    mean, error : float

    Examples
    --------
    >>> mean_with_error(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    (2.0, 1.0)
    """
    return float(values.mean()), clustered_error(values, groups)


def clustered_error(values: Float64, groups: npt.NDArray[np.int64]) -> float:
    """Give the standard error of a mean whose rows come in clusters; 0 where there is one cluster only.

    The cluster-robust form (https://doi.org/10.1093/biomet/73.1.13): rows of a customer are summed before they are
    squared.

    Examples
    --------
    Two customers, sums of residuals -1 and +1 over 4 rows: sqrt(2 / 1 * 2) / 4.

    >>> clustered_error(np.array([1.0, 1.0, 2.0, 1.0]) * 2, np.array([1, 1, 2, 2]))
    0.5
    """
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=values - values.mean())
    if len(sums) < 2:
        return 0.0
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(values))


def fittable(train: Rows, labels: npt.NDArray[Any]) -> Rows:
    """Return a fold's train rows, or all rows where those hold one class only.

    A single buyer cannot both be held out and learnt from.

    Examples
    --------
    >>> fittable(np.array([0, 1]), np.array([0, 0, 1])).tolist()
    [0, 1, 2]
    """
    return train if len(np.unique(labels[train])) > 1 else np.arange(len(labels))
