"""Bars inside tables, in hundredths of their width, and the colour that a model keeps in every chart."""

from dataclasses import dataclass
from typing import Any

from propensity.report.formatting import is_missing

_SLOTS = {
    "single_indicator": 1, "scorecard": 2, "logistic": 3, "lightgbm": 4, "blend": 5, "fitted_scorecard": 6,
    "selected": 4, "never_retrained": 5,
}  # fmt: skip
_FREE_SLOTS = (7,)


@dataclass(frozen=True)
class Step:
    """One step of a waterfall, from and to in hundredths of the width."""

    x: float
    width: float
    sign: str


@dataclass(frozen=True)
class Scale:
    """A map from values to hundredths of a width; values beyond its ends lie at them.

    Examples
    --------
    >>> Scale(0, 4)(1), Scale(0, 4)(9), Scale(2, 2)(2)
    (25.0, 100.0, 50.0)
    """

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Place a value, rounded to a hundredth."""
        bounded = min(max(value, self.low), self.high)
        return round(100 * (bounded - self.low) / (self.high - self.low), 2) if self.high > self.low else 50.0


def bar_width(value: Any, top: Any) -> float:
    """Measure a bar, in hundredths of the width that `top` would fill.

    Examples
    --------
    >>> bar_width(5, 20), bar_width(None, 20), bar_width(1, 0)
    (25.0, 0.0, 0.0)
    """
    return 0.0 if is_missing(value) or is_missing(top) or top <= 0 else Scale(0, top)(value)


def model_slot(name: str) -> int:
    """Find the colour slot of a model, 1 to 7, the same in every chart of every report.

    Examples
    --------
    >>> model_slot("scorecard"), model_slot("challenger")
    (2, 7)
    """
    return _SLOTS.get(name, _FREE_SLOTS[sum(name.encode()) % len(_FREE_SLOTS)])
