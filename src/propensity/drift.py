"""Drift: how far a column's values have moved between two times. Pure: no I/O."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

BINS = 10
_LEAST = 1e-4
"""What an empty bin counts as, so that its logarithm exists."""


def stability_index(before: npt.ArrayLike, after: npt.ArrayLike, *, is_category: bool = False) -> float:
    """Population stability index: the sum over bins of ``(q - p) * log(q / p)``.

    Parameters
    ----------
    before, after : array-like of shape (n,) and (m,)
        Values; NaN is a bin of its own.
    is_category : bool, default=False
        Whether each value is a bin; otherwise bins are the tenths of `before`, and equal values stay together.

    Returns
    -------
    float
        0 where nothing moved; by custom, 0.1 is a shift to watch and 0.25 a large one (N. Siddiqi, *Intelligent Credit
        Scoring*, 2nd edition, Wiley 2017). NaN where either is empty.

    Examples
    --------
    >>> stability_index([1, 2, 3, 4], [4, 3, 2, 1]), round(stability_index([0, 0, 1, 1], [1, 1, 1, 0]), 2)
    (0.0, 0.27)
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if not first.size or not second.size:
        return float("nan")
    known = first[~np.isnan(first)]
    cuts = known if is_category or not known.size else np.quantile(known, np.arange(1, BINS) / BINS)
    edges = np.unique(cuts)
    shares = []
    for values in (first, second):
        missing = np.isnan(values)
        # Categories lie on their edge, or between two of them where `before` does not know them.
        at = np.searchsorted(edges, values[~missing], side="left") * 2
        if is_category and len(edges):
            at += np.isin(values[~missing], edges)
        counts = np.bincount(at.astype(np.int64), minlength=2 * len(edges) + 2)
        shares.append(np.maximum(np.append(counts, missing.sum()) / values.size, _LEAST))
    p, q = shares
    return float(((q - p) * np.log(q / p)).sum())


def drift_table(before: pd.DataFrame, after: pd.DataFrame, *, categorical: Collection[str] = ()) -> pd.DataFrame:
    """The stability index and the change in missing values of each column, the most moved first.

    Parameters
    ----------
    before, after : DataFrame
        The same columns; category codes where they are `categorical`.

    Returns
    -------
    DataFrame
        ``feature``, ``stability_index``, ``missing_before`` and ``missing_after`` (shares, 0 to 1).

    Examples
    --------
    >>> before = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, np.nan]})
    >>> drift_table(before, before)["stability_index"].tolist()
    [0.0, 0.0]
    """
    rows = [
        {
            "feature": name,
            "stability_index": stability_index(before[name], after[name], is_category=name in categorical),
            "missing_before": float(before[name].isna().mean()),
            "missing_after": float(after[name].isna().mean()),
        }
        for name in before
    ]
    return pd.DataFrame(rows).sort_values("stability_index", ascending=False, kind="stable", ignore_index=True)
