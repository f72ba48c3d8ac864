"""Where the arms meet: cohorts, labels and features become frames for training and for scoring."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from propensity.cohort import (
    Behaviour,
    Cohort,
    FunnelStep,
    draw_cohort,
    funnel_steps,
    known_customers,
)
from propensity.config import Study
from propensity.data.connect import to_count, to_frame
from propensity.data.snapshot import SnapshotRows, read_snapshot
from propensity.data.tables import Tables
from propensity.errors import DataError
from propensity.features.custom import CustomFunction, load_functions
from propensity.features.matrix import Frame, Rows, build_frame, feature_blocks, unswept_columns
from propensity.features.plan import FeaturePlan, keep_informative, learn_plan
from propensity.features.profile import attributes_of, plan_profile, profile_columns
from propensity.features.shares import share_functions
from propensity.features.stored import matrix_schema, matrix_table
from propensity.features.sweep import read_ahead
from propensity.labels import bought_within, first_purchases, is_mature, label_cohort, require_mature
from propensity.rules.expressions import parse_expression
from propensity.splits import Fold, customer_folds, forward_folds
from propensity.temporal import format_instant, microseconds

logger = logging.getLogger(__name__)
FOLDS = 5

Progress = Callable[[str], None]


def express(text: str, table: ir.Table, place: str, *, condition: bool = True) -> ir.Value:
    """A checked expression as a column of a table: a boolean to filter by, or any value where not `condition`."""
    expression = parse_expression(text, columns=table.columns, where=place)
    return expression.condition(table) if condition else expression.to_ibis(table)


def study_functions(study: Study) -> dict[str, CustomFunction]:
    """The functions that make features beside the sweep: shares of buyers, and the study's own."""
    own = load_functions(study.features.custom, beside=study.path)
    return {**share_functions(study, express=express), **own}


@dataclass(frozen=True)
class Samples:
    """What a study learns from and is judged on.

    Attributes
    ----------
    plan : FeaturePlan
        Learnt on train.
    train, validation, test : Frame
        `validation` is None for snapshots without order; `test` is None when the split is by folds.
    funnels : list of dict
        For each cutoff: split, cutoff, steps and positives.
    until : datetime or None
        Up to when the source is recorded; None for snapshots.
    warnings : list of str
        What the analyst should know.
    data : list of dict
        Facts about the source tables.
    """

    plan: FeaturePlan
    train: Frame
    validation: Frame | None
    test: Frame | None
    funnels: list[dict[str, Any]]
    until: datetime | None = None
    warnings: list[str] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)


def funnel_entry(
    split: str,
    cutoff: datetime | None,
    steps: Sequence[FunnelStep],
    positives: int | None,
    *,
    study: Study,
    criteria: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One cutoff's funnel as plain values; `criteria`: what each does by itself."""
    return {
        "split": split,
        "cutoff": format_instant(cutoff, zone=study.zone) if cutoff else None,
        "steps": [step.to_dict() for step in steps],
        "positives": positives,
        "criteria": list(criteria),
    }


def _criteria_told(tables: Tables, study: Study, cohort: Cohort) -> list[dict[str, Any]]:
    """What each criterion does at a cutoff, and how many of those that it alone keeps out bought."""
    if not cohort.criteria:
        return []
    counts = [len(criterion.kept_out) for criterion in cohort.criteria]
    keys = pd.concat([criterion.kept_out for criterion in cohort.criteria], ignore_index=True)
    y = label_cohort(tables, keys, cohort.cutoff, study=study, express=express)
    bought = [int(part.sum()) for part in np.split(y, np.cumsum(counts)[:-1])]
    return [
        _criterion(c.name, c.text, c.fails, count, buyers)
        for c, count, buyers in zip(cohort.criteria, counts, bought, strict=True)
    ]


def _criterion(name: str, text: str, fails: int, kept_out: int, bought: int) -> dict[str, Any]:
    return {"name": name, "text": text, "fails": fails, "kept_out": kept_out, "kept_out_bought": bought}


def behaviour_columns(study: Study) -> set[str]:
    """The features that the target's criteria name besides attributes."""
    spec = study.data.customers
    attributes = {"customer_id", "tenure_days", *(a.feature_name(name) for name, a in spec.attributes.items())}
    place = study.target.place
    criteria = study.target.named_criteria.items()
    named = [parse_expression(text, columns=None, where=place[name]).columns for name, text in criteria]
    return {column for columns in named for column in columns if not columns <= attributes} - attributes


def criteria_plan(tables: Tables, study: Study) -> FeaturePlan | None:
    """How the features are made that the target's criteria name; None where they name attributes alone."""
    if study.is_snapshot or not behaviour_columns(study):
        return None
    train = study.cutoff_instants()["train"]
    known = [known_customers(tables, cutoff) for cutoff in train]
    return learn_plan(tables, study, cohorts=known, cutoffs=train, functions=study_functions(study))[0]


def draw(tables: Tables, study: Study, cutoff: datetime, *, plan: FeaturePlan | None) -> Cohort:
    """The prospects at a cutoff, by all criteria of the study.

    Parameters
    ----------
    plan : FeaturePlan or None
        With the features that criteria over behaviour name.
    """
    behaviour = _behaviour(tables, study, plan) if plan is not None and behaviour_columns(study) else None
    return draw_cohort(tables, cutoff, target=study.target, outcome=study.outcome, express=express, behaviour=behaviour)


def _behaviour(tables: Tables, study: Study, plan: FeaturePlan) -> Behaviour:
    """Answers criteria over behaviour, on the features of all known customers."""
    attributes = {feature.name for feature in plan.profile.features}
    wanted = behaviour_columns(study)
    kept = tuple(feature for feature in plan.features if feature.name in wanted - attributes)
    custom = plan.custom if any(feature.source in study.features.custom for feature in kept) else ()
    profile = replace(plan.profile, features=(), sources=())
    behind = replace(plan, profile=profile, custom=custom, features=kept)

    def meets(keys: pd.DataFrame, cutoff: datetime, criteria: Mapping[str, str]) -> npt.NDArray[np.bool_]:
        functions = study_functions(study)
        X = build_frame(tables, behind, cohorts=[keys], cutoffs=[cutoff], functions=functions).X
        frame = pd.concat([attributes_of(tables, keys["code"].to_numpy(), cutoff), X], axis=1)
        rules = [
            parse_expression(text, columns=[*frame.columns, *plan.names], where=study.target.place[name])
            for name, text in criteria.items()
        ]
        return np.stack([rule.mask(frame) for rule in rules], axis=1)

    return meets


ALL_SPLITS = ("train", "validation", "test")


def draw_labelled(
    tables: Tables, study: Study, *, need_buyers: Sequence[str] = ALL_SPLITS, progress: Progress
) -> tuple[dict[str, list[Cohort]], dict[str, list[pd.DataFrame]], list[dict[str, Any]]]:
    """Cohorts and labels (``bought_at``, ``amount`` and ``y``) of all the study's cutoffs, and their funnels.

    Raises
    ------
    DataError
        When a cutoff's labels have not matured, a cohort is empty, or a split of `need_buyers` has no positives.
    """
    cohorts: dict[str, list[Cohort]] = {}
    labels: dict[str, list[pd.DataFrame]] = {}
    funnels = []
    plan = criteria_plan(tables, study)
    for split, cutoffs in study.cutoff_instants().items():
        cohorts[split], labels[split] = [], []
        for cutoff in cutoffs:
            progress(f"{split} cohort as of {format_instant(cutoff, zone=study.zone)}")
            require_mature(study, cutoff, until=tables.until, split=split)
            cohort = draw(tables, study, cutoff, plan=plan)
            found = first_purchases(tables, cohort.keys, cutoff, study=study, express=express)
            y = bought_within(found, study.label_window(cutoff))
            cohorts[split].append(cohort)
            labels[split].append(found.assign(y=y))
            told = _criteria_told(tables, study, cohort)
            funnels.append(funnel_entry(split, cutoff, cohort.funnel, int(y.sum()), study=study, criteria=told))
    _require_positives(cohorts, labels, study, need_buyers=need_buyers)
    return cohorts, labels, funnels


def _require_positives(
    cohorts: Mapping[str, Sequence[Cohort]],
    labels: Mapping[str, Sequence[pd.DataFrame]],
    study: Study,
    *,
    need_buyers: Sequence[str],
) -> None:
    for split, drawn in cohorts.items():
        prospects = sum(len(cohort) for cohort in drawn)
        positives = sum(int(found["y"].sum()) for found in labels[split])
        when = ", ".join(format_instant(cohort.cutoff, zone=study.zone) for cohort in drawn)
        if prospects == 0:
            steps = "; ".join(f"{step.name} {step.count:,}" for step in drawn[-1].funnel)
            raise DataError(
                f"cohort: no prospects at the {split} cutoff {when} ({steps}). "
                "Check the target's criteria, the product's name, and the cutoff."
            )
        if positives == 0 and split in need_buyers:
            raise DataError(
                f"labels: no positives in {split}: none of {prospects:,} prospects at {when} bought "
                f"{describe_product(study)} within {study.outcome.horizon}. Check outcome.product (was it ever "
                "bought?), or choose a longer horizon or other cutoffs."
            )


def describe_product(study: Study) -> str:
    """What the study asks about, in a few words."""
    outcome = study.outcome
    if outcome.event is not None:
        return f"the event '{outcome.event.kind}'" + (f" ({outcome.event.where})" if outcome.event.where else "")
    if outcome.column is not None:
        return f"'{outcome.column}'"
    if isinstance(outcome.product, tuple):
        return " or ".join(f"'{product}'" for product in outcome.product)
    return f"products that match '{outcome.product.matches}'" if outcome.product else "the product"


def require_product(tables: Tables, study: Study) -> None:
    """Raise DataError when nobody ever bought the product, naming what is bought."""
    from propensity.data.tables import outcome_records

    records = outcome_records(tables, study.outcome, express=express)
    if to_count(records.count()):
        return
    if study.outcome.event is not None and tables.events is not None:
        known, what = tables.events["kind"], "event kinds"
    else:
        assert tables.purchases is not None  # noqa: S101 - the study's own check
        known, what = tables.purchases["product"], "products"
    common = to_frame(known.topk(8)).iloc[:, 0].dropna().tolist()
    raise DataError(
        f"outcome: nobody bought {describe_product(study)}: it is not in the data. The most frequent {what} are "
        f"{', '.join(map(repr, common))}. Correct the name."
    )


@dataclass(frozen=True)
class _Drawn:
    """What is drawn and learnt before features are made: cohorts of all splits in the order of time, and the plan."""

    splits: list[str]
    keys: list[pd.DataFrame]
    cutoffs: list[datetime]
    labels: list[pd.DataFrame]
    funnels: list[dict[str, Any]]
    functions: dict[str, CustomFunction]
    plan: FeaturePlan
    warnings: list[str]


def _draw_and_learn(
    tables: Tables, study: Study, *, need_buyers: Sequence[str] = ALL_SPLITS, progress: Progress
) -> _Drawn:
    require_product(tables, study)
    cohorts, labels, funnels = draw_labelled(tables, study, need_buyers=need_buyers, progress=progress)
    cutoffs, functions = study.cutoff_instants(), study_functions(study)
    train = [cohort.keys for cohort in cohorts["train"]]
    plan, warnings = learn_plan(tables, study, cohorts=train, cutoffs=cutoffs["train"], functions=functions)
    order = [(split, i) for split in cohorts for i in range(len(cohorts[split]))]
    return _Drawn(
        splits=[split for split, _ in order],
        keys=[cohorts[split][i].keys for split, i in order],
        cutoffs=[cutoffs[split][i] for split, i in order],
        labels=[labels[split][i] for split, i in order],
        funnels=funnels,
        functions=functions,
        plan=plan,
        warnings=[*tables.warnings, *warnings],
    )


def temporal_samples(
    tables: Tables,
    study: Study,
    *,
    always: Sequence[str] = (),
    need_buyers: Sequence[str] = ALL_SPLITS,
    progress: Progress = logger.info,
) -> Samples:
    """The samples of a study over time.

    Parameters
    ----------
    always : sequence of str
        Features that rules name: kept even when they are constant on train.
    need_buyers : sequence of str
        Splits in which somebody must have bought.
    progress : callable
        Told what is being done.
    """
    drawn = _draw_and_learn(tables, study, need_buyers=need_buyers, progress=progress)
    cutoffs = study.cutoff_instants()
    # One sweep for all cutoffs: train, validation and test rows are told apart afterwards by their cutoff.
    frame = build_frame(
        tables,
        drawn.plan,
        cohorts=drawn.keys,
        cutoffs=drawn.cutoffs,
        labels=drawn.labels,
        functions=drawn.functions,
        progress=progress,
    )
    at = frame.keys["cutoff"].to_numpy()
    parts = {
        split: frame.take(np.isin(at, [np.datetime64(_naive(c), "us") for c in cutoffs[split]])) for split in cutoffs
    }
    plan = keep_informative(drawn.plan, parts["train"].X, always=[*always, *behaviour_columns(study)])
    parts = {split: select_columns(part, plan) for split, part in parts.items()}
    return Samples(
        plan=plan,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        funnels=drawn.funnels,
        until=tables.until,
        warnings=drawn.warnings,
        data=[fact.to_dict() for fact in tables.facts],
    )


@dataclass(frozen=True)
class LabelledRows:
    """The rows of all the study's cutoffs, before their features are swept.

    Attributes
    ----------
    plan : FeaturePlan
        Learnt on train; every column, also those that are constant there.
    rows : Rows
        Ordered by customer and cutoff.
    extra : pyarrow Table
        ``customer_id``, ``cutoff`` (UTC), ``split`` and ``label`` of each.
    beside : DataFrame
        The features that are not swept.
    warnings : list of str
        What the analyst should know.
    """

    plan: FeaturePlan
    rows: Rows
    extra: pa.Table
    beside: pd.DataFrame
    warnings: list[str]


def labelled_rows(tables: Tables, study: Study, *, progress: Progress = logger.info) -> LabelledRows:
    """The rows and labels of all the study's cutoffs, and what is needed to write their features."""
    drawn = _draw_and_learn(tables, study, progress=progress)
    rows = Rows.of(drawn.keys, drawn.cutoffs)
    extra = pa.table(
        {
            "customer_id": pa.array(rows.keys["customer_id"]),
            "cutoff": pa.array(rows.keys["cutoff"]).cast(pa.timestamp("us", tz="UTC")),
            "split": pa.array(np.array(drawn.splits, dtype=object)[rows.cutoff], pa.string()),
            "label": pa.array(pd.concat(drawn.labels)["y"].to_numpy()[rows.order]),
        }
    )
    beside, _ = unswept_columns(tables, drawn.plan, rows, functions=drawn.functions)
    return LabelledRows(drawn.plan, rows, extra.combine_chunks(), beside, drawn.warnings)


def matrix_tables(
    tables: Tables, labelled: LabelledRows, *, progress: Progress = logger.info
) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The labelled matrix as tables that come one after the other, in bounded memory, and their schema."""
    plan, rows, extra = labelled.plan, labelled.rows, labelled.extra
    schema = matrix_schema(plan, extra.schema)

    def come() -> Iterator[pa.Table]:
        for start, block in feature_blocks(tables, plan, rows, beside=labelled.beside, progress=progress):
            yield matrix_table(plan, block, extra.slice(start, len(block)).columns, schema)

    return schema, read_ahead(come())


def _naive(cutoff: datetime) -> datetime:
    return cutoff.astimezone(UTC).replace(tzinfo=None)


def select_columns(frame: Frame, plan: FeaturePlan) -> Frame:
    """The frame with the plan's columns only, as one block."""
    X = pd.DataFrame(np.ascontiguousarray(frame.X[plan.names].to_numpy()), columns=plan.names, copy=False)
    return replace(frame, X=X)


def train_folds(train: Frame, study: Study, *, seed: int) -> list[Fold]:
    """Folds inside train: disjoint in customers and, where there are several cutoffs, forward in time."""
    if study.is_snapshot:
        return customer_folds(train.labels, train.groups, folds=FOLDS, seed=seed)
    matures = {microseconds(c): microseconds(study.matures_at(c)) for c in study.cutoff_instants()["train"]}
    at = train.keys["cutoff"].to_numpy().astype("datetime64[us]").astype(np.int64)
    return forward_folds(train.labels, train.groups, at, matures=matures, folds=FOLDS, seed=seed)


def latest_scorable(study: Study, *, until: datetime | None) -> datetime:
    """The cutoff of the prospect list: as declared, or the instant up to which the source is recorded."""
    if study.cutoffs is not None and study.cutoffs.list is not None:
        from propensity.temporal import to_instant

        return to_instant(study.cutoffs.list, zone=study.zone)
    if until is None:
        raise DataError("list: the source has no records, so that there is no cutoff to make a list at.")
    return until


def matured_cutoffs(study: Study, *, until: datetime | None) -> list[datetime]:
    """All the study's cutoffs whose labels are known: what the deployed model is fitted on."""
    cutoffs = [cutoff for split in study.cutoff_instants().values() for cutoff in split]
    return [cutoff for cutoff in cutoffs if is_mature(study, cutoff, until=until)]


def scoring_frame(tables: Tables, study: Study, plan: FeaturePlan, as_of: datetime) -> tuple[Frame, list[FunnelStep]]:
    """The prospects as of a date, with the features that the plan names, and the funnel.

    Raises
    ------
    DataError
        When `as_of` lies before the first or after the last record.
    """
    _require_recorded(tables, study, as_of)
    cohort = draw(tables, study, as_of, plan=plan)
    if len(cohort) == 0:
        steps = "; ".join(f"{step.name} {step.count:,}" for step in cohort.funnel)
        raise DataError(f"cohort: no prospects as of {format_instant(as_of, zone=study.zone)} ({steps}).")
    functions = study_functions(study)
    return build_frame(tables, plan, cohorts=[cohort.keys], cutoffs=[as_of], functions=functions), cohort.funnel


def _require_recorded(tables: Tables, study: Study, as_of: datetime) -> None:
    until, begins, zone = tables.until, tables.begins, study.zone
    if until is not None and as_of > until:
        raise DataError(
            f"--as-of: {format_instant(as_of, zone=zone)} lies after the last record (the source is recorded up to "
            f"{format_instant(until, zone=zone)}): behaviour would look older than it is. Choose a date up to then, or "
            "refresh the source."
        )
    if begins is not None and as_of <= begins:
        raise DataError(
            f"--as-of: {format_instant(as_of, zone=zone)} lies before the first record "
            f"({format_instant(begins, zone=zone)[:10]}). Choose a later date."
        )


def read_snapshot_rows(study: Study, *, file: Path | None = None) -> SnapshotRows:
    """A snapshot study's rows, or the rows of a file that are to be scored."""
    assert study.split is not None  # noqa: S101 - the study's own check
    if study.target.suppress.event:
        raise DataError("target.suppress.event: a snapshot has no events. Use target.suppress.where.")
    return read_snapshot(
        study.data,
        study.source_path,
        outcome=study.outcome,
        split=study.split,
        criteria={study.target.place[name]: text for name, text in study.target.named_criteria.items()},
        suppress=study.target.suppress.where,
        express=express,
        file=file,
    )


def snapshot_funnel(rows: SnapshotRows, study: Study, mask: npt.NDArray[np.bool_]) -> list[FunnelStep]:
    """The funnel of some rows of a snapshot."""
    target = mask & rows.is_target
    counts = [int(mask.sum()), int(target.sum()), int(target.sum()), int((target & ~rows.is_suppressed).sum())]
    return funnel_steps(counts, study.target)


def snapshot_samples(rows: SnapshotRows, study: Study, *, always: Sequence[str] = ()) -> Samples:
    """The samples of a snapshot study: from here on its code is that of a study over time."""
    assert rows.y is not None  # noqa: S101 - the study's own table is labelled
    usable = rows.is_target & ~rows.is_suppressed
    part = rows.part if rows.part is not None else np.full(len(usable), "train")
    in_train = usable & (part == "train")
    profile = plan_profile(study.data.customers, rows.attributes[in_train], most=max(study.features.top_categories, 30))
    plan = FeaturePlan(profile=profile, records=(), features=profile.features)
    frames = {split: snapshot_frame(rows, plan, usable & (part == split)) for split in np.unique(part) if split}
    plan = keep_informative(plan, frames["train"].X, always=always)
    frames = {split: select_columns(frame, plan) for split, frame in frames.items()}
    _require_snapshot_positives(frames)
    funnels = [
        funnel_entry(
            split,
            None,
            snapshot_funnel(rows, study, part == split),
            int(frames[split].labels.sum()),
            study=study,
            criteria=_snapshot_criteria(rows, study, part == split),
        )
        for split in ("train", "validation", "test")
        if split in frames
    ]
    train = frames["train"]
    return Samples(
        plan=plan,
        train=train,
        validation=frames.get("validation"),
        test=frames.get("test"),
        funnels=funnels,
        warnings=list(rows.warnings),
        data=[rows.facts.to_dict()],
    )


def _snapshot_criteria(rows: SnapshotRows, study: Study, mask: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    assert rows.y is not None  # noqa: S101 - the study's own table is labelled
    lacks_one = mask & ~rows.is_suppressed & ((~rows.meets).sum(axis=1) == 1)
    told = []
    for i, (name, text) in enumerate(study.target.named_criteria.items()):
        out = lacks_one & ~rows.meets[:, i]
        told.append(
            _criterion(name, text, int((mask & ~rows.meets[:, i]).sum()), int(out.sum()), int(rows.y[out].sum()))
        )
    return told


def _require_snapshot_positives(frames: Mapping[str, Frame]) -> None:
    for split, frame in frames.items():
        if len(frame) == 0 or frame.labels.sum() in (0, len(frame)):
            raise DataError(
                f"labels: {split} has {int(frame.labels.sum()):,} positives in {len(frame):,} rows. "
                "Both outcomes are needed: check the target's criteria, outcome.positive and the split."
            )


def snapshot_frame(rows: SnapshotRows, plan: FeaturePlan, mask: npt.NDArray[np.bool_]) -> Frame:
    """Some rows of a snapshot with the features that the plan names."""
    block, unseen = profile_columns(plan.profile, rows.attributes[mask])
    names = [feature.name for feature in plan.profile.features]
    X = pd.DataFrame(block, columns=names)[plan.names]
    y = None if rows.y is None else rows.y[mask]
    return Frame(X=X, keys=rows.keys[mask].reset_index(drop=True), y=y, unseen=unseen)
