"""The base rate of the rows that are scored, found without labels, and how far to trust it.

Where only the share of buyers moves, and buyers (and others) look as before (label shift), the right probabilities
have the new share as prior. Expectation maximisation finds it from the probabilities alone. Where something else
moves, such as who buys, it can mislead: so it is used only where it would have helped before.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from propensity.models.calibration import prior_shift
from propensity.models.folding import mean_with_error

Float64 = npt.NDArray[np.float64]

_MAX_STEPS = 1_000
_TOLERANCE = 1e-9
_FLOOR = 1e-6
"""No base rate is taken to be nearer to 0 or 1: at 0 everybody would be sure."""
MOST = 4.0
"""Times that the odds may change: where more moves than the share of buyers, EM can run away towards 0 or 1."""


@dataclass(frozen=True)
class Prior:
    """How the base rate of scored rows is corrected.

    Attributes
    ----------
    method : str
        ``latest`` (none beyond the latest matured labels) or ``em``.
    base_rate : float
        Mean probability of the rows that the calibration was learnt on.
    reason : str
        Why, in a sentence.
    """

    method: str = "latest"
    base_rate: float | None = None
    reason: str = "the latest matured labels"

    def shift(self, log_odds: npt.ArrayLike) -> float:
        """Give what is added to the log-odds of these rows: 0 with ``latest``, and where EM runs away."""
        if self.method != "em" or self.base_rate is None:
            return 0.0
        found = em_prior(log_odds, prior_from=self.base_rate)
        shift = float(prior_shift([0.0], prior_from=self.base_rate, prior_to=found)[0])
        return shift if abs(shift) <= np.log(MOST) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON values."""
        return asdict(self)


def em_prior(log_odds: npt.ArrayLike, *, prior_from: float) -> float:
    """Estimate the base rate of rows without labels.

    Parameters
    ----------
    log_odds : array of shape (n,)
        Calibrated to `prior_from`.
    prior_from : float in (0, 1)
        Share of positives that they are calibrated to.

    Returns
    -------
    float
        The share of positives under which the rows are most likely, if only that share has changed.

    References
    ----------
    .. [1] Saerens, Latinne and Decaestecker (2002), doi:10.1162/089976602753284446

    Examples
    --------
    Half of the rows look like certain buyers, half like certain others, whatever the share was before.

    >>> round(em_prior([9.0, -9.0, 9.0, -9.0], prior_from=0.2), 3)
    0.5
    """
    z = np.asarray(log_odds, dtype=np.float64)
    prior = prior_from
    for _ in range(_MAX_STEPS):
        moved = z + float(logit(prior) - logit(prior_from))
        following = float(np.clip(expit(moved).mean(), _FLOOR, 1 - _FLOOR))
        if abs(following - prior) < _TOLERANCE:
            return following
        prior = following
    return prior


def judge_em(
    log_odds: npt.ArrayLike, y: npt.ArrayLike, groups: npt.NDArray[np.int64], *, base_rate: float
) -> tuple[bool, str]:
    """Say whether the correction without labels would have helped on rows whose labels have come since.

    Parameters
    ----------
    log_odds : array of shape (n,)
        Of the validation rows, calibrated on what had matured by then.
    y : array of shape (n,)
        Their labels.
    groups : ndarray of shape (n,)
        Customers.
    base_rate : float
        Mean probability of the rows that the calibration was learnt on.

    Returns
    -------
    bool, str
        Whether the log loss is lower by more than one standard error of the paired difference; and why, in words.
    """
    z, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(y, dtype=np.float64)
    found = em_prior(z, prior_from=base_rate)
    shift = Prior("em", base_rate).shift(z)
    moved = z + shift
    change = (np.logaddexp(0.0, moved) - labels * moved) - (np.logaddexp(0.0, z) - labels * z)
    difference, error = mean_with_error(change, groups)
    told = f"on validation EM takes the base rate from {base_rate:.4f} to {found:.4f} (it was {labels.mean():.4f})"
    if shift == 0.0:
        return False, f"{told}: it is not used where it would change the odds more than fourfold"
    changed = f"changes the log loss by {difference:+.5f} (standard error {error:.5f})"
    return bool(difference < -error), f"{told}, and {changed}"
