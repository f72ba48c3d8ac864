"""The plan of a study's features: what is learnt on train, kept, and used again to build every other row.

Vocabularies, categories, and which columns are constant are learnt on train; training and scoring build their rows
with the same plan and the same code.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from propensity.config import Study
from propensity.data.tables import Tables
from propensity.errors import DataError
from propensity.features.behaviour import plan_behaviour
from propensity.features.catalogue import Feature
from propensity.features.contacts import plan_contacts
from propensity.features.custom import CustomFunction, CustomPlan, plan_custom
from propensity.features.families import families
from propensity.features.profile import ProfilePlan, attributes_of, plan_profile
from propensity.features.purchases import plan_purchases
from propensity.features.records import RecordPlan
from propensity.features.sweep import Column
from propensity.temporal import Duration, format_instant

Functions = Mapping[str, CustomFunction]
NO_FUNCTIONS: Functions = MappingProxyType({})
KEYS = ("customer_id", "cutoff", "split", "label")
"""The names of a matrix's other columns: no feature may be called so."""


@dataclass(frozen=True)
class FeaturePlan:
    """All that is needed to build a row as train did.

    Attributes
    ----------
    profile : ProfilePlan
        Profile features and their categories.
    records : tuple of RecordPlan
        Swept features of events, purchases and contacts.
    custom : tuple of CustomPlan
        Features of the study's own functions.
    features : tuple of Feature
        The catalogue of the columns that are kept, in column order.
    """

    profile: ProfilePlan
    records: tuple[RecordPlan, ...]
    features: tuple[Feature, ...]
    custom: tuple[CustomPlan, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [feature.name for feature in self.features]

    @property
    def planned(self) -> list[Feature]:
        """All features that were built on train, those that were constant there as well."""
        swept = [feature for records in self.records for feature in records.features]
        own = [feature for plan in self.custom for feature in plan.features]
        return [*self.profile.features, *swept, *own]

    @property
    def swept_columns(self) -> tuple[Column, ...]:
        """The swept columns that are kept, in the order of the roles."""
        kept = set(self.names)
        return tuple(column for records in self.records for column in records.columns if column.name in kept)

    @property
    def categories(self) -> dict[str, list[str]]:
        """The categories of each category feature."""
        return {f.name: list(f.categories) for f in self.features if f.kind == "category"}

    def catalogue(self) -> list[dict[str, Any]]:
        """The catalogue as data."""
        return [feature.to_dict() for feature in self.features]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "profile": self.profile.to_dict(),
            "records": [plan.to_dict() for plan in self.records],
            "custom": [plan.to_dict() for plan in self.custom],
            "features": self.catalogue(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FeaturePlan":
        """The inverse of `to_dict`."""
        return cls(
            profile=ProfilePlan.from_dict(values["profile"]),
            records=tuple(RecordPlan.from_dict(plan) for plan in values["records"]),
            custom=tuple(CustomPlan.from_dict(plan) for plan in values["custom"]),
            features=tuple(Feature.from_dict(feature) for feature in values["features"]),
        )


def usable_windows(windows: Sequence[Duration], tables: Tables, first: datetime) -> tuple[list[Duration], list[str]]:
    """The windows that the records before the first cutoff can fill, and a warning for each that they cannot."""
    return _filled(windows, tables, first, tables.begins, "records begin")


def _filled(
    windows: Sequence[Duration], tables: Tables, first: datetime, begins: datetime | None, what: str
) -> tuple[list[Duration], list[str]]:
    if begins is None:
        return list(windows), []
    kept = [w for w in windows if w.before(first, zone=tables.spec.zone) >= begins or w == windows[0]]
    short = [w for w in windows if w not in kept]
    zone = tables.spec.zone
    return kept, [
        f"features: the window {window} is dropped: {what} {format_instant(begins, zone=zone)[:10]}, and the "
        f"first cutoff is {format_instant(first, zone=zone)}."
        for window in short
    ]


def learn_plan(
    tables: Tables,
    study: Study,
    *,
    cohorts: Sequence[pd.DataFrame],
    cutoffs: Sequence[datetime],
    functions: Functions = NO_FUNCTIONS,
) -> tuple[FeaturePlan, list[str]]:
    """Learn the features of a study on its train cohorts.

    Parameters
    ----------
    cohorts : sequence of DataFrame
        The keys of the train cohorts.
    cutoffs : sequence of datetime
        Their cutoffs; vocabularies see what was known before the last.
    functions : mapping
        The study's own, by name: see `features.custom`.

    Returns
    -------
    plan : FeaturePlan
        With all columns: `keep_informative` drops the constant ones.
    warnings : list of str
        Windows that were dropped.
    """
    windows, warnings = usable_windows(study.features.windows, tables, cutoffs[0])
    most, last = study.features.top_categories, cutoffs[-1]
    attributes = pd.concat(
        [attributes_of(tables, keys["code"].to_numpy(), cutoff) for keys, cutoff in zip(cohorts, cutoffs, strict=True)],
        ignore_index=True,
    )
    profile = plan_profile(tables.spec.customers, attributes, most=max(most, 30))
    records = []
    if tables.events is not None and tables.spec.events is not None:
        records.append(plan_behaviour(tables, tables.spec.events, study.features, windows=windows, cutoff=last))
    if tables.purchases is not None and tables.spec.purchases is not None:
        first_slot = records[-1].next_slot if records else 0
        records.append(
            plan_purchases(
                tables, tables.spec.purchases, study.features, windows=windows, cutoff=last, first_slot=first_slot
            )
        )
    if tables.contacts is not None and tables.spec.contacts is not None:
        first_slot = records[-1].next_slot if records else 0
        begins = tables.covered("contacts")[0]
        own, told = _filled(windows, tables, cutoffs[0], begins, "for contacts, which begin")
        warnings += told
        if begins >= cutoffs[0]:
            warnings.append(
                f"contacts: the first is of {format_instant(begins, zone=tables.spec.zone)[:10]}, after the first "
                "cutoff: whoever was contacted before counts as never contacted."
            )
        records.append(
            plan_contacts(tables, tables.spec.contacts, study.features, windows=own, cutoff=last, first_slot=first_slot)
        )
    custom = plan_custom(tables, functions, cutoff=last)
    swept = [feature for plan in records for feature in plan.features]
    features = (*profile.features, *swept, *[feature for plan in custom for feature in plan.features])
    _refuse_same_names(features)
    return FeaturePlan(profile=profile, records=tuple(records), features=features, custom=custom), warnings


def _refuse_same_names(features: Sequence[Feature]) -> None:
    counts = Counter([*(feature.name for feature in features), *KEYS])
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DataError(
            f"features: two columns would be called {twice}. Rename the attribute, the event kind, or the feature of "
            f"your own (a matrix also holds {', '.join(KEYS)})."
        )


def keep_informative(plan: FeaturePlan, X: pd.DataFrame, *, always: Sequence[str]) -> FeaturePlan:
    """The plan without columns that are constant on train (unless named in `always`), with typical values and families.

    Parameters
    ----------
    X : DataFrame of float32, n train rows
        All columns.
    always : sequence of str
        Features that rules name, kept in any case.
    """
    kept = []
    for feature in plan.features:
        column = X[feature.name].to_numpy()
        known = column[~np.isnan(column)]
        varies = len(known) > 0 and (len(known) < len(column) or bool((known != known[0]).any()))
        if varies or feature.name in always:
            typical: float | str | None = float(np.median(known)) if len(known) else None
            if feature.kind == "category" and len(known):
                typical = feature.categories[int(np.bincount(known.astype(np.intp)).argmax())]
            share = 1 - len(known) / max(len(column), 1)
            kept.append(replace(feature, typical=typical, missing_share=round(share, 6)))
    kept = [replace(feature, family=family) for feature, family in zip(kept, families(kept, X), strict=True)]
    return replace(plan, features=tuple(kept))
