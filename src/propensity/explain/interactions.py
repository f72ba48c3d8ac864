"""What features do together beyond what each does by itself: exact, on a sample of rows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from propensity.models.base import BinaryModel

Floats = npt.NDArray[np.float64]
_CELLS = 20_000_000
"""Entries of the matrices that are held at a time."""
_FEW = 10


def strongest_pairs(
    model: "BinaryModel", X: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]], *, scale: float, count: int = 10
) -> list[dict[str, Any]]:
    """Find the pairs of features that do most together.

    Parameters
    ----------
    model : BinaryModel
    X : DataFrame of shape (n, p)
        A sample: a row costs a matrix of p times p.
    catalogue : sequence of mapping, of length p
        ``name``, ``description`` and ``kind`` of each column.
    scale : float
        Points for each unit of the model's log-odds.
    count : int
        How many pairs.

    Returns
    -------
    list of dict
        ``features`` and ``descriptions`` (two each), ``mean_abs_points`` of what they do together, and ``both_high``:
        the mean of it, signed, over the rows where both are above their middle; None for categories, and for fewer
        than 10 such rows. Empty for a model that adds features up.
    """
    n, p = X.shape
    size, high = np.zeros((p, p)), np.zeros((p, p))
    values = X.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values).all(axis=0)
    middle = np.full(p, np.inf)
    middle[known] = np.nanmedian(values[:, known], axis=0)
    above = np.nan_to_num(values, nan=-np.inf) > middle
    step = max(1, _CELLS // (p * p))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        together = 2 * scale * model.interactions(X.iloc[rows])
        size += np.abs(together).sum(axis=0)
        high += np.einsum("nij,ni,nj->ij", together, above[rows], above[rows])
    both = above.T.astype(np.float64) @ above
    is_number = [entry["kind"] != "category" for entry in catalogue]
    left, right = np.triu_indices(p, 1)
    strength = size[left, right]
    order = [at for at in np.argsort(-strength, kind="stable")[:count] if strength[at] > 0]
    return [
        {
            "features": [catalogue[i]["name"], catalogue[j]["name"]],
            "descriptions": [catalogue[i]["description"], catalogue[j]["description"]],
            "mean_abs_points": float(size[i, j] / n),
            "both_high": float(high[i, j] / both[i, j])
            if is_number[i] and is_number[j] and both[i, j] >= _FEW
            else None,
        }
        for i, j in ((int(left[at]), int(right[at])) for at in order)
    ]
