"""The value scorecard: points per indicator out of a YAML file that a marketer can read and change.

An indicator gives points for the bucket (or category) that a feature's value falls into; weights turn
them into the indicator's share, and the shares add up. Buckets are half-open, ``[previous below, below)``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from propensity.errors import ConfigError
from propensity.rules.parsing import did_you_mean
from propensity.yaml_spec import Spec, read_yaml_spec, require

Points = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Array = np.ndarray[Any, np.dtype[np.float64]]
# Weighted points are counted in whole millionths, so that sums are exact in any order and ties are ties.
_PARTS = 1_000_000


class Bucket(Spec):
    """Points for values under `below` that no earlier bucket took; the last bucket has no `below`."""

    below: Annotated[float, Field(allow_inf_nan=False)] | None = None
    points: Points


class Indicator(Spec):
    """One line of the scorecard: a feature, and the points for its values.

    Attributes
    ----------
    name : str
        What an analyst calls it.
    feature : str
        The feature that it reads.
    weight : float
        Multiplies the points.
    kind : {"current", "potential"} or None
        Whether it shows the value a customer has, or the value that it could come to have.
    buckets : tuple of Bucket
        Points for numbers.
    special : dict of float to float
        Points for single numbers, before any bucket.
    categories : dict of str to float
        Points for categories.
    otherwise : float
        Points for any other category.
    missing : float
        Points where the value is not known.
    """

    name: str = Field(min_length=1)
    feature: str = Field(min_length=1)
    weight: float = Field(default=1.0, gt=0, le=1e3, allow_inf_nan=False)
    kind: Literal["current", "potential"] | None = None
    buckets: tuple[Bucket, ...] = ()
    special: dict[float, Points] = Field(default_factory=dict)
    categories: dict[str, Points] = Field(default_factory=dict)
    otherwise: Points = 0.0
    missing: Points = 0.0

    @model_validator(mode="after")
    def _one_kind_of_values(self) -> Self:
        if bool(self.buckets) == bool(self.categories):
            raise ValueError(f"the indicator {self.name!r} needs either 'buckets' (numbers) or 'categories'")
        if self.categories and self.special:
            raise ValueError(f"the indicator {self.name!r} has categories: give 'special' values as categories")
        if self.buckets and self.otherwise:
            raise ValueError(f"the indicator {self.name!r} has buckets: the last one takes the place of 'otherwise'")
        return self

    @model_validator(mode="after")
    def _rising(self) -> Self:
        edges = [bucket.below for bucket in self.buckets[:-1] if bucket.below is not None]
        if self.buckets and self.buckets[-1].below is not None:
            raise ValueError(f"the last bucket of {self.name!r} has no 'below': it takes every higher value")
        if len(edges) < len(self.buckets) - 1:
            raise ValueError(f"only the last bucket of {self.name!r} may leave out 'below'")
        if np.any(np.diff(np.array(edges, dtype=np.float32)) <= 0):
            raise ValueError(
                f"the buckets of {self.name!r} must rise: found {', '.join(f'{edge:g}' for edge in edges)}"
            )
        return self


class Weights(Spec):
    """How much current and potential value weigh against one another; only their ratio counts."""

    current: float = Field(ge=0, le=1e3, allow_inf_nan=False)
    potential: float = Field(ge=0, le=1e3, allow_inf_nan=False)

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.current + self.potential == 0:
            raise ValueError("both weights are 0: give current or potential value some weight")
        return self


class Scorecard(Spec):
    """A scorecard: its name, a sentence about it, and its indicators.

    With `weights` its points are the weighted mean of two sums: the points of the indicators of current value, and of
    those of potential value. Without, all points are summed.
    """

    scorecard: str = Field(min_length=1)
    about: str = ""
    weights: Weights | None = None
    indicators: tuple[Indicator, ...] = Field(min_length=1)

    def share_of(self, indicator: Indicator) -> float:
        """What the points of an indicator are multiplied by besides its own weight: the share of its kind of value."""
        return self.shares().get(str(indicator.kind), 1.0)

    def shares(self) -> dict[str, float]:
        """The shares of current and potential value, which add up to 1; empty without weights."""
        if self.weights is None:
            return {}
        given = self.weights.model_dump()
        return {kind: weight / sum(given.values()) for kind, weight in given.items()}

    @staticmethod
    def points_of(parts: int) -> float:
        """Whole millionths of a point as points."""
        return parts / _PARTS

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [indicator.name for indicator in self.indicators]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two indicators are called {twice[0]!r}; give each its own name")
        return self

    @model_validator(mode="after")
    def _kinds_for_weights(self) -> Self:
        for position, indicator in enumerate(self.indicators):
            require(
                self.weights is None or indicator.kind is not None,
                f"{indicator.name!r} has no kind, which the weights of current and potential value need: "
                "add kind: current, or kind: potential",
                ("indicators", position),
            )
        return self


def load_scorecard(path: Path) -> Scorecard:
    """Read a scorecard's YAML file; raises ConfigError with file, line, what was found and expected."""
    return read_yaml_spec(path, Scorecard)


def check_features(scorecard: Scorecard, known: Collection[str]) -> None:
    """Raise unless every indicator reads a feature that exists.

    Parameters
    ----------
    scorecard : Scorecard
        The scorecard to check.
    known : collection of str
        The names of the features that there are.

    Raises
    ------
    ConfigError
        Names the indicator, the faulty feature and those closest to it.
    """
    faulty = [indicator for indicator in scorecard.indicators if indicator.feature not in known]
    if faulty:
        raise ConfigError(
            "\n".join(
                f"scorecard {scorecard.scorecard}: the indicator {indicator.name!r} reads the feature "
                f"{indicator.feature!r}, which does not exist. {did_you_mean(indicator.feature, known)}"
                for indicator in faulty
            )
        )


def indicator_points(scorecard: Scorecard, frame: pd.DataFrame) -> pd.DataFrame:
    """Each prospect's weighted points, indicator by indicator.

    Parameters
    ----------
    scorecard : Scorecard
        The points.
    frame : DataFrame of shape (n, features)
        Decoded features: numbers as float, categories as str or None.

    Returns
    -------
    DataFrame of shape (n, indicators)
        Points in float64, one column per indicator, under its name.

    Examples
    --------
    >>> card = Scorecard.model_validate({"scorecard": "demo", "indicators": [
    ...     {"name": "Recency", "feature": "recency_days", "weight": 2,
    ...      "buckets": [{"below": 7, "points": 40}, {"points": 5}]},
    ...     {"name": "Region", "feature": "region", "categories": {"north": 10}, "missing": -1}]})
    >>> frame = pd.DataFrame({"recency_days": [6.5, 7.0], "region": ["north", None]})
    >>> indicator_points(card, frame)
       Recency  Region
    0     80.0    10.0
    1     10.0    -1.0
    """
    return pd.DataFrame(
        _weighted_parts(scorecard, frame) / _PARTS,
        index=frame.index,
        columns=[indicator.name for indicator in scorecard.indicators],
    )


def total_points(scorecard: Scorecard, frame: pd.DataFrame) -> Array:
    """Each prospect's sum of weighted points, shape (n,), exact to a millionth of a point.

    Equal sums are equal numbers, whichever indicators they come from.
    """
    return np.asarray(_weighted_parts(scorecard, frame).sum(axis=1) / _PARTS, dtype=np.float64)


def _weighted_parts(scorecard: Scorecard, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Weighted points in millionths, shape (n, indicators)."""
    check_features(scorecard, set(frame.columns))
    parts = np.empty((len(frame), len(scorecard.indicators)), dtype=np.int64)
    for position, indicator in enumerate(scorecard.indicators):
        found = line_of(indicator, frame[indicator.feature], scorecard=scorecard.scorecard)
        parts[:, position] = np.array(
            [line.parts for line in lines(indicator, scorecard.share_of(indicator))], dtype=np.int64
        )[found]
    return parts


@dataclass(frozen=True)
class Line:
    """One line of an indicator: the values that it takes in, in words, and their points.

    Attributes
    ----------
    label : str
        Such as ``3 to 10`` (3 is in, 10 is not), ``north``, ``missing``.
    points : float
        As they stand in the file, before the indicator's weight.
    parts : int
        Weighted points in whole millionths.
    """

    label: str
    points: float
    parts: int

    @property
    def weighted(self) -> float:
        """Points times the indicator's weight, and its kind's share."""
        return self.parts / _PARTS


def lines(indicator: Indicator, share: float = 1.0) -> list[Line]:
    """The lines of an indicator: single values, then buckets or categories, then what is missing.

    Parameters
    ----------
    share : float
        Multiplies the weighted points: see `Scorecard.share_of`.

    Examples
    --------
    >>> visits = Indicator.model_validate({"name": "Visits", "feature": "visits", "special": {-1: 2},
    ...     "buckets": [{"below": 3, "points": 0}, {"points": 5}]})
    >>> [line.label for line in lines(visits)]
    ['-1', 'below 3', '3 and more', 'missing']
    """
    if indicator.categories:
        found = [*indicator.categories.items(), ("any other", indicator.otherwise)]
    else:
        edges = [bucket.below for bucket in indicator.buckets[:-1]]
        points = [bucket.points for bucket in indicator.buckets]
        found = [(f"{value:g}", points) for value, points in indicator.special.items()]
        found += zip(between(edges), points, strict=True)
    found.append(("missing", indicator.missing))
    return [Line(label, points, round(points * indicator.weight * share * _PARTS)) for label, points in found]


def between(edges: Sequence[float | None]) -> list[str]:
    """What lies below the first of rising `edges`, between them, and from the last on, in words."""
    if not edges:
        return ["any"]
    middle = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:g}", *middle, f"{edges[-1]:g} and more"]


def arithmetic(scorecard: Scorecard, row: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """One row's points, indicator by indicator, and their sum.

    Parameters
    ----------
    row : DataFrame of shape (1, p)
        Decoded features.

    Returns
    -------
    table : DataFrame
        ``indicator``, ``kind``, ``feature``, ``value``, ``line``, ``points``, ``weight`` and ``weighted``: the last add
        up to the sum.
    total : float
    """
    told, parts = [], 0
    for indicator in scorecard.indicators:
        at = line_of(indicator, row[indicator.feature], scorecard=scorecard.scorecard)[0]
        line, value = lines(indicator, scorecard.share_of(indicator))[at], row[indicator.feature].tolist()[0]
        parts += line.parts
        told.append(
            {
                "indicator": indicator.name,
                "kind": indicator.kind,
                "feature": indicator.feature,
                "value": None if pd.isna(value) else value,
                "line": line.label,
                "points": line.points,
                "weight": indicator.weight,
                "weighted": line.weighted,
            }
        )
    return pd.DataFrame(told), scorecard.points_of(parts)


def line_of(indicator: Indicator, values: pd.Series, *, scorecard: str = "") -> np.ndarray[Any, np.dtype[np.intp]]:
    """Which of an indicator's `lines` each value falls into, shape (n,).

    Raises
    ------
    ConfigError
        When the indicator has buckets and the feature holds categories, or the other way round.
    """
    last = len(lines(indicator)) - 1
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    if bool(values.isna().all()):
        return np.full(len(values), last, dtype=np.intp)
    if numeric != bool(indicator.buckets):
        found, expected = ("numbers", "buckets") if numeric else ("categories", "categories")
        raise ConfigError(
            f"scorecard {scorecard}: the indicator {indicator.name!r} reads {indicator.feature!r}, which holds "
            f"{found}. Give it {expected!r}."
        )
    line = _line_of_numbers(indicator, values) if numeric else _line_of_categories(indicator, values)
    line[values.isna().to_numpy()] = last
    return line


def _line_of_numbers(indicator: Indicator, values: pd.Series) -> np.ndarray[Any, np.dtype[np.intp]]:
    # Features are float32, and so must the edges be: 0.7 falls into the bucket that begins at 0.7.
    numbers = values.to_numpy(dtype=np.float32, na_value=np.nan)
    edges = np.array([bucket.below for bucket in indicator.buckets[:-1]], dtype=np.float32)
    found = np.searchsorted(edges, np.nan_to_num(numbers, nan=0.0), side="right")
    line: np.ndarray[Any, np.dtype[np.intp]] = found + len(indicator.special)
    for position, special in enumerate(indicator.special):
        line[numbers == np.float32(special)] = position
    return line


def _line_of_categories(indicator: Indicator, values: pd.Series) -> np.ndarray[Any, np.dtype[np.intp]]:
    at = {category: position for position, category in enumerate(indicator.categories)}
    return np.array([at.get(value, len(at)) for value in values.astype(object)], dtype=np.intp)
