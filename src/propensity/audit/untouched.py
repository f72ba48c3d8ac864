"""What a study's tables say as they are: the audit's reference, and the tests that need nothing changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.audit.findings import BUSINESS, NOTE, Finding
from propensity.audit.lineage import Lineage, Tracer
from propensity.audit.reliance import compare_business, initiated_by_business
from propensity.audit.scramble import AsOf, Difference, count_later, difference, look
from propensity.audit.told import TRAINED
from propensity.audit.too_good import find_too_good, quick_model
from propensity.audit.undated import find_dates_ahead, undated_attributes, undated_finding
from propensity.bundle import Bundle
from propensity.config import Study
from propensity.data.tables import Tables
from propensity.errors import BundleError, DataError
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan, learn_plan
from propensity.files import to_json
from propensity.models.base import BinaryModel
from propensity.samples import Samples, criteria_plan, draw, study_functions, temporal_samples
from propensity.splits import scramble as hashed

Progress = Callable[[str], None]

_ROWS = 20_000
"""Train rows whose contributions are summed."""


@dataclass(frozen=True)
class Trained:
    """The model that a run left, or that the user named.

    Attributes
    ----------
    bundle : Bundle or None
        None where there is none that fits the study.
    name : str
        What to call it, such as "the model of runs/demo/latest"; or why there is none.
    is_asked : bool
        Whether the user named it: then it must fit.
    """

    bundle: Bundle | None
    name: str
    is_asked: bool = False


@dataclass(frozen=True)
class Judge:
    """Whose scores and contributions the audit looks at.

    Attributes
    ----------
    name : str
        In words.
    log_odds, contributions : callable
        Rows with the plan's columns → scores, shape (n,), and what each feature adds, shape (n, features).
    """

    name: str
    log_odds: Callable[[pd.DataFrame], npt.NDArray[np.float64]]
    contributions: Callable[[pd.DataFrame], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Untouched:
    """The reference.

    Attributes
    ----------
    plan : FeaturePlan
        The features, learnt on train.
    lineage : Lineage
        When raw rows happen.
    sources : dict
        Feature of an attribute → attribute, and the raw tables that it comes from.
    before : dict
        Cutoff → all that is known as of it.
    later : dict
        Cutoff → how many raw rows are at or after it.
    until : datetime or None
        The instant up to which the source is recorded.
    samples, judge : Samples and Judge, or None
        What training would learn from, and who scores; None where there are no samples, for the reason in `failure`.
    trained : list of Difference
        What training built for a cutoff, held against what scoring builds.
    findings : list of Finding
        Of the tests that need nothing changed.
    judged : DataFrame
        Each feature by itself.
    business : dict
        What rests on what the business initiates.
    """

    plan: FeaturePlan
    lineage: Lineage
    sources: Mapping[str, tuple[str, list[str]]]
    before: Mapping[datetime, AsOf]
    later: Mapping[datetime, int]
    until: datetime | None
    samples: Samples | None = None
    failure: DataError | None = None
    judge: Judge | None = None
    trained: Sequence[Difference] = ()
    findings: Sequence[Finding] = ()
    judged: pd.DataFrame = field(default_factory=pd.DataFrame)
    business: Mapping[str, Any] = field(default_factory=dict)


def audited_cutoffs(study: Study) -> list[datetime]:
    """The cutoffs that rows are changed from: the last of train, validation and test."""
    return [cutoffs[-1] for cutoffs in study.cutoff_instants().values()]


class Recorder:
    """A hook that changes nothing, and remembers the raw tables."""

    def __init__(self) -> None:
        self.tables: dict[str, ir.Table] = {}

    def __call__(self, name: str, table: ir.Table) -> ir.Table:
        """Remember a raw table, and give it back as it is."""
        self.tables[name] = table
        return table


def look_at_untouched(
    tables: Tables,
    study: Study,
    *,
    raws: Mapping[str, ir.Table],
    always: Sequence[str],
    trained: Trained,
    progress: Progress,
) -> Untouched:
    """Draw, build and judge everything that the audit compares with.

    Parameters
    ----------
    tables : Tables
        Opened with a `Recorder`.
    raws : mapping
        The raw tables that it has recorded.
    """
    tracer = Tracer(
        spec=study.data,
        columns=lambda name: tables.source.table(name, place="data.tables").columns,
        raw={name: raw.columns for name, raw in raws.items()},
    )
    lineage = tracer.lineage()
    samples, failure, plan = _samples(tables, study, always, progress)
    cutoffs = audited_cutoffs(study)
    progress("looking at the tables as they are")
    reference = Untouched(
        plan=plan,
        lineage=lineage,
        sources=_sources(tracer, study),
        before={at: look(tables, study, plan, at, learn=at == cutoffs[0]) for at in cutoffs},
        later={at: sum(count_later(raws, lineage=lineage, spec=study.data, cutoff=at).values()) for at in cutoffs},
        until=tables.until,
        failure=failure,
    )
    undated = undated_attributes(tables, tracer, lineage)
    findings = [*undated_finding(undated, spec=study.data), *find_dates_ahead(tables, undated, cutoffs[0])]
    if samples is None:
        return replace(reference, findings=findings)
    judge = choose_judge(study, samples, trained, progress=progress)
    progress("judging each feature by itself")
    good, judged = find_too_good(plan, samples.train, seed=study.seed)
    leaning, business = _business(tables, study, samples, judge)
    return replace(
        reference,
        samples=samples,
        judge=judge,
        trained=_train_against_scoring(study, samples, reference, judge),
        findings=[*findings, *good, *leaning],
        judged=judged,
        business=business,
    )


def _samples(
    tables: Tables, study: Study, always: Sequence[str], progress: Progress
) -> tuple[Samples | None, DataError | None, FeaturePlan]:
    """The study's samples; where there are none, the reason, and the features without a look at labels.

    A leak may be the reason: whoever buys later is taken for a buyer already, and nobody is left to buy.
    """
    try:
        samples = temporal_samples(tables, study, always=always, progress=progress)
    except DataError as error:
        cutoffs = study.cutoff_instants()["train"]
        rules = criteria_plan(tables, study)
        drawn = [draw(tables, study, at, plan=rules) for at in cutoffs]
        if not all(len(cohort) for cohort in drawn):
            raise
        keys, functions = [cohort.keys for cohort in drawn], study_functions(study)
        return None, error, learn_plan(tables, study, cohorts=keys, cutoffs=cutoffs, functions=functions)[0]
    return samples, None, samples.plan


def _sources(tracer: Tracer, study: Study) -> dict[str, tuple[str, list[str]]]:
    customers = study.data.customers
    return {
        attribute.feature_name(name): (name, tracer.raw_tables(customers.table, attribute.column or name))
        for name, attribute in customers.attributes.items()
    }


def choose_judge(study: Study, samples: Samples, trained: Trained, *, progress: Progress) -> Judge:
    """The trained model where it fits the features of now, else a quick one fitted on train.

    Raises
    ------
    BundleError
        When the user named a model that does not fit.
    """
    plan, bundle, reason = samples.plan, trained.bundle, trained.name
    if bundle is not None and to_json(bundle.plan.to_dict()) != to_json(plan.to_dict()):
        reason = f"{trained.name} has other features than the tables give now"
        if trained.is_asked:
            raise BundleError(f"--model: {reason}. Train again, or leave --model out.")
        bundle = None
    if bundle is not None:
        return Judge(trained.name, bundle.log_odds, _contributions_of(bundle.model))
    progress("fitting a quick model on train")
    model = quick_model(plan, seed=study.seed).fit(samples.train.X, samples.train.labels)
    return Judge(f"a quick model fitted on train ({reason})", model.decision_function, _contributions_of(model))


def _contributions_of(model: BinaryModel) -> Callable[[pd.DataFrame], npt.NDArray[np.float64]]:
    return lambda X: model.contributions(X)[0]


def _business(tables: Tables, study: Study, samples: Samples, judge: Judge) -> tuple[list[Finding], Mapping[str, Any]]:
    events = study.data.events
    if events is None and study.data.contacts is None:
        return [], {}
    unknown = []
    if events is not None and events.initiated_by is None:
        text = "events do not say who initiated them (data.events.initiated_by): what rests on own campaigns is unknown"
        unknown = [Finding(BUSINESS, NOTE, "initiated_by", text)]
        if study.data.contacts is None:
            return unknown, {}
    kinds, names = initiated_by_business(tables, samples.plan, cutoff=audited_cutoffs(study)[0])
    if not names:
        return [*unknown, Finding(BUSINESS, NOTE, "initiated_by", "no feature counts what the business initiates")], {}
    train = samples.train
    order = np.argsort(hashed(train.groups, seed=study.seed), kind="stable")[:_ROWS]
    found, facts = compare_business(
        judge.contributions, train.X.iloc[order], kinds=kinds, names=names, model=judge.name
    )
    return [*unknown, *found], facts


def _train_against_scoring(study: Study, samples: Samples, reference: Untouched, judge: Judge) -> list[Difference]:
    """Rows that training built together with later cutoffs, held against those that scoring builds alone."""
    frames = [samples.train, samples.validation, samples.test]
    found = []
    for at, frame in zip(audited_cutoffs(study), frames, strict=True):
        if frame is not None:
            found.append(
                difference(
                    _of_training(frame, at, reference.before[at]),
                    reference.before[at],
                    cutoff=at,
                    change=TRAINED,
                    names=samples.plan.names,
                    log_odds=judge.log_odds,
                )
            )
    return found


def _of_training(frame: Frame, cutoff: datetime, scored: AsOf) -> AsOf:
    instant = np.datetime64(cutoff.astimezone(UTC).replace(tzinfo=None), "us")
    rows = frame.take(frame.keys["cutoff"].to_numpy() == instant)
    return AsOf(pd.Index(rows.keys["customer_id"]), scored.funnel, rows.X.to_numpy(), None)
