"""Segments: prospects by age group, geography and behaviour, and by the rules that a study declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.rules.expressions import parse_expression
from propensity.rules.scorecard import between

Texts = npt.NDArray[np.object_]
MISSING, OTHER = "missing", "other"
_MOST = 8
"""Categories of a proposed dimension; the rarer ones are together."""
_BALANCED = 0.7
"""A dimension whose largest group is larger tells little: another is looked for."""


def first_match(frame: pd.DataFrame, rules: Mapping[str, str], *, otherwise: str | None, where: str) -> Texts:
    """The name of the first rule that holds for each prospect.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features as of the cutoff.
    rules : mapping of str to str
        From a name to its checked expression, tried in this order.
    otherwise : str or None
        For prospects for whom none holds.
    where : str
        The rules' place in the user's file, for messages.

    Returns
    -------
    ndarray of object, shape (n,)

    Examples
    --------
    >>> frame = pd.DataFrame({"visits": [5.0, 1.0, 0.0]})
    >>> first_match(frame, {"keen": "visits > 3", "some": "visits > 0"}, otherwise="none", where="x").tolist()
    ['keen', 'some', 'none']
    """
    found = np.full(len(frame), otherwise, dtype=object)
    for name, text in reversed(list(rules.items())):
        rule = parse_expression(text, columns=[str(column) for column in frame.columns], where=f"{where}.{name}")
        found[rule.mask(frame)] = name
    return found


@dataclass(frozen=True)
class Dimension:
    """One way to divide prospects: by what a feature holds.

    Attributes
    ----------
    name : str
        Such as ``age group``.
    feature : str
        The feature that is looked at.
    edges : tuple of float
        Of a number: where a group begins, and the one before ends.
    categories : tuple of str
        Of a category: those with a group of their own.
    """

    name: str
    feature: str
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names in order, that of missing values last."""
        own = [name for name in self.categories if name not in (OTHER, MISSING)]
        return (*own, OTHER, MISSING) if self.categories else (*between(list(self.edges)), MISSING)

    def group_of(self, frame: pd.DataFrame) -> Texts:
        """Each prospect's group, shape (n,)."""
        values = frame[self.feature]
        if self.categories:
            known = values.astype(object)
            found = np.where(known.isin(self.categories), known, OTHER)
        else:
            names = np.array(self.groups[:-1], dtype=object)
            # Features are float32, and so are the edges: 0.7 is in the group that begins at 0.7.
            numbers = values.to_numpy(dtype=np.float32, na_value=np.nan)
            edges = np.array(self.edges, dtype=np.float32)
            found = names[np.searchsorted(edges, np.nan_to_num(numbers), side="right")]
        found[values.isna().to_numpy()] = MISSING
        return found


def propose(frame: pd.DataFrame, catalogue: Sequence[Mapping[str, Any]], traits: Mapping[str, str]) -> list[Dimension]:
    """Dimensions out of the data: age group, geography and behaviour, each where there is a feature for it.

    Numbers are cut at thirds (ages at quarters, to whole fives), categories have a group each for the eight most
    frequent.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features of train.
    catalogue : sequence of mapping
        The features that there are.
    traits : mapping of str to str
        From a feature to what it tells of a customer, such as ``age`` or ``location``.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0, 60.0, 70.0]})
    >>> [d.groups for d in propose(frame, [{"name": "age", "kind": "number"}], {"age": "age"})]
    [('below 40', '40 to 50', '50 to 60', '60 and more', 'missing')]
    """
    kinds = {str(entry["name"]): str(entry["kind"]) for entry in catalogue}
    of_trait = {trait: name for name, trait in reversed(list(traits.items())) if name in kinds}
    told = {str(entry["name"]): str(entry.get("description", entry["name"])) for entry in catalogue}
    wanted = (
        ("age group", [of_trait.get("age")], 4, 5.0),
        ("geography", [of_trait.get("location")], 3, None),
        ("behaviour", _activity(catalogue), 3, None),
    )
    proposed = []
    for name, features, parts, step in wanted:
        found = [
            dimension
            for feature in features
            if feature is not None
            and (
                dimension := _dimension(
                    f"{name}: {told[feature]}" if name == "behaviour" else name,
                    feature,
                    kinds[feature],
                    frame[feature],
                    parts=parts,
                    step=step,
                )
            )
        ]
        proposed += sorted(found, key=lambda dimension: _largest(dimension, frame) > _BALANCED)[:1]
    return proposed


def _largest(dimension: Dimension, frame: pd.DataFrame) -> float:
    """The share of the largest group."""
    return float(pd.Series(dimension.group_of(frame)).value_counts(normalize=True).iloc[0])


def _activity(catalogue: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """The counts of all that a customer did, and of all that it bought, as far back as there is."""
    names = {str(entry["name"]) for entry in catalogue}
    return [name for name in ("events_ever", "purchases_ever") if name in names]


def _dimension(
    name: str, feature: str, kind: str, values: pd.Series, *, parts: int, step: float | None
) -> Dimension | None:
    known = values.dropna()
    if known.nunique() < 2:
        return None
    if kind == "category":
        return Dimension(name, feature, categories=tuple(map(str, known.value_counts().index[:_MOST])))
    numbers = known.to_numpy(dtype=np.float64)
    edges = np.quantile(numbers, np.arange(1, parts) / parts, method="higher")
    if step is not None and np.ptp(numbers) > 2 * step * parts:
        edges = np.round(edges / step) * step
    kept = sorted({float(edge) for edge in edges if edge > numbers.min()})
    return Dimension(name, feature, edges=tuple(kept)) if kept else None
