"""The value pyramid: a few weighted indicators, and the tiers that prospects fall into."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import FixedScale, PyramidSpec
from propensity.errors import ConfigError
from propensity.rules.parsing import did_you_mean

Floats = npt.NDArray[np.float64]
FULL = 100.0
"""The value of a prospect that is first on every indicator."""


def check_pyramids(
    pyramids: Mapping[str, PyramidSpec], *, columns: Collection[str], categories: Collection[str] = ()
) -> None:
    """Raise ConfigError unless every indicator is a feature that there is, and a number."""
    for name, pyramid in pyramids.items():
        for indicator in pyramid.indicators:
            if indicator.feature not in columns:
                raise ConfigError(
                    f"pyramids.{name}: no feature {indicator.feature!r}. {did_you_mean(indicator.feature, columns)} "
                    "List them: propensity features STUDY."
                )
            if indicator.feature in categories:
                raise ConfigError(
                    f"pyramids.{name}: {indicator.feature!r} holds categories. An indicator of a pyramid is a number."
                )


def pyramid_values(frame: pd.DataFrame, pyramid: PyramidSpec) -> Floats:
    """Each prospect's value: the weighted mean of its indicators, shape (n,), 0 to 100.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features of all prospects as of the cutoff: ranks and ranges are among them.

    Examples
    --------
    >>> spend = {"feature": "spend", "scale": {"low": 0, "high": 200}, "weight": 3}
    >>> pyramid = PyramidSpec.model_validate({"indicators": [spend, {"feature": "visits", "scale": "range"}],
    ...                                       "shares": {"key customers": 0.5, "rest": 0.5}})
    >>> pyramid_values(pd.DataFrame({"spend": [100.0, 300.0], "visits": [4.0, 8.0]}), pyramid).tolist()
    [37.5, 100.0]
    """
    weights = np.array([indicator.weight for indicator in pyramid.indicators])
    scaled = np.empty((len(frame), len(weights)))
    for i, indicator in enumerate(pyramid.indicators):
        values = _numbers(frame[indicator.feature])
        scaled[:, i] = np.where(np.isnan(values), indicator.missing, _scaled(values, indicator.scale))
    return np.asarray(scaled @ (weights / weights.sum()) * FULL)


def _numbers(column: pd.Series) -> Floats:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    assert not column.notna().any(), column.name  # noqa: S101 - checked before: a category is no indicator
    return np.full(len(column), np.nan)


def _scaled(values: Floats, scale: str | FixedScale) -> Floats:
    """Values as 0 to 1; missing ones stay missing."""
    if isinstance(scale, FixedScale):
        return np.clip((values - scale.low) / (scale.high - scale.low), 0.0, 1.0)
    known = values[~np.isnan(values)]
    if not known.size or np.ptp(known) == 0:
        return np.where(np.isnan(values), np.nan, 0.0)
    if scale == "range":
        return np.asarray((values - known.min()) / np.ptp(known))
    lower = np.searchsorted(np.sort(known), values, side="left")
    return np.where(np.isnan(values), np.nan, lower / (known.size - 1))


def tiers(values: npt.ArrayLike, pyramid: PyramidSpec) -> npt.NDArray[np.object_]:
    """Each prospect's tier, shape (n,).

    Equal values are never divided: where a tier is full before all of them are in, they go to the next one.

    Examples
    --------
    >>> halves = PyramidSpec.model_validate({"indicators": [{"feature": "x"}], "shares": {"key": 0.5, "rest": 0.5}})
    >>> tiers([3.0, 1.0, 2.0, 2.0], halves).tolist()
    ['key', 'rest', 'rest', 'rest']
    """
    numbers = np.asarray(values, dtype=np.float64)
    names = np.array(pyramid.tiers, dtype=object)
    if pyramid.cut_offs:
        rising = np.array(list(pyramid.cut_offs.values()))[::-1]
        return np.asarray(names[::-1][np.maximum(np.searchsorted(rising, numbers, side="right") - 1, 0)])
    # How many are at least as good, against how many fit into this tier and those above it.
    at_least = len(numbers) - np.searchsorted(np.sort(numbers), numbers, side="left")
    room = np.round(np.cumsum(list(pyramid.shares.values())) * len(numbers))
    room[-1] = len(numbers)
    return np.asarray(names[np.searchsorted(room, at_least, side="left")])
