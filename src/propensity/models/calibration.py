"""Calibration that keeps contributions additive: an affine map of log-odds, with a positive slope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from propensity.models.folding import Folds, fittable, mean_over_folds

Float64 = npt.NDArray[np.float64]


_MAX_STEPS = 200
_PRIOR_SD = 1.0
"""Prior standard deviation of log(slope): a slope between one seventh and seven is left to the data."""


@dataclass(frozen=True)
class _Problem:
    """Platt's likelihood with smoothed targets and a normal prior on the logarithm of the slope.

    The log-odds are centred, so that slope and intercept hardly depend on each other.
    """

    centred: Float64
    target: Float64
    weight: Float64

    def objective(self, theta: Float64) -> float:
        """Return the penalised negative log likelihood at (log slope, intercept at the centre)."""
        z = np.exp(theta[0]) * self.centred + theta[1]
        loss = self.weight @ (np.logaddexp(0.0, z) - self.target * z)
        return float(loss + 0.5 * (theta[0] / _PRIOR_SD) ** 2)

    def derivatives(self, theta: Float64) -> tuple[Float64, Float64]:
        """Return the gradient (2,) and the expected information (2, 2), which is positive definite."""
        slope = np.exp(theta[0])
        p = expit(slope * self.centred + theta[1])
        jacobian = np.stack([slope * self.centred, np.ones_like(self.centred)])
        gradient = jacobian @ (self.weight * (p - self.target)) + np.array([theta[0] / _PRIOR_SD**2, 0.0])
        information = (jacobian * (self.weight * p * (1.0 - p))) @ jacobian.T
        information[0, 0] += 1.0 / _PRIOR_SD**2
        return gradient, information


class PlattCalibrator:
    """Map log-odds to calibrated log-odds: ``slope_ * log_odds + intercept_``, slope above 0.

    Maximum likelihood with Platt's smoothed targets, (n1 + 1) / (n1 + 2) for positives and 1 / (n0 + 2)
    for negatives [1]_, and a weak normal prior on log(slope) around 0 (a model that is calibrated
    already). Both count as about one observation: they keep the fit finite under perfect separation or
    with a handful of positives, and vanish as data grows. A positive slope never turns a ranking round.

    Attributes
    ----------
    slope_ : float, above 0
    intercept_ : float
    covariance_ : ndarray of shape (2, 2)
        Of (slope, intercept), from the information at the optimum.

    References
    ----------
    .. [1] Lin, Lin and Weng (2007), "A note on Platt's probabilistic outputs for support vector machines".
           doi:10.1007/s10994-007-5018-6

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> true = rng.normal(-2, 1, 20_000)
    >>> y = rng.random(20_000) < 1 / (1 + np.exp(-true))
    >>> calibrator = PlattCalibrator().fit(2 * true + 1, y)  # twice too sure, and shifted
    >>> round(calibrator.slope_, 1), round(calibrator.intercept_, 1)
    (0.5, -0.5)
    """

    slope_: float
    intercept_: float
    covariance_: Float64

    def fit(self, log_odds: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Learn slope and intercept.

        Parameters
        ----------
        log_odds : array of shape (n,)
            Scores of rows that the model was not fitted on.
        y : array of shape (n,)
            Labels, 0 or 1.
        sample_weight : array of shape (n,) or None, default=None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are not both classes, or a score is not finite.
        """
        x, labels, weight = _checked(log_odds, y, sample_weight)
        positives, total = float(weight @ labels), float(weight.sum())
        negatives = total - positives
        if positives <= 0 or negatives <= 0:
            raise ValueError(
                f"calibration: needs positives and negatives, found {positives:g} and {negatives:g}. "
                "Calibrate on a cutoff or fold that has both."
            )
        target = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        centre = float(weight @ x / total)
        problem = _Problem(x - centre, target, weight)
        # Begun where the scores spread over a few log-odds: further out the likelihood is flat.
        spread = float(np.sqrt(weight @ (x - centre) ** 2 / total))
        theta = _minimise(problem, np.array([-np.log(max(1.0, spread / 2)), logit(positives / total)]))
        self.slope_ = float(np.exp(theta[0]))
        self.intercept_ = float(theta[1] - self.slope_ * centre)
        # (log slope, value at the centre) -> (slope, intercept)
        jacobian = np.array([[self.slope_, 0.0], [-self.slope_ * centre, 1.0]])
        self.covariance_ = jacobian @ np.linalg.inv(problem.derivatives(theta)[1]) @ jacobian.T
        return self

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Return calibrated log-odds.

        Parameters
        ----------
        log_odds : array of shape (n,)

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return self.slope_ * np.asarray(log_odds, dtype=np.float64) + self.intercept_

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted values as JSON values."""
        return {"slope": self.slope_, "intercept": self.intercept_, "covariance": self.covariance_.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Restore a calibrator from the values that `to_dict` gave.

        Parameters
        ----------
        document : mapping
            Keys ``slope``, ``intercept`` and ``covariance``.

        Returns
        -------
        PlattCalibrator
        """
        calibrator = cls()
        calibrator.slope_ = float(document["slope"])
        calibrator.intercept_ = float(document["intercept"])
        calibrator.covariance_ = np.asarray(document["covariance"], dtype=np.float64)
        return calibrator


def cross_fit_platt(log_odds: npt.ArrayLike, y: npt.ArrayLike, folds: Folds) -> Float64:
    """Calibrate each fold's test rows by a calibrator fitted on its train rows.

    For figures of the very rows that the final calibrator is fitted on: no row helps to calibrate itself.

    Parameters
    ----------
    log_odds : array of shape (n,)
    y : array of shape (n,)
        Labels, 0 or 1.
    folds : sequence of (train, test)
        Row positions.

    Returns
    -------
    ndarray of shape (n,)
        Calibrated log-odds; the mean where a row is tested by several folds, NaN where by none.

    Examples
    --------
    >>> import numpy as np
    >>> halves = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))]
    >>> cross_fit_platt([-1.0, 1.0, -1.0, 1.0], [0, 1, 0, 1], halves).shape
    (4,)
    """
    x, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(y)

    def predict(train: npt.NDArray[np.intp], test: npt.NDArray[np.intp]) -> Float64:
        fitted = fittable(train, labels)
        return PlattCalibrator().fit(x[fitted], labels[fitted]).transform(x[test])

    return mean_over_folds(len(x), folds, predict)


def prior_shift(log_odds: npt.ArrayLike, *, prior_from: float, prior_to: float) -> Float64:
    """Move log-odds from one base rate to another.

    Parameters
    ----------
    log_odds : array of shape (n,)
    prior_from : float in (0, 1)
        Share of positives that the log-odds are calibrated to.
    prior_to : float in (0, 1)
        Share of positives where they are used.

    Returns
    -------
    ndarray of shape (n,)

    References
    ----------
    .. [1] Saerens, Latinne and Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori
           probabilities: a simple procedure". doi:10.1162/089976602753284446

    Examples
    --------
    >>> prior_shift([0.0], prior_from=0.5, prior_to=0.2).round(3)  # odds 1:1 become 1:4
    array([-1.386])
    """
    for name, prior in (("prior_from", prior_from), ("prior_to", prior_to)):
        if not 0 < prior < 1:
            raise ValueError(f"calibration: {name} must lie between 0 and 1, found {prior!r}.")
    return np.asarray(log_odds, dtype=np.float64) + float(logit(prior_to) - logit(prior_from))


def _checked(
    log_odds: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
) -> tuple[Float64, Float64, Float64]:
    """Return scores, labels and weights as float64 arrays of one length."""
    x = np.asarray(log_odds, dtype=np.float64)
    labels = np.asarray(y, dtype=np.float64)
    weight = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if x.ndim != 1 or not x.shape == labels.shape == weight.shape:
        raise ValueError(
            "calibration: log_odds, y and sample_weight must be one-dimensional and equally long, "
            f"found shapes {x.shape}, {labels.shape} and {weight.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"calibration: {int((~np.isfinite(x)).sum())} of {len(x)} log-odds are not finite.")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError("calibration: labels must be 0 or 1.")
    return x, labels, weight


def _minimise(problem: _Problem, theta: Float64) -> Float64:
    """Run Fisher scoring with step halving until a step promises no gain."""
    loss = problem.objective(theta)
    for _ in range(_MAX_STEPS):
        gradient, information = problem.derivatives(theta)
        step = np.linalg.solve(information, gradient)
        expected = float(gradient @ step)
        share = 1.0
        while expected > 1e-14 * max(1.0, loss) and share > 1e-10:
            trial = theta - share * step
            trial_loss = problem.objective(trial)
            if trial_loss <= loss - 1e-4 * share * expected:
                break
            share /= 2
        else:
            break
        theta, loss = trial, trial_loss
    return theta
