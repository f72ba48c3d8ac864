"""Avatars: what a group of prospects looks like beside all of them, as a table and as words to read out.

A number is told by its mean, a category by its share. The difference to all prospects comes with its interval (Welch's
for means, Newcombe's for shares, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I)
and an effect size that does not depend on the unit: Cohen's d for means, his h for shares
(https://doi.org/10.4324/9780203771587).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.evaluation.curves import wilson_interval

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
PARTS = ("demographics", "goals and values", "information sources", "problems and challenges", "barriers and role")
QUESTIONS = {"go": "where they go", "like": "what they like", "do": "what they do"}
EVERYBODY = "all prospects"
NO_DATA = "no data"
_QUANTILE = NormalDist().inv_cdf(0.975)
_TOLD_LEVELS = 12
"""Categories of a feature that are told, the most frequent first."""
_TOLD = 3
"""Differences of a part that are read out."""
_SMALL = 0.1
"""An effect below this is not read out, however sure it is: Cohen calls 0.2 small."""
_FEWEST = 10
"""Prospects that a group needs, to be described."""


@dataclass(frozen=True)
class Trait:
    """One feature that an avatar is made of.

    Attributes
    ----------
    part : str
        One of `PARTS`, or a key of `QUESTIONS`.
    feature, description, kind : str
        As the catalogue has them: a ``boolean``, a ``category``, or else a number.
    is_count : bool
        Whether a number counts something: of that there is more or less, not a higher or lower one.
    """

    part: str
    feature: str
    description: str
    kind: str
    is_count: bool = False


def describe(frame: pd.DataFrame, groups: Mapping[str, Flags], traits: Sequence[Trait]) -> pd.DataFrame:
    """What each group looks like beside all prospects.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features of all prospects.
    groups : mapping of str to ndarray of bool, shape (n,)
        Who belongs to which avatar; those with fewer than 10 prospects are left out.
    traits : sequence of Trait
        What is looked at.

    Returns
    -------
    DataFrame, a row for each group, trait and level
        ``avatar``, ``prospects``, ``part``, ``feature``, ``description``, ``is_count``, ``level`` (of a category; None
        for numbers), ``measure`` (``mean`` or ``share``), ``value`` and ``all_value``, ``lift`` (value over that of
        all; missing where that is 0), ``difference`` with ``low`` and ``high`` (95 %), ``effect``, and ``is_clear``:
        the interval leaves out 0. Values that are not given are left out of means, and of shares' denominators.
    """
    members = {EVERYBODY: np.ones(len(frame), dtype=bool), **groups}
    members = {avatar: member for avatar, member in members.items() if member.sum() >= _FEWEST}
    rows: dict[str, list[dict[str, Any]]] = {avatar: [] for avatar in members}
    for trait in traits:
        head = {"part": trait.part, "feature": trait.feature, "description": trait.description}
        values = _values_of(frame[trait.feature], trait.kind)
        for avatar, member in members.items():
            size = {"avatar": avatar, "prospects": int(member.sum())}
            rows[avatar] += [{**size, **head, "is_count": trait.is_count, **line} for line in values.lines(member)]
    return pd.DataFrame([row for own in rows.values() for row in own])


@dataclass(frozen=True)
class _Numbers:
    """A feature whose mean is told; NaN where it is not known."""

    numbers: Floats

    def lines(self, member: Flags) -> list[dict[str, Any]]:
        known = ~np.isnan(self.numbers)
        own, rest = self.numbers[known & member], self.numbers[known & ~member]
        if not own.size:
            return []
        every = float(self.numbers[known].mean())
        line = {"level": None, "measure": "mean", **_beside(float(own.mean()), every)}
        if own.size < 2 or rest.size < 2:
            return [{**line, **_UNKNOWN}]
        # The group is a part of all: it differs from all by its difference from the rest, times the rest's share.
        share, gap = rest.size / (own.size + rest.size), own.mean() - rest.mean()
        error = np.sqrt(own.var(ddof=1) / own.size + rest.var(ddof=1) / rest.size)
        low, high = (float(share * (gap + side * _QUANTILE * error)) for side in (-1, 1))
        squares = (own.size - 1) * own.var(ddof=1) + (rest.size - 1) * rest.var(ddof=1)
        spread = np.sqrt(squares / (own.size + rest.size - 2))
        effect = float(gap / spread) if spread > 0 else 0.0
        return [{**line, "low": low, "high": high, "effect": effect, "is_clear": bool(low > 0 or high < 0)}]


@dataclass(frozen=True)
class _Levels:
    """A feature whose shares are told: the level of each row, by position among `names`; −1 where it is not known."""

    codes: Codes
    names: tuple[str, ...]

    def lines(self, member: Flags) -> list[dict[str, Any]]:
        known = self.codes >= 0
        own, rest = self.codes[known & member], self.codes[known & ~member]
        if not own.size:
            return []
        counts = [np.bincount(codes, minlength=len(self.names)) for codes in (own, rest)]
        told = _TOLD_LEVELS if self.names != _YES_OR_NO else 1
        return [
            _share_line(name, int(counts[0][i]), own.size, int(counts[1][i]), rest.size)
            for i, name in enumerate(self.names[:told])
        ]


_YES_OR_NO = ("yes", "no")
_UNKNOWN = {"low": np.nan, "high": np.nan, "effect": 0.0, "is_clear": False}


def _values_of(column: pd.Series, kind: str) -> _Numbers | _Levels:
    """A feature ready to be counted: categories by falling frequency, a boolean as yes or no."""
    if kind not in ("boolean", "category"):
        return _Numbers(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "boolean":
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return _Levels(np.where(np.isnan(numbers), -1, np.where(numbers > 0, 0, 1)), _YES_OR_NO)
    codes, levels = pd.factorize(column.astype(object), sort=True)
    order = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(levels)), kind="stable")
    rank = np.append(np.argsort(order), -1)  # code −1 is the last
    return _Levels(rank[codes], tuple(str(levels[i]) for i in order))


def _share_line(level: str, own: int, n: int, rest: int, m: int) -> dict[str, Any]:
    """`own` of the group's `n` rows, and `rest` of the `m` others, have the level."""
    p = own / n
    line = {"level": level, "measure": "share", **_beside(p, (own + rest) / (n + m))}
    if m == 0:
        return {**line, **_UNKNOWN}
    q, share = rest / m, m / (n + m)
    (p_low, p_high), (q_low, q_high) = wilson_interval(own, n), wilson_interval(rest, m)
    low = float(share * (p - q - np.hypot(p - p_low, q_high - q)))
    high = float(share * (p - q + np.hypot(p_high - p, q - q_low)))
    effect = float(2 * np.arcsin(np.sqrt(p)) - 2 * np.arcsin(np.sqrt(q)))
    return {**line, "low": low, "high": high, "effect": effect, "is_clear": bool(low > 0 or high < 0)}


def _beside(value: float, everybody: float) -> dict[str, Any]:
    lift = value / everybody if everybody > 0 else np.nan
    return {"value": value, "all_value": everybody, "lift": lift, "difference": value - everybody}


def tell(table: pd.DataFrame, avatar: str) -> list[dict[str, str]]:
    """An avatar in words, part by part, to be read out.

    Parameters
    ----------
    table : DataFrame
        From `describe`.

    Returns
    -------
    list of dict
        ``part`` and ``text``, for the five parts and the three questions; ``no data`` where a part has no feature.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [20.0] * 40 + [50.0, 60.0] * 30})
    >>> young = {"buyers": (frame["age"] < 30).to_numpy()}
    >>> table = describe(frame, young, [Trait("demographics", "age", "age", "number")])
    >>> [line["text"] for line in tell(table, "buyers")][:2]
    ['Age lower: 20 on average (all prospects: 41).', 'no data']
    """
    own = table[table["avatar"] == avatar] if len(table) else table
    told = []
    for part in (*PARTS, *QUESTIONS):
        lines = own[own["part"] == part] if len(own) else own
        told.append({"part": QUESTIONS.get(part, part), "text": _words(lines, avatar) if len(lines) else NO_DATA})
    return told


def _words(lines: pd.DataFrame, avatar: str) -> str:
    if avatar == EVERYBODY:
        return _typical(lines)
    clear = lines[lines["is_clear"] & (lines["effect"].abs() >= _SMALL)]
    if clear.empty:
        return "No clear difference from all prospects."
    # Of two levels that tell one another, the more frequent one is told.
    strongest = clear.assign(size=clear["effect"].abs().round(9)).sort_values(
        ["size", "effect"], ascending=False, kind="stable"
    )
    # Levels of a feature tell one another: one is enough.
    strongest = strongest.drop_duplicates("feature").head(_TOLD)
    return " ".join(_sentence(row) for row in strongest.to_dict("records"))


def _typical(lines: pd.DataFrame) -> str:
    """All prospects by themselves: means, and the most frequent level of each category."""
    sentences = []
    for _, of_feature in lines.groupby("feature", sort=False):
        row = max(of_feature.to_dict("records"), key=lambda line: float(line["value"]))
        if row["measure"] == "mean":
            sentences.append(f"{_begin(row)}: {_figure(row['value'])} on average.")
        else:
            sentences.append(f"{_begin(row)}{_level(row, ': most often ')} ({row['value']:.0%}).")
    return " ".join(sentences[: 2 * _TOLD])


def _sentence(row: Mapping[Any, Any]) -> str:
    up = row["effect"] > 0
    if row["measure"] == "mean":
        value, everybody = _figure(row["value"]), _figure(row["all_value"])
        begin = f"{'More' if up else 'Fewer'} {row['description']}" if row["is_count"] else _begin(row)
        side = "" if row["is_count"] else f" {'higher' if up else 'lower'}"
        return f"{begin}{side}: {value} on average ({EVERYBODY}: {everybody})."
    often = "more often" if up else "less often"
    return f"{_begin(row)}:{_level(row, ' ')} {often}, {row['value']:.0%} ({EVERYBODY}: {row['all_value']:.0%})."


def _begin(row: Mapping[Any, Any]) -> str:
    description = str(row["description"])
    return description[:1].upper() + description[1:]


def _level(row: Mapping[Any, Any], before: str) -> str:
    return "" if row["level"] == "yes" else f"{before}“{str(row['level']).replace('_', ' ')}”"


def _figure(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"
