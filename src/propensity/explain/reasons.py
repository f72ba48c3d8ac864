"""Reasons: the contributions that weigh most, in words an analyst understands.

A contribution is signed and in points. The named ones and `contribution_other` add up to the row's sum, so
that a list's points can be checked by hand. Features of one family (they move together) are one reason: its points
are theirs together, its words those of the strongest that points the same way. Sensitive features count, but are never
named.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from propensity.wording import Wording, english

Array = np.ndarray[Any, Any]
# Rows at a time: a block of that many rows stays in the processor's cache.
_BLOCK = 4096


def top_reasons(
    points: Array,
    X: pd.DataFrame,
    catalogue: Sequence[Mapping[str, Any]],
    *,
    count: int = 5,
    prefer: Literal["absolute", "positive"] = "absolute",
    wording: Wording | None = None,
) -> pd.DataFrame:
    """The strongest contributions of each row as texts and points.

    Parameters
    ----------
    points : ndarray of shape (n, p)
        Signed contributions in points, one column per feature.
    X : DataFrame of shape (n, p)
        The feature values: numbers, and codes of categories; NaN where missing.
    catalogue : sequence of mapping, of length p
        What each column is, in the same order: ``name``, ``measure``, ``words``, ``window``, ``unit``, ``kind``,
        ``categories``, ``sensitive``, and where known ``family``, ``typical`` and ``missing_share``: what is usual is
        told beside.
    count : int, default=5
        How many reasons a row gets.
    prefer : {"absolute", "positive"}, default="absolute"
        Largest absolute contributions first, or what speaks for the purchase first (largest first) and then
        what speaks against it.
    wording : Wording, optional
        The language, and a study's own words; default English.

    Returns
    -------
    DataFrame of shape (n, 2 * count + 1)
        ``reason_1..`` (text, None where nothing more contributes), ``contribution_1..`` (points, signed, 0
        beside None) and ``contribution_other``: the rest, so that all contributions add up to the row's sum.

    Examples
    --------
    >>> catalogue = [{"name": "events_view_30d", "measure": "count", "words": {"what": "kind", "of": "view",
    ...               "label": "views"}, "window": "30d", "unit": "count", "kind": "number", "sensitive": False},
    ...              {"name": "gender", "measure": "attribute", "words": {"label": "gender", "name": "gender"},
    ...               "unit": "category", "kind": "category", "categories": ["f", "m"], "sensitive": True}]
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
    texts = _texts(chosen, contributions != 0, X, catalogue, wording or english())
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


def customer_reasons(
    points: Array, X: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]], wording: Wording
) -> pd.Series:
    """What each customer may be told: the study's sentence for the strongest reason for the purchase that has one.

    Only what is there is told (a value that is neither missing nor zero), and nothing sensitive.

    Parameters
    ----------
    points, X, catalogue
        As for `top_reasons`.
    wording : Wording
        With the study's sentences for customers.

    Returns
    -------
    Series of str, n rows
        None where nothing may be told.
    """
    texts = np.full(len(X), None, dtype=object)
    speakers = {at: wording.speaker(entry) for at, entry in enumerate(catalogue) if not entry.get("sensitive", False)}
    may = [at for at, speaker in speakers.items() if speaker.for_customers]
    if may and len(X):
        values = X.iloc[:, may].to_numpy(dtype=np.float64, na_value=np.nan)
        values = np.column_stack([_rounded(values[:, place], catalogue[at]) for place, at in enumerate(may)])
        is_code = np.array([bool(catalogue[at].get("categories")) for at in may])
        there = ~np.isnan(values) & (is_code | (values != 0))
        strength = np.where(there, points[:, may], 0.0)
        best = strength.argmax(axis=1)
        for place, at in enumerate(may):
            rows = np.flatnonzero((best == place) & (strength[:, place] > 0))
            own, which = np.unique(values[rows, place], return_inverse=True)
            texts[rows] = np.array([speakers[at].customer(value) for value in own.tolist()], dtype=object)[which]
    return pd.Series(texts, index=X.index, dtype=object)


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


def _texts(
    chosen: Array, used: Array, X: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]], wording: Wording
) -> Array:
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
            speaker = wording.speaker(entry)
            told = [speaker.reason(value) + speaker.beside(value) for value in values.tolist()]
            texts[places] = np.array(told, dtype=object)[which]
    return texts.reshape(chosen.shape)


def _rounded(values: Array, entry: Mapping[str, Any]) -> Array:
    """Values as finely as they are shown, so that equal texts are written once."""
    decimals = {"count": 0, "change": 0, "days": 0, "category": 0, "share": 3, "money": 2}.get(str(entry.get("unit")))
    return values if decimals is None else np.round(values, decimals)
