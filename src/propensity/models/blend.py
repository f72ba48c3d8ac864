"""A weighted mean of LightGBM and the logistic model, in log-odds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from propensity.models.base import BinaryModel, Float32, Float64
from propensity.models.calibration import PlattCalibrator
from propensity.models.gbm import LightGBMModel
from propensity.models.linear import LogisticModel

_WEIGHT_SD = 0.25
"""Prior standard deviation of the weight around one half."""


class BlendModel(BinaryModel):
    """``weight * LightGBM + (1 - weight) * logistic``, in log-odds; contributions add up the same way.

    Parameters
    ----------
    logistic : LogisticModel or None, default=None
        None: one with its defaults.
    lightgbm : LightGBMModel or None, default=None
        None: one with its defaults.
    weight : float in [0, 1], default=0.5
        Share of LightGBM. `blend_weight` learns it.

    Attributes
    ----------
    logistic_ : LogisticModel
    lightgbm_ : LightGBMModel
    classes_ : ndarray of shape (2,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(40, dtype=np.float32).reshape(-1, 1)
    >>> model = BlendModel(weight=0.25).fit(X, X[:, 0] > 20)
    >>> parts = 0.25 * model.lightgbm_.decision_function(X) + 0.75 * model.logistic_.decision_function(X)
    >>> bool(np.allclose(model.decision_function(X), parts))
    True
    """

    kind = "blend"

    def __init__(
        self, logistic: LogisticModel | None = None, lightgbm: LightGBMModel | None = None, weight: float = 0.5
    ) -> None:
        self.logistic = logistic
        self.lightgbm = lightgbm
        self.weight = weight

    @classmethod
    def of(cls, logistic: BinaryModel, lightgbm: BinaryModel, *, weight: float) -> BlendModel:
        """Put a fitted blend together out of two parts that were fitted on the same rows.

        Parameters
        ----------
        logistic : LogisticModel
        lightgbm : LightGBMModel
        weight : float in [0, 1]
            Share of LightGBM.

        Returns
        -------
        BlendModel
        """
        model = cls(logistic=clone(logistic), lightgbm=clone(lightgbm), weight=weight)
        model.logistic_, model.lightgbm_ = logistic, lightgbm
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(lightgbm, name):
                setattr(model, name, getattr(lightgbm, name))
        return model

    def _fit(self, X: Float32, y: Float64, weight: Float64) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"blend: weight must lie between 0 and 1, found {self.weight!r}.")
        self.logistic_ = self._begin(clone(self.logistic) if self.logistic is not None else LogisticModel())
        self.lightgbm_ = self._begin(clone(self.lightgbm) if self.lightgbm is not None else LightGBMModel())
        for part in (self.logistic_, self.lightgbm_):
            part._fit(X, y, weight)

    def _begin(self, part: Any) -> Any:
        """Hand what was learnt from X and y over to a part: they are checked once, here."""
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(part, name, getattr(self, name))
        return part

    def _log_odds(self, X: Float32) -> Float64:
        trees, linear = self.lightgbm_._log_odds(X), self.logistic_._log_odds(X)
        return np.asarray(self.weight * trees + (1 - self.weight) * linear)

    def _contributions(self, X: Float32) -> tuple[Float64, float]:
        phi_trees, base_trees = self.lightgbm_._contributions(X)
        phi_linear, base_linear = self.logistic_._contributions(X)
        phi = self.weight * phi_trees + (1 - self.weight) * phi_linear
        return phi, self.weight * base_trees + (1 - self.weight) * base_linear

    def _interactions(self, X: Float32) -> Float64:
        trees, linear = self.lightgbm_._interactions(X), self.logistic_._interactions(X)
        return np.asarray(self.weight * trees + (1 - self.weight) * linear)

    def _plain_parameters(self) -> dict[str, Any]:
        return {"weight": self.weight}

    @classmethod
    def _parameters_from(cls, parameters: dict[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
        return {"weight": parameters["weight"]}

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {}, {**self.logistic_.to_files(), **self.lightgbm_.to_files()}

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        self.logistic_ = LogisticModel.from_files(files)
        self.lightgbm_ = LightGBMModel.from_files(files)
        self.logistic = clone(self.logistic_)
        self.lightgbm = clone(self.lightgbm_)


def blend_weight(log_odds_lightgbm: npt.ArrayLike, log_odds_logistic: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Learn the share of LightGBM in a blend from log-odds of rows that neither part was fitted on.

    The weight minimises the summed log loss of the blend after Platt's calibration, plus a normal prior
    around one half (standard deviation 0.25). The prior is worth a constant two nats at the ends: a few
    positives hardly move the weight from one half, many decide it.

    Parameters
    ----------
    log_odds_lightgbm, log_odds_logistic : array of shape (n,)
        Out-of-fold log-odds, of later folds where there are several cutoffs. Rows where either is NaN
        (tested by no fold) are left out.
    y : array of shape (n,)
        Labels, 0 or 1.

    Returns
    -------
    float in [0, 1]
        A multiple of 0.05.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> good, noise = rng.normal(-2, 1, 5_000), rng.normal(-2, 1, 5_000)
    >>> y = rng.random(5_000) < 1 / (1 + np.exp(-good))
    >>> blend_weight(good, noise, y) > 0.8
    True
    """
    trees = np.asarray(log_odds_lightgbm, dtype=np.float64)
    linear = np.asarray(log_odds_logistic, dtype=np.float64)
    known = ~(np.isnan(trees) | np.isnan(linear))
    trees, linear, labels = trees[known], linear[known], np.asarray(y, dtype=np.float64)[known]

    def cost(weight: float) -> float:
        blended = weight * trees + (1 - weight) * linear
        z = PlattCalibrator().fit(blended, labels).transform(blended)
        return float((np.logaddexp(0.0, z) - labels * z).sum() + 0.5 * ((weight - 0.5) / _WEIGHT_SD) ** 2)

    return min((step / 20 for step in range(21)), key=cost)
