"""Exact contributions to the calibrated log-odds, in log-odds and in points.

A calibration that is affine in log-odds keeps contributions additive: slope times each, and slope times the
base plus the intercept. Nothing is approximated, and the sum is checked.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from propensity.models.base import BinaryModel

Float64 = npt.NDArray[np.float64]

TOLERANCE = 1e-9
"""Largest relative difference between the sum of contributions and the calibrated log-odds."""


class Affine(Protocol):
    """A calibration that maps log-odds to ``slope_ * log_odds + intercept_``."""

    slope_: float
    intercept_: float

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Return calibrated log-odds."""


def contributions(model: BinaryModel, calibrator: Affine | None, X: Any) -> tuple[Float64, float]:
    """Split the calibrated log-odds of each row over the features.

    Parameters
    ----------
    model : BinaryModel
        Fitted.
    calibrator : PlattCalibrator or None
        Fitted; None where the model's own log-odds are explained.
    X : DataFrame or array of shape (n, n_features)

    Returns
    -------
    phi : ndarray of shape (n, n_features)
        What each feature adds to the calibrated log-odds.
    base : float
        Calibrated log-odds of the average row.

    Raises
    ------
    ArithmeticError
        If base and contributions do not sum to the calibrated log-odds within 1e-9 (relative).

    Examples
    --------
    >>> import numpy as np
    >>> from propensity.models.calibration import PlattCalibrator
    >>> from propensity.models.linear import LogisticModel
    >>> X, y = np.arange(8, dtype="float32").reshape(-1, 1), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    >>> model = LogisticModel().fit(X, y)
    >>> calibrator = PlattCalibrator().fit(model.decision_function(X), y)
    >>> phi, base = contributions(model, calibrator, X)
    >>> bool(np.allclose(base + phi.sum(axis=1), calibrator.transform(model.decision_function(X))))
    True
    """
    phi, base = model.contributions(X)
    log_odds = model.decision_function(X)
    if calibrator is not None:
        phi, base = calibrator.slope_ * phi, calibrator.slope_ * base + calibrator.intercept_
        log_odds = calibrator.transform(log_odds)
    error = np.abs(base + phi.sum(axis=1) - log_odds)
    # Beyond the last digits of the largest number that is summed, there is nothing to be exact about.
    size = np.maximum(np.maximum(1.0, np.abs(log_odds)), np.abs(phi).max(axis=1, initial=abs(base)))
    if (error > TOLERANCE * size).any():
        raise ArithmeticError(
            f"explain: contributions of {int((error > TOLERANCE * size).sum())} of {len(log_odds)} rows miss the "
            f"calibrated log-odds by up to {error.max():.3g}. The model and its calibration do not belong together."
        )
    return phi, base


def to_points(
    phi: npt.ArrayLike, base: float, *, pdo: float, reference_points: float, reference_odds: float
) -> tuple[Float64, float]:
    """Turn contributions in log-odds into points.

    ``points = reference_points + pdo / ln(2) * (log_odds - ln(reference_odds))``: `pdo` more points double
    the odds. With 600 points at odds of 1 : 19 and a pdo of 20, odds of 2 : 19 are 620 points.

    Parameters
    ----------
    phi : array of shape (n, n_features)
        Contributions, log-odds.
    base : float
        Base value, log-odds.
    pdo : float, above 0
        Points that double the odds.
    reference_points : float
        Points at the reference odds.
    reference_odds : float, above 0
        Odds (not a probability), p / (1 - p).

    Returns
    -------
    phi_points : ndarray of shape (n, n_features)
    base_points : float
        ``base_points + phi_points.sum(axis=1)`` are the rows' points.

    Examples
    --------
    >>> import numpy as np
    >>> phi, base = to_points([[np.log(2)]], np.log(1 / 19), pdo=20, reference_points=600, reference_odds=1 / 19)
    >>> float(phi[0, 0].round(9)), round(base, 9)
    (20.0, 600.0)
    """
    if not (pdo > 0 and reference_odds > 0):
        raise ValueError(f"points: pdo and reference_odds must be above 0, found {pdo!r} and {reference_odds!r}.")
    factor = pdo / np.log(2.0)
    return factor * np.asarray(phi, dtype=np.float64), float(
        reference_points + factor * (base - np.log(reference_odds))
    )


def explanation(model: BinaryModel, X: pd.DataFrame, *, calibrator: Affine | None = None) -> Any:
    """Return contributions as SHAP's own object, for SHAP's own plots.

    Parameters
    ----------
    model : BinaryModel
        Fitted.
    X : DataFrame of shape (n, n_features)
    calibrator : PlattCalibrator or None, default=None

    Returns
    -------
    shap.Explanation
        Values of shape (n, n_features), calibrated log-odds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside shap, which a user cannot mend
        import shap  # takes seconds, and only plots need it

    phi, base = contributions(model, calibrator, X)
    return shap.Explanation(
        values=phi,
        base_values=np.full(len(phi), base),
        data=X.to_numpy(),
        feature_names=[str(name) for name in X.columns],
    )
