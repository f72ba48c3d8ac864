"""Drawings of the prospects in marketing's terms: moves between stages, agreement, and avatars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from propensity.report.bars import Step
from propensity.report.formatting import decimal, is_missing, percent, thousands

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
