"""What is done with a scorecard besides ranking by it: show, explain, learn, write as SQL. I/O and order only."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from propensity.config import Study, resolve_path
from propensity.errors import ConfigError, DataError, InputError
from propensity.features.matrix import Frame, decode
from propensity.files import whole_file
from propensity.pipelines import Progress, engine_errors, labelled_samples, named_features, prospects
from propensity.results import ScorecardLines, ScorecardTable
from propensity.rules.evidence import scorecard_table
from propensity.rules.fitting import FitSettings, fit_scorecard
from propensity.rules.scorecard import Scorecard, arithmetic, check_features, load_scorecard
from propensity.rules.scorecard_file import scorecard_yaml
from propensity.rules.scorecard_sql import Dialect, scorecard_sql
from propensity.samples import Samples
from propensity.temporal import format_instant


def read_scorecard(study: Study, card: Path | None) -> Scorecard:
    """The scorecard of a file, or else the study's own."""
    if card is None and study.scorecard is None:
        raise ConfigError(
            f"scorecard: {study.path.name} names none. Add scorecard: PATH to it, or name a file: --card."
        )
    return load_scorecard(card or resolve_path(str(study.scorecard), beside=study.path))


@engine_errors()
def show(study: Study, *, card: Path | None, now: datetime, progress: Progress) -> ScorecardTable:
    """A scorecard line by line: points, and what became of the train prospects in each; its stability up to test.

    Parameters
    ----------
    card : Path, optional
        A scorecard's file; default the study's own.
    now : datetime
        Records after this instant are impossible.
    """
    scorecard = read_scorecard(study, card)
    samples = _samples(study, [scorecard], now=now, progress=progress)
    return ScorecardTable(scorecard.scorecard, scorecard.about, len(samples.train), _table(scorecard, samples))


def _samples(study: Study, scorecards: Sequence[Scorecard], *, now: datetime, progress: Progress) -> Samples:
    named = [indicator.feature for card in scorecards for indicator in card.indicators]
    samples = labelled_samples(study, always=[*named_features(study, None), *named], now=now, progress=progress)
    for card in scorecards:
        check_features(card, samples.plan.names)
    return samples


def _decoded(frame: Frame, samples: Samples) -> pd.DataFrame:
    return decode(frame.X, samples.plan.catalogue())


def _table(scorecard: Scorecard, samples: Samples) -> pd.DataFrame:
    later = None if samples.test is None else _decoded(samples.test, samples)
    return scorecard_table(scorecard, _decoded(samples.train, samples), samples.train.labels, later=later)


@engine_errors()
def explain(
    study: Study,
    customer: str,
    *,
    card: Path | None,
    as_of: datetime | None,
    now: datetime,
    progress: Progress,
) -> ScorecardLines:
    """The arithmetic of one prospect's points.

    Raises
    ------
    InputError
        When the customer is no prospect as of the date.
    """
    scorecard = read_scorecard(study, card)
    samples = _samples(study, [scorecard], now=now, progress=progress)
    frame, as_of = prospects(study, samples.plan, as_of=as_of, today=now)
    found = np.flatnonzero(frame.keys["customer_id"].astype(str).to_numpy() == customer)
    when = format_instant(as_of, zone=study.zone) if as_of else None
    if len(found) == 0:
        raise InputError(
            f"scorecard: {customer!r} is not a prospect{f' as of {when}' if when else ''}: unknown, outside the "
            "target, a buyer, or suppressed."
        )
    row = decode(frame.X.iloc[found], samples.plan.catalogue())
    table, total = arithmetic(scorecard, row)
    return ScorecardLines(customer, when, scorecard.scorecard, total, table, scorecard.shares())


@engine_errors()
def fit(study: Study, out: Path, *, now: datetime, progress: Progress) -> ScorecardTable:
    """Learn a scorecard on the study's train prospects, and write it as a file that a marketer can take over.

    Raises
    ------
    InputError
        When `out` is no YAML file, or is there already: a marketer may have changed it.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"--out: {out.name} is no .yaml file. Choose such a name.")
    if out.exists():
        raise InputError(f"--out: {out} exists already, and may have been changed by hand. Choose another name.")
    samples = labelled_samples(study, always=named_features(study, None), now=now, progress=progress)
    progress("learning a scorecard")
    entries = samples.plan.catalogue()
    told = Counter(entry["description"] for entry in entries)
    names = {entry["name"]: entry["description"] for entry in entries if told[entry["description"]] == 1}
    settings = FitSettings(**study.points.model_dump(), directions=study.fitted_scorecard.directions, names=names)
    train = samples.train
    scorecard = fit_scorecard(_decoded(train, samples), train.labels, name=f"{study.study}-fitted", settings=settings)
    if scorecard is None:
        raise DataError("scorecard: no feature varies among the train prospects: there is nothing to learn one from.")
    table = _table(scorecard, samples)
    with whole_file(out) as work:
        work.write_text(scorecard_yaml(scorecard, table), encoding="utf-8")
    return ScorecardTable(scorecard.scorecard, scorecard.about, len(train), table)


def sql(study: Study, *, card: Path | None, table: str, dialect: Dialect) -> str:
    """A scorecard as SQL over the matrix that ``propensity features --out`` writes."""
    return scorecard_sql(read_scorecard(study, card), table=table, key="customer_id", dialect=dialect)
