"""Similar prospects: those whose scores came about in the same way."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def nearest(own: Floats, points: Floats, bought: npt.NDArray[Any], *, count: int = 3) -> tuple[list[int], Floats]:
    """Find the nearest rows that bought and the nearest that did not.

    Two prospects are as far apart as their contributions are, feature by feature (Euclidean, in points): what the model
    does not look at does not separate them, and what it weighs heavily does.

    Parameters
    ----------
    own : ndarray of shape (p,)
        Contributions of the prospect.
    points : ndarray of shape (n, p)
        Contributions of others.
    bought : ndarray of shape (n,)
        Whether they bought.
    count : int
        How many of each kind.

    Returns
    -------
    rows : list of int
        The buyers first, the nearest of each kind first.
    distance : ndarray of shape (len(rows),)
        In points.

    Examples
    --------
    >>> rows, distance = nearest(np.zeros(1), np.array([[3.0], [1.0], [2.0], [-1.5]]), np.array([1, 1, 0, 0]), count=1)
    >>> rows, distance.tolist()
    ([1, 3], [1.0, 1.5])
    """
    apart = np.sqrt(((points - own) ** 2).sum(axis=1))
    order = np.argsort(apart, kind="stable")
    kinds = np.asarray(bought, dtype=bool)[order]
    rows = [int(row) for wanted in (kinds, ~kinds) for row in order[wanted][:count]]
    return rows, apart[rows]
