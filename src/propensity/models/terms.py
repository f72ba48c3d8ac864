"""How one feature enters the linear model: a few centred columns, learnt on the training rows.

Every column is centred at its training mean, so that a feature's share in the log-odds is measured from
the average row, and the intercept is the base value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

CLIP = 5.0
"""Standardised values are cut at this many standard deviations, and at the training range."""

ZERO_SHARE = 0.05
"""Zeros get a flag of their own where their share lies between this and one minus this."""

RARE = 25.0
"""A level with less weight than this many rows is pooled with other rare levels."""


@dataclass(frozen=True)
class NumberTerm:
    """A number, as a few centred columns.

    The value itself (signed logarithm where skewed, standardised, cut); a second slope above the median, as
    more of something rarely goes on counting the same; a flag for exactly zero, as nothing at all differs
    from a little; and a flag for missing.

    Attributes
    ----------
    logarithm : bool
        Whether ``sign(x) * log(1 + |x|)`` is taken first.
    mean, scale : float
        Weighted mean and standard deviation of what follows; scale 0 for a constant.
    low, high : float
        Standardised values are cut to this range.
    centre : float
        Mean of the standardised, cut values; missing values are put there.
    knot : float or None
        Standardised value above which the second slope begins; None gives no second slope.
    knot_mean, knot_scale : float
        Mean and standard deviation of what exceeds the knot.
    zero_share : float
        Weighted share of zeros among the values that are there; 0 gives no flag.
    missing_share : float
        Weighted share of missing values; 0 gives no flag.
    """

    logarithm: bool = False
    mean: float = 0.0
    scale: float = 0.0
    low: float = 0.0
    high: float = 0.0
    centre: float = 0.0
    knot: float | None = None
    knot_mean: float = 0.0
    knot_scale: float = 1.0
    zero_share: float = 0.0
    missing_share: float = 0.0

    @property
    def width(self) -> int:
        """Number of columns that `encode` gives."""
        return sum((self.scale > 0, self.knot is not None, self.zero_share > 0, self.missing_share > 0))

    def encode(self, column: npt.NDArray[np.floating[Any]]) -> Float64:
        """Return the centred columns, shape (n, width); what a missing value has no say in is 0."""
        missing = np.isnan(column)
        encoded = np.zeros((len(column), self.width))
        for position, values in enumerate(self._columns(column.astype(np.float64))):
            encoded[:, position] = np.where(missing, 0.0, values)
        if self.missing_share > 0:
            encoded[:, -1] = missing - self.missing_share
        return encoded

    def _columns(self, values: Float64) -> list[Float64]:
        """Return the columns that say what a value is, where there is one."""
        columns = []
        if self.scale > 0:
            z = np.clip((_shaped(values, logarithm=self.logarithm) - self.mean) / self.scale, self.low, self.high)
            columns.append(z - self.centre)
            if self.knot is not None:
                columns.append((np.maximum(z - self.knot, 0.0) - self.knot_mean) / self.knot_scale)
        if self.zero_share > 0:
            columns.append((values == 0) - self.zero_share)
        return columns


@dataclass(frozen=True)
class CategoryTerm:
    """A category: one column per level, rare levels pooled, missing as a level of its own.

    Attributes
    ----------
    levels : tuple of float
        Codes with a column of their own.
    pooled : tuple of float
        Rare codes that share one column.
    shares : tuple of float
        Weighted training share of each level, then of the pooled levels and of missing, where present.
    has_missing : bool
        Whether missing values were seen in training.
    """

    levels: tuple[float, ...]
    pooled: tuple[float, ...]
    shares: tuple[float, ...]
    has_missing: bool

    @property
    def width(self) -> int:
        """Number of columns that `encode` gives."""
        return len(self.shares)

    def encode(self, column: npt.NDArray[np.floating[Any]]) -> Float64:
        """Return the centred columns, shape (n, width); a level never seen counts as the average row."""
        flags = [column == level for level in self.levels]
        if self.pooled:
            flags.append(np.isin(column, self.pooled))
        if self.has_missing:
            flags.append(np.isnan(column))
        if not flags:
            return np.empty((len(column), 0))
        one_hot = np.column_stack(flags)
        known = one_hot.any(axis=1, keepdims=True)
        return np.where(known, one_hot - np.asarray(self.shares), 0.0)


Term = NumberTerm | CategoryTerm


def learn_number(column: npt.NDArray[np.floating[Any]], weight: Float64) -> NumberTerm:
    """Learn how a number enters, from its training values.

    The signed logarithm is taken where it makes a skewed column less skewed: counts and money have long
    tails that would otherwise rule a linear model.

    Parameters
    ----------
    column : ndarray of shape (n,)
        Values, NaN where missing.
    weight : ndarray of shape (n,)
        Row weights, above 0.

    Returns
    -------
    NumberTerm

    Examples
    --------
    >>> import numpy as np
    >>> term = learn_number(np.array([0.0, 0.0, 1.0, 3.0, 250.0]), np.ones(5))
    >>> term.logarithm, term.knot is not None, term.zero_share, term.width
    (True, True, 0.4, 3)
    """
    present = ~np.isnan(column)
    missing_share = float(weight[~present].sum() / weight.sum())
    if missing_share == 1.0:
        return NumberTerm()
    values, weights = column[present].astype(np.float64), weight[present]
    if values.min() == values.max() or _mean_and_scale(values, weights)[1] == 0.0:
        # Without variation the column says only whether it is there.
        return NumberTerm(missing_share=missing_share)
    logarithm = _prefers_logarithm(values, weights)
    shaped = _shaped(values, logarithm=logarithm)
    mean, scale = _mean_and_scale(shaped, weights)
    z = (shaped - mean) / scale
    low, high = max(-CLIP, float(z.min())), min(CLIP, float(z.max()))
    z = np.clip(z, low, high)
    plain = NumberTerm(
        logarithm=logarithm,
        mean=mean,
        scale=scale,
        low=low,
        high=high,
        centre=float(np.average(z, weights=weights)),
        missing_share=missing_share,
    )
    # With two values there is no more to say than which of them it is.
    return plain if len(np.unique(values)) < 3 else _bent(plain, values, z, weights)


def _bent(plain: NumberTerm, values: Float64, z: Float64, weight: Float64) -> NumberTerm:
    """Add the slope above the median, and the flag for zero where zeros are neither rare nor the rule."""
    zero_share = float(np.average(values == 0, weights=weight))
    order = np.argsort(z, kind="stable")
    cumulated = np.cumsum(weight[order])
    median = float(z[order[np.searchsorted(cumulated, 0.5 * cumulated[-1])]])
    excess = np.maximum(z - median, 0.0)
    knot_mean, knot_scale = _mean_and_scale(excess, weight)
    bends = plain.low < median < plain.high and knot_scale > 0
    return replace(
        plain,
        knot=median if bends else None,
        knot_mean=knot_mean if bends else 0.0,
        knot_scale=knot_scale if bends else 1.0,
        zero_share=zero_share if ZERO_SHARE <= zero_share <= 1 - ZERO_SHARE else 0.0,
    )


def learn_category(column: npt.NDArray[np.floating[Any]], weight: Float64) -> CategoryTerm:
    """Learn the levels of a category from its training codes.

    Parameters
    ----------
    column : ndarray of shape (n,)
        Codes, NaN where missing.
    weight : ndarray of shape (n,)
        Row weights, above 0.

    Returns
    -------
    CategoryTerm

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.repeat([0.0, 1.0, 2.0, np.nan], [60, 30, 10, 20])
    >>> term = learn_category(codes, np.ones(120))
    >>> term.levels, term.pooled, term.has_missing
    ((0.0, 1.0), (2.0,), True)
    """
    missing = np.isnan(column)
    codes, inverse = np.unique(column[~missing], return_inverse=True)
    counts = np.bincount(inverse, weights=weight[~missing], minlength=len(codes))
    common = counts >= RARE
    total = weight.sum()
    shares = list(counts[common] / total)
    if not common.all():
        shares.append(counts[~common].sum() / total)
    if missing.any():
        shares.append(weight[missing].sum() / total)
    return CategoryTerm(
        levels=tuple(codes[common].astype(float).tolist()),
        pooled=tuple(codes[~common].astype(float).tolist()),
        shares=tuple(float(share) for share in shares),
        has_missing=bool(missing.any()),
    )


def term_to_dict(term: Term) -> dict[str, Any]:
    """Return a term as JSON values."""
    return {"category": isinstance(term, CategoryTerm), **asdict(term)}


def term_from_dict(document: dict[str, Any]) -> Term:
    """Return the term that `term_to_dict` wrote down."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    return CategoryTerm(**values) if values.pop("category") else NumberTerm(**values)


def _shaped(values: Float64, *, logarithm: bool) -> Float64:
    """Return the values, or their signed logarithm."""
    return np.sign(values) * np.log1p(np.abs(values)) if logarithm else values


def _mean_and_scale(values: Float64, weight: Float64) -> tuple[float, float]:
    """Return weighted mean and standard deviation."""
    mean = np.average(values, weights=weight)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def _prefers_logarithm(values: Float64, weight: Float64) -> bool:
    """Tell whether the column is skewed, and less so after the signed logarithm."""
    plain = _skewness(values, weight)
    return plain > 1.0 and _skewness(_shaped(values, logarithm=True), weight) < plain


def _skewness(values: Float64, weight: Float64) -> float:
    """Return the absolute weighted skewness."""
    mean, scale = _mean_and_scale(values, weight)
    z = (values - mean) / scale
    return abs(float(np.average(z * z * z, weights=weight)))  # a power of floats takes ten times as long
