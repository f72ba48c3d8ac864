"""Profile: who the customer is as of the cutoff, from the attributes of the customers table."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import AttributeSpec, CustomersSpec
from propensity.data.connect import to_frame
from propensity.data.tables import Tables, attributes_as_of
from propensity.errors import DataError
from propensity.features.catalogue import Feature, category_codes, top_categories
from propensity.wording import english

_OTHER = "other"
_RARE = 20  # a category seen on fewer train rows is pooled with "other"
MISSING_FLAG_SHARE = 0.005


@dataclass(frozen=True)
class ProfilePlan:
    """The profile features: their catalogue entries, and the attribute each is read from.

    Attributes
    ----------
    features : tuple of Feature
        In column order.
    sources : tuple of str
        The column of the attribute frame that each feature reads.
    orders : dict
        For ordinal attributes given as words: their values from lowest to highest.
    """

    features: tuple[Feature, ...]
    sources: tuple[str, ...]
    orders: dict[str, list[str]]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "features": [feature.to_dict() for feature in self.features],
            "sources": list(self.sources),
            "orders": self.orders,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ProfilePlan":
        """The inverse of `to_dict`."""
        return cls(
            features=tuple(Feature.from_dict(feature) for feature in values["features"]),
            sources=tuple(values["sources"]),
            orders=dict(values["orders"]),
        )


def attributes_of(tables: Tables, code: npt.NDArray[np.int64], cutoff: datetime) -> pd.DataFrame:
    """Attributes as of the cutoff of the customers numbered `code`, shape (n,), in their order."""
    wanted = tables.source.memtable(code=code)
    known = attributes_as_of(tables, cutoff).inner_join(tables.codes, "customer_id")
    rows = to_frame(known.semi_join(wanted, "code").drop("customer_id").order_by("code"))
    return rows.set_index("code").reindex(code).reset_index(drop=True)


def plan_profile(spec: CustomersSpec, attributes: pd.DataFrame, *, most: int) -> ProfilePlan:
    """The profile features of a study, learnt from the attributes of the train rows.

    Parameters
    ----------
    spec : CustomersSpec
        The declared attributes.
    attributes : DataFrame, n train rows
        Attributes as of each row's cutoff, as `data.tables.attributes_as_of` gives them.
    most : int
        Categories that are kept apart; rarer ones are pooled.
    """
    features: list[Feature] = []
    sources: list[str] = []
    orders: dict[str, list[str]] = {}
    for name, attribute in spec.attributes.items():
        source = attribute.feature_name(name)
        feature = _feature(source, name, attribute, attributes[source], most=most)
        features.append(feature)
        sources.append(source)
        if attribute.type == "ordinal" and attribute.order:
            orders[source] = list(attribute.order)
        share = float(attributes[source].isna().mean()) if len(attributes) else 0.0
        if share > MISSING_FLAG_SHARE and attribute.type != "category":
            features.append(_missing_flag(feature))
            sources.append(source)
    if "tenure_days" in attributes and attributes["tenure_days"].notna().any():
        features.append(_TENURE)
        sources.append("tenure_days")
    return ProfilePlan(features=tuple(features), sources=tuple(sources), orders=orders)


_TENURE = Feature(
    name="tenure_days",
    description="days since first known",
    kind="number",
    group="demographics",
    unit="days",
    source="customers",
    measure="tenure",
    words={},
)


def _feature(name: str, own_name: str, attribute: AttributeSpec, values: pd.Series, *, most: int) -> Feature:
    label = attribute.label or name.replace("_", " ")
    kinds = {"category": "category", "boolean": "boolean", "ordinal": "ordinal"}
    kind = kinds.get(attribute.type, "number")
    unit = {"category": "category", "boolean": "value"}.get(attribute.type, "value")
    if attribute.type == "date":
        unit = "years" if name == "age" else "days"
    categories: tuple[str, ...] = ()
    if kind == "category":
        counts = {str(value): int(n) for value, n in values.dropna().value_counts().items()}
        common = {value: n for value, n in counts.items() if n >= _RARE} or counts
        categories, cut = top_categories(common, most=most)
        if (cut or len(common) < len(counts)) and _OTHER not in categories:
            categories = (*categories, _OTHER)
    if kind == "ordinal":
        categories = attribute.order
    return Feature(
        name=name,
        description=label,
        kind=kind,
        group="demographics",
        unit=unit,
        source="customers",
        measure="attribute",
        words={"label": label, "name": name, "attribute": own_name},
        categories=categories,
        sensitive=attribute.sensitive,
    )


def _missing_flag(feature: Feature) -> Feature:
    return Feature(
        name=f"{feature.name}_missing",
        description=english().text("given", feature.words, None),
        kind="boolean",
        group="demographics",
        unit="value",
        source="customers",
        measure="given",
        words=feature.words,
        sensitive=feature.sensitive,
    )


def profile_columns(plan: ProfilePlan, attributes: pd.DataFrame) -> tuple[npt.NDArray[np.float32], dict[str, int]]:
    """The profile features of rows, and how many values of each category were never seen on train.

    Parameters
    ----------
    attributes : DataFrame, n rows
        Attributes as of each row's cutoff.

    Returns
    -------
    columns : ndarray of float32, shape (n, features)
        Numbers, booleans as 0 or 1, categories as positions in the feature's `categories`; NaN where missing.
    unseen : dict
        Feature → rows with a category that train did not have.
    """
    out = np.empty((len(attributes), len(plan.features)), dtype=np.float32)
    unseen: dict[str, int] = {}
    for j, (feature, source) in enumerate(zip(plan.features, plan.sources, strict=True)):
        values = attributes[source]
        if feature.name == f"{source}_missing":
            out[:, j] = values.isna()
        elif feature.kind == "category":
            out[:, j], unseen[feature.name] = _encode(feature, values)
        elif source in plan.orders:
            out[:, j] = _rank(values, plan.orders[source], source)
        else:
            out[:, j] = _numbers(values, feature)
    return out, {name: count for name, count in unseen.items() if count}


def _encode(feature: Feature, values: pd.Series) -> tuple[npt.NDArray[np.float32], int]:
    codes = category_codes(values, feature.categories)
    rest = np.isnan(codes) & values.notna().to_numpy()
    if _OTHER in feature.categories:
        codes[rest] = feature.categories.index(_OTHER)
        return codes, 0
    return codes, int(rest.sum())


def _rank(values: pd.Series, order: list[str], name: str) -> npt.NDArray[np.float32]:
    unknown = sorted(set(values.dropna()) - set(order))
    if unknown:
        raise DataError(
            f"data.customers.attributes.{name}: the order does not hold {unknown[:5]}. Add them to 'order'."
        )
    return category_codes(values, order)


def _numbers(values: pd.Series, feature: Feature) -> npt.NDArray[np.float32]:
    try:
        return pd.to_numeric(values).astype("float64").to_numpy(dtype=np.float32, na_value=np.nan)
    except (ValueError, TypeError):
        raise DataError(
            f"data.customers.attributes.{feature.name}: ordinal values are not numbers. Name them in 'order', from "
            "lowest to highest, or declare a category."
        ) from None
