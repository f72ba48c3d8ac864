"""Customers as of any date in marketing's terms, without a training: who bought, who has not, and where they stand."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.data.connect import to_frame
from propensity.data.tables import Tables, as_of, outcome_records
from propensity.errors import InputError
from propensity.features.matrix import Frame
from propensity.files import write_list
from propensity.marketing import group_order, groups_of, traits_of
from propensity.pipelines import Progress, check_rules, engine_errors, fitting_bundle, open_study
from propensity.results import Classification
from propensity.rules.segments import propose
from propensity.rules.stages import stage_transitions
from propensity.samples import express, scoring_frame
from propensity.scoring import list_tags, qualification_answers
from propensity.temporal import format_instant


@engine_errors()
def classify(
    study: Study,
    *,
    at: datetime,
    since: datetime | None,
    model: str | None,
    runs: Path | None,
    tracking_uri: str | None,
    out: Path | None,
    today: datetime,
    progress: Progress,
) -> Classification:
    """Divide a study's target customers as of a date.

    Parameters
    ----------
    at : datetime
        The cutoff: only rows before it count.
    since : datetime, optional
        An earlier cutoff, to tell who moved from which buying stage to which.
    model : str, optional
        Whose features and stages count, as in scoring; default the study's latest run.
    out : Path, optional
        Where to write every prospect with its groups (``.parquet`` or ``.csv``).

    Raises
    ------
    InputError
        When the study is a snapshot, or `since` is not before `at`.
    """
    if study.is_snapshot:
        raise InputError("--as-of: a snapshot has no dates. Its run's folder holds segments.json.")
    if since is not None and since >= at:
        raise InputError("--since: it must lie before --as-of.")
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out: {out.name} ends in neither .parquet nor .csv. Choose one of them.")
    bundle = fitting_bundle(study, model, runs=runs, uri=tracking_uri)
    check_rules(study, bundle.plan)
    with open_study(study, today=today) as tables:
        progress(f"prospects as of {format_instant(at, zone=study.zone)}")
        frame, steps = scoring_frame(tables, study, bundle.plan, at)
        moves = None if since is None else _moves(tables, study, bundle, frame, at=at, since=since, progress=progress)
    decoded = bundle.decoded(frame.X)
    dimensions = propose(decoded, bundle.plan.catalogue(), traits_of(study))
    groups = groups_of(bundle, decoded, dimensions)
    counts = {step.name: step.count for step in steps}
    customers = pd.DataFrame(
        {
            "group": ["ever-purchased", "never-purchased", "suppressed", "prospects"],
            "customers": [
                counts["target customers"] - counts["never purchased"],
                counts["never purchased"],
                counts["never purchased"] - counts["prospects"],
                counts["prospects"],
            ],
        }
    )
    if out is not None:
        write_list(_each(study, bundle, frame, groups), out)
    return Classification(
        study=study.study,
        as_of=format_instant(at, zone=study.zone),
        since=format_instant(since, zone=study.zone) if since else None,
        customers=customers,
        groups=_sizes(groups, group_order(bundle, dimensions)),
        transitions=moves,
        path=out,
    )


def _moves(
    tables: Tables, study: Study, bundle: Bundle, frame: Frame, *, at: datetime, since: datetime, progress: Progress
) -> pd.DataFrame | None:
    if bundle.stages is None:
        return None
    progress(f"prospects as of {format_instant(since, zone=study.zone)}")
    before, _ = scoring_frame(tables, study, bundle.plan, since)
    stages = [
        pd.Series(bundle.buying_stages(bundle.decoded(rows.X))).set_axis(rows.keys["customer_id"])
        for rows in (before, frame)
    ]
    buyers = as_of(outcome_records(tables, study.outcome, express=express), at).select("customer_id").distinct()
    return stage_transitions(stages[0], stages[1], to_frame(buyers)["customer_id"].tolist())


def _sizes(groups: dict[str, np.ndarray], order: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    rows = [
        {"dimension": dimension, "group": group, "prospects": int(own.sum()), "share": float(own.mean())}
        for dimension, member in groups.items()
        for group in order[dimension]
        if (own := member == group).any()
    ]
    return pd.DataFrame(rows, columns=["dimension", "group", "prospects", "share"])


def _each(study: Study, bundle: Bundle, frame: Frame, groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Every prospect with its groups, tags, tiers and qualification."""
    named = {name.split(":")[0].replace(" ", "_"): member for name, member in groups.items()}
    table = pd.DataFrame({"customer_id": frame.keys["customer_id"], "as_of": frame.keys["cutoff"], **named})
    table = pd.concat([table, list_tags(study, bundle, frame).reset_index(drop=True)], axis=1)
    answers = qualification_answers(study, bundle, frame)
    return table if answers is None else table.assign(qualification=answers["qualification"].to_numpy())
