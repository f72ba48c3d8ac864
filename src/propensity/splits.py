"""Folds inside the training rows: disjoint in customers, and forward in time where there are several cutoffs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Fold = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Row positions to fit on, and row positions held out."""


def scramble(numbers: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.uint64]:
    """A fixed pseudo-random number for each number (splitmix64): an order that rows' order cannot change.

    Reference: Steele, Lea, Flood, 2014, doi:10.1145/2660193.2660195.
    """
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(2 * seed + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fold_of_rows(
    y: npt.NDArray[np.int8], groups: npt.NDArray[np.int64], *, folds: int, seed: int
) -> npt.NDArray[np.intp]:
    """The fold (0 … folds − 1) of each row: all rows of a customer in one, buyers spread evenly.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels, 0 or 1.
    groups : ndarray, shape (n,)
        Customer numbers.

    Examples
    --------
    >>> fold = fold_of_rows(np.array([1, 0, 0, 1], np.int8), np.array([5, 5, 6, 7]), folds=2, seed=0)
    >>> bool(fold[0] == fold[1]), bool(fold[0] != fold[3])
    (True, True)
    """
    customers, row_customer = np.unique(groups, return_inverse=True)
    buys = np.bincount(row_customer, weights=y, minlength=len(customers)) > 0
    order = np.lexsort((scramble(customers, seed=seed), ~buys))
    fold = np.empty(len(customers), dtype=np.intp)
    fold[order] = np.arange(len(customers)) % folds
    return fold[row_customer]


def customer_folds(
    y: npt.NDArray[np.int8], groups: npt.NDArray[np.int64], *, folds: int = 5, seed: int = 0
) -> list[Fold]:
    """Folds that are disjoint in customers: every row is held out once."""
    fold = fold_of_rows(y, groups, folds=folds, seed=seed)
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]


def forward_folds(
    y: npt.NDArray[np.int8],
    groups: npt.NDArray[np.int64],
    cutoffs: npt.NDArray[np.int64],
    *,
    matures: dict[int, int],
    folds: int = 5,
    seed: int = 0,
) -> list[Fold]:
    """Folds disjoint in customers and forward in time: fit on early cutoffs, hold out customers of later ones.

    The later third of the cutoffs is held out; only cutoffs whose labels had matured by its first are fitted
    on. Where no cutoff had, the folds are disjoint in customers only.

    Parameters
    ----------
    cutoffs : ndarray, shape (n,)
        Each row's cutoff in microseconds since 1970.
    matures : dict
        Cutoff → the instant from which its labels are known, both in microseconds.
    """
    distinct: Sequence[int] = np.unique(cutoffs).tolist()
    later = distinct[-max(1, len(distinct) // 3) :]
    early = [cutoff for cutoff in distinct if cutoff not in later and matures[cutoff] <= later[0]]
    held_out, fitted = np.isin(cutoffs, later), np.isin(cutoffs, early)
    if not early or y[fitted].sum() < folds or y[held_out].sum() < folds:
        return customer_folds(y, groups, folds=folds, seed=seed)
    fold = fold_of_rows(y, groups, folds=folds, seed=seed)
    return [(np.flatnonzero((fold != k) & fitted), np.flatnonzero((fold == k) & held_out)) for k in range(folds)]


def recency_weights(at: npt.NDArray[np.float64], half_life: float | None) -> npt.NDArray[np.float64]:
    """The weight of each row: 1 for the latest, half for those that are a half-life older.

    Parameters
    ----------
    at : ndarray, shape (n,)
        When each row stands, in any unit.
    half_life : float above 0, or None
        In the same unit; None: all rows count alike.

    Returns
    -------
    ndarray, shape (n,), in (0, 1]

    Examples
    --------
    >>> recency_weights(np.array([0.0, 30.0, 60.0]), half_life=30.0)
    array([0.25, 0.5 , 1.  ])
    """
    if half_life is None:
        return np.ones(len(at))
    return np.asarray(np.exp2((at - at.max()) / half_life), dtype=np.float64)
