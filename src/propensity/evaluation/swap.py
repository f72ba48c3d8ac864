"""Model against scorecard at the same capacity: who enters, who leaves, and where the two agree.

Rows tied at the edge of the capacity are in with the share of them that fits, so that the order of equal points decides
nothing; counts may therefore be fractions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from propensity.evaluation.bootstrap import cluster_bootstrap, percentile_interval
from propensity.evaluation.curves import wilson_interval
from propensity.evaluation.ranking import Floats, as_labels, as_scores

SETS = ("both", "enters", "leaves", "neither")
ENOUGH = 20
"""Buyers, and others, from which the models are compared inside a group."""


def membership(score: ArrayLike, count: int) -> Floats:
    """How far each row is among the best `count`: 1 in, 0 out, between where ties are cut; shape (n,).

    Examples
    --------
    >>> membership([5, 3, 3, 1], 2).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    scores = np.asarray(score, dtype=np.float64)
    if count >= scores.size:
        return np.ones(scores.size)
    if count <= 0:
        return np.zeros(scores.size)
    edge = np.partition(scores, scores.size - count)[scores.size - count]
    above, tied = scores > edge, scores == edge
    return np.asarray(above + tied * ((count - above.sum()) / tied.sum()))


def swap_sets(
    y: ArrayLike,
    model: ArrayLike,
    scorecard: ArrayLike,
    customers: ArrayLike,
    *,
    count: int,
    seed: int,
    replicates: int = 1000,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Who is contacted by the model, and who by the scorecard, when each may choose `count` prospects.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    model, scorecard : array-like of shape (n,)
        Scores; higher means more likely.
    customers : array-like of shape (n,)
        Customer of each row.
    count : int
        Prospects that can be contacted.

    Returns
    -------
    sets : DataFrame, 4 rows
        ``set``: ``both`` choose it, it ``enters`` with the model, it ``leaves`` with the scorecard, ``neither``
        chooses it; ``prospects``, ``buyers``, ``conversion`` with its 95 % interval ``low`` to ``high``.
    difference : dict
        ``conversion`` of those who enter less that of those who leave, and its ``interval`` over customers (a Poisson
        bootstrap with the sets held fixed); both None where a set is empty.

    Examples
    --------
    >>> sets, difference = swap_sets([1, 0, 0, 1], [4, 3, 2, 1], [4, 1, 3, 2], [1, 2, 3, 4], count=2, seed=0)
    >>> sets["prospects"].tolist(), sets["buyers"].tolist()
    ([1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0])
    """
    labels = as_labels(y)
    of_model = membership(as_scores(model, labels.size), count)
    of_card = membership(as_scores(scorecard, labels.size), count)
    weights = dict(
        zip(
            SETS,
            (of_model * of_card, of_model * (1 - of_card), (1 - of_model) * of_card, (1 - of_model) * (1 - of_card)),
            strict=True,
        )
    )
    rows = [{"set": name, **_conversion(float((w * labels).sum()), float(w.sum()))} for name, w in weights.items()]
    entering, leaving = weights["enters"], weights["leaves"]
    difference: dict[str, Any] = {"conversion": None, "interval": None}
    if entering.sum() > 0 and leaving.sum() > 0:
        difference["conversion"] = rows[1]["conversion"] - rows[2]["conversion"]
        draws = _drawn_differences(labels, entering, leaving, np.asarray(customers), seed=seed, replicates=replicates)
        difference["interval"] = percentile_interval(draws, level=0.95)
    return pd.DataFrame(rows), difference


def _conversion(buyers: float, prospects: float) -> dict[str, Any]:
    low, high = wilson_interval(buyers, prospects) if prospects > 0 else (np.nan, np.nan)
    conversion = buyers / prospects if prospects > 0 else np.nan
    return {"prospects": prospects, "buyers": buyers, "conversion": conversion, "low": low, "high": high}


def _drawn_differences(
    labels: Floats, entering: Floats, leaving: Floats, customers: npt.NDArray[Any], *, seed: int, replicates: int
) -> Floats:
    """Differences in conversion on draws of customers (doi:10.1214/12-AOAS547), shape (replicates,)."""
    moved = (entering > 0) | (leaving > 0)
    _, who = np.unique(customers[moved], return_inverse=True)
    parts = (entering * labels, entering, leaving * labels, leaving)
    sums = np.stack([np.bincount(who, weights=part[moved]) for part in parts], axis=1)
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.poisson(1.0, len(sums)) @ sums for _ in range(replicates)])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3], dtype=np.float64)


def agreement(y: ArrayLike, model: ArrayLike, tier: ArrayLike, *, tiers: Sequence[str]) -> pd.DataFrame:
    """How the model's tenths and marketing's tiers agree.

    Parameters
    ----------
    model : array-like of shape (n,)
        Scores of the model.
    tier : array-like of str, shape (n,)
        Marketing's tier of each row, one of `tiers`.

    Returns
    -------
    DataFrame, a row for each decile and tier
        ``decile`` (1 the best; equal scores are together, in the better one), ``tier``, ``prospects``, ``buyers``,
        ``conversion`` (missing without prospects).
    """
    labels = as_labels(y)
    score, names = as_scores(model, labels.size), np.asarray(tier, dtype=object)
    better = labels.size - np.searchsorted(np.sort(score), score, side="right")
    decile = np.minimum(better * 10 // max(labels.size, 1) + 1, 10)
    rows = []
    for d in range(1, 11):
        for name in tiers:
            own = (decile == d) & (names == name)
            n, buyers = int(own.sum()), int(labels[own].sum())
            rows.append(
                {"decile": d, "tier": name, "prospects": n, "buyers": buyers, "conversion": buyers / n if n else np.nan}
            )
    return pd.DataFrame(rows)


def compare_groups(
    y: ArrayLike,
    scores: Mapping[str, ArrayLike],
    customers: ArrayLike,
    groups: Mapping[str, npt.NDArray[np.object_]],
    *,
    baseline: str,
    seed: int,
    replicates: int = 200,
) -> pd.DataFrame:
    """Model and baseline inside each group: where does which rank better.

    Parameters
    ----------
    scores : mapping of str to array-like of shape (n,)
        Two models' probabilities, the baseline's among them.
    groups : mapping of str to ndarray of str, shape (n,)
        Dimension → group of each row.

    Returns
    -------
    DataFrame, a row for each dimension and group
        ``dimension``, ``group``, ``prospects``, ``buyers``, ``auc``, ``baseline_auc``, ``difference`` with ``low`` and
        ``high`` (95 %), and ``better``: the model's or the baseline's name, ``no clear difference``, or ``too few``
        with less than 20 buyers or others.
    """
    labels, who = as_labels(y), np.asarray(customers)
    (name,) = (model for model in scores if model != baseline)
    both = {model: np.asarray(score, dtype=np.float64) for model, score in scores.items()}
    rows = []
    for dimension, member in groups.items():
        for group in pd.unique(member):
            own = np.flatnonzero(member == group)
            buyers = int(labels[own].sum())
            row: dict[str, Any] = {
                "dimension": dimension, "group": group, "prospects": len(own), "buyers": buyers, "auc": np.nan,
                "baseline_auc": np.nan, "difference": np.nan, "low": np.nan, "high": np.nan, "better": "too few",
            }  # fmt: skip
            if min(buyers, len(own) - buyers) >= ENOUGH:
                inside = {model: score[own] for model, score in both.items()}
                row |= _compared(labels[own], inside, who[own], name, baseline, seed, replicates)
            rows.append(row)
    return pd.DataFrame(rows)


def _compared(
    labels: Floats,
    scores: Mapping[str, Floats],
    customers: npt.NDArray[Any],
    name: str,
    baseline: str,
    seed: int,
    replicates: int,
) -> dict[str, Any]:
    result = cluster_bootstrap(labels, scores, customers, capacity=0.1, seed=seed, replicates=replicates)
    auc, of_baseline = (result.estimates[model]["roc_auc"] for model in (name, baseline))
    paired = result.draws[name]["roc_auc"] - result.draws[baseline]["roc_auc"]
    low, high = percentile_interval(paired, level=0.95) or (np.nan, np.nan)
    better = name if low > 0 else baseline if high < 0 else "no clear difference"
    return {
        "auc": auc,
        "baseline_auc": of_baseline,
        "difference": auc - of_baseline,
        "low": low,
        "high": high,
        "better": better,
    }
