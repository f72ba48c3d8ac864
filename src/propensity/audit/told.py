"""What the scramble test saw, in words: what moved, where it comes from, and what to do."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import pandas as pd

from propensity.audit.findings import PROVEN, SCRAMBLE, UNTESTED, Finding
from propensity.audit.scramble import Difference
from propensity.features.catalogue import Feature
from propensity.features.plan import FeaturePlan
from propensity.temporal import format_instant

TRAINED = "trained"
"""In place of a change: what training built for a cutoff, held against what scoring builds at it."""
_NAMED = 3

_COHORT_ADVICE = {
    "customers": (
        "Who exists depends on later rows: say since when a customer is known (data.customers.known_from: a column, or "
        "first_purchase)."
    ),
    "target customers": "target.where uses an attribute made out of later rows: leave it out, or give its versions.",
    "never purchased": (
        "Who has not bought yet must be decided as of the cutoff, by the records before it: look for a product or an "
        "amount that is filled in out of later rows."
    ),
    "prospects": "Who is suppressed depends on later rows: suppress by events, or by attributes with versions.",
}
_RECORDS_ADVICE = "These features see rows at or after the cutoff: an error of the feature engine. Please report it."
_CUSTOM_ADVICE = "Let the function use nothing but the tables that it is given: they end at the cutoff."
_ATTRIBUTE_ADVICE = (
    "Take the attribute as it was known before the cutoff (rows with data.customers.known_from), count the records as "
    "events or purchases instead, or leave it out."
)

Origin = Callable[[Feature], tuple[str, str]]
"""A feature's origin: what to call it, and where its values come from, in words."""


def scramble_findings(
    differences: Sequence[Difference], *, plan: FeaturePlan, origin: Origin, model: str, zone: ZoneInfo
) -> list[Finding]:
    """Findings of the scramble test: one for the cohort, one for each origin of features that moved."""
    found = [*_cohort_findings(differences, zone), *_feature_findings(differences, plan, origin, model, zone)]
    learnt = [d for d in differences if d.learnt]
    if learnt and not found:
        text = f"what is learnt on train (categories, kinds of events, windows) changes {_trials(learnt, zone)}"
        found.append(Finding(SCRAMBLE, PROVEN, "what is learnt", text, _RECORDS_ADVICE))
    return found


def _cohort_findings(differences: Sequence[Difference], zone: ZoneInfo) -> list[Finding]:
    moved = [d for d in differences if d.left or d.entered or d.funnel]
    if not moved:
        return []
    worst = max(moved, key=lambda d: (d.left + d.entered, len(d.funnel)))
    text = (
        f"{worst.left:,} of {worst.prospects:,} prospects leave and {worst.entered:,} others enter {_when(worst, zone)}"
    )
    step = next(iter(worst.funnel), None)
    if step is not None:
        before, after = worst.funnel[step]
        text += f"; the first step of the funnel that moves is '{step}' ({before:,} → {after:,})"
    advice = _COHORT_ADVICE.get(
        str(step), "Look at target.where and data.customers: something in them sees later rows."
    )
    facts = {"left": worst.left, "entered": worst.entered, "funnel": dict(worst.funnel), "trials": len(moved)}
    return [Finding(SCRAMBLE, PROVEN, "cohort", f"{text} {_in_all(moved, differences)}", advice, facts)]


def _feature_findings(
    differences: Sequence[Difference], plan: FeaturePlan, origin: Origin, model: str, zone: ZoneInfo
) -> list[Finding]:
    origins: dict[str, list[Feature]] = {}
    for feature in plan.features:
        if any(feature.name in d.features for d in differences):
            origins.setdefault(origin(feature)[0], []).append(feature)
    return [
        _feature_finding(subject, features, differences, origin=origin, model=model, zone=zone)
        for subject, features in origins.items()
    ]


def _feature_finding(
    subject: str,
    features: Sequence[Feature],
    differences: Sequence[Difference],
    *,
    origin: Origin,
    model: str,
    zone: ZoneInfo,
) -> Finding:
    names = [feature.name for feature in features]
    moved = [d for d in differences if any(name in d.features for name in names)]
    worst = max(moved, key=lambda d: (d.change != TRAINED, max(d.features.get(name, 0) for name in names)))
    first = sorted(names, key=lambda name: -worst.features.get(name, 0))
    where, changed = origin(features[0])[1], worst.features[first[0]]
    moves = f"changes for {changed:,} of {worst.prospects:,} prospects {_when(worst, zone)}"
    rest = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    text = (
        f"{where}; it {moves}"
        if names == [subject]
        else f"{', '.join(first[:_NAMED])}{rest}, {where}: the first {moves}"
    )
    if worst.scores:
        text += f"; with all that moved, {model} scores {worst.scores:,} of them anew, by up to {worst.largest:.1%}"
    advice = {"customers": _ATTRIBUTE_ADVICE, **dict.fromkeys(("events", "purchases", "contacts"), _RECORDS_ADVICE)}
    facts = {
        "features": {name: max(d.features.get(name, 0) for d in moved) for name in first},
        "scores": worst.scores,
        "largest_change_of_probability": worst.largest,
        "trials": len(moved),
    }
    told = f"{text} {_in_all(moved, differences)}"
    return Finding(SCRAMBLE, PROVEN, subject, told, advice.get(features[0].source, _CUSTOM_ADVICE), facts)


def _when(d: Difference, zone: ZoneInfo) -> str:
    at = format_instant(d.cutoff, zone=zone)
    if d.change == TRAINED:
        return f"between training and scoring as of {at}"
    return f"as of {at}, when rows from then on are {d.change}"


def _trials(moved: Sequence[Difference], zone: ZoneInfo) -> str:
    return "; ".join(_when(d, zone) for d in moved[:_NAMED])


def _in_all(moved: Sequence[Difference], differences: Sequence[Difference]) -> str:
    return f"(in {len(moved)} of {len(differences)} trials)"


def untraced_findings(untraced: Mapping[str, str]) -> list[Finding]:
    """What could not be scrambled."""
    advice = "Its later rows were left as they are. Name a column of the source itself where that can be done."
    return [Finding(SCRAMBLE, UNTESTED, subject, text, advice) for subject, text in untraced.items()]


def trials_table(differences: Sequence[Difference], later: Mapping[datetime, int], *, zone: ZoneInfo) -> pd.DataFrame:
    """The trials as a table: a row for each cutoff and change.

    Returns
    -------
    DataFrame
        ``cutoff``, ``change``, ``rows`` (at or after the cutoff, in all dated raw tables), ``prospects``, ``left``,
        ``entered``, ``features`` and ``scores`` that moved, and ``identical``.
    """
    rows = [
        {
            "cutoff": format_instant(d.cutoff, zone=zone),
            "change": d.change,
            "rows": 0 if d.change == TRAINED else later[d.cutoff],
            "prospects": d.prospects,
            "left": d.left,
            "entered": d.entered,
            "features": len(d.features),
            "scores": d.scores,
            "identical": d.is_same,
        }
        for d in differences
    ]
    return pd.DataFrame(rows)
