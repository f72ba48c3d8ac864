"""What the figures rest on: records that became known late, and what the business itself set off."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.audit.findings import AVAILABILITY, BUSINESS, NOTE, SUSPICIOUS, Finding
from propensity.config import DataSpec
from propensity.data.connect import to_frame
from propensity.data.tables import Tables, as_of
from propensity.features.matrix import Frame, build_frame
from propensity.features.plan import FeaturePlan, Functions
from propensity.temporal import microseconds

LEANS = 0.25
"""Share of a model's contributions on what the business initiates, from which it is said to lean on it."""
_NAMED = 3

Contributions = Callable[[pd.DataFrame], npt.NDArray[np.float64]]


def known_at_once(spec: DataSpec) -> DataSpec:
    """The data section as if every record had been known when it happened."""
    return spec.model_copy(
        update={name: role.model_copy(update={"available_at": None}) for name, role in spec.records.items()}
    )


def roles_without_availability(spec: DataSpec) -> list[str]:
    """The roles whose records count as known when they happened, for want of ``available_at``."""
    return [name for name, role in spec.records.items() if role.available_at is None]


def compare_availability(
    tables: Tables, plan: FeaturePlan, train: Frame, cutoffs: list[datetime], *, functions: Functions
) -> tuple[list[Finding], pd.DataFrame]:
    """How much each feature of train would change if records were taken as known at once.

    Parameters
    ----------
    tables : Tables
        Opened with `known_at_once`.
    train : Frame
        The rows as they are, with ``available_at`` honoured.
    cutoffs : list of datetime
        The train cutoffs.
    functions : mapping
        The study's own features, by name.

    Returns
    -------
    findings : list of Finding
        One, in words.
    changed : DataFrame, a row per feature that changes
        ``feature``, ``description``, ``share`` of train rows that change (0 to 1), and ``mean_change``: by how much on
        average where both values are known (signed, in the feature's unit).
    """
    at = train.keys["cutoff"].to_numpy().astype("datetime64[us]").astype(np.int64)
    cohorts = [train.keys[at == microseconds(cutoff)] for cutoff in cutoffs]
    frame = build_frame(tables, plan, cohorts=cohorts, cutoffs=cutoffs, functions=functions)
    was, now = train.X[plan.names].to_numpy(), frame.X[plan.names].to_numpy()
    moved = (was != now) & ~(np.isnan(was) & np.isnan(now))
    step = np.where(moved, now.astype(np.float64) - was, np.nan)
    rows: list[dict[str, Any]] = []
    for j in np.flatnonzero(moved.any(axis=0)):
        known = step[~np.isnan(step[:, j]), j]
        rows.append(
            {
                "feature": plan.features[j].name,
                "description": plan.features[j].description,
                "share": float(moved[:, j].mean()),
                "mean_change": float(known.mean()) if len(known) and plan.features[j].kind != "category" else np.nan,
            }
        )
    columns = ["feature", "description", "share", "mean_change"]
    changed = pd.DataFrame(rows, columns=columns).sort_values(
        "share", ascending=False, kind="stable", ignore_index=True
    )
    return [_availability_finding(changed, moved)], changed


def _availability_finding(changed: pd.DataFrame, moved: npt.NDArray[np.bool_]) -> Finding:
    if changed.empty:
        return Finding(AVAILABILITY, NOTE, "available_at", "every record was known before the cutoffs it counts for")
    top = [
        f"{row['feature']} in {row['share']:.1%} of the rows"
        + (f" by {row['mean_change']:+.3g} on average" if row["mean_change"] == row["mean_change"] else "")
        for row in changed.head(_NAMED).to_dict("records")
    ]
    text = (
        f"taken as known at once, records would change {len(changed):,} of {moved.shape[1]:,} features, in "
        f"{moved.any(axis=1).mean():.1%} of the train rows: {'; '.join(top)}"
    )
    facts = {"features": len(changed), "rows": float(moved.any(axis=1).mean())}
    return Finding(AVAILABILITY, NOTE, "available_at", text, "available_at is honoured: nothing to do.", facts)


def initiated_by_business(tables: Tables, plan: FeaturePlan, *, cutoff: datetime) -> tuple[list[str], set[str]]:
    """The kinds of records that the business initiates, and the features that count them.

    Contacts are its own. So is a kind of event where most before `cutoff` say so (``initiated_by`` is business).
    """
    kinds, names = _own_kinds(tables, cutoff), set[str]()
    for records in plan.records:
        if records.role == "contacts":
            names |= {column.name for column in records.columns}
        slots = {
            slot
            for vocabulary in records.vocabularies
            for slot, _, values in vocabulary.slots()
            if records.role == "events" and _is_own(dict(zip(vocabulary.columns, values, strict=False)), kinds)
        }
        names |= {column.name for column in records.columns if column.slot in slots}
    return [*kinds, *(["contacts"] if tables.contacts is not None else [])], names & set(plan.names)


def _own_kinds(tables: Tables, cutoff: datetime) -> list[str]:
    """The kinds of events that are mostly initiated by the business."""
    if tables.events is None or "initiated_by" not in tables.events.columns:
        return []
    seen = as_of(tables.events, cutoff)
    by_business = (seen.initiated_by.lower() == "business").fill_null(False)
    counted = to_frame(seen.group_by("kind").agg(share=by_business.mean()).order_by("kind"))
    return [str(kind) for kind in counted.loc[counted["share"] > 0.5, "kind"].dropna()]


def _is_own(values: Mapping[str, str], kinds: Sequence[str]) -> bool:
    """Whether records of these values (column → value) are the business's own."""
    return values.get("kind") in kinds or values.get("initiated_by", "").lower() == "business"


def compare_business(
    contributions: Contributions, X: pd.DataFrame, *, kinds: list[str], names: set[str], model: str
) -> tuple[list[Finding], dict[str, Any]]:
    """How much of a model rests on what the business itself initiates.

    Parameters
    ----------
    contributions : callable
        Rows → what each feature adds to the log-odds, shape (n, features).
    X : DataFrame, shape (n, features)
        Train rows.
    kinds, names : list and set of str
        From `initiated_by_business`.
    model : str
        The model, in words.

    Returns
    -------
    findings : list of Finding
        Suspicious from a quarter of all contributions on.
    facts : dict
        ``share`` (0 to 1) of the sum of absolute contributions, ``kinds``, and the shares by ``features``.
    """
    weight = np.abs(contributions(X)).sum(axis=0)
    total = float(weight.sum()) or 1.0
    shares = {name: float(weight[j] / total) for j, name in enumerate(X.columns) if name in names}
    share = sum(shares.values())
    first = sorted(shares, key=lambda name: -shares[name])
    facts = {"share": share, "kinds": kinds, "features": {name: shares[name] for name in first if shares[name] > 0}}
    text = f"{share:.1%} of all contributions of {model} rest on what the business initiates ({', '.join(kinds)})"
    if share < LEANS:
        return [Finding(BUSINESS, NOTE, "initiated_by", text, "", facts)], facts
    text += f", most of all on {', '.join(first[:_NAMED])}"
    advice = (
        "Such events show whom the business chose to approach, and change when its campaigns do. Ask whether the model "
        "would still hold if it approached others; else leave these kinds out."
    )
    return [Finding(BUSINESS, SUSPICIOUS, "initiated_by", text, advice, facts)], facts
