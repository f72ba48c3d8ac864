"""How well probabilities rank and how well they are calibrated: one model on one split, as plain numbers.

A metric that the rows do not define is None (null in JSON), never a guess and never a warning: ranking and calibration
need both classes, everything needs a row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from propensity.evaluation.ranking import (
    Floats,
    Ranking,
    Tally,
    as_counts,
    as_labels,
    as_probabilities,
    as_scores,
    rank,
    rows_at,
)
from propensity.evaluation.recalibration import calibration_intercept, calibration_slope, clip_probability, log_odds

SHARES: Mapping[str, float] = {"1pct": 0.01, "5pct": 0.05, "10pct": 0.10, "20pct": 0.20}

METRICS: tuple[str, ...] = (
    "roc_auc",
    "average_precision",
    "brier",
    "log_loss",
    *(f"lift_at_{name}" for name in SHARES),
    *(f"capture_at_{name}" for name in SHARES),
    "lift_at_capacity",
    "capture_at_capacity",
    "calibration_slope",
    "calibration_intercept",
    "mean_probability",
    "base_rate",
)
"""Names of the metrics that `compute_metrics` gives, beside the counts and the ties."""


def compute_metrics(
    y: ArrayLike,
    probability: ArrayLike,
    *,
    capacity: float,
    score: ArrayLike | None = None,
    tie_break: NDArray[np.uint64] | None = None,
    sample_weight: ArrayLike | None = None,
) -> dict[str, Any]:
    """Measure one model on one split.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    probability : array-like of shape (n,)
        Predicted probabilities, 0 to 1.
    capacity : float
        Share of the rows that can be contacted, above 0, up to 1.
    score : array-like of shape (n,), optional
        What rows are ranked by, highest first; the probability by default. A calibrator may give equal probabilities
        to rows that a list tells apart.
    tie_break : ndarray of shape (n,), optional
        Order among equal probabilities, lowest first (a hash of the customer's key): what a list would follow.
    sample_weight : array-like of shape (n,), optional
        How often each row counts, whole numbers; a row with weight 2 is the same as two equal rows.

    Returns
    -------
    dict
        ``n``, ``positives``: rows and positive rows.
        ``roc_auc``, ``average_precision``: see `Tally`.
        ``brier``: mean squared difference of probability and label, 0 to 1
        (https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
        ``log_loss``: mean of -log of the probability given to what happened, nats, probabilities clipped by one
        machine epsilon (https://doi.org/10.1198/016214506000001437).
        ``lift_at_…``: positives among the best k rows over those of k rows taken at random, with k = ceil(share * n),
        at 1, 5, 10 and 20 % and at the capacity. ``capture_at_…``: the same positives as a share of all, 0 to 1.
        Rows tied at the boundary count with their average.
        ``calibration_slope``, ``calibration_intercept``: see `recalibration`; right at 1 and 0.
        ``mean_probability``, ``base_rate``: promised and observed share of positives.
        ``ties``: ``distinct_scores`` and, for each lift whose k cuts a group of equal scores that holds both classes,
        ``worst`` and ``best`` over the order inside the group, and with `tie_break` what is ``listed``. The capture
        moves with its lift (capture = lift * k / n).

    Examples
    --------
    >>> found = compute_metrics([1, 0, 0, 1], [0.9, 0.5, 0.2, 0.5], capacity=0.5)
    >>> found["roc_auc"], found["lift_at_capacity"]
    (0.875, 1.5)
    >>> found["ties"]["lift_at_capacity"]
    {'worst': 1.0, 'best': 2.0}
    """
    if not 0 < capacity <= 1:
        raise ValueError(f"capacity: a share above 0, up to 1, is needed, found {capacity}.")
    labels = as_labels(y)
    p = as_probabilities(probability, labels.size)
    counts = as_counts(sample_weight, labels.size)
    ranking = rank(labels, p if score is None else as_scores(score, labels.size))
    order = ranking.order
    tally = Tally(ranking, counts[order])
    shares = {**SHARES, "capacity": capacity}
    return {
        "n": tally.n,
        "positives": tally.n_positive,
        **ranking_metrics(tally, shares),
        **_probability_metrics(labels[order], p[order], counts[order]),
        "ties": _ties(tally, shares, labels, counts, tie_break),
    }


def ranking_metrics(tally: Tally, shares: Mapping[str, float]) -> dict[str, float | None]:
    """Give area under the curve, average precision, and lift and capture at each named share."""
    lifts, captures = [f"lift_at_{name}" for name in shares], [f"capture_at_{name}" for name in shares]
    if not tally.has_both_classes:
        return dict.fromkeys(["roc_auc", "average_precision", *lifts, *captures])
    k = _rows_at(tally, shares)
    hits = tally.hits_at(k).expected
    return {
        "roc_auc": tally.roc_auc(),
        "average_precision": tally.average_precision(),
        **dict(zip(lifts, _lift(hits, k, tally).tolist(), strict=True)),
        **dict(zip(captures, (hits / tally.n_positive).tolist(), strict=True)),
    }


def row_losses(y: Floats, probability: Floats) -> tuple[Floats, Floats]:
    """Give each row's part in the Brier score and in the log loss, (n,) each."""
    clipped = clip_probability(probability)
    return (probability - y) ** 2, -np.where(y == 1, np.log(clipped), np.log1p(-clipped))


def _probability_metrics(y: Floats, p: Floats, counts: Floats) -> dict[str, float | None]:
    """Give what depends on the probabilities themselves, rows in the ranking's order."""
    total = counts.sum()
    means = dict.fromkeys(("brier", "log_loss", "mean_probability", "base_rate"))
    z, hits = log_odds(p), counts * y
    both = bool(0 < hits.sum() < total)
    values = (*row_losses(y, p), p, y)
    return {
        **(
            {name: float(np.sum(counts * v) / total) for name, v in zip(means, values, strict=True)} if total else means
        ),
        "calibration_slope": calibration_slope(z, hits, counts) if both else None,
        "calibration_intercept": calibration_intercept(z, hits, counts) if both else None,
    }


def _rows_at(tally: Tally, shares: Mapping[str, float]) -> NDArray[np.intp]:
    """Give k for each share, (shares,)."""
    return np.array([rows_at(share, tally.n) for share in shares.values()], dtype=np.intp)


def _lift(hits: Floats, k: NDArray[np.intp], tally: Tally) -> Floats:
    """Give hits among k rows over those expected among k rows at random."""
    return hits * tally.n / (k * tally.n_positive)


def _ties(
    tally: Tally,
    shares: Mapping[str, float],
    y: Floats,
    counts: Floats,
    tie_break: NDArray[np.uint64] | None,
) -> dict[str, Any]:
    """State how far the order inside ties could move each lift."""
    ties: dict[str, Any] = {"distinct_scores": _distinct(tally)}
    if not tally.has_both_classes:
        return ties
    k = _rows_at(tally, shares)
    hits = tally.hits_at(k)
    worst, best = _lift(hits.worst, k, tally), _lift(hits.best, k, tally)
    for i in np.flatnonzero(hits.worst < hits.best):
        bounds = {"worst": float(worst[i]), "best": float(best[i])}
        if tie_break is not None:
            listed = np.array([_listed(tally, int(k[i]), y, counts, np.asarray(tie_break))])
            bounds["listed"] = float(_lift(listed, k[i : i + 1], tally)[0])
        ties[f"lift_at_{list(shares)[i]}"] = bounds
    return ties


def _distinct(tally: Tally) -> int:
    """Count the distinct scores among the rows that count."""
    return int(np.count_nonzero(np.diff(tally.rows[tally.ranking.bounds])))


def _listed(tally: Tally, k: int, y: Floats, counts: Floats, tie_break: NDArray[np.uint64]) -> float:
    """Count the positives among the first k rows where ties stand in the order of the tie break."""
    ranking: Ranking = tally.ranking
    group = int(tally.group_at(np.array([k], dtype=np.intp))[0])
    start, end = ranking.bounds[group], ranking.bounds[group + 1]
    tied = ranking.order[start:end]
    tied = tied[np.argsort(tie_break[tied], kind="stable")]
    room = k - tally.rows[start] - (np.cumsum(counts[tied]) - counts[tied])
    taken = np.clip(room, 0, counts[tied])
    return float(tally.hits[ranking.positives_before[group]] + np.sum(taken * y[tied]))
