"""Intervals for every metric, and for differences between models, by resampling customers.

A customer's rows are not independent: the same person at six cutoffs is not six people. Whole customers are drawn with
replacement (https://doi.org/10.1111/j.1467-9868.2007.00593.x), all models see the same draws, and intervals are the
percentiles of what the draws give (https://doi.org/10.1214/ss/1177013815). They hold the model and the month fixed:
refitting and month-to-month variation, which a backtest shows, are not in them. Where the best k rows hold no
positive, draws can hardly add one: such a lift's interval is too narrow, on the side that flatters no model.

Each model is sorted once. A draw is only a new count for each row, so it costs a few passes over the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from propensity.evaluation.metrics import METRICS, SHARES, compute_metrics, ranking_metrics, row_losses
from propensity.evaluation.ranking import Floats, Places, Ranking, Tally, as_labels, as_probabilities, as_scores, rank
from propensity.evaluation.recalibration import calibration_intercept, calibration_slope, log_odds

# log-odds are grouped this finely for calibration: a cell is far narrower than any interval
_CELLS = 1024
# an interval from the draws that happen to define a metric is biased; up to this share missing is let pass
_UNDEFINED = 0.1


@dataclass(frozen=True)
class BootstrapResult:
    """Metrics of several models on the same rows, with what each draw of customers made of them.

    Attributes
    ----------
    estimates : dict
        Model to `compute_metrics` on the rows themselves.
    draws : dict
        Model to metric to an array of shape (replicates,), NaN where a draw does not define the metric. Draws at the
        same position are of the same customers, so differences between models are paired.
    level : float
        Level of the intervals, such as 0.95.
    """

    estimates: Mapping[str, Mapping[str, Any]]
    draws: Mapping[str, Mapping[str, Floats]]
    level: float

    def intervals(self, model: str) -> dict[str, list[float] | None]:
        """Give metric to [low, high] for one model; None where the metric, or too many draws of it, is undefined."""
        found = self.estimates[model]
        return {
            metric: None if found[metric] is None else percentile_interval(values, level=self.level)
            for metric, values in self.draws[model].items()
        }


def cluster_bootstrap(
    y: ArrayLike,
    scores: Mapping[str, ArrayLike],
    groups: ArrayLike,
    *,
    capacity: float,
    seed: int,
    replicates: int = 500,
    level: float = 0.95,
    ranked_by: Mapping[str, ArrayLike] | None = None,
) -> BootstrapResult:
    """Measure every model on the rows and on `replicates` draws of customers.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    scores : mapping of str to array-like of shape (n,)
        Model to predicted probabilities, 0 to 1.
    groups : array-like of shape (n,)
        Customer of each row; as many customers are drawn as there are.
    capacity : float
        Share of the rows that can be contacted, above 0, up to 1.
    seed : int
        Seed of the draws; they depend on it and on the customers' sorted order, not on the order of the rows.
    replicates : int, default=500
        Number of draws.
    level : float, default=0.95
        Level of the intervals.
    ranked_by : mapping of str to array-like of shape (n,), optional
        Model to what ranks its rows; the probabilities by default (see `compute_metrics`).

    Returns
    -------
    BootstrapResult
        Estimates and draws of all metrics in `METRICS`.

    Examples
    --------
    >>> y, p = [1, 0, 0, 1, 0, 0], [0.9, 0.5, 0.2, 0.5, 0.1, 0.3]
    >>> result = cluster_bootstrap(y, {"m": p}, [1, 2, 3, 4, 5, 6], capacity=0.5, seed=0, replicates=200)
    >>> result.intervals("m")["mean_probability"]
    [0.23..., 0.63...]
    """
    if not 0 < level < 1 or replicates < 1:
        raise ValueError(f"bootstrap: level {level} must lie between 0 and 1, replicates {replicates} be at least 1.")
    labels = as_labels(y)
    customers = np.unique(np.asarray(groups), return_inverse=True)[1]
    if customers.shape != labels.shape:
        raise ValueError(f"groups: one customer a row is needed ({labels.size}), found {customers.shape}.")
    shares = {**SHARES, "capacity": capacity}
    by = scores if ranked_by is None else ranked_by
    models = {name: _Resampled(labels, p, by[name], customers, shares) for name, p in scores.items()}
    draws = {name: np.full((len(METRICS), replicates), np.nan) for name in scores}
    n_customers = int(customers.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    for replicate in range(replicates if n_customers else 0):
        times = np.bincount(rng.integers(n_customers, size=n_customers), minlength=n_customers).astype(np.float64)
        for name, model in models.items():
            draws[name][:, replicate] = model.measure(times)
    return BootstrapResult(
        estimates={name: compute_metrics(labels, p, capacity=capacity, score=by[name]) for name, p in scores.items()},
        draws={name: dict(zip(METRICS, values, strict=True)) for name, values in draws.items()},
        level=level,
    )


def percentile_interval(draws: Floats, *, level: float) -> list[float] | None:
    """Give the percentile interval of draws, leaving undefined ones out.

    Parameters
    ----------
    draws : ndarray of shape (replicates,)
        Values, NaN where undefined.
    level : float
        Level of the interval, such as 0.95.

    Returns
    -------
    list of float, or None
        [low, high]; None where more than a tenth of the draws are undefined.

    Examples
    --------
    >>> percentile_interval(np.arange(5.0), level=0.5)
    [1.0, 3.0]
    """
    defined = draws[~np.isnan(draws)]
    if defined.size == 0 or defined.size < (1 - _UNDEFINED) * draws.size:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return [float(low), float(high)]


class _Resampled:
    """One model, sorted and summed once, to be measured under any count of its customers."""

    def __init__(
        self, y: Floats, probability: ArrayLike, score: ArrayLike, customers: Places, shares: Mapping[str, float]
    ) -> None:
        p = as_probabilities(probability, y.size)
        self.shares = shares
        self.ranking: Ranking = rank(y, as_scores(score, y.size), customers=customers)
        # calibration has an order of its own: folds, or ties, may part it from the ranking
        self.promised = self.ranking if score is probability else rank(y, p, customers=customers)
        order = self.promised.order
        self.customers = customers[self.ranking.order]
        self.customers_promised = customers[order]
        self.z = log_odds(p)[order]
        self.cells = _cells(self.z)
        self.cell_of_positive = np.searchsorted(self.cells, self.promised.positives, side="right") - 1
        summed = [
            np.bincount(self.customers_promised, weights=values[order])
            for values in (*row_losses(y, p), p, y, np.ones(y.size))
        ]
        self.per_customer = np.array(summed)

    def measure(self, times: Floats) -> list[float | None]:
        """Give the metrics, in the order of `METRICS`, with customer i there times[i] times."""
        counts = times[self.customers]
        tally = Tally(self.ranking, counts)
        # not a matrix product: its last bits depend on the number of threads
        *sums, total = np.einsum("ki,i->k", self.per_customer, times).tolist()
        means = [value / total for value in sums]
        slope, intercept = self._calibration(times[self.customers_promised]) if tally.has_both_classes else (None, None)
        precision = tally.average_precision_of_draw() if tally.has_both_classes else None
        found = {
            **ranking_metrics(tally, self.shares),
            "average_precision": precision,
            **dict(zip(("brier", "log_loss", "mean_probability", "base_rate"), means, strict=True)),
            "calibration_slope": slope,
            "calibration_intercept": intercept,
        }
        return [found[metric] for metric in METRICS]

    def _calibration(self, counts: Floats) -> tuple[float | None, float | None]:
        """Give calibration slope and intercept from the cells' counts and mean log-odds."""
        totals = np.add.reduceat(counts, self.cells)
        centres = np.add.reduceat(counts * self.z, self.cells) / np.maximum(totals, 1)
        positives = np.bincount(
            self.cell_of_positive, weights=counts[self.promised.positives], minlength=self.cells.size
        )
        return calibration_slope(centres, positives, totals), calibration_intercept(centres, positives, totals)


def _cells(z: Floats) -> Places:
    """Give the places where cells of nearly equal log-odds start; z descends. Few distinct values stay exact."""
    if z.size == 0:
        return np.zeros(0, dtype=np.intp)
    distinct = np.concatenate(([0], np.flatnonzero(np.diff(z)) + 1))
    if distinct.size <= _CELLS:
        return distinct
    cell = np.floor((z[0] - z) / (z[0] - z[-1]) * _CELLS)
    return np.concatenate(([0], np.flatnonzero(np.diff(cell)) + 1))
