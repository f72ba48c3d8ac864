"""Axes: where a value lies on the drawing, and which values are worth a tick."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["linear", "log"]


@dataclass(frozen=True)
class Scale:
    """A map from values to drawing units.

    Parameters
    ----------
    low, high : float
        Values at the ends; positive for a logarithmic scale. Values beyond them are drawn at the ends.
    start, end : float
        Drawing units of `low` and `high`.
    kind : {"linear", "log"}

    Examples
    --------
    >>> Scale(0, 1, 40, 440)(0.25)
    140.0
    >>> Scale(0.01, 1, 0, 100, "log")(0.1)
    50.0
    """

    low: float
    high: float
    start: float
    end: float
    kind: Kind = "linear"

    def __call__(self, value: float) -> float:
        """Place a value, in drawing units rounded to a hundredth."""
        bounded = min(max(value, self.low), self.high)
        low, high = self._unit(self.low), self._unit(self.high)
        part = (self._unit(bounded) - low) / (high - low) if high > low else 0.5
        return round(self.start + part * (self.end - self.start), 2)

    def _unit(self, value: float) -> float:
        return math.log10(value) if self.kind == "log" else value


@dataclass(frozen=True)
class Tick:
    """A tick: its place in drawing units and its text."""

    at: float
    text: str


def ticks(scale: Scale, write: Callable[[float], str], *, count: int = 5) -> list[Tick]:
    """Choose round values inside a scale.

    Parameters
    ----------
    scale : Scale
    write : callable
        Turns a value into the tick's text.
    count : int
        About how many ticks a linear scale gets.

    Returns
    -------
    list of Tick
        In rising order.

    Examples
    --------
    >>> [tick.text for tick in ticks(Scale(0, 1, 0, 100), str)]
    ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']
    """
    values = _log_values(scale.low, scale.high) if scale.kind == "log" else _round_values(scale.low, scale.high, count)
    return [Tick(scale(value), write(value)) for value in values]


def round_step(span: float, count: int = 5) -> float:
    """Choose the step of 1, 2 or 5 times a power of ten that divides a span into about `count` parts.

    Examples
    --------
    >>> round_step(1.0), round_step(13.0), round_step(0.0)
    (0.2, 2.0, 1.0)
    """
    if not span > 0:
        return 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= rough * 0.75), 10 * power)


def _round_values(low: float, high: float, count: int) -> list[float]:
    step = round_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounding takes away the dust of binary multiples: 3 * 0.1 is a tick at 0.3.
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_values(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # Four decades or more leave room for the powers of ten only.
    factors = (1, 2, 5) if high / low < 1e3 else (1, 3) if high / low < 1e4 else (1,)
    values = [factor * 10.0**decade for decade in decades for factor in factors]
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
