"""Logistic regression with an L2 penalty, solved by Newton's method.

Newton needs a handful of passes and ends at the optimum to the last digits, so that results depend on
neither a tolerance nor a number of iterations, and a path over penalties starts each solution at the last.
Sums run on one thread: the same bits on any number of cores, and no waiting for busy ones.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import ssyrk
from scipy.special import expit
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Float64 = npt.NDArray[np.float64]

_MAX_STEPS = 100
_BLOCK = 16_384
_SAMPLED_ABOVE = 50_000


def fit_ridge(design: Float64, y: Float64, weight: Float64, penalty: Float64, start: Float64 | None = None) -> Float64:
    """Minimise weighted log loss plus ``0.5 * sum(penalty * coef ** 2)``.

    Parameters
    ----------
    design : ndarray of shape (n, k)
        Columns, the intercept's column of ones included.
    y : ndarray of shape (n,)
        1.0 for positives, 0.0 for negatives (or a target in between).
    weight : ndarray of shape (n,)
        Row weights, above 0.
    penalty : ndarray of shape (k,)
        At least 0 each; 0 for the intercept.
    start : ndarray of shape (k,) or None, default=None
        Where to begin.

    Returns
    -------
    ndarray of shape (k,)
        Coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> ones = np.ones((4, 1))
    >>> coef = fit_ridge(ones, np.array([0.0, 0.0, 0.0, 1.0]), np.ones(4), np.zeros(1))
    >>> float(round(np.exp(coef[0]), 6))  # odds of 1 : 3
    0.333333
    """
    with _pools().limit(limits=1, user_api="blas"):
        if start is None:
            start = np.zeros(design.shape[1])
            if len(y) > _SAMPLED_ABOVE:
                # A tenth of the rows takes the first steps at a tenth of the cost; the optimum is that of all.
                tenth = slice(None, None, 10)
                start = _newton(design[tenth], y[tenth], 10 * weight[tenth], penalty, start)
        return _newton(design, y, weight, penalty, start)


@cache
def _pools() -> ThreadpoolController:
    """Return the thread pools of the loaded libraries; looking for them takes milliseconds."""
    return ThreadpoolController()


def _newton(design: Float64, y: Float64, weight: Float64, penalty: Float64, coef: Float64) -> Float64:
    """Take Newton steps until one promises no gain that the objective could show."""
    loss = _objective(design, y, weight, penalty, coef)
    for _ in range(_MAX_STEPS):
        gradient, hessian = _derivatives(design, y, weight, penalty, coef)
        step = cho_solve(cho_factor(hessian, lower=True), gradient)
        expected = float(gradient @ step)
        if expected <= 1e-13 * max(1.0, loss):
            return np.asarray(coef - step)
        coef, loss, moved = _line_search(design, y, weight, penalty, coef, step, expected, loss)
        if not moved:
            break
    return coef


def _line_search(
    design: Float64,
    y: Float64,
    weight: Float64,
    penalty: Float64,
    coef: Float64,
    step: Float64,
    expected: float,
    loss: float,
) -> tuple[Float64, float, bool]:
    """Halve the Newton step until the objective falls enough (Armijo)."""
    share = 1.0
    while share > 1e-10:
        trial = coef - share * step
        trial_loss = _objective(design, y, weight, penalty, trial)
        if trial_loss <= loss - 1e-4 * share * expected:
            return trial, trial_loss, True
        share /= 2
    return coef, loss, False


def _objective(design: Float64, y: Float64, weight: Float64, penalty: Float64, coef: Float64) -> float:
    """Return the penalised log loss (summed, natural logarithm)."""
    z = design @ coef
    return float(weight @ (np.logaddexp(0.0, z) - y * z) + 0.5 * penalty @ coef**2)


def _derivatives(
    design: Float64, y: Float64, weight: Float64, penalty: Float64, coef: Float64
) -> tuple[Float64, Float64]:
    """Return gradient (k,) and the lower half of the Hessian (k, k), in row blocks to keep temporaries small."""
    gradient = penalty * coef
    hessian = np.asfortranarray(np.diag(penalty.astype(np.float64)))
    for first in range(0, len(y), _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = design[rows]
        p = expit(block @ coef)
        gradient = gradient + block.T @ (weight[rows] * (p - y[rows]))
        # Curvature only steers: half the digits take half the time, and the end, where the gradient vanishes, stays.
        rooted = (block * np.sqrt(weight[rows] * p * (1.0 - p))[:, None]).astype(np.float32)
        hessian += ssyrk(1.0, rooted.T, lower=1)
    # Rounding can leave a separable or collinear design a hair below positive definite.
    hessian[np.diag_indices_from(hessian)] += 1e-12 * max(1.0, float(np.trace(hessian)) / len(hessian))
    return gradient, hessian
