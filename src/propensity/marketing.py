"""Prospects in marketing's own terms: segments, stages, pyramids, scorecard, swap sets and avatars, as tables.

Counts are of the prospects to be listed, outcomes of those on test.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from propensity.bundle import Bundle
from propensity.config import AVATAR_PARTS, Study
from propensity.errors import ConfigError
from propensity.evaluation.curves import wilson_interval
from propensity.evaluation.ranking import rows_at
from propensity.evaluation.swap import agreement, compare_groups, swap_sets
from propensity.explain.avatar import EVERYBODY, Trait, describe, tell
from propensity.features.matrix import Frame
from propensity.models import MODEL_NAMES
from propensity.rules.approach import TAGS, tag
from propensity.rules.evidence import scorecard_table
from propensity.rules.expressions import did_you_mean
from propensity.rules.pyramid import pyramid_values, tiers
from propensity.rules.scorecard import total_points
from propensity.rules.segments import OTHER, Dimension, propose
from propensity.rules.stages import STAGES, stage_transitions
from propensity.temporal import format_instant
from propensity.training import Training

SEGMENT, STAGE = "segment", "buying stage"
_FIFTHS = ("best fifth", "second fifth", "third fifth", "fourth fifth", "last fifth")
_ORDINARY_DAYS = 90
"""Behaviour is described by the window nearest to this."""


@dataclass(frozen=True)
class Judged:
    """The prospects whose outcome is known: those of test.

    Attributes
    ----------
    frame : Frame
        With labels.
    decoded : DataFrame, n rows
        As the rules see them.
    probability : dict
        Model → probabilities by Platt, shape (n,): in the order of a list, also where a calibrator makes ties.
    """

    frame: Frame
    decoded: pd.DataFrame
    probability: Mapping[str, npt.NDArray[np.float64]]


def traits_of(study: Study) -> dict[str, str]:
    """What each feature that is an attribute tells of a customer, where that is known."""
    attributes = study.data.customers.attributes
    told = {spec.feature_name(name): spec.trait(name) for name, spec in attributes.items()}
    return {name: trait for name, trait in told.items() if trait is not None}


def marketing_tables(study: Study, training: Training, frame: Frame, *, as_of: datetime | None) -> dict[str, Any]:
    """The tables of a run in marketing's terms, as plain values.

    Parameters
    ----------
    frame : Frame
        All prospects as of the list's date.
    as_of : datetime or None
        That date; None for snapshots.

    Returns
    -------
    dict
        ``criteria``, ``segments``, ``stages``, ``pyramid``, ``scorecard``, ``swap_sets`` and ``avatars``; empty where
        the study has nothing to say.
    """
    bundle, samples = training.bundle, training.samples
    listed, judged = bundle.decoded(frame.X), _judged(training)
    train = bundle.decoded(samples.train.X)
    dimensions = propose(train, bundle.plan.catalogue(), traits_of(study))
    groups = groups_of(bundle, judged.decoded, dimensions)
    probability = bundle.probability(frame.X)
    tables: dict[str, Any] = {
        "criteria": criteria_table(samples.funnels),
        "segments": segment_table(
            groups_of(bundle, listed, dimensions),
            groups,
            probability,
            judged.frame.labels,
            order=group_order(bundle, dimensions),
        ),
        "stages": _stages(study, training, frame, listed, judged, as_of),
        "pyramid": {name: _pyramid(study, name, listed, judged, probability) for name in study.pyramids},
        "scorecard": [],
        "swap_sets": {},
        "avatars": _avatars(study, training, judged),
    }
    if bundle.scorecard is not None:
        later = judged.decoded if samples.test is not None else None
        tables["scorecard"] = _rows(scorecard_table(bundle.scorecard, train, samples.train.labels, later=later))
        tables["swap_sets"] = _swap_sets(study, training, judged, groups)
    return tables


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _judged(training: Training) -> Judged:
    frame = training.samples.test if training.samples.test is not None else training.samples.train
    return Judged(
        frame=frame,
        decoded=training.bundle.decoded(frame.X),
        probability={name: expit(log_odds) for name, log_odds in training.evaluation.ranked_by.items()},
    )


def criteria_table(funnels: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each criterion of the target does on train, and how conversion would change without it.

    Returns
    -------
    list of dict
        ``name``, ``text``, ``fails`` (known customers), ``kept_out`` (who would be prospects without it) and of them
        ``kept_out_conversion`` with ``low`` and ``high``; ``conversion`` of the prospects, and ``conversion_without``
        it. Train's cutoffs are added up, so that a customer may count at several.
    """
    train = [funnel for funnel in funnels if funnel["split"] == "train"]
    prospects = sum(int(funnel["steps"][-1]["count"]) for funnel in train)
    bought = sum(int(funnel["positives"]) for funnel in train)
    rows = []
    for i, criterion in enumerate(train[0]["criteria"] if train else []):
        own = [funnel["criteria"][i] for funnel in train]
        kept_out, buyers = (sum(entry[key] for entry in own) for key in ("kept_out", "kept_out_bought"))
        low, high = wilson_interval(buyers, kept_out) if kept_out else (None, None)
        rows.append(
            {
                "name": criterion["name"],
                "text": criterion["text"],
                "fails": sum(entry["fails"] for entry in own),
                "kept_out": kept_out,
                "kept_out_conversion": buyers / kept_out if kept_out else None,
                "low": low,
                "high": high,
                "conversion": bought / prospects,
                "conversion_without": (bought + buyers) / (prospects + kept_out),
            }
        )
    return rows


def groups_of(bundle: Bundle, decoded: pd.DataFrame, dimensions: Iterable[Dimension]) -> dict[str, Any]:
    """The group of each row in each dimension."""
    groups = {dimension.name: dimension.group_of(decoded) for dimension in dimensions}
    if bundle.segments:
        groups[SEGMENT] = bundle.segment_of(decoded)
    if (stages := bundle.buying_stages(decoded)) is not None:
        groups[STAGE] = stages.to_numpy()
    return groups


def group_order(bundle: Bundle, dimensions: Iterable[Dimension]) -> dict[str, tuple[str, ...]]:
    """All groups of each dimension in their order."""
    order = {dimension.name: dimension.groups for dimension in dimensions}
    return {**order, SEGMENT: tuple(dict.fromkeys((*bundle.segments, OTHER))), STAGE: STAGES}


def segment_table(
    listed: Mapping[str, npt.NDArray[np.object_]],
    judged: Mapping[str, npt.NDArray[np.object_]],
    probability: npt.NDArray[np.float64],
    bought: npt.NDArray[Any],
    *,
    order: Mapping[str, Iterable[str]],
) -> list[dict[str, Any]]:
    """Prospects by group, and how those of test turned out.

    Parameters
    ----------
    listed, judged : mapping of str to ndarray of str
        Dimension → group of each prospect of the list, and of test.
    probability : ndarray
        Of the prospects of the list.
    bought : ndarray
        Labels of those of test.
    order : mapping
        Dimension → its groups in order; those with nobody are left out.

    Returns
    -------
    list of dict
        ``dimension``, ``group``, ``prospects``, ``share``, ``probability`` (mean), ``test_prospects``, ``test_buyers``,
        ``conversion`` with ``low`` and ``high``, and ``lift`` over all of test.
    """
    rows = []
    for dimension, group_of in listed.items():
        then = judged[dimension]
        for group in order[dimension]:
            own, tested = group_of == group, then == group
            if not (own.any() or tested.any()):
                continue
            row = {"dimension": dimension, "group": group, "prospects": int(own.sum()), "share": float(own.mean())}
            row["probability"] = float(probability[own].mean()) if own.any() else None
            rows.append({**row, **_outcome(tested, bought)})
    return rows


def _outcome(own: npt.NDArray[np.bool_], bought: npt.NDArray[Any]) -> dict[str, Any]:
    n, buyers = int(own.sum()), int(bought[own].sum())
    low, high = wilson_interval(buyers, n) if n else (None, None)
    conversion = buyers / n if n else None
    lift = None if conversion is None or not bought.any() else conversion / float(bought.mean())
    return {
        "test_prospects": n,
        "test_buyers": buyers,
        "conversion": conversion,
        "low": low,
        "high": high,
        "lift": lift,
    }


def _stages(
    study: Study, training: Training, frame: Frame, listed: pd.DataFrame, judged: Judged, as_of: datetime | None
) -> dict[str, Any]:
    """Where prospects stand, and how they moved between the last two cutoffs."""
    bundle, samples = training.bundle, training.samples
    if bundle.stages is None:
        return {}
    found: dict[str, Any] = {"rules": bundle.stages.texts(), "transitions": [], "from": None, "to": None}
    if as_of is None or samples.validation is None or samples.test is None:
        return found
    cutoffs = study.cutoff_instants()
    looks = [
        (cutoffs["validation"][0], samples.validation, bundle.decoded(samples.validation.X)),
        (cutoffs["test"][0], samples.test, judged.decoded),
        (as_of, frame, listed),
    ]
    looks = sorted(looks, key=lambda look: look[0])
    (earlier, before, seen), (later, after, seen_later) = looks[-2:]
    if earlier == later:
        (earlier, before, seen), (later, after, seen_later) = looks[:2]
    stages = [
        pd.Series(bundle.buying_stages(decoded)).set_axis(rows.keys["customer_id"])
        for rows, decoded in ((before, seen), (after, seen_later))
    ]
    bought = [] if before.y is None else before.keys["customer_id"][before.y == 1].tolist()
    moves = stage_transitions(stages[0], stages[1], bought)
    when = {"from": format_instant(earlier, zone=study.zone), "to": format_instant(later, zone=study.zone)}
    return {**found, **when, "transitions": _rows(moves)}


def _pyramid(
    study: Study, name: str, listed: pd.DataFrame, judged: Judged, probability: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """A pyramid's tiers from the top: counts, value, and conversion on test."""
    pyramid = study.pyramids[name]
    values, then = pyramid_values(listed, pyramid), tiers(pyramid_values(judged.decoded, pyramid), pyramid)
    tier_of = tiers(values, pyramid)
    rows = []
    for tier in pyramid.tiers:
        own = tier_of == tier
        row: dict[str, Any] = {"tier": tier, "prospects": int(own.sum()), "share": float(own.mean())}
        row["value"] = float(values[own].mean()) if own.any() else None
        row["lowest_value"] = float(values[own].min()) if own.any() else None
        row["probability"] = float(probability[own].mean()) if own.any() else None
        rows.append({**row, **_outcome(then == tier, judged.frame.labels)})
    indicators = [indicator.model_dump(mode="json") for indicator in pyramid.indicators]
    return {"indicators": indicators, "tiers": rows}


def _swap_sets(study: Study, training: Training, judged: Judged, groups: Mapping[str, Any]) -> dict[str, Any]:
    """The selected model against the scorecard, at the study's capacity."""
    bundle, selected, y = training.bundle, training.evaluation.selected, judged.frame.labels
    assert bundle.scorecard is not None  # noqa: S101 - asked of studies with one
    points = total_points(bundle.scorecard, judged.decoded)
    # Where the scorecard itself is deployed, the best that stood beside it is its opponent.
    others = [name for name in reversed(MODEL_NAMES) if name in judged.probability and name != "scorecard"]
    model = selected if selected != "scorecard" else next(iter(others), None)
    if model is None:
        return {}
    count = rows_at(study.contact.share(len(y)), len(y))
    score = judged.probability[model]
    sets, difference = swap_sets(y, score, points, judged.frame.groups, count=count, seed=study.seed)
    tier_of, names = _tiers_for_agreement(study, judged, points)
    # Inside a group ranks are compared: the scorecard's points stand for its probability, which rises with them.
    scaled = (points - points.min()) / max(float(np.ptp(points)), 1e-9)
    beaten = compare_groups(
        y, {model: score, "scorecard": scaled}, judged.frame.groups, groups, baseline="scorecard", seed=study.seed
    )
    return {
        "model": model,
        "count": count,
        "prospects": len(y),
        "sets": _rows(sets),
        "difference": difference,
        "agreement": _rows(agreement(y, score, tier_of, tiers=names)),
        "tiers": list(names),
        "groups": _rows(beaten),
    }


def _tiers_for_agreement(
    study: Study, judged: Judged, points: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.object_], tuple[str, ...]]:
    """The tiers of the study's first pyramid, or else fifths of the scorecard's points."""
    for pyramid in study.pyramids.values():
        return tiers(pyramid_values(judged.decoded, pyramid), pyramid), pyramid.tiers
    better = len(points) - np.searchsorted(np.sort(points), points, side="right")
    fifth = np.minimum(better * len(_FIFTHS) // len(points), len(_FIFTHS) - 1)
    return np.array(_FIFTHS, dtype=object)[fifth], _FIFTHS


def _avatars(study: Study, training: Training, judged: Judged) -> dict[str, Any]:
    """Who bought, who is ranked highest, and who stands at each stage, beside all prospects of test."""
    y, score = judged.frame.labels, judged.probability[training.evaluation.selected]
    count = rows_at(study.contact.share(len(y)), len(y))
    best = np.zeros(len(y), dtype=bool)
    best[np.argsort(-score, kind="stable")[:count]] = True
    groups: dict[str, npt.NDArray[np.bool_]] = {"bought": y == 1, "ranked highest": best}
    if (stages := training.bundle.buying_stages(judged.decoded)) is not None:
        groups |= {stage: (stages == stage).to_numpy() for stage in STAGES}
    tags = tag(judged.decoded, barriers=study.barriers, approach=study.approach, channels=study.channels)
    traits = avatar_traits(study, training.bundle, list(tags.columns))
    table = describe(judged.decoded.assign(**{str(name): tags[name] for name in tags}), groups, traits)
    names = list(dict.fromkeys(table["avatar"])) if len(table) else [EVERYBODY]
    texts = [{"avatar": name, "prospects": _size(table, name), "parts": tell(table, name)} for name in names]
    return {"table": _rows(table), "texts": texts}


def _size(table: pd.DataFrame, avatar: str) -> int:
    own = table.loc[table["avatar"] == avatar, "prospects"] if len(table) else pd.Series([0])
    return int(own.iloc[0])


_DEMOGRAPHIC = {"age", "gender", "income", "household", "location", "industry", "services", "turnover", "employees"}
_DEMOGRAPHIC |= {"occupation", "ownership"}
_TAG_WORDS = {"barrier": "likely barrier", "approach": "aim", "channel": "channel they respond to"}


def check_avatar(study: Study, names: Collection[str]) -> None:
    """Raise ConfigError unless what avatars are declared to be made of exists: features, or declared tags."""
    given = zip(TAGS, (study.barriers, study.approach, study.channels), strict=True)
    known = [*names, *(tag_name for tag_name, rules in given if rules)]
    for part, features in study.avatar.items():
        for feature in features:
            if feature not in known:
                raise ConfigError(
                    f"avatar.{part}: no feature {feature!r}. {did_you_mean(feature, known)} "
                    "List them: propensity features STUDY."
                )


def avatar_traits(study: Study, bundle: Bundle, tags: list[str]) -> list[Trait]:
    """What avatars are made of: as the study declares, else by what attributes and events are.

    Parameters
    ----------
    tags : list of str
        Which of barrier, approach and channel there are; they go before an attribute of that name.
    """
    catalogue = {str(entry["name"]): entry for entry in bundle.plan.catalogue()}
    for name in tags:
        catalogue[name] = {"name": name, "description": _TAG_WORDS[name], "kind": "category"}
    declared = dict(study.avatar)
    named: list[tuple[str, str]] = []
    proposed = _proposed_parts(study, catalogue)
    for part in AVATAR_PARTS:
        named += [(part, feature) for feature in declared.get(part, proposed.get(part, ()))]
    return [
        Trait(part, feature, str(entry["description"]), str(entry["kind"]), is_count=entry.get("unit") == "count")
        for part, feature in named
        for entry in (catalogue[feature],)
    ]


def _proposed_parts(study: Study, catalogue: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Features for the parts that a study does not declare."""
    told = {name: trait for name, trait in traits_of(study).items() if name in catalogue}
    roles = {"events": study.data.events, "purchases": study.data.purchases}
    window = min(study.features.windows, key=lambda w: abs(w.approximate_days - _ORDINARY_DAYS))
    # What is bought is seldom bought: it is looked for as far back as there is.
    counts = {"events": _counts("events", str(window), catalogue), "purchases": _counts("purchases", "ever", catalogue)}
    aside = [f"{role}_{name}_" for role, spec in roles.items() if spec for name in (*spec.attributes, "initiated_by")]
    plain = {role: [n for n in names if not n.startswith(tuple(aside))] for role, names in counts.items()}
    channels = [n for n in counts["events"] if n.startswith("events_channel_")]
    sources = [n for n in catalogue if "source" in n and catalogue[n].get("source") == "customers"]
    return {
        "demographics": [name for name, trait in told.items() if trait in _DEMOGRAPHIC],
        "goals and values": [name for name, trait in told.items() if trait == "interests"],
        "information sources": [*sources, *(["channel"] if "channel" in catalogue else [])],
        "barriers and role": [
            *(["barrier"] if "barrier" in catalogue else []),
            *(name for name, trait in told.items() if trait == "job title"),
        ],
        "go": channels,
        "like": plain["purchases"],
        "do": plain["events"],
    }


def _counts(role: str, window: str, catalogue: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Counts of a role's records within the window, by kind, product or attribute."""
    return [
        name
        for name, entry in catalogue.items()
        if entry.get("source") == role
        and entry.get("unit") == "count"
        and name.startswith(f"{role}_")
        and name.endswith(f"_{window}")
        and name != f"{role}_{window}"
    ]
