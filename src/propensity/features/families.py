"""Families: features that move together, so that three reasons are not the same reason three times."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from propensity.features.catalogue import Feature

TOGETHER = 0.7
"""Mean rank correlation from which features are one family."""
_ROWS = 10_000


def families(features: Sequence[Feature], X: pd.DataFrame) -> list[str]:
    """Name the family of each feature: that of its first member.

    Features of one kind (demographics, behaviour, purchase history) are put together as long as their absolute rank
    correlations are `TOGETHER` or more on average (hierarchical clustering, average linkage). Missing values rank last:
    who never viewed has no day of the last view. Categories and sensitive features stand alone.

    Parameters
    ----------
    features : sequence of Feature
    X : DataFrame of shape (n, features or more)
        Train rows; of many, some at equal distances are looked at.

    Returns
    -------
    list of str

    Examples
    --------
    >>> views = [Feature(name, "", "number", "behaviour", "count", "events") for name in ("a", "b", "c")]
    >>> families(views, pd.DataFrame({"a": [1, 2, 3, 4], "b": [4, 1, 2, 3], "c": [1, 2, 3, 9]}))
    ['a', 'b', 'a']
    """
    found = [feature.name for feature in features]
    block = X.iloc[:: max(1, len(X) // _ROWS)]
    for kind in dict.fromkeys(feature.group for feature in features):
        own = [
            i
            for i, feature in enumerate(features)
            if feature.group == kind and feature.kind != "category" and not feature.sensitive
        ]
        if len(own) < 2:
            continue
        together = _clusters(block[[features[i].name for i in own]].to_numpy(dtype=np.float64))
        first: dict[int, str] = {}
        for i, cluster in zip(own, together, strict=True):
            found[i] = first.setdefault(int(cluster), features[i].name)
    return found


def _clusters(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    ranks = np.column_stack([rankdata(np.nan_to_num(column, nan=np.inf, posinf=np.inf)) for column in values.T])
    spread = ranks.std(axis=0)
    standard = (ranks - ranks.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    apart = 1 - np.abs(standard.T @ standard) / len(standard)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(np.clip(apart, 0.0, 1.0), checks=False), "average")
    return np.asarray(fcluster(tree, 1 - TOGETHER, "distance"))
