"""Similar prospects: those whose scores came about in the same way."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def distance(own: Floats, points: Floats) -> Floats:
    """How far others are from a prospect.

    Two prospects are as far apart as their contributions are, feature by feature (Euclidean, in points): what the model
    does not look at does not separate them, and what it weighs heavily does.

    Parameters
    ----------
    own : ndarray of shape (p,)
        Contributions of the prospect.
    points : ndarray of shape (n, p)
        Contributions of others.

    Returns
    -------
    ndarray of shape (n,)
        In points.

    Examples
    --------
    >>> distance(np.zeros(2), np.array([[3.0, 4.0], [1.0, 0.0]])).tolist()
    [5.0, 1.0]
    """
    return np.asarray(np.sqrt(((points - own) ** 2).sum(axis=1)), dtype=np.float64)


def nearest(apart: Floats, bought: npt.NDArray[Any], *, count: int = 3) -> list[int]:
    """Find the nearest rows that bought and the nearest that did not: the buyers first, the nearest of each kind first.

    Parameters
    ----------
    apart : ndarray of shape (n,)
        How far each is.
    bought : ndarray of shape (n,)
        Whether they bought.
    count : int
        How many of each kind.

    Examples
    --------
    >>> nearest(np.array([3.0, 1.0, 2.0, 1.5]), np.array([1, 1, 0, 0]), count=1)
    [1, 3]
    """
    order = np.argsort(apart, kind="stable")
    kinds = np.asarray(bought, dtype=bool)[order]
    return [int(row) for wanted in (kinds, ~kinds) for row in order[wanted][:count]]
