"""Reasons: the contributions that weigh most, in words an analyst understands.

A contribution is signed and in points. The named ones and `contribution_other` add up to the row's sum, so
that a list's points can be checked by hand. Features of one family (they move together) are one reason: its points
are theirs together, its words those of the strongest that points the same way. Sensitive features count, but are never
named.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
# Rows at a time: a block of that many rows stays in the processor's cache.
_BLOCK = 4096
_NO_PLURALS = {
    *("across", "address", "always", "as", "business", "class", "has", "is", "its", "less", "minus", "news"),
    *("plus", "previous", "series", "this"),
}
_BREAKS = {
    *("and", "at", "before", "between", "by", "during", "for", "from", "in", "last", "of", "on", "or", "over"),
    *("past", "per", "since", "than", "that", "which", "with"),
}
_COUNTED = ("count", "change", "days", "years")


def top_reasons(
    points: Array,
    X: pd.DataFrame,
    catalogue: Sequence[Mapping[str, Any]],
    *,
    count: int = 5,
    prefer: Literal["absolute", "positive"] = "absolute",
) -> pd.DataFrame:
    """The strongest contributions of each row as texts and points.

    Parameters
    ----------
    points : ndarray of shape (n, p)
        Signed contributions in points, one column per feature.
    X : DataFrame of shape (n, p)
        The feature values: numbers, and codes of categories; NaN where missing.
    catalogue : sequence of mapping, of length p
        What each column is, in the same order: ``name``, ``phrase``, ``unit``, ``kind``, ``categories``,
        ``sensitive``, and where known ``family``, ``typical`` and ``missing_share``: what is usual is told beside.
    count : int, default=5
        How many reasons a row gets.
    prefer : {"absolute", "positive"}, default="absolute"
        Largest absolute contributions first, or what speaks for the purchase first (largest first) and then
        what speaks against it.

    Returns
    -------
    DataFrame of shape (n, 2 * count + 1)
        ``reason_1..`` (text, None where nothing more contributes), ``contribution_1..`` (points, signed, 0
        beside None) and ``contribution_other``: the rest, so that all contributions add up to the row's sum.

    Examples
    --------
    >>> catalogue = [{"name": "events_view_30d", "phrase": "{value} views in the last 30 days", "unit": "count",
    ...               "kind": "number", "sensitive": False},
    ...              {"name": "gender", "phrase": "gender: {value}", "unit": "category", "kind": "category",
    ...               "categories": ["f", "m"], "sensitive": True}]
    >>> X = pd.DataFrame({"events_view_30d": [7.0], "gender": [0.0]})
    >>> top_reasons(np.array([[12.0, -3.0]]), X, catalogue, count=1).iloc[0].to_dict()
    {'reason_1': '7 views in the last 30 days', 'contribution_1': 12.0, 'contribution_other': -3.0}
    """
    points = np.asarray(points, dtype=np.float64)
    _check_shapes(points, X, catalogue, count=count)
    members = family_columns(catalogue)
    named = np.array([not catalogue[own[0]].get("sensitive", False) for own in members], dtype=np.bool_)
    order, starts = np.concatenate(members), np.cumsum([0, *map(len, members[:-1])])
    chosen, contributions = np.zeros((len(X), count), dtype=np.int64), np.zeros((len(X), count))
    other = np.zeros(len(X))
    for start in range(0, len(X), _BLOCK):
        rows = slice(start, start + _BLOCK)
        together = np.add.reduceat(points[rows][:, order], starts, axis=1)
        family, contributions[rows], other[rows] = _strongest(together, named, count=count, prefer=prefer)
        chosen[rows] = _speakers(points[rows], family, contributions[rows], members)
    texts = _texts(chosen, contributions != 0, X, catalogue)
    # As objects: a text column of pandas' own would turn None into NaN.
    columns: dict[str, Any] = {
        f"reason_{i + 1}": pd.Series(texts[:, i], index=X.index, dtype=object) for i in range(count)
    }
    columns |= {f"contribution_{i + 1}": contributions[:, i] for i in range(count)}
    return pd.DataFrame({**columns, "contribution_other": other}, index=X.index)


def family_columns(catalogue: Sequence[Mapping[str, Any]]) -> list[Array]:
    """The columns of each family, in the order of their first ones; what names no family is its own."""
    found: dict[str, list[int]] = {}
    for i, entry in enumerate(catalogue):
        alone = entry.get("sensitive", False) or not entry.get("family")
        found.setdefault(str(entry["name"] if alone else entry["family"]), []).append(i)
    return [np.array(own) for own in found.values()]


def _speakers(points: Array, family: Array, contributions: Array, members: Sequence[Array]) -> Array:
    """The column that speaks for each chosen family, (rows, count): the strongest in the direction of their sum."""
    column = np.array([own[0] for own in members])[family]
    for f, own in enumerate(members):
        if len(own) > 1:
            rows, places = np.nonzero(family == f)
            if len(rows):
                signed = points[np.ix_(rows, own)] * np.sign(contributions[rows, places])[:, None]
                column[rows, places] = own[np.argmax(signed, axis=1)]
    return column


def scorecard_reasons(points: "pd.Series[float]", *, count: int | None = None) -> list[dict[str, Any]]:
    """One prospect's scorecard, the indicators with the largest absolute points first.

    Parameters
    ----------
    points : Series of shape (indicators,)
        A row of the scorecard's points, by indicator.
    count : int or None, default=None
        How many indicators to give; None gives all, which then add up to the total.

    Examples
    --------
    >>> scorecard_reasons(pd.Series({"Region": 10.0, "Quote recency": 40.0}))
    [{'indicator': 'Quote recency', 'points': 40.0}, {'indicator': 'Region', 'points': 10.0}]
    """
    lines = [{"indicator": str(name), "points": float(value)} for name, value in points.items()]
    return sorted(lines, key=lambda line: -abs(float(str(line["points"]))))[:count]


def reason_text(value: float, entry: Mapping[str, Any]) -> str:
    """One feature's value in the words of its catalogue entry.

    Parameters
    ----------
    value : float
        The value, or a category's code; NaN where missing.
    entry : mapping
        The feature's entry in the catalogue. ``phrase_missing``, where given, is what a missing value says.

    Examples
    --------
    >>> entry = {"name": "recency_days_view", "phrase": "{value} days since the last view", "unit": "days",
    ...          "kind": "number"}
    >>> reason_text(1, entry), reason_text(float("nan"), entry)
    ('1 day since the last view', 'no view so far')
    """
    phrase = str(entry.get("phrase") or "{value}")
    if np.isnan(value):
        return str(entry.get("phrase_missing") or _missing(entry, phrase))
    if entry.get("kind") == "boolean":
        return _flag(phrase, is_set=value != 0)
    if entry.get("unit") == "change" and value <= 0:
        phrase = _no_more(phrase) if value == 0 else phrase.replace("{value} more", "{value} fewer")
    text = _formatted(value + 0.0, entry)  # adding zero turns -0.0 into 0.0
    if "{value} fewer" in phrase:
        text = text.removeprefix("-")
    if text == "0" and phrase.endswith("{value} days ago"):
        return phrase.removesuffix("{value} days ago") + "less than a day ago"
    # Not str.format: an event's kind in the phrase may hold braces of its own.
    if "{value}" not in phrase:
        return phrase if phrase.startswith("as many") else f"{phrase}: {text}"
    told = phrase.replace("{value}", text, 1)
    return _agree(told) if text == "1" and entry.get("unit") in _COUNTED else told


def usual(entry: Mapping[str, Any]) -> str | None:
    """What is usual on train in words: the middle value, the most frequent category, or that most have none.

    Parameters
    ----------
    entry : mapping
        The feature's entry in the catalogue; without ``typical`` nothing is known: None.

    Examples
    --------
    >>> entry = {"name": "recency_days_view", "unit": "days", "kind": "number", "source": "events", "typical": 12.4}
    >>> usual(entry), usual({**entry, "missing_share": 0.75})
    ('12', 'none')
    """
    typical = entry.get("typical")
    if typical is None:
        return None
    if _mostly_missing(entry):
        return "not given" if entry.get("source", "customers") == "customers" else "none"
    if entry.get("kind") == "boolean":
        return "yes" if typical else "no"
    return typical if isinstance(typical, str) else _formatted(float(typical) + 0.0, entry)


def usual_text(value: float, entry: Mapping[str, Any]) -> str:
    """What is usual on train, to stand behind a reason of `value`; empty where that is not known.

    Examples
    --------
    >>> entry = {"name": "recency_days_view", "unit": "days", "kind": "number", "source": "events", "typical": 12.0}
    >>> usual_text(1, entry), usual_text(12, entry), usual_text(1, {**entry, "missing_share": 0.75})
    (' (usually 12)', ' (as usual)', ' (usually none)')
    """
    words = usual(entry)
    if words is None:
        return ""
    if np.isnan(value):
        same = _mostly_missing(entry)
    else:
        own = ("yes" if value else "no") if entry.get("kind") == "boolean" else _formatted(value + 0.0, entry)
        same = own == words
    return " (as usual)" if same else f" (usually {words})"


def _mostly_missing(entry: Mapping[str, Any]) -> bool:
    return float(entry.get("missing_share") or 0.0) > 0.5


def _flag(phrase: str, *, is_set: bool) -> str:
    about_missing = " not given: {value}"
    if phrase.endswith(about_missing):
        return phrase.removesuffix(": {value}") if is_set else phrase.removesuffix(about_missing) + " given"
    if "{value}" not in phrase:
        return phrase if is_set else f"{phrase}: no"
    return phrase.replace("{value}", "yes" if is_set else "no")


def _no_more(phrase: str) -> str:
    """A change of nothing: "as many views in the last 30 days as in the 30 days before"."""
    return phrase.replace("{value} more", "as many").replace(" than in ", " as in ")


def _check_shapes(points: Array, X: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]], *, count: int) -> None:
    names = [str(entry["name"]) for entry in catalogue]
    if points.shape != X.shape or names != [str(name) for name in X.columns]:
        raise ValueError(
            f"contributions of shape {points.shape}, a frame of shape {X.shape} and a catalogue of {len(names)} "
            "features must describe the same rows and columns in the same order"
        )
    if count < 1:
        raise ValueError(f"count must be at least 1, found {count}")
    if not np.isfinite(points).all():
        raise ValueError("contributions must be finite numbers")


def _strongest(points: Array, named: Array, *, count: int, prefer: str) -> tuple[Array, Array, Array]:
    """Columns and contributions of the strongest features, both (rows, count), and the sum of the rest (rows,)."""
    size = np.abs(points)
    strength = size
    if prefer == "positive":
        # Below every positive number, and closer to it the larger the negative one is.
        strength = np.where(points > 0, points, -1.0 / np.maximum(size, np.finfo(np.float64).tiny))
    strength = np.where(named & (points != 0), strength, -np.inf)
    width = min(count, points.shape[1])
    part = np.argpartition(-strength, width - 1, axis=1)[:, :width] if width < points.shape[1] else None
    # Within the strongest, ties go to the earlier column.
    part = np.sort(part, axis=1) if part is not None else np.broadcast_to(np.arange(width), points.shape)
    order = np.argsort(-np.take_along_axis(strength, part, axis=1), axis=1, kind="stable")
    columns = np.take_along_axis(part, order, axis=1)
    kept = np.isfinite(np.take_along_axis(strength, columns, axis=1))
    contributions = np.where(kept, np.take_along_axis(points, columns, axis=1), 0.0)
    rest = points.copy()
    np.put_along_axis(rest, columns, np.take_along_axis(points, columns, axis=1) - contributions, axis=1)
    padding = ((0, 0), (0, count - width))
    return np.pad(columns, padding), np.pad(contributions, padding), rest.sum(axis=1)


def _texts(chosen: Array, used: Array, X: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]]) -> Array:
    """The texts of the chosen features, shape (n, count): each is written once per feature and value."""
    texts = np.full(chosen.size, None, dtype=object)
    features = np.where(used, chosen, -1).ravel()
    order = np.argsort(features, kind="stable")
    bounds = np.searchsorted(features[order], np.arange(len(catalogue) + 1))
    for position, entry in enumerate(catalogue):
        places = order[bounds[position] : bounds[position + 1]]
        if places.size:
            column = X.iloc[:, position].to_numpy(dtype=np.float64, na_value=np.nan)
            values, which = np.unique(_rounded(column[places // chosen.shape[1]], entry), return_inverse=True)
            told = [reason_text(float(value), entry) + usual_text(float(value), entry) for value in values]
            texts[places] = np.array(told, dtype=object)[which]
    return texts.reshape(chosen.shape)


def _rounded(values: Array, entry: Mapping[str, Any]) -> Array:
    """Values as finely as they are shown, so that equal texts are written once."""
    decimals = {"count": 0, "change": 0, "days": 0, "category": 0, "share": 3, "money": 2}.get(str(entry.get("unit")))
    return values if decimals is None else np.round(values, decimals)


def _formatted(value: float, entry: Mapping[str, Any]) -> str:
    if entry.get("kind") == "category" or entry.get("categories"):
        return _category(value, entry)
    unit = entry.get("unit")
    if unit in ("count", "change", "days"):
        return f"{round(value):,}"
    if unit == "money":
        return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.2f}"
    if unit == "years":
        # An age is told in years completed.
        return f"{np.floor(value):.0f}"
    if unit == "share":
        return f"{value:.1%}" if 0 < abs(value) < 0.1 else f"{value:.0%}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"


def _category(code: float, entry: Mapping[str, Any]) -> str:
    categories = entry.get("categories") or []
    return str(categories[int(code)]) if 0 <= code < len(categories) else "a value not seen before"


def _missing(entry: Mapping[str, Any], phrase: str) -> str:
    name = str(entry["name"])
    if name.startswith("recency_days"):
        act = re.search(r"since the (?:last|latest) (.+)$", phrase)
        return f"no {act[1] if act else name.removeprefix('recency_days_').replace('_', ' ')} so far"
    if entry.get("source", "customers") == "customers":
        label = phrase.partition(":")[0] if ":" in phrase else re.sub(r"_(years|days)$", "", name).replace("_", " ")
        return f"{label} not given"
    return f"{entry.get('description') or name.replace('_', ' ')}: not known yet"


def _agree(text: str) -> str:
    """After "1", the noun in the singular: the last plural before a word that begins something new."""
    start = re.search(r"(?<![\w.,])1 ", text)
    noun: re.Match[str] | None = None
    for word in re.finditer(r"\S+", text[start.end() :]) if start else ():
        if word[0] in _BREAKS or word[0][0] in "(0123456789":
            break
        if re.search(r"[^s]s$", word[0]) and word[0] not in _NO_PLURALS:
            noun = word
    if start is None or noun is None:
        return text
    return text[: start.end() + noun.start()] + _singular(noun[0]) + text[start.end() + noun.end() :]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:ss|x|ch|sh)es$", word):
        return word[:-2]
    return word[:-1]
