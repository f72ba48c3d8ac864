"""The floor that every other method must beat: a ranking on one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from propensity.models.base import BinaryModel, Float32, Float64, column_positions
from propensity.models.ridge import fit_ridge

_KNOTS = 256
_PENALTY = 1.0


class SingleIndicator(BinaryModel):
    """Ranks on one feature, in the direction that training shows.

    Log-odds are linear in the value's rank among the training values, so that outliers have no pull;
    missing values get log-odds of their own.

    Parameters
    ----------
    feature : str, int or None, default=None
        The feature, by name (or by position for arrays). None chooses the candidate whose AUC on the
        training rows is farthest from one half.
    candidates : sequence of str or int, or None, default=None
        Features to choose from; None: all but the categories.
    categorical : sequence of str or int, default=()
        Columns that hold category codes: their order means nothing, they are no candidates.

    Attributes
    ----------
    position_ : int
        Position of the feature.
    direction_ : int
        1 where higher values rank higher, -1 where lower ones do.
    training_auc_ : float or None
        AUC of the chosen feature on the training rows; None where the feature was given.
    classes_ : ndarray of shape (2,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [30, 50, 40, 20], "recency_days": [9, 7, 2, 1]}, dtype="float32")
    >>> model = SingleIndicator().fit(X, [0, 0, 1, 1])
    >>> str(model.feature_names_in_[model.position_]), model.direction_
    ('recency_days', -1)
    """

    kind = "single_indicator"

    def __init__(
        self,
        feature: str | int | None = None,
        candidates: Sequence[str | int] | None = None,
        categorical: Sequence[str | int] = (),
    ) -> None:
        self.feature = feature
        self.candidates = candidates
        self.categorical = categorical

    def _fit(self, X: Float32, y: Float64, weight: Float64) -> None:
        self.training_auc_: float | None = None
        if self.feature is not None:
            self.position_ = column_positions([self.feature], self._column_names(), role="feature")[0]
        else:
            self._choose(X, y, weight)
        column = X[:, self.position_]
        self.knots_, self.ranks_ = _rank_knots(column, weight)
        intercept, slope, gap = self._fit_line(column, y, weight)
        self.intercept_, self.slope_, self.missing_ = intercept, slope, gap
        self.direction_ = -1 if slope < 0 else 1
        self.base_ = float(np.average(self._log_odds(X), weights=weight))

    def _choose(self, X: Float32, y: Float64, weight: Float64) -> None:
        """Choose the candidate whose AUC is farthest from one half; the first of equals."""
        names = self._column_names()
        if self.candidates is None:
            excluded = set(column_positions(self.categorical, names, role="categorical"))
            positions = [position for position in range(len(names)) if position not in excluded]
        else:
            positions = column_positions(self.candidates, names, role="candidates")
        if not positions:
            raise ValueError("single_indicator: there is no numeric feature to choose from.")
        aucs = {position: _indicator_auc(X[:, position], y, weight) for position in positions}
        self.position_ = max(positions, key=lambda position: abs(aucs[position] - 0.5))
        self.training_auc_ = aucs[self.position_]

    def _fit_line(self, column: npt.NDArray[np.float32], y: Float64, weight: Float64) -> tuple[float, float, float]:
        """Return intercept, slope on the rank, and what a missing value adds to the intercept."""
        missing = np.isnan(column)
        design = np.column_stack([np.ones(len(y)), self._rank(column), missing.astype(np.float64)])
        # A penalty worth about one observation keeps a feature that separates the classes finite.
        coef = fit_ridge(design, y, weight, np.array([0.0, _PENALTY / 12, _PENALTY / 12]))
        return float(coef[0]), float(coef[1]), float(coef[2])

    def _rank(self, column: npt.NDArray[np.float32]) -> Float64:
        """Return ranks among the training values, from -0.5 to 0.5; 0 where missing."""
        if not len(self.knots_):
            return np.zeros(len(column))
        ranks = np.interp(column.astype(np.float64), self.knots_, self.ranks_)
        return np.where(np.isnan(column), 0.0, ranks)

    def _log_odds(self, X: Float32) -> Float64:
        column = X[:, self.position_]
        return self.intercept_ + np.where(np.isnan(column), self.missing_, self.slope_ * self._rank(column))

    def _contributions(self, X: Float32) -> tuple[Float64, float]:
        phi = np.zeros(X.shape, dtype=np.float64)
        phi[:, self.position_] = self._log_odds(X) - self.base_
        return phi, self.base_

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        numbers = ("position_", "direction_", "training_auc_", "intercept_", "slope_", "missing_", "base_")
        state = {name.rstrip("_"): getattr(self, name) for name in numbers}
        return {**state, "knots": self.knots_.tolist(), "ranks": self.ranks_.tolist()}, {}

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        for name, value in state.items():
            setattr(self, f"{name}_", np.asarray(value, dtype=np.float64) if isinstance(value, list) else value)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # One feature is all that it may look at.
        tags.classifier_tags.poor_score = True
        return tags


def _rank_knots(column: npt.NDArray[np.float32], weight: Float64) -> tuple[Float64, Float64]:
    """Return up to 256 training values, ascending, and their ranks (share below plus half the share at it, - 0.5)."""
    present = ~np.isnan(column)
    values, inverse = np.unique(column[present].astype(np.float64), return_inverse=True)
    at = _sums(inverse, weight[present], len(values))
    ranks = (np.cumsum(at) - at / 2) / max(at.sum(), 1e-300) - 0.5
    if len(values) > _KNOTS:
        # Evenly spaced ranks; the first and the last value stay.
        kept = np.unique(np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _KNOTS)))
        values, ranks = values[kept], ranks[kept]
    return values, ranks


def _sums(group: npt.NDArray[np.intp], weight: Float64, groups: int) -> Float64:
    """Return the summed weight of each group, shape (groups,)."""
    return np.bincount(group, weights=weight, minlength=groups).astype(np.float64)


def _indicator_auc(column: npt.NDArray[np.float32], y: Float64, weight: Float64) -> float:
    """Return the AUC of ranking on a column, missing values put where their share of positives belongs."""
    missing = np.isnan(column)
    values, inverse = np.unique(column[~missing], return_inverse=True)
    positive = _sums(inverse, (weight * y)[~missing], len(values))
    negative = _sums(inverse, (weight * (1 - y))[~missing], len(values))
    if missing.any() and len(values):
        place = _place_of_missing(positive, negative, missing, y, weight)
        positive = np.insert(positive, place, (weight * y)[missing].sum())
        negative = np.insert(negative, place, (weight * (1 - y))[missing].sum())
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / (weight @ y * (weight @ (1 - y)))) if len(values) else 0.5


def _place_of_missing(
    positive: Float64, negative: Float64, missing: npt.NDArray[np.bool_], y: Float64, weight: Float64
) -> int:
    """Return how many of the present values rank below the missing ones.

    The present values' log-odds are taken as linear in rank (slope by the difference of class means);
    missing values stand where that line meets their own log-odds.
    """
    at = positive + negative
    rank = (np.cumsum(at) - at / 2) / at.sum() - 0.5
    mean = at @ rank / at.sum()
    variance = at @ (rank - mean) ** 2 / at.sum()
    share_present = (positive.sum() + 0.5) / (at.sum() + 1)
    share_missing = ((weight * y)[missing].sum() + 0.5) / (weight[missing].sum() + 1)
    gap = positive @ rank / (positive.sum() + 0.5) - negative @ rank / (negative.sum() + 0.5)
    if variance == 0 or gap == 0:
        return int(share_missing > share_present) * len(at)
    return int(np.searchsorted(rank, mean + (logit(share_missing) - logit(share_present)) * variance / gap))
