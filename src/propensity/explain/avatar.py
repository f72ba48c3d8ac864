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
PARTS = ("demographics", "goals and values", "information sources", "problems and challenges", "barriers and role")
QUESTIONS = {"go": "where they go", "like": "what they like", "do": "what they do"}
EVERYBODY = "all prospects"
NO_DATA = "no data"
_QUANTILE = NormalDist().inv_cdf(0.975)
_LEVELS = 12
"""Categories of a feature that are told apart."""
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
    rows: list[dict[str, Any]] = []
    for avatar, member in {EVERYBODY: np.ones(len(frame), dtype=bool), **groups}.items():
        if member.sum() < _FEWEST:
            continue
        for trait in traits:
            head = {"avatar": avatar, "prospects": int(member.sum()), **vars(trait)}
            del head["kind"]
            if trait.kind not in ("boolean", "category"):
                lines = [_mean_line(frame[trait.feature], member)]
            else:
                lines = _share_lines(frame[trait.feature], member, is_boolean=trait.kind == "boolean")
            rows += [{**head, **line} for line in lines if line]
    return pd.DataFrame(rows)


def _mean_line(values: pd.Series, member: Flags) -> dict[str, Any]:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(numbers)
    own, rest = numbers[known & member], numbers[known & ~member]
    every = numbers[known]
    if not own.size:
        return {}
    line = {"level": None, "measure": "mean", **_beside(float(own.mean()), float(every.mean()))}
    if own.size < 2 or rest.size < 2:
        return {**line, "low": np.nan, "high": np.nan, "effect": 0.0, "is_clear": False}
    # The group is a part of all: it differs from all by its difference from the rest, times the rest's share.
    share = rest.size / every.size
    error = np.sqrt(own.var(ddof=1) / own.size + rest.var(ddof=1) / rest.size)
    gap = own.mean() - rest.mean()
    low, high = (float(share * (gap + side * _QUANTILE * error)) for side in (-1, 1))
    spread = np.sqrt(((own.size - 1) * own.var(ddof=1) + (rest.size - 1) * rest.var(ddof=1)) / (every.size - 2))
    effect = float(gap / spread) if spread > 0 else 0.0
    return {**line, "low": low, "high": high, "effect": effect, "is_clear": bool(low > 0 or high < 0)}


def _share_lines(values: pd.Series, member: Flags, *, is_boolean: bool) -> list[dict[str, Any]]:
    known = values.notna().to_numpy()
    if not (known & member).any():
        return []
    if is_boolean:
        return [_share_line("yes", values.to_numpy(dtype=np.float64, na_value=np.nan) > 0, known, member)]
    texts = values.astype(object).to_numpy()
    levels = pd.Series(texts[known]).value_counts().index[:_LEVELS]
    return [_share_line(str(level), texts == level, known, member) for level in levels]


def _share_line(level: str, holds: Flags, known: Flags, member: Flags) -> dict[str, Any]:
    n, m = int((known & member).sum()), int((known & ~member).sum())
    own, rest = int((holds & known & member).sum()), int((holds & known & ~member).sum())
    p, everybody = own / n, (own + rest) / (n + m)
    line = {"level": level, "measure": "share", **_beside(p, everybody)}
    if m == 0:
        return {**line, "low": np.nan, "high": np.nan, "effect": 0.0, "is_clear": False}
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
