"""What a scorecard's lines say of the outcome: weight of evidence, information value, stability.

As in N. Siddiqi, Intelligent Credit Scoring (2nd edition, Wiley 2017), chapters 10 and 14; here "good" is whoever
bought, so that a weight above 0 speaks for buying.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.rules.scorecard import Scorecard, check_features, line_of, lines

Floats = npt.NDArray[np.float64]
_SMOOTHING = 0.5
"""Buyers and others that are added to each line, so that one without buyers has a finite weight."""


def weight_of_evidence(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Floats:
    """The weight of evidence of each line: the log of its odds, less that of all lines together.

    ``ln(p / P) - ln(n / N)``, with half a row of either class added to each line.

    Parameters
    ----------
    positives, negatives : array of shape (k,)
        Rows of each line that bought, and that did not.

    Returns
    -------
    ndarray of shape (k,)
        0 for a line without rows.

    Examples
    --------
    >>> weight_of_evidence([30, 10], [70, 90]).round(3).tolist()
    [0.53, -0.786]
    """
    p, n = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    weight = np.log((p + _SMOOTHING) / (p + _SMOOTHING).sum()) - np.log((n + _SMOOTHING) / (n + _SMOOTHING).sum())
    return np.where(p + n > 0, weight, 0.0)


def information_value(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> float:
    """How much lines tell buyers from others: the sum of ``(p / P - n / N) * weight of evidence``.

    Below 0.02 it is next to nothing, 0.1 weak, 0.3 medium, above 0.5 suspiciously much.

    Examples
    --------
    >>> round(information_value([30, 10], [70, 90]), 3)
    0.411
    """
    p, n = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    shares = p / max(p.sum(), 1.0) - n / max(n.sum(), 1.0)
    return float((shares * weight_of_evidence(p, n)).sum())


def stability_index(before: npt.ArrayLike, after: npt.ArrayLike) -> float:
    """The population stability index (PSI) of counts by line, before and after.

    ``sum((a - b) * ln(a / b))`` of the lines' shares, with half a row added to each line. Below 0.1 little has
    changed, above 0.25 much.

    Examples
    --------
    >>> round(stability_index([500, 500], [500, 500]), 3), round(stability_index([500, 500], [300, 700]), 3)
    (0.0, 0.169)
    """
    b, a = (np.asarray(counts, dtype=np.float64) + _SMOOTHING for counts in (before, after))
    b, a = b / b.sum(), a / a.sum()
    return float(((a - b) * np.log(a / b)).sum())


def scorecard_table(
    scorecard: Scorecard,
    frame: pd.DataFrame,
    bought: npt.NDArray[Any],
    *,
    later: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A scorecard line by line, with what became of the prospects in each.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features as of the cutoff.
    bought : array of shape (n,)
        1 for prospects that bought within the horizon.
    later : DataFrame of shape (m, features), optional
        Prospects of another time, for the stability of each indicator.

    Returns
    -------
    DataFrame, one row for each line
        ``indicator``, ``feature``, ``kind``, ``weight``, ``line``, ``points`` (weighted), ``prospects``, ``share`` (of
        all), ``conversion`` (share that bought; missing without prospects), ``weight_of_evidence``, and the
        indicator's ``information_value`` and ``psi`` (missing without `later`).
    """
    check_features(scorecard, set(frame.columns))
    parts = []
    for indicator in scorecard.indicators:
        own = lines(indicator, scorecard.share_of(indicator))
        at = line_of(indicator, frame[indicator.feature], scorecard=scorecard.scorecard)
        n = np.bincount(at, minlength=len(own))
        p = np.bincount(at, weights=np.asarray(bought, dtype=np.float64), minlength=len(own))
        psi = np.nan
        if later is not None:
            then = line_of(indicator, later[indicator.feature], scorecard=scorecard.scorecard)
            psi = stability_index(n, np.bincount(then, minlength=len(own)))
        parts.append(
            pd.DataFrame(
                {
                    "indicator": indicator.name,
                    "feature": indicator.feature,
                    "kind": indicator.kind,
                    "weight": indicator.weight,
                    "line": [line.label for line in own],
                    "points": [line.weighted for line in own],
                    "prospects": n,
                    "share": n / max(len(frame), 1),
                    "conversion": np.divide(p, n, out=np.full(len(own), np.nan), where=n > 0),
                    "weight_of_evidence": weight_of_evidence(p, n - p),
                    "information_value": information_value(p, n - p),
                    "psi": psi,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
