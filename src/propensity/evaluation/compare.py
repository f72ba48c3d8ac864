"""Models against the baseline, as paired differences, and the choice of one model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from propensity.errors import DataError
from propensity.evaluation.bootstrap import BootstrapResult, percentile_interval
from propensity.evaluation.ranking import Floats

COMPARED: tuple[str, ...] = (
    "roc_auc",
    "average_precision",
    "lift_at_10pct",
    "lift_at_capacity",
    "capture_at_capacity",
    "log_loss",
)
"""Metrics that are compared with the baseline."""
FEW_POSITIVES = 50
"""Positives on validation below which a scorecard stays unless it is clearly beaten."""
_DEMANDED = 1.5
"""Standard errors. With ten buyers, and models no better than the scorecard, one is left for them in 18 % of markets
after one standard error, 4 % after 1.5 and 2 % after two; where they are far better in 85 %, 35 % and 9 %."""


def compare(result: BootstrapResult, *, baseline: str, split: str = "test") -> list[dict[str, Any]]:
    """Give every other model's difference from the baseline, with its interval.

    Parameters
    ----------
    result : BootstrapResult
        Models measured on the same rows and the same draws of customers.
    baseline : str
        Name of the model that the others are compared with.
    split : str, default="test"
        Name of the split, passed on into the rows.

    Returns
    -------
    list of dict
        One a model and metric of `COMPARED`: ``model``, ``baseline``, ``split``, ``metric``, ``difference`` (model
        minus baseline; for ``log_loss`` below 0 is better) and ``interval`` [low, high] of the paired difference.
        Both are None where the metric is undefined.

    Examples
    --------
    >>> from propensity.evaluation.bootstrap import cluster_bootstrap
    >>> scores = {"flat": [0.3, 0.3, 0.3, 0.3], "sharp": [0.9, 0.2, 0.6, 0.1]}
    >>> result = cluster_bootstrap([1, 0, 1, 0], scores, [1, 2, 3, 4], capacity=0.5, seed=0, replicates=50)
    >>> first = compare(result, baseline="flat")[0]
    >>> first["model"], first["metric"], first["difference"]
    ('sharp', 'roc_auc', 0.5)
    """
    if baseline not in result.estimates:
        raise ValueError(f"baseline: {baseline!r} was not measured; there are {', '.join(result.estimates)}.")
    return [
        {"model": model, "baseline": baseline, "split": split, "metric": metric, **_difference(result, model, *pair)}
        for model in result.estimates
        if model != baseline
        for metric, pair in ((name, (baseline, name)) for name in COMPARED)
    ]


def _difference(result: BootstrapResult, model: str, baseline: str, metric: str) -> dict[str, Any]:
    """Give the difference of one metric and its interval."""
    of_model, of_baseline = result.estimates[model][metric], result.estimates[baseline][metric]
    if of_model is None or of_baseline is None:
        return {"difference": None, "interval": None}
    paired = result.draws[model][metric] - result.draws[baseline][metric]
    return {"difference": of_model - of_baseline, "interval": percentile_interval(paired, level=result.level)}


def select(
    metrics: Mapping[str, Mapping[str, Any]],
    ap_samples: Mapping[str, Floats],
    *,
    simplicity: Sequence[str],
    keep: str | None = None,
) -> tuple[str, str]:
    """Choose the model: highest average precision, or the simplest within one standard error of it.

    The standard error is that of the paired difference to the best model, so what all models share, such as how many
    buyers a draw happens to hold, does not count as doubt between them. The rule is Breiman's
    (https://doi.org/10.1201/9781315139470).

    Parameters
    ----------
    metrics : mapping of str to mapping
        Model to its metrics on validation; ``average_precision`` is read.
    ap_samples : mapping of str to ndarray of shape (replicates,)
        Model to average precision in each draw of customers, the same draws for all.
    simplicity : sequence of str
        Model names, simplest first; each model of `metrics` is there.
    keep : str, optional
        A rule that stays, where fewer than 50 rows are positive, unless the best model is better by more than 1.5
        standard errors, or where they are too few for a standard error.

    Returns
    -------
    tuple of str
        The model's name, and the reason in a sentence.

    Examples
    --------
    >>> metrics = {"logistic": {"average_precision": 0.30}, "lightgbm": {"average_precision": 0.31}}
    >>> draws = {"logistic": np.array([0.27, 0.33]), "lightgbm": np.array([0.33, 0.31])}
    >>> name, reason = select(metrics, draws, simplicity=["logistic", "lightgbm"])
    >>> name
    'logistic'
    >>> reason
    'lightgbm has the highest average precision on validation (0.3100), but logistic (0.3000) is simpler and within
     one standard error of it (difference 0.0100, standard error 0.0566).'
    """
    precision = {name: found["average_precision"] for name, found in metrics.items()}
    precision = {name: value for name, value in precision.items() if value is not None}
    if not precision:
        raise DataError(
            "selection: no model has an average precision on validation, which holds only one class. "
            "Choose a validation cutoff, or a horizon, with buyers and non-buyers."
        )
    missing = [name for name in precision if name not in simplicity]
    if missing:
        raise ValueError(f"simplicity: {', '.join(missing)} has no place in the order ({', '.join(simplicity)}).")
    order = [name for name in simplicity if name in precision]
    # of equals the simpler one is the best
    best = max(order, key=lambda name: precision[name])
    gaps = {name: precision[best] - precision[name] for name in order[: order.index(best)]}
    errors = {name: _standard_error(ap_samples[best] - ap_samples[name]) for name in gaps}
    chosen = next((name for name in gaps if gaps[name] <= errors[name]), best)
    buyers = int(metrics[best].get("positives", FEW_POSITIVES))
    if keep in gaps and chosen != keep and buyers < FEW_POSITIVES and not gaps[keep] > _DEMANDED * errors[keep] > 0:
        return keep, (
            f"{best} has the highest average precision on validation ({precision[best]:.4f}), but with {buyers} buyers "
            f"there {keep} ({precision[keep]:.4f}) stays unless it is beaten by more than {_DEMANDED} standard errors "
            f"(difference {gaps[keep]:.4f}, standard error {errors[keep]:.4f})."
        )
    return chosen, _reason(chosen, best, precision, gaps, errors)


def _standard_error(differences: Floats) -> float:
    """Give the standard deviation of the defined draws; 0 where fewer than two are defined."""
    defined = differences[~np.isnan(differences)]
    return float(np.std(defined, ddof=1)) if defined.size > 1 else 0.0


def _reason(
    chosen: str, best: str, precision: Mapping[str, float], gaps: Mapping[str, float], errors: Mapping[str, float]
) -> str:
    """Say why a model was chosen, with the figures."""
    lead = f"{best} has the highest average precision on validation ({precision[best]:.4f})"
    if chosen != best:
        return (
            f"{lead}, but {chosen} ({precision[chosen]:.4f}) is simpler and within one standard error of it "
            f"(difference {gaps[chosen]:.4f}, standard error {errors[chosen]:.4f})."
        )
    if not gaps:
        return f"{lead}, and no model is simpler."
    nearest = min(gaps, key=lambda name: gaps[name])
    return (
        f"{lead}, and no simpler model is within one standard error of it (nearest: {nearest}, "
        f"{precision[nearest]:.4f}, difference {gaps[nearest]:.4f}, standard error {errors[nearest]:.4f})."
    )
