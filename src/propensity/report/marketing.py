"""Drawings of the prospects in marketing's terms: pyramids, moves between stages, agreement, and avatars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from propensity.report.charts import Step
from propensity.report.formatting import decimal, is_missing, percent, thousands

_WIDTH, _HEIGHT, _GAP = 320.0, 210.0, 3.0
_STRONGEST = 8
_FULL_EFFECT = 1.0
"""The effect size whose bar fills half of the width."""


def grouped(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Rows that stand together and share the value of `key`.

    Examples
    --------
    >>> grouped([{"a": "x", "b": 1}, {"a": "x", "b": 2}], "a")
    [('x', [{'a': 'x', 'b': 1}, {'a': 'x', 'b': 2}])]
    """
    return [(str(value), list(members)) for value, members in groupby(rows, key=itemgetter(key))]


@dataclass(frozen=True)
class Slice:
    """One tier of a drawn pyramid: its corners, and the height of its middle."""

    corners: str
    middle: float


def pyramid_slices(tiers: Sequence[Mapping[str, Any]]) -> list[Slice]:
    """The tiers of a pyramid from the top: the area of each is its share of the prospects.

    Examples
    --------
    >>> slices = pyramid_slices([{"share": 0.25}, {"share": 0.75}])
    >>> slices[0].corners, slices[1].middle
    ('160.0,0.0 238.9,103.5 81.1,103.5', 158.2)
    """
    # The part of a triangle above a height has the square of it as its share of the area; gaps come off the height.
    space = _HEIGHT - _GAP * (len(tiers) - 1)
    above, slices = 0.0, []
    for i, tier in enumerate(tiers):
        below = min(above + float(tier["share"]), 1.0)
        top, bottom = (math.sqrt(share) * space + _GAP * i for share in (above, below))
        (a, b), (c, d) = _edges(top), _edges(bottom)
        corners = [(a, top), (b, top), (d, bottom), (c, bottom)] if top > 0 else [(a, 0.0), (d, bottom), (c, bottom)]
        slices.append(Slice(" ".join(f"{x:.1f},{y:.1f}" for x, y in corners), round((top + bottom) / 2, 1)))
        above = below
    return slices


def _edges(height: float) -> tuple[float, float]:
    half = _WIDTH / 2 * height / (_HEIGHT if height > 0 else 1.0)
    return _WIDTH / 2 - half, _WIDTH / 2 + half


@dataclass(frozen=True)
class Matrix:
    """A table of two words: what stands in each cell, and how dark it is (0 to 1)."""

    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], dict[str, Any]]


def matrix(table: Sequence[Mapping[str, Any]], *, row: str, column: str, shade: str) -> Matrix:
    """Rows of a table crossed by two of their columns.

    Parameters
    ----------
    row, column : str
        Whose values name the rows and columns, in the order in which they come.
    shade : str
        The figure that a cell's darkness stands for, against the largest.

    Examples
    --------
    >>> moves = matrix([{"from": "a", "to": "b", "share": 0.5}], row="from", column="to", shade="share")
    >>> moves.cells["a", "b"]["dark"]
    1.0
    """
    most = max((entry[shade] for entry in table if not is_missing(entry[shade])), default=0.0) or 1.0
    cells = {
        (str(entry[row]), str(entry[column])): {
            **entry,
            "dark": 0.0 if is_missing(entry[shade]) else round(entry[shade] / most, 2),
        }
        for entry in table
    }
    return Matrix(list(dict.fromkeys(r for r, _ in cells)), list(dict.fromkeys(c for _, c in cells)), cells)


@dataclass(frozen=True)
class TraitBar:
    """One line of an avatar's picture: what is told, the group's value and that of all, and a bar for the effect."""

    words: str
    value: str
    everybody: str
    step: Step


def avatar_bars(table: Sequence[Mapping[str, Any]], avatar: str) -> list[TraitBar]:
    """What sets an avatar apart, the strongest first; nothing where no difference is clear."""
    own = [line for line in table if line["avatar"] == avatar and line["is_clear"]]
    strongest: dict[str, Mapping[str, Any]] = {}
    for line in sorted(own, key=lambda line: -abs(line["effect"])):
        strongest.setdefault(line["feature"], line)
    return [_bar(line) for line in list(strongest.values())[:_STRONGEST]]


def _bar(line: Mapping[str, Any]) -> TraitBar:
    is_share = line["measure"] == "share"
    words = line["description"]
    if is_share and line["level"] != "yes":
        words = f"{words}: {str(line['level']).replace('_', ' ')}"
    value, everybody = (percent(line[key]) if is_share else _figure(line[key]) for key in ("value", "all_value"))
    length = min(abs(line["effect"]) / _FULL_EFFECT, 1.0) * 50
    sign = "up" if line["effect"] > 0 else "down"
    return TraitBar(words, value, everybody, Step(50.0 if sign == "up" else 50.0 - length, round(length, 2), sign))


def _figure(value: float) -> str:
    return thousands(round(value)) if abs(value) >= 100 else decimal(value, 1, significant=2)
