"""The global picture: how far each feature, and each kind of feature, moves the score, and how sure that is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
LEVEL = 0.9
"""Level of the intervals."""
_QUANTILE = NormalDist().inv_cdf((1 + LEVEL) / 2)


def importance(
    points: Floats, by_fold: Sequence[Floats], X: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Mean absolute contributions of features and of their kinds, the largest first.

    Parameters
    ----------
    points : ndarray of shape (n, p)
        Contributions of the deployed model, in points.
    by_fold : sequence of ndarray of shape (n, p)
        Those of the same procedure, each without one group of customers; may be empty.
    X : DataFrame of shape (n, p)
        The rows' values.
    catalogue : sequence of mapping, of length p
        ``name``, ``description``, ``group`` and ``kind`` of each column.

    Returns
    -------
    features : list of dict
        ``feature``, ``description``, ``group``, ``mean_abs_points`` with its 90 % interval ``low`` and ``high``, and
        ``direction``: whether more of it raises (up) or lowers (down) the score. What moves nothing is left out.
    groups : list of dict
        ``group``, ``features`` (how many of it move the score), ``mean_abs_points`` of what the group contributes
        together, ``low`` and ``high``.

    Notes
    -----
    The intervals count the drawing of customers, by the delete-a-group jackknife (doi:10.2307/2669771), and the drawing
    of rows. They are those of a normal, cut off at 0; None where there are no folds.
    """
    each = [dict(zip(("mean_abs_points", "low", "high"), line, strict=True)) for line in _means(points, by_fold)]
    features = [
        {
            "feature": entry["name"],
            "description": entry["description"],
            "group": entry["group"],
            **each[j],
            "direction": _direction(X.iloc[:, j].to_numpy(), points[:, j], entry["kind"]),
        }
        for j, entry in enumerate(catalogue)
        if each[j]["mean_abs_points"]
    ]
    counts = Counter(row["group"] for row in features)
    names = sorted(counts)
    belongs = np.array([[entry["group"] == name for name in names] for entry in catalogue], dtype=np.float64)
    together = _means(points @ belongs, [own @ belongs for own in by_fold])
    groups = [
        {"group": name, "features": counts[name], "mean_abs_points": mean, "low": low, "high": high}
        for name, (mean, low, high) in zip(names, together, strict=True)
    ]
    return (
        sorted(features, key=lambda row: (-row["mean_abs_points"], row["feature"])),
        sorted(groups, key=lambda row: (-row["mean_abs_points"], row["group"])),
    )


def importance_by(
    points: Floats, groups: npt.NDArray[Any], catalogue: Sequence[Mapping[str, Any]], *, count: int = 5, few: int = 30
) -> dict[str, Any] | None:
    """Mean absolute contributions in each group of rows, of the features that are among the strongest of one.

    Parameters
    ----------
    points : ndarray of shape (n, p)
        Contributions, in points.
    groups : ndarray of shape (n,)
        The group of each row; None: in none.
    catalogue : sequence of mapping, of length p
        ``name`` and ``description`` of each column.
    count : int
        How many features of each group.
    few : int
        Groups of fewer rows are left out.

    Returns
    -------
    dict or None
        ``groups`` (the largest first) with their ``rows``, and ``features``: ``feature``, ``description`` and
        ``mean_abs_points``, one for each group, the strongest over all first. None without two groups.
    """
    sizes = pd.Series(groups).value_counts(sort=False)
    names = sorted((name for name in sizes.index if sizes[name] >= few), key=lambda name: (-sizes[name], str(name)))
    if len(names) < 2:
        return None
    means = np.array([np.abs(points[groups == name]).mean(axis=0) for name in names])
    strongest = np.unique(np.argsort(-means, axis=1, kind="stable")[:, :count])
    overall = np.abs(points).mean(axis=0)
    order = [at for at in strongest[np.argsort(-overall[strongest], kind="stable")] if means[:, at].max() > 0]
    return {
        "groups": [str(name) for name in names],
        "rows": [int(sizes[name]) for name in names],
        "features": [
            {
                "feature": catalogue[at]["name"],
                "description": catalogue[at]["description"],
                "mean_abs_points": means[:, at].tolist(),
            }
            for at in order
        ],
    }


def _means(points: Floats, by_fold: Sequence[Floats]) -> list[tuple[float, float | None, float | None]]:
    """The mean absolute value of each column, and its interval."""
    size = np.abs(points)
    mean = size.mean(axis=0)
    if len(by_fold) < 2:
        return [(float(value), None, None) for value in mean]
    folds = np.array([np.abs(own).mean(axis=0) for own in by_fold])
    error = np.sqrt((len(folds) - 1) * folds.var(axis=0) + size.var(axis=0) / len(size))
    low, high = np.maximum(mean - _QUANTILE * error, 0.0), mean + _QUANTILE * error
    return [tuple(map(float, line)) for line in zip(mean, low, high, strict=True)]  # type: ignore[misc]


def _direction(values: npt.NDArray[Any], points: Floats, kind: str) -> str | None:
    """Whether higher values raise (up) or lower (down) the score; mixed where rank correlation is weak."""
    known = ~np.isnan(values)
    if kind == "category" or known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(points[known]) == 0:
        return None
    ranks = pd.DataFrame({"value": values[known], "points": points[known]}).rank()
    correlation = float(ranks["value"].corr(ranks["points"]))
    return "up" if correlation > 0.3 else "down" if correlation < -0.3 else "mixed"
