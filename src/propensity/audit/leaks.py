"""The audit of a study: five tests in turn, their findings, and one verdict."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pandas as pd

from propensity.audit.findings import AVAILABILITY, NOTE, SCRAMBLE, TOO_GOOD, UNTESTED, Finding, ordered, verdict
from propensity.audit.reliance import compare_availability, known_at_once, roles_without_availability
from propensity.audit.scramble import CHANGES, Difference, alteration, difference, look
from propensity.audit.told import scramble_findings, trials_table, untraced_findings
from propensity.audit.too_good import find_too_good
from propensity.audit.undated import undated_finding
from propensity.audit.untouched import Recorder, Trained, Untouched, look_at_untouched
from propensity.config import DataSpec, Study
from propensity.data.connect import Alter
from propensity.data.tables import Tables
from propensity.errors import DataError
from propensity.features.catalogue import Feature
from propensity.results import AuditResult
from propensity.samples import Samples, study_functions
from propensity.temporal import format_instant

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
Opener = Callable[[DataSpec, Alter], AbstractContextManager[Tables]]
"""Opens the study's tables by a data section, each raw table changed by a hook."""


def audit_tables(
    study: Study, *, opener: Opener, always: Sequence[str], trained: Trained, progress: Progress = logger.info
) -> AuditResult:
    """Audit a study over time.

    Parameters
    ----------
    study : Study
        The specification.
    opener : callable
        Opens the study's tables: ``opener(data_section, alter)``.
    always : sequence of str
        Features that rules name, as training keeps them.
    trained : Trained
        The model that scores are asked of, where there is one.
    progress : callable
        Told what is being done.

    Returns
    -------
    AuditResult

    Raises
    ------
    DataError
        When the tables cannot be trained on, and no proven leak explains why.
    """
    record = Recorder()
    with opener(study.data, record) as tables:
        untouched = look_at_untouched(
            tables, study, raws=record.tables, always=always, trained=trained, progress=progress
        )
    late, availability = _availability(study, untouched, opener, progress)
    differences, untested = _scramble(study, untouched, opener, progress)
    differences = [*untouched.trained, *differences]
    judge = untouched.judge.name if untouched.judge else "no model"
    proven = scramble_findings(
        differences, plan=untouched.plan, origin=_origins(untouched), model=judge, zone=study.zone
    )
    if untouched.failure is not None:
        if not proven:
            raise untouched.failure
        text = f"the study cannot be trained as it stands: {untouched.failure}"
        untested.append(Finding(TOO_GOOD, UNTESTED, "single features", text))
    untested += untraced_findings(untouched.lineage.untraced)
    return _result(
        study,
        [*proven, *untouched.findings, *late, *untested],
        model=judge,
        trials=trials_table(differences, untouched.later, zone=study.zone),
        features=untouched.judged,
        availability=availability,
        business=untouched.business,
    )


def audit_single(study: Study, samples: Samples) -> AuditResult:
    """What training itself looks at: each feature by itself. All else costs the tables to be read many times more."""
    if study.is_snapshot:
        return audit_rows(study, samples)
    good, judged = find_too_good(samples.plan, samples.train, seed=study.seed)
    text = f"training changes no rows to see what moves: propensity check {study.path.name} --leaks does"
    findings = [Finding(SCRAMBLE, UNTESTED, "rows after the cutoff", text), *good]
    return _result(study, findings, model="no model", features=judged)


def audit_rows(study: Study, samples: Samples) -> AuditResult:
    """Audit a snapshot study: nothing in it is dated, so that only signs can be looked for."""
    good, judged = find_too_good(samples.plan, samples.train, seed=study.seed)
    names = list(study.data.customers.attributes)
    text = "a snapshot has no dated rows: none can be scrambled, and nothing can be proven"
    findings = [Finding(SCRAMBLE, UNTESTED, "rows after the cutoff", text), *good]
    findings += undated_finding(names, spec=study.data)
    return _result(study, findings, model="no model", features=judged)


def _result(
    study: Study,
    findings: Sequence[Finding],
    *,
    model: str,
    features: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    availability: pd.DataFrame | None = None,
    business: Mapping[str, Any] | None = None,
) -> AuditResult:
    said, sentence = verdict(findings)
    return AuditResult(
        study=study.study,
        verdict=said,
        sentence=sentence,
        model=model,
        findings=pd.DataFrame([finding.to_dict() for finding in ordered(findings)]),
        trials=pd.DataFrame() if trials is None else trials,
        features=features,
        availability=pd.DataFrame() if availability is None else availability,
        business=dict(business or {}),
    )


def _availability(
    study: Study, untouched: Untouched, opener: Opener, progress: Progress
) -> tuple[list[Finding], pd.DataFrame]:
    missing = roles_without_availability(study.data)
    found = []
    if missing:
        text = f"{' and '.join(missing)} have no available_at: each record counts as known when it happened"
        advice = "Where records come in later than they happen, name the column that says when."
        found.append(Finding(AVAILABILITY, NOTE, "available_at", text, advice))
    spec = known_at_once(study.data)
    if spec == study.data or untouched.samples is None:
        return found, pd.DataFrame()
    progress("taking every record as known at once")
    with opener(spec, Recorder()) as tables:
        changed, table = compare_availability(
            tables,
            untouched.plan,
            untouched.samples.train,
            study.cutoff_instants()["train"],
            functions=study_functions(study),
        )
    return [*found, *changed], table


def _scramble(
    study: Study, untouched: Untouched, opener: Opener, progress: Progress
) -> tuple[list[Difference], list[Finding]]:
    """What moved as of each cutoff under each change, and what could not be tried."""
    # What is learnt from where the records end, or refused for what is in them, is not what is tested here.
    spec = study.data.model_copy(update={"recorded_until": untouched.until, "max_unreadable": 1.0})
    log_odds = untouched.judge.log_odds if untouched.judge else None
    found: list[Difference] = []
    untested: list[Finding] = []
    for cutoff, before in untouched.before.items():
        when = format_instant(cutoff, zone=study.zone)
        if untouched.later[cutoff] == 0:
            untested.append(Finding(SCRAMBLE, UNTESTED, when, f"no dated row lies at or after {when}"))
            continue
        for change in CHANGES:
            progress(f"rows from {when} on, {change}")
            alter = alteration(change, lineage=untouched.lineage, spec=spec, cutoff=cutoff, seed=study.seed)
            try:
                with opener(spec, alter) as tables:
                    after = look(tables, study, untouched.plan, cutoff, learn=before.learnt is not None)
            except DataError as error:
                text = f"with rows from {when} on {change}, the tables cannot be read: {error}"
                untested.append(Finding(SCRAMBLE, UNTESTED, f"{change} rows", text))
                continue
            names = untouched.plan.names
            found.append(difference(before, after, cutoff=cutoff, change=change, names=names, log_odds=log_odds))
    return found, untested


def _origins(untouched: Untouched) -> Callable[[Feature], tuple[str, str]]:
    def origin(feature: Feature) -> tuple[str, str]:
        if feature.source != "customers":
            return f"features of {feature.source}", f"out of {feature.source}"
        name, raws = untouched.sources.get(feature.name.removesuffix("_missing"), (feature.name, ["customers"]))
        return name, f"an attribute out of {', '.join(raws)}"

    return origin
