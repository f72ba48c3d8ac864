"""A marketer's scorecard as a model: points from rules, log-odds by one slope learnt on the points."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from propensity.models.base import BinaryModel, Float32, Float64
from propensity.models.calibration import PlattCalibrator
from propensity.rules.scorecard import Scorecard, indicator_points, total_points


class ScorecardModel(BinaryModel):
    """Ranks by the points of a value scorecard; ``fit`` learns only how points turn into log-odds.

    Parameters
    ----------
    scorecard : mapping or None, default=None
        The scorecard as it stands in its YAML file. None gives everybody 0 points.
    categories : mapping of str to sequence of str, or None, default=None
        Category feature to the names that its codes 0, 1, ... stand for. A code beyond them counts as
        another category.

    Attributes
    ----------
    calibrator_ : PlattCalibrator
        From standardised points to log-odds.
    points_mean_, points_scale_ : float
        Weighted mean and standard deviation of the training rows' points.
    feature_means_ : ndarray of shape (n_features_in_,)
        Mean points of each feature.
    classes_ : ndarray of shape (2,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> import pandas as pd
    >>> card = {"scorecard": "demo", "indicators": [{"name": "Visits", "feature": "visits",
    ...     "buckets": [{"below": 1, "points": 0}, {"below": 3, "points": 10}, {"points": 25}]}]}
    >>> X = pd.DataFrame({"visits": [0, 0, 1, 2, 5, 7]}, dtype="float32")
    >>> model = ScorecardModel(card).fit(X, [0, 0, 0, 1, 1, 1])
    >>> model.points(X)
    array([ 0.,  0., 10., 10., 25., 25.])
    """

    kind = "scorecard"

    def __init__(
        self, scorecard: Mapping[str, Any] | None = None, categories: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.scorecard = scorecard
        self.categories = categories

    def _fit(self, X: Float32, y: Float64, weight: Float64) -> None:
        self.card_ = self._make_card(X, y, weight)
        points = self._points(X)
        self.points_mean_ = float(np.average(points, weights=weight))
        spread = float(np.sqrt(np.average((points - self.points_mean_) ** 2, weights=weight)))
        # Everybody has the same points: nothing to learn but the base rate.
        self.points_scale_ = spread if np.ptp(points) > 0 else 1.0
        self.feature_means_ = np.average(self._feature_points(X), axis=0, weights=weight)
        self.calibrator_ = PlattCalibrator().fit((points - self.points_mean_) / self.points_scale_, y, weight)

    def points(self, X: Any) -> Float64:
        """Return each row's points.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n,)
            Sum of the indicators' weighted points, in the scorecard's own unit.
        """
        return self._points(self._checked(X))

    def indicator_points(self, X: Any) -> pd.DataFrame:
        """Return each row's points by indicator.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)

        Returns
        -------
        DataFrame of shape (n, indicators)
            Weighted points in the scorecard's own unit, one column per indicator.
        """
        return self._indicator_points(self._checked(X))

    def _make_card(self, X: Float32, y: Float64, weight: Float64) -> Scorecard | None:
        """The scorecard as it was given; None gives everybody 0 points."""
        return self._given_card()

    def _given_card(self) -> Scorecard | None:
        return None if self.scorecard is None else Scorecard.model_validate(dict(self.scorecard))

    def _decoded(self, X: Float32) -> pd.DataFrame:
        """Return the features that the scorecard reads, categories by name."""
        return self._named(X, {indicator.feature for indicator in self.card_.indicators} if self.card_ else set())

    def _named(self, X: Float32, wanted: Collection[str] | None = None) -> pd.DataFrame:
        """Return features (by default all) as rules see them: categories by name."""
        categories = self.categories or {}
        return pd.DataFrame(
            {
                name: _category_names(X[:, position], categories[name]) if name in categories else X[:, position]
                for position, name in enumerate(self._column_names())
                if wanted is None or name in wanted
            },
            index=pd.RangeIndex(len(X)),
        )

    def _points(self, X: Float32) -> Float64:
        return np.zeros(len(X)) if self.card_ is None else total_points(self.card_, self._decoded(X))

    def _indicator_points(self, X: Float32) -> pd.DataFrame:
        if self.card_ is None:
            return pd.DataFrame(index=pd.RangeIndex(len(X)))
        return indicator_points(self.card_, self._decoded(X))

    def _feature_points(self, X: Float32) -> Float64:
        """Return points by feature, shape (n, n_features): indicators of the same feature add up."""
        points = np.zeros(X.shape, dtype=np.float64)
        if self.card_ is None:
            return points
        position_of = {name: position for position, name in enumerate(self._column_names())}
        by_indicator = self._indicator_points(X).to_numpy()
        for column, indicator in zip(by_indicator.T, self.card_.indicators, strict=True):
            points[:, position_of[indicator.feature]] += column
        return points

    def _log_odds(self, X: Float32) -> Float64:
        return self.calibrator_.transform((self._points(X) - self.points_mean_) / self.points_scale_)

    def _contributions(self, X: Float32) -> tuple[Float64, float]:
        log_odds_per_point = self.calibrator_.slope_ / self.points_scale_
        phi = log_odds_per_point * (self._feature_points(X) - self.feature_means_)
        return phi, self.calibrator_.intercept_

    def _plain_parameters(self) -> dict[str, Any]:
        categories = self.categories
        return {
            "scorecard": None if self.card_ is None else self.card_.model_dump(mode="json"),
            "categories": None if categories is None else {name: list(values) for name, values in categories.items()},
        }

    @classmethod
    def _parameters_from(cls, parameters: dict[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
        return parameters

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {
            "calibrator": self.calibrator_.to_dict(),
            "points_mean": self.points_mean_,
            "points_scale": self.points_scale_,
            "feature_means": self.feature_means_.tolist(),
        }, {}

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        self.card_ = self._given_card()
        self.calibrator_ = PlattCalibrator.from_dict(state["calibrator"])
        self.points_mean_ = state["points_mean"]
        self.points_scale_ = state["points_scale"]
        self.feature_means_ = np.asarray(state["feature_means"], dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Rules do not learn from data which way a feature points.
        tags.classifier_tags.poor_score = True
        return tags


def _category_names(codes: Float32, names: Sequence[str]) -> pd.Series:
    """Return category names for codes: None where missing, an empty name where the code is unknown."""
    table = np.array([*names, "", None], dtype=object)
    positions = np.full(len(codes), len(names))
    known = (codes >= 0) & (codes < len(names))
    positions[known] = codes[known].astype(np.intp)
    positions[np.isnan(codes)] = len(names) + 1
    return pd.Series(table[positions], dtype=object)
