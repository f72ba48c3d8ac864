"""I/O and order of monitoring: the prospects of now, and all that has matured since the model learnt."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.data.tables import Tables
from propensity.errors import CheckFailedError, DataError, EnvironmentFailedError, InputError
from propensity.explain.contributions import contributions
from propensity.features.matrix import Frame, build_frame
from propensity.files import to_json, whole_file
from propensity.health import Cohort, Health, look_after
from propensity.labels import is_mature, label_cohort
from propensity.pipelines import Progress, engine_errors, fitting_bundle, open_study
from propensity.report import write_page
from propensity.results import MonitoringResult
from propensity.samples import describe_product, draw, express, scoring_frame, study_functions
from propensity.summary import describe_question
from propensity.temporal import format_instant

logger = logging.getLogger(__name__)

_SAMPLE = 2_000
"""Prospects that the importance of features is taken from."""


@engine_errors()
def monitor(
    study: Study,
    *,
    model: str | None = None,
    runs: Path | None = None,
    out: Path | None = None,
    today: datetime | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: Progress = logger.info,
) -> MonitoringResult:
    """Tell whether a model is still what it was.

    Parameters
    ----------
    study : Study
        From `load_study`.
    model, runs
        As in `score`.
    out : Path, optional
        The folder of the page and its figures; default ``runs/<study>/monitoring``.
    today : datetime, optional
        Records after this instant are impossible: counted and left out, as in training.
    track : bool
        Whether to log the figures to MLflow.
    tracking_uri : str, optional
        In place of the study's own.

    Returns
    -------
    MonitoringResult

    Raises
    ------
    InputError
        When the study has no dates.
    CheckFailedError
        When it is not known what the model has learnt from.
    """
    if study.is_snapshot:
        raise InputError("monitor: a snapshot has no later prospects. It needs a study on dated tables.")
    uri = tracking_uri or study.tracking.uri
    bundle = fitting_bundle(study, model, runs=runs, uri=uri)
    learnt, since, now = gather(study, bundle, today=today, progress=progress)
    catalogue = bundle.plan.catalogue()
    health = diagnose(study, bundle, learnt, since, now)
    result = MonitoringResult(
        study=study.study,
        as_of=now.as_of,
        model={"name": bundle.about.get("model"), **{key: bundle.about.get(key) for key in ("run", "learnt_until")}},
        verdict=health.verdict,
        checks=pd.DataFrame([vars(check) for check in health.checks]),
        features=health.features.assign(
            description=health.features["feature"].map({f["name"]: f["description"] for f in catalogue})
        ),
        months=pd.DataFrame(health.months),
        expected=health.expected,
        mix=pd.DataFrame(health.mix, columns=["dimension", "group", "before", "now"]),
        score=health.score,
        folder=out or Path("runs") / study.study / "monitoring",
    )
    _write(study, result)
    if track:
        progress("logging to MLflow")
        result = replace(result, untracked=_track(study, result, uri=uri))
    return result


def gather(
    study: Study, bundle: Bundle, *, today: datetime | None, progress: Progress = logger.info
) -> tuple[list[Cohort], list[Cohort], Cohort]:
    """The prospects of the days that the model learnt from, of those since whose outcome is known, and of today."""
    with open_study(study, today=today) as tables:
        if tables.until is None:
            raise DataError("monitor: the source has no records.")
        learnt, since = _cutoffs(study, bundle, until=tables.until)
        progress(f"{len(learnt)} cutoffs that the model learnt from, {len(since)} that have matured since")
        cohorts = []
        for cutoff, frame in _frames(tables, study, bundle, [*learnt, *since]):
            y = label_cohort(tables, frame.keys, cutoff, study=study, express=express)
            cohorts.append(_cohort(bundle, frame, format_instant(cutoff, zone=study.zone), y))
        as_of = format_instant(tables.until, zone=study.zone)
        progress(f"prospects as of {as_of}")
        now, _ = scoring_frame(tables, study, bundle.plan, tables.until)
    return cohorts[: len(learnt)], cohorts[len(learnt) :], _cohort(bundle, now, as_of)


def diagnose(study: Study, bundle: Bundle, learnt: list[Cohort], since: list[Cohort], now: Cohort) -> Health:
    """`look_after` with what study and bundle say."""
    return look_after(
        learnt,
        since,
        now,
        weight=_weight(bundle, now.X, seed=study.seed),
        categorical=list(bundle.plan.categories),
        descriptions={feature["name"]: feature["description"] for feature in bundle.plan.catalogue()},
        spec=study.monitoring,
        capacity=study.contact.share(len(now.X)),
        seed=study.seed,
    )


def _cutoffs(study: Study, bundle: Bundle, *, until: datetime) -> tuple[list[datetime], list[datetime]]:
    """The cutoffs that the model learnt from, and those since whose outcome is known."""
    text = bundle.about.get("learnt_until")
    if text is None:
        raise CheckFailedError("monitor: it is not known until when the model has learnt. Train it again.")
    learnt_until = datetime.fromisoformat(str(text))
    own = sorted(cutoff for cutoffs in study.cutoff_instants().values() for cutoff in cutoffs)
    learnt = [cutoff for cutoff in own if study.label_window(cutoff).end <= learnt_until]
    if not learnt:
        raise CheckFailedError(
            f"monitor: the model learnt until {format_instant(learnt_until, zone=study.zone)}, when none of the "
            "study's cutoffs had matured. Is it a model of this study? Train it again."
        )
    # Windows that overlap would count one purchase several times.
    assert study.outcome.horizon is not None  # noqa: S101 - it has dates
    step = max(study.cutoff_step, study.outcome.horizon, key=lambda duration: duration.approximate_days)
    since, times = [], 1
    while is_mature(study, cutoff := step.after(learnt[-1], zone=study.zone, times=times), until=until):
        if study.label_window(cutoff).start >= learnt_until:
            since.append(cutoff)
        times += 1
    return learnt, since


def _frames(tables: Tables, study: Study, bundle: Bundle, cutoffs: list[datetime]) -> Iterator[tuple[datetime, Frame]]:
    """The prospects at each cutoff, from one sweep over the records."""
    drawn = [draw(tables, study, cutoff, plan=bundle.plan).keys for cutoff in cutoffs]
    frame = build_frame(tables, bundle.plan, cohorts=drawn, cutoffs=cutoffs, functions=study_functions(study))
    at = frame.keys["cutoff"].to_numpy()
    for cutoff in cutoffs:
        yield cutoff, frame.take(at == np.datetime64(cutoff.replace(tzinfo=None), "us"))


def _cohort(bundle: Bundle, frame: Frame, as_of: str, y: Any = None) -> Cohort:
    X = frame.X.reset_index(drop=True)
    decoded = bundle.decoded(X)
    stages = bundle.buying_stages(decoded)
    groups = {"segment": bundle.segment_of(decoded)} if bundle.segments else {}
    if stages is not None:
        groups["stage"] = stages.to_numpy(dtype=object)
    here = bundle.for_list(X)
    level_held = replace(here, change=0.0)  # that months differ is measured, and counted, by itself
    return Cohort(
        as_of=as_of,
        X=X[bundle.plan.names],
        log_odds=bundle.log_odds(X),
        probability=here.probability(X),
        y=y,
        error=0.0 if y is None else level_held.total_error(X, np.ones(len(X))),
        groups=groups,
        unseen=frame.unseen or {},
    )


def _weight(bundle: Bundle, X: pd.DataFrame, *, seed: int) -> dict[str, float]:
    """Each feature's share of all importance: its mean absolute contribution over a sample of the prospects."""
    rows = np.random.default_rng(seed).choice(len(X), size=min(len(X), _SAMPLE), replace=False)
    phi, _ = contributions(bundle.model, bundle.calibrator, X[bundle.plan.names].iloc[np.sort(rows)])
    each = np.abs(phi).mean(axis=0)
    total = float(each.sum()) or 1.0
    return {name: float(value) / total for name, value in zip(bundle.plan.names, each, strict=True)}


def _write(study: Study, result: MonitoringResult) -> None:
    from propensity.report.watch import render_watch  # matplotlib is imported where it is needed

    place = result.folder / result.as_of.replace(":", "")
    told = {
        "study": result.study, "as_of": result.as_of, "model": result.model, "verdict": result.verdict,
        **{name: getattr(result, name).to_dict("records") for name in ("checks", "features", "months", "mix")},
        "expected": result.expected, "score": result.score,
    }  # fmt: skip
    with whole_file(place.with_name(f"{place.name}.json")) as work:
        work.write_text(to_json(told), encoding="utf-8")
    question = describe_question(study, describe_product(study))
    page = render_watch(result, question=question, simulated=study.simulated)
    write_page(page, place.with_name(f"{place.name}.html"))


def _track(study: Study, result: MonitoringResult, *, uri: str) -> str | None:
    """Log the figures to MLflow; why they could not be, where they could not."""
    from propensity.tracking import log_by_date  # importing mlflow takes seconds

    figures = {f"stability_{name}": value for name, value in result.score.items()}
    figures |= {f"expected_{name}": value for name, value in result.expected.items() if value is not None}
    figures["level"] = float(["ok", "watch", "retrain"].index(result.verdict))
    if len(result.months):
        last = result.months.iloc[-1]
        figures |= {name: float(last[name]) for name in ("ratio", "roc_auc", "base_rate") if pd.notna(last[name])}
    try:
        log_by_date(
            "monitoring",
            {result.as_of: figures},
            documents={"checks.json": to_json(result.checks.to_dict("records"))},
            study=study.study,
            until=result.as_of,
            uri=uri,
            experiment=study.tracking.experiment or study.study,
        )
    except EnvironmentFailedError as error:
        return str(error)
    return None
