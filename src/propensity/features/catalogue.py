"""The feature catalogue: for every column its name, plain description, window, source and unit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class Feature:
    """One column of the matrix, as an analyst reads it.

    Attributes
    ----------
    name : str
        The column's name, with its unit or window: ``events_view_30d``, ``recency_days_quote``.
    description : str
        In plain words: "views in the last 30 days".
    kind : str
        ``number``, ``category``, ``ordinal`` or ``boolean``; a category's column holds positions in `categories`.
    group : str
        ``demographics``, ``behaviour`` or ``purchase history``.
    unit : str
        ``count``, ``days``, ``money``, ``years``, ``share``, ``category`` or ``value``.
    source : str
        The role that it comes from: ``customers``, ``events``, ``purchases`` or ``contacts``.
    window : str or None
        How far it looks back; None for all time before the cutoff.
    measure : str
        What it measures: a sentence of `propensity.wording`.
    words : dict
        Of what: ``what`` is counted (``events``, a ``kind`` of them, ...) and ``of`` which name, narrowed to the value
        ``at`` of a ``column``; ``whole`` that is a share's; the ``label`` and ``name`` of an attribute.
    typical : float, str or None
        What is usual on train: the median, or the most frequent category.
    missing_share : float
        Share of train rows without a value, 0 to 1.
    family : str
        The first of the features that move together with it on train: a reason speaks for all of them.
    """

    name: str
    description: str
    kind: str
    group: str
    unit: str
    source: str
    measure: str = "attribute"
    words: Mapping[str, str] = field(default_factory=dict)
    window: str | None = None
    categories: tuple[str, ...] = ()
    sensitive: bool = False
    typical: float | str | None = None
    missing_share: float = 0.0
    family: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, and for rooms that take the catalogue as data."""
        return {**asdict(self), "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Feature":
        """The inverse of `to_dict`."""
        return cls(**{**values, "categories": tuple(values["categories"])})


def slug(text: str) -> str:
    """A value as a part of a feature's name.

    Examples
    --------
    >>> slug("Offer received!")
    'offer_received'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "blank"


def unique_slugs(values: Iterable[str]) -> list[str]:
    """Slugs that differ even where the values differ only in case or signs.

    Examples
    --------
    >>> unique_slugs(["A b", "a-b"])
    ['a_b', 'a_b_2']
    """
    seen: dict[str, int] = {}
    slugs = []
    for value in values:
        base = slug(value)
        seen[base] = seen.get(base, 0) + 1
        slugs.append(base if seen[base] == 1 else f"{base}_{seen[base]}")
    return slugs


def top_categories(counts: Mapping[str, int], *, most: int) -> tuple[tuple[str, ...], bool]:
    """The most frequent categories (ties by name), and whether others were left out."""
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    return tuple(ranked[:most]), len(ranked) > most


def category_codes(values: pd.Series, categories: Sequence[str]) -> npt.NDArray[np.float32]:
    """The position of each value among `categories`, NaN for missing and for unknown values, shape (n,).

    Examples
    --------
    >>> category_codes(pd.Series(["b", None, "z"]), ["a", "b"]).tolist()
    [1.0, nan, nan]
    """
    codes = pd.Index(list(categories), dtype=object).get_indexer(pd.Index(values, dtype=object)).astype(np.float32)
    codes[codes < 0] = np.nan
    return codes
