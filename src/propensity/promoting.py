"""I/O and order of the gate: challenger and champion on the latest prospects whose outcome neither has learnt from."""

import logging
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from propensity.bundle import Bundle, load_bundle
from propensity.config import Study
from propensity.data.tables import Tables
from propensity.drift import drift_table, stability_index
from propensity.errors import BundleError, CheckFailedError, InputError
from propensity.explain.contributions import contributions
from propensity.features.matrix import Frame
from propensity.files import to_json
from propensity.labels import label_cohort, latest_mature
from propensity.pipelines import Progress, audit, engine_errors, find_bundle, open_study, require_fit
from propensity.promotion import CHALLENGER, CHAMPION, Decision, Scores, judge
from propensity.results import PromotionResult
from propensity.samples import express, scoring_frame
from propensity.temporal import format_instant, to_instant

logger = logging.getLogger(__name__)

_SAMPLE = 2_000
"""Prospects that the importance of features is taken from."""


@engine_errors()
def promote(
    study: Study,
    *,
    today: datetime | None = None,
    tracking_uri: str | None = None,
    progress: Progress = logger.info,
) -> PromotionResult:
    """Let the challenger take the champion's place, if every rule of the study's `promotion` holds.

    Parameters
    ----------
    study : Study
        From `load_study`.
    today : datetime, optional
        Records after this instant are impossible: counted and left out, as in training.
    tracking_uri : str, optional
        In place of the study's own.

    Returns
    -------
    PromotionResult
        The decision is in MLflow, too. Where it is no, nothing has changed.

    Raises
    ------
    BundleError
        When there is no challenger, or a model was trained for something else.
    CheckFailedError
        When there are no prospects yet whose outcome is known and was not learnt from.
    """
    from propensity.tracking import aliases  # importing mlflow takes seconds

    if study.is_snapshot:
        raise InputError("promote: a snapshot study has no later prospects to judge a model on.")
    uri = tracking_uri or study.tracking.uri
    known = aliases(study.study, uri=uri)
    if CHALLENGER not in known:
        raise BundleError(
            f"promote: no model of {study.study} is registered as challenger. Train one: propensity train STUDY (with "
            "tracking)."
        )
    versions = {name: known[name] for name in (CHALLENGER, CHAMPION) if name in known}
    if versions.get(CHAMPION) == versions[CHALLENGER]:
        raise CheckFailedError(f"promote: version {versions[CHALLENGER]} is the champion already. Train a challenger.")
    bundles = {name: _fetch(study, version, uri=uri) for name, version in versions.items()}
    with open_study(study, today=today) as tables:
        as_of = _cohort(study, bundles, until=tables.until)
        progress(f"judging on the prospects as of {format_instant(as_of, zone=study.zone)}")
        frames = {name: scoring_frame(tables, study, bundle.plan, as_of)[0] for name, bundle in bundles.items()}
        y = label_cohort(tables, frames[CHALLENGER].keys, as_of, study=study, express=express)
        progress("drift of the inputs")
        drift, moved = _drifted(tables, study, bundles[CHALLENGER], frames[CHALLENGER])
    leaks = None
    if study.promotion.audit:
        progress("looking for leaks")
        model = f"models:/{study.study}/{versions[CHALLENGER]}"
        found = audit(study, model=model, tracking_uri=uri, today=today, progress=progress)
        leaks = found.is_proven or (study.promotion.audit is True and found.is_too_good), found.sentence
    decision = judge(
        y,
        {name: _scores(bundle, frames[name]) for name, bundle in bundles.items()},
        points=_points(bundles[CHALLENGER], frames[CHALLENGER]),
        drift=drift,
        score_drift=moved,
        leaks=leaks,
        spec=study.promotion,
        capacity=study.contact.share(len(y)),
        seed=study.seed,
    )
    return _carried_out(study, decision, versions, format_instant(as_of, zone=study.zone), uri=uri)


def rollback(study: Study, *, tracking_uri: str | None = None) -> PromotionResult:
    """Make the champion of before the last promotion the champion again.

    Raises
    ------
    CheckFailedError
        When there is none.
    """
    from propensity.tracking import PREVIOUS, aliases, set_aliases  # importing mlflow takes seconds

    uri = tracking_uri or study.tracking.uri
    known = aliases(study.study, uri=uri)
    if PREVIOUS not in known or CHAMPION not in known:
        raise CheckFailedError(f"promote --rollback: {study.study} has no earlier champion to go back to.")
    versions = {name: known[name] for name in (CHALLENGER, CHAMPION) if name in known}
    reason = f"Rolled back: version {known[PREVIOUS]} is the champion again, in place of version {known[CHAMPION]}."
    set_aliases(study.study, {CHAMPION: known[PREVIOUS], PREVIOUS: None}, uri=uri)
    _log(study, "rolled back", reason, versions, about=known[CHAMPION], metrics={}, documents={}, uri=uri)
    return PromotionResult(
        study=study.study,
        is_promoted=False,
        reason=reason,
        as_of=None,
        versions={**versions, "now": known[PREVIOUS]},
        rules=pd.DataFrame(columns=["name", "is_met", "found"]),
        metrics=pd.DataFrame(),
        comparisons=pd.DataFrame(),
    )


def _fetch(study: Study, version: str, *, uri: str) -> Bundle:
    with TemporaryDirectory(prefix="propensity-") as temporary:
        where = find_bundle(study, f"models:/{study.study}/{version}", into=Path(temporary), uri=uri)
        bundle = load_bundle(where)
    require_fit(study, bundle, where)
    return bundle


def _cohort(study: Study, bundles: dict[str, Bundle], *, until: datetime | None) -> datetime:
    """The latest cutoff whose outcome is known; none of the models may have learnt from it."""
    learnt = [bundle.about.get("learnt_until") for bundle in bundles.values()]
    if until is None or None in learnt:
        raise CheckFailedError("promote: it is not known until when a model has learnt. Train it again.")
    latest = to_instant(latest_mature(study, until), zone=study.zone)
    needed = max(datetime.fromisoformat(str(text)) for text in learnt)
    if study.label_window(latest).start < needed:
        zone = study.zone
        raise CheckFailedError(
            f"promote: the models have learnt from purchases up to {format_instant(needed, zone=zone)}, and the latest "
            f"prospects whose outcome is known are those as of {format_instant(latest, zone=zone)}. Wait until the "
            f"outcome of those as of {format_instant(needed, zone=zone)} is recorded: from "
            f"{format_instant(study.matures_at(needed), zone=zone)} on."
        )
    return latest


def _drifted(tables: Tables, study: Study, bundle: Bundle, frame: Frame) -> tuple[pd.DataFrame, float]:
    """How far inputs and score have moved since the challenger's last cutoff; inputs with their importance."""
    last = max(cutoff for split in study.cutoff_instants().values() for cutoff in split)
    before, _ = scoring_frame(tables, study, bundle.plan, last)
    table = drift_table(before.X, frame.X, categorical=list(bundle.plan.categories))
    rows = np.random.default_rng(study.seed).choice(len(frame), size=min(len(frame), _SAMPLE), replace=False)
    phi, _ = contributions(bundle.model, bundle.calibrator, frame.X[bundle.plan.names].iloc[np.sort(rows)])
    weight = pd.Series(np.abs(phi).mean(axis=0), index=bundle.plan.names)
    moved = stability_index(bundle.log_odds(before.X), bundle.log_odds(frame.X))
    return table.assign(weight=weight[table["feature"]].to_numpy()), moved


def _scores(bundle: Bundle, frame: Frame) -> Scores:
    return Scores(bundle.log_odds(frame.X), bundle.for_list(frame.X).probability(frame.X))


def _points(bundle: Bundle, frame: Frame) -> Any:
    by_indicator = bundle.scorecard_points(bundle.decoded(frame.X))
    return None if by_indicator is None else by_indicator.sum(axis=1, skipna=False).to_numpy(dtype=np.float64)


def _carried_out(
    study: Study, decision: Decision, versions: dict[str, str], as_of: str, *, uri: str
) -> PromotionResult:
    """Move the aliases where the decision is yes, and log it in any case."""
    from propensity.tracking import PREVIOUS, set_aliases  # importing mlflow takes seconds

    failed = [rule.name for rule in decision.rules if not rule.is_met]
    champion = versions.get(CHAMPION)
    held = f"against version {champion}" if champion else "as the first champion"
    if decision.is_promoted:
        reason = f"Promoted: version {versions[CHALLENGER]} {held}, on the prospects as of {as_of}."
        set_aliases(study.study, {PREVIOUS: champion, CHAMPION: versions[CHALLENGER]}, uri=uri)
    else:
        reason = (
            f"Refused: version {versions[CHALLENGER]} {held} ({', '.join(failed)}), on the prospects as of {as_of}."
        )
    rules = [vars(rule) for rule in decision.rules]
    told = {"as_of": as_of, "rules": rules, "figures": decision.figures, "comparisons": decision.comparisons}
    _log(
        study,
        "promoted" if decision.is_promoted else "refused",
        reason,
        versions,
        about=versions[CHALLENGER],
        metrics={
            f"{name}_{metric}": float(value)
            for name, figures in decision.figures.items()
            for metric, value in figures.items()
            if isinstance(value, int | float)
        },
        documents={"promotion.json": to_json(told)},
        uri=uri,
    )
    return PromotionResult(
        study=study.study,
        is_promoted=decision.is_promoted,
        reason=reason,
        as_of=as_of,
        versions={**versions, "now": versions[CHALLENGER] if decision.is_promoted else champion},
        rules=pd.DataFrame(rules),
        metrics=pd.DataFrame(
            [
                {"model": name, **{k: v for k, v in figures.items() if not isinstance(v, dict)}}
                for name, figures in decision.figures.items()
            ]
        ),
        comparisons=pd.DataFrame(decision.comparisons),
    )


def _log(
    study: Study,
    decision: str,
    reason: str,
    versions: dict[str, str],
    *,
    about: str,
    metrics: dict[str, float],
    documents: dict[str, str],
    uri: str,
) -> None:
    from propensity.tracking import log_decision  # importing mlflow takes seconds

    log_decision(
        "promotion",
        name=study.study,
        about=about,
        versions=versions,
        decision=decision,
        reason=reason,
        metrics=metrics,
        documents=documents,
        uri=uri,
        experiment=study.tracking.experiment or study.study,
    )
