"""I/O and order: what the command line and the Python functions do, step by step. Nothing else."""

import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from ibis.common.exceptions import IbisError

from propensity.audit.leaks import audit_rows, audit_single, audit_tables
from propensity.audit.untouched import Trained
from propensity.bundle import Bundle, load_bundle
from propensity.changes import Earlier, told_in_short
from propensity.cohort import FunnelStep
from propensity.config import DataSpec, Study, meaning_fingerprint, resolve_path
from propensity.data.connect import Alter, to_frame
from propensity.data.deliver import replace_rows, require_place
from propensity.data.snapshot import SnapshotRows
from propensity.data.tables import Tables, between, open_tables, outcome_records
from propensity.drivers import Previous
from propensity.errors import BundleError, CheckFailedError, ConfigError, DataError, EnvironmentFailedError, InputError
from propensity.features.contacts import EVER
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.features.stored import write_matrix_by_workers
from propensity.files import (
    MANIFEST_SUFFIX,
    point_latest,
    read_list,
    require_link,
    to_json,
    whole_file,
    whole_folder,
    write_list,
    write_row_groups,
)
from propensity.intake import shortfalls, volumes
from propensity.machine import sampled
from propensity.marketing import check_avatar, criteria_table
from propensity.results import (
    AuditResult,
    CheckResult,
    MatrixResult,
    ScoreResult,
    TrainResult,
    funnel_table,
)
from propensity.rules.approach import check_tags
from propensity.rules.expressions import did_you_mean, parse_expression
from propensity.rules.pyramid import check_pyramids
from propensity.rules.qualification import check_qualification
from propensity.rules.scorecard import Scorecard, check_features, load_scorecard
from propensity.rules.stages import StageRules, default_rules, stage_rules
from propensity.run_folder import Material, track_run, write_run
from propensity.samples import (
    ALL_SPLITS,
    Samples,
    draw_labelled,
    express,
    labelled_rows,
    latest_scorable,
    matrix_tables,
    read_snapshot_rows,
    require_product,
    scoring_frame,
    snapshot_frame,
    snapshot_funnel,
    snapshot_samples,
    temporal_samples,
)
from propensity.scoring import in_order, list_manifest, ranked_list
from propensity.summary import package_versions
from propensity.temporal import Window, format_instant, to_instant
from propensity.training import Training, train_study

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
TRIALS = "trials.jsonl"
"""Trials of searches for parameters, beside a study's runs."""
LEAKS = "leaks.json"
"""What the latest audit of a run's study found, in the run's folder."""


@contextmanager
def engine_errors() -> Iterator[None]:
    """Tell the user what the engine could not do with the tables, in place of a traceback."""
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.FatalException) as error:
        raise EnvironmentFailedError(f"the engine failed: {_first_line(error)}") from error
    except (duckdb.Error, IbisError, pa.ArrowInvalid) as error:
        raise DataError(
            f"data: the tables cannot be read as the study says: {_first_line(error)}\n"
            "Compare the types of the columns that the study names (propensity check), or state their format."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@engine_errors()
def check(study: Study, *, today: datetime | None = None, progress: Progress = logger.info) -> CheckResult:
    """Look at a study's tables and draw its cohorts, without training.

    Parameters
    ----------
    study : Study
        From `load_study`.
    today : datetime, optional
        Records after this instant are counted as impossible.

    Returns
    -------
    CheckResult

    Raises
    ------
    DataError
        When something must be mended before training.
    """
    load_rules(study)
    study.read_wording()
    if study.is_snapshot:
        rows = read_snapshot_rows(study)
        samples = snapshot_samples(rows, study)
        facts, funnels, warnings = samples.data, samples.funnels, samples.warnings
    else:
        with open_study(study, today=today) as tables:
            require_product(tables, study)
            _, _, funnels = draw_labelled(tables, study, progress=progress)
            facts, warnings = [fact.to_dict() for fact in tables.facts], tables.warnings
    return CheckResult(
        study=study.study,
        tables=pd.DataFrame(facts),
        funnel=funnel_table(funnels),
        criteria=pd.DataFrame(criteria_table(funnels)),
        warnings=list(warnings),
    )


@engine_errors()
def audit(
    study: Study,
    *,
    model: str | None = None,
    runs: Path | None = None,
    tracking_uri: str | None = None,
    today: datetime | None = None,
    progress: Progress = logger.info,
) -> AuditResult:
    """Ask of a study whether anything as of its cutoffs knows what came later.

    Parameters
    ----------
    study : Study
        From `load_study`.
    model : str, optional
        Whose scores to look at: ``models:/name@alias``, ``runs:/…`` or a bundle's folder; default the study's latest
        run, or a quick model where there is none that fits.
    runs : Path, optional
        Where the study's runs are; default ``runs/<study>``.
    today : datetime, optional
        Records after this instant are impossible: counted and left out, as in training.

    Returns
    -------
    AuditResult
        It is kept as ``leaks.json`` in the run's folder, for its report, where a run's model was looked at.
    """
    always = named_features(study, load_rules(study))
    # A snapshot's scores are not looked at: its run only keeps what was found.
    trained, run = _trained(study, None if study.is_snapshot else model, runs=runs, uri=tracking_uri)
    found = _audited(study, trained, always=always, today=today, progress=progress)
    if run is not None:
        try:
            with whole_file(run / LEAKS) as place:
                place.write_text(to_json({**found.for_report(), "source": study.data.source}), encoding="utf-8")
        except OSError as error:  # what was found is told all the same
            logger.warning("leaks: %s cannot be written (%s): the run's report will not show them.", run / LEAKS, error)
    return found


def _audited(
    study: Study, trained: Trained, *, always: list[str], today: datetime | None, progress: Progress
) -> AuditResult:
    if study.is_snapshot:
        return audit_rows(study, snapshot_samples(read_snapshot_rows(study), study, always=always))

    def opener(spec: DataSpec, alter: Alter) -> AbstractContextManager[Tables]:
        return open_tables(spec, study.source_path, express=express, today=today, alter=alter)

    return audit_tables(study, opener=opener, always=always, trained=trained, progress=progress)


def _trained(study: Study, model: str | None, *, runs: Path | None, uri: str | None) -> tuple[Trained, Path | None]:
    """The model that was asked for, or the latest run's, and the run's folder; without one that fits, why not."""
    with TemporaryDirectory(prefix="propensity-") as temporary:
        try:
            where = find_bundle(study, model, into=Path(temporary), runs=runs, uri=uri)
            bundle = load_bundle(where)
            require_fit(study, bundle, where)
        except BundleError:
            if model is not None:
                raise
            return Trained(None, "there is no run that fits the study"), None
    run = where.parent if (where.parent / "report.json").is_file() else None
    return Trained(bundle, f"the model of {model or where.parent}", is_asked=model is not None), run


def open_study(study: Study, *, today: datetime | None = None) -> Any:
    """Open a study's tables (a context manager)."""
    return open_tables(study.data, study.source_path, express=express, today=today)


def load_rules(study: Study) -> Scorecard | None:
    """The study's scorecard, from its own file."""
    return load_scorecard(resolve_path(study.scorecard, beside=study.path)) if study.scorecard else None


@engine_errors()
def train(
    study: Study,
    *,
    out: Path | None = None,
    now: datetime,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: Progress = logger.info,
) -> TrainResult:
    """Train a study: models side by side, a bundle, a list, a report, and an MLflow run.

    Parameters
    ----------
    study : Study
        From `load_study`.
    out : Path, optional
        Where runs go; default ``runs/<study>``.
    now : datetime
        The moment of the run, for its name and manifest.
    track : bool
        Whether to log to MLflow.
    tracking_uri : str, optional
        In place of the study's own.
    progress : callable
        Told what is being done.

    Returns
    -------
    TrainResult
    """
    started = perf_counter()
    root = out or Path("runs") / study.study
    run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    require_link(root)
    scorecard = load_rules(study)
    study.read_wording()
    about: dict[str, Any] = {
        "study": study.study,
        "run": run_id,
        "meaning": meaning_fingerprint(study),
        "seed": study.seed,
        "fitted_on": "all matured cutoffs",
        "learnt_until": _learnt_until(study),
        "versions": package_versions(),
    }
    uri = tracking_uri or study.tracking.uri
    with whole_folder(root / run_id) as work, sampled() as load:
        material = _gather(study, always=named_features(study, scorecard), now=now, progress=progress)
        previous = (_champion(study, uri, progress) if track else None) or _last_report(root)
        trials = _kept_trials(study, root)
        progress("judging each feature by itself")
        leaks = audit_single(study, material.samples).for_report()
        about["usual"] = material.usual
        training = _train(study, material.samples, scorecard, about, material.kinds, trials=trials, progress=progress)
        result = write_run(
            work,
            study,
            training,
            material,
            run_id=run_id,
            now=now,
            started=started,
            previous=previous,
            leaks=leaks,
            load=load,
        )
        if track:
            progress("logging to MLflow")
            try:
                train_rows = training.samples.train
                rows = train_rows.X.assign(label=train_rows.labels)
                result["tracking"] = track_run(work, uri=uri, rows=rows)
                (work / "tracking.json").write_text(to_json(result["tracking"]), encoding="utf-8")
            except EnvironmentFailedError as error:  # no training is lost for it
                result["untracked"] = (
                    f"{error} The run is kept. To send it later: propensity track {root / run_id} --tracking-uri URI"
                )
    point_latest(root, to=run_id)
    return TrainResult(study=study.study, folder=root / run_id, **result)


def _learnt_until(study: Study) -> str | None:
    """The instant (ISO 8601, UTC) up to which purchases decide the labels that are learnt from; None for a snapshot."""
    if study.is_snapshot:
        return None
    ends = [study.label_window(cutoff).end for split in study.cutoff_instants().values() for cutoff in split]
    return max(ends).astimezone(UTC).isoformat()


def _champion(study: Study, uri: str, progress: Progress) -> Previous | None:
    """The champion's run, if any; a store of this machine that cannot be opened is told here, before the training."""
    from propensity.tracking import champion_text, reach  # importing mlflow takes seconds

    try:
        reach(uri=uri, experiment=study.tracking.experiment or study.study)
    except EnvironmentFailedError as error:
        if not uri.startswith(("http://", "https://")):
            raise
        progress(f"{error} The run will be kept on disk")
        return None
    return _previous("the champion", champion_text(study.study, "report.json", uri=uri))


def _last_report(root: Path) -> Previous | None:
    """The latest run in the folder, if there is one."""
    try:
        return _previous("the run before", (root / "latest" / "report.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _previous(what: str, text: str | None) -> Previous | None:
    """An earlier run by its report's text; None where this version cannot read it."""
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return Previous(what, found) if isinstance(found, dict) else None


def _gather(study: Study, *, always: list[str], now: datetime, progress: Progress) -> Material:
    """Read all that is needed before the training, so that a list's date that cannot be scored is told at once."""
    if study.is_snapshot:
        rows = read_snapshot_rows(study)
        samples = snapshot_samples(rows, study, always=always)
        frame, steps = snapshot_list(study, rows, samples.plan)
        return Material(samples, frame, steps, as_of=None, kinds=None, digest=_rows_digest(samples))
    with open_study(study, today=now) as tables:
        samples = temporal_samples(tables, study, always=always, progress=progress)
        as_of = latest_scorable(study, until=tables.until)
        progress(f"prospects as of {format_instant(as_of, zone=study.zone)}")
        frame, steps = scoring_frame(tables, study, samples.plan, as_of)
        kinds, digest, usual = _event_kinds(tables), tables.fingerprint(), _usual(tables, study, samples)
        return Material(samples, frame, steps, as_of=as_of, kinds=kinds, digest=digest, usual=usual)


def _usual(tables: Tables, study: Study, samples: Samples) -> list[dict[str, Any]]:
    """How many prospects and records there were at each cutoff: what a list's input is held against."""
    cutoffs = [cutoff for split in study.cutoff_instants().values() for cutoff in split]
    return [
        {"cutoff": funnel["cutoff"], "prospects": funnel["steps"][-1]["count"], **volumes(tables, cutoff)}
        for funnel, cutoff in zip(samples.funnels, cutoffs, strict=True)
    ]


def named_features(study: Study, scorecard: Scorecard | None) -> list[str]:
    """The features that the study's rules, its scorecard or its report need: they are kept in any case."""
    named = [indicator.feature for indicator in scorecard.indicators] if scorecard else []
    if study.single_indicator.feature:
        named.append(study.single_indicator.feature)
    check_qualification(study.qualification, columns=None, where="qualification")
    tags: dict[str, Mapping[Any, str]] = {
        "barriers": study.barriers,
        "approach": study.approach,
        "channels": study.channels,
    }
    check_tags(tags, columns=None)
    rules = {"stages": study.stages or {}, "segments": study.segments, "qualification": study.qualification, **tags}
    for place, texts in rules.items():
        for name, text in texts.items():
            named += sorted(parse_expression(text, columns=None, where=f"{place}.{name}").columns)
    named += [indicator.feature for pyramid in study.pyramids.values() for indicator in pyramid.indicators]
    named += [feature for features in study.avatar.values() for feature in features]
    named += study.models.lightgbm.monotone if study.models.lightgbm else []
    named += [EVER] if study.data.contacts else []
    return named


def labelled_samples(
    study: Study,
    *,
    always: Sequence[str],
    now: datetime,
    need_buyers: Sequence[str] = ALL_SPLITS,
    progress: Progress,
) -> Samples:
    """The samples of a study: what it learns from and is judged on (`temporal_samples`)."""
    if study.is_snapshot:
        return snapshot_samples(read_snapshot_rows(study), study, always=always)
    with open_study(study, today=now) as tables:
        return temporal_samples(tables, study, always=always, need_buyers=need_buyers, progress=progress)


def _event_kinds(tables: Tables) -> list[str] | None:
    if tables.events is None:
        return None
    return sorted(tables.distinct_kinds())


def _train(
    study: Study,
    samples: Samples,
    scorecard: Scorecard | None,
    about: Mapping[str, Any],
    kinds: list[str] | None,
    *,
    trials: "BaseStorage | None",
    progress: Progress,
) -> Training:
    check_models(study, samples.plan, scorecard)
    check_rules(study, samples.plan)
    check_avatar(study, samples.plan.names)
    stages = _stages(study, samples.plan, kinds)
    return train_study(
        study, samples, scorecard=scorecard, stages=stages, about=about, trials=trials, progress=progress
    )


def _kept_trials(study: Study, root: Path) -> "BaseStorage | None":
    """Where a search for parameters keeps its trials: a file of JSON lines beside the runs, shared by all of them."""
    if study.models.lightgbm is None or study.models.lightgbm.tune is None:
        return None
    from optuna.storages import JournalStorage  # optuna is imported where it is needed
    from optuna.storages.journal import JournalFileBackend

    root.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(root / TRIALS)))


def check_models(study: Study, plan: FeaturePlan, scorecard: Scorecard | None) -> None:
    """Raise ConfigError where the study's models name features that there are not."""
    if scorecard is not None:
        check_features(scorecard, plan.names)
    indicator = study.single_indicator.feature
    if "single_indicator" in study.models.names and indicator is not None and indicator not in plan.names:
        raise ConfigError(
            f"single_indicator.feature: no feature '{indicator}'. {did_you_mean(indicator, plan.names)} "
            "List them: propensity features STUDY."
        )
    for name in study.models.lightgbm.monotone if study.models.lightgbm else ():
        place = f"models.lightgbm.monotone.{name}"
        if name not in plan.names:
            raise ConfigError(
                f"{place}: no such feature. {did_you_mean(name, plan.names)} List them: propensity features STUDY."
            )
        if name in plan.categories:
            raise ConfigError(f"{place}: a category neither rises nor falls. Name a feature that is a number.")


def check_rules(study: Study, plan: FeaturePlan) -> None:
    """Raise ConfigError where the study's rules name features that there are not."""
    check_qualification(study.qualification, columns=plan.names, where="qualification")
    check_tags({"barriers": study.barriers, "approach": study.approach, "channels": study.channels}, columns=plan.names)
    check_pyramids(study.pyramids, columns=plan.names, categories=plan.categories)
    # A kind of event may not have occurred yet: no reason to go without a list.
    if unused := study.read_wording().unused(feature.to_dict() for feature in plan.planned):
        logger.warning("wording: nothing is called %s: what is said of it is not used.", ", ".join(unused))


def _stages(study: Study, plan: FeaturePlan, kinds: list[str] | None) -> StageRules | None:
    if study.stages:
        rules = stage_rules(study.stages, where="stages")
        rules.expressions(plan.names)
        return rules
    if not kinds:
        return None
    rules = default_rules(kinds, plan.catalogue())
    return rules if rules.texts() else None


def snapshot_list(study: Study, rows: SnapshotRows, plan: FeaturePlan) -> tuple[Frame, list[FunnelStep]]:
    """The rows of a snapshot that are listed: those of test, or all when the split is by folds."""
    every = np.ones(len(rows.keys), dtype=bool)
    mask = every if rows.part is None else rows.part == "test"
    frame = snapshot_frame(rows, plan, mask & rows.is_target & ~rows.is_suppressed)
    return frame, snapshot_funnel(rows, study, mask)


def _rows_digest(samples: Samples) -> str:
    hashes = pd.util.hash_pandas_object(samples.train.X, index=False).to_numpy()
    return f"{np.bitwise_xor.reduce(hashes):016x}"


def find_bundle(
    study: Study, model: str | None, *, into: Path, runs: Path | None = None, uri: str | None = None
) -> Path:
    """The bundle folder that `model` names: an MLflow URI, a folder, or (None) the study's latest run.

    Raises
    ------
    BundleError
        When there is none.
    """
    if model is not None and model.startswith(("models:/", "runs:/")):
        from propensity.tracking import fetch_bundle  # importing mlflow takes seconds

        return fetch_bundle(model, uri=uri or study.tracking.uri, into=into)
    if model is not None:
        folder = Path(model)
        return folder if (folder / "bundle.json").exists() or not (folder / "bundle").exists() else folder / "bundle"
    folder = (runs or Path("runs") / study.study) / "latest" / "bundle"
    if not folder.exists():
        raise BundleError(
            f"--model: there is no model of {study.study} at {folder}. Train first (propensity train), or name one: "
            "a run's bundle folder, models:/name@alias, or runs:/…"
        )
    return folder


def fitting_bundle(study: Study, model: str | None, *, runs: Path | None, uri: str | None) -> Bundle:
    """The bundle that `model` names (see `find_bundle`), trained with what the study means now.

    Raises
    ------
    BundleError
        When there is none, or it was trained with something else.
    """
    with TemporaryDirectory(prefix="propensity-") as temporary:
        where = find_bundle(study, model, into=Path(temporary), runs=runs, uri=uri)
        bundle = load_bundle(where)
    require_fit(study, bundle, where)
    return bundle


def require_fit(study: Study, bundle: Bundle, where: Path) -> None:
    """Raise BundleError unless the bundle was trained with what the study means now."""
    if bundle.about.get("meaning") != meaning_fingerprint(study):
        raise BundleError(
            f"{where}: the bundle of '{bundle.about.get('study')}' was trained with other tables, target, outcome or "
            f"features than {study.path.name} states now. Train again, or score with the study that it was trained on."
        )


@engine_errors()
def score(
    study: Study,
    *,
    as_of: datetime | None = None,
    data: Path | None = None,
    model: str | None = None,
    out: Path | None = None,
    runs: Path | None = None,
    tracking_uri: str | None = None,
    anyway: bool = False,
    since: Path | None = None,
    table: str | None = None,
    database: str | None = None,
    today: datetime | None = None,
    progress: Progress = logger.info,
) -> ScoreResult:
    """Rank the prospects as of a date (or the rows of a file, for a snapshot study).

    Parameters
    ----------
    study : Study
        From `load_study`.
    as_of : datetime, optional
        The cutoff; needed unless the study is a snapshot.
    data : Path, optional
        For a snapshot study: the rows to score.
    model : str, optional
        ``models:/name@alias``, ``runs:/…`` or a bundle's folder; default: the study's latest run.
    out : Path, optional
        Where to write the list (``.parquet`` or ``.csv``), with its manifest beside it.
    runs : Path, optional
        Where the study's runs are; default ``runs/<study>``.
    anyway : bool
        Make the list although there is less to make it from than usual.
    since : Path, optional
        An earlier list: what has changed since is told, and written beside the list.
    table : str, optional
        A table that gets the list too, in place of what it held of this study and date.
    database : str, optional
        The address of the database that the table is in.
    today : datetime, optional
        Records after this instant are impossible: counted and left out, as in training.

    Returns
    -------
    ScoreResult

    Raises
    ------
    CheckFailedError
        When there are fewer prospects or records than usual, or older ones; when the source has changed so that it
        cannot be read as when the model learnt; when too many prospects have categories that it has not seen.
    """
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out: {out.name} ends in neither .parquet nor .csv. Choose one of them.")
    if (table is None) != (database is None):
        raise InputError("--table: a list goes into a table of a database. Name both: --table NAME --database ADDRESS.")
    if table is not None and database is not None:
        require_place(database, table)
    wording = study.read_wording()
    bundle = fitting_bundle(study, model, runs=runs, uri=tracking_uri)
    check_rules(study, bundle.plan)
    if study.is_snapshot:
        if data is None:
            raise InputError("--data: a snapshot study scores the rows of a file. Name it: --data FILE.")
        if since is not None:
            raise InputError("--since: a snapshot's rows have no earlier day to look at. Leave it out.")
        rows, digest, earlier = read_snapshot_rows(study, file=data), None, None
        every = np.ones(len(rows.keys), dtype=bool)
        frame = snapshot_frame(rows, bundle.plan, rows.is_target & ~rows.is_suppressed)
        steps = snapshot_funnel(rows, study, every)
        if len(frame) == 0:
            criteria = "; ".join(study.target.named_criteria)
            raise DataError(f"--data: none of the {len(every):,} rows is a prospect ({criteria}).")
    else:
        if as_of is None:
            raise InputError("--as-of: the date to score at is needed, such as --as-of 2025-09-01.")
        if data is not None:
            raise InputError("--data: is for snapshot studies; this study scores its own tables. Leave it out.")
        with _open_as_learnt(study, today=today) as tables:
            progress(f"scoring prospects as of {format_instant(as_of, zone=study.zone)}")
            frame, steps = scoring_frame(tables, study, bundle.plan, as_of)
            if not anyway:
                _refuse_short(study, bundle, frame, tables, as_of)
            digest = tables.fingerprint()
            earlier = None if since is None else _look_back(tables, study, bundle, since, as_of)
    _refuse_unseen(study, frame)
    ranked = ranked_list(study, bundle, frame, wording, progress=progress)
    manifest = list_manifest(study, bundle, ranked, steps, as_of, frame, digest=digest)
    changes = None
    if earlier is not None:
        progress("what has changed since the earlier list")
        changes = earlier.changes(study, bundle, ranked, in_order(frame, ranked), wording)
        manifest["changes"] = told_in_short(changes, since=earlier.as_of)
    if out is not None:
        with whole_file(out.with_name(out.name + MANIFEST_SUFFIX)) as work:
            work.write_text(to_json(manifest), encoding="utf-8")
            if changes is not None:
                write_list(changes, out.with_name(f"{out.stem}.changes{out.suffix}"))
            write_list(ranked, out)
    if table is not None and database is not None:
        progress("writing to the database")
        named = ranked.assign(study=study.study)[["study", *ranked.columns]]
        day = None if as_of is None else ranked["as_of"].iloc[0].to_pydatetime()
        replace_rows(database, table, named, replaced={"study": study.study, "as_of": day})
    return ScoreResult(path=out, prospects=ranked, manifest=manifest, changes=changes)


@contextmanager
def _open_as_learnt(study: Study, *, today: datetime | None) -> Iterator[Tables]:
    """The tables of a study that a model fits: what cannot be read of them has changed since it was trained."""
    with ExitStack() as stack:
        try:
            tables = stack.enter_context(open_study(study, today=today))
        except DataError as error:
            raise CheckFailedError(f"score: the source is not what it was when the model learnt. {error}") from error
        yield tables


def _look_back(tables: Tables, study: Study, bundle: Bundle, file: Path, as_of: datetime) -> Earlier:
    """An earlier list, and its day as this model sees it."""
    place = file.with_name(file.name + MANIFEST_SUFFIX)
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
        own, day = manifest["study"], str(manifest["as_of"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"--since: {place} cannot be read: it is the manifest beside a list. Name a list.") from None
    then = to_instant(day, zone=study.zone)
    if own != study.study or then >= as_of:
        raise InputError(
            f"--since: {file} is a list of {own} as of {day}. Name one of {study.study} before "
            f"{format_instant(as_of, zone=study.zone)}."
        )
    listed = read_list(file, needed=("customer_id", "rank", "points"))
    frame, _ = scoring_frame(tables, study, bundle.plan, then)
    records = between(outcome_records(tables, study.outcome, express=express), Window(then, as_of))
    bought = to_frame(records.select("customer_id").distinct())["customer_id"]
    return Earlier(day, listed, frame, bought.astype(str).tolist())


def _refuse_short(study: Study, bundle: Bundle, frame: Frame, tables: Tables, as_of: datetime) -> None:
    told = shortfalls(bundle.about.get("usual", []), len(frame), volumes(tables, as_of), study.listing)
    if told:
        raise CheckFailedError(
            f"score: as of {format_instant(as_of, zone=study.zone)} there is less to make a list from than usual: "
            f"{'; '.join(told)}. Check the source. If it is right: --anyway, or other limits (list.least, "
            "list.least_records, list.max_age)."
        )


def _refuse_unseen(study: Study, frame: Frame) -> None:
    for name, count in (frame.unseen or {}).items():
        if count > study.data.max_unseen * len(frame):
            raise CheckFailedError(
                f"{name}: {count:,} of {len(frame):,} prospects have a category that training did not see (limit "
                f"{study.data.max_unseen:.0%}). Check the source, train again, or raise data.max_unseen."
            )


def prospects(
    study: Study, plan: FeaturePlan, *, as_of: datetime | None, today: datetime | None
) -> tuple[Frame, datetime | None]:
    """The prospects as of a date (by default the latest scorable one), and the date; of a snapshot those it lists."""
    if study.is_snapshot:
        return snapshot_list(study, read_snapshot_rows(study), plan)[0], None
    with open_study(study, today=today) as tables:
        as_of = as_of or latest_scorable(study, until=tables.until)
        return scoring_frame(tables, study, plan, as_of)[0], as_of


@engine_errors()
def write_matrix(study: Study, out: Path, *, now: datetime, progress: Progress = logger.info) -> MatrixResult:
    """Write the labelled matrix of all the study's cutoffs as Parquet, in bounded memory, whole or not at all.

    With Spark, `out` is a folder of files that its workers write.

    Raises
    ------
    InputError
        When the study is a snapshot, or `out` does not end in ``.parquet``.
    """
    if study.is_snapshot:
        raise InputError("--out: a snapshot study's rows are its features already. Use its own file.")
    if out.suffix != ".parquet":
        raise InputError(f"--out: {out.name} does not end in .parquet. Choose such a name.")
    if out.exists() and (study.data.on_spark or out.is_dir()):
        raise InputError(f"--out: {out} exists already. Remove it, or choose another name.")
    with open_study(study, today=now) as tables:
        labelled = labelled_rows(tables, study, progress=progress)
        plan, rows = labelled.plan, labelled.rows
        if tables.source.has_workers:
            with whole_folder(out) as folder:
                write_matrix_by_workers(tables, plan, rows, beside=labelled.beside, extra=labelled.extra, folder=folder)
        else:
            schema, parts = matrix_tables(tables, labelled, progress=progress)
            write_row_groups(parts, out, schema=schema)
    return MatrixResult(path=out, rows=len(rows.code), features=len(plan.features), warnings=labelled.warnings)


@engine_errors()
def catalogue(study: Study, *, now: datetime, progress: Progress = logger.info) -> pd.DataFrame:
    """The features that the study's train cohorts give: name, description, window, source, share missing."""
    plan = labelled_samples(study, always=named_features(study, load_rules(study)), now=now, progress=progress).plan
    shown = ["name", "description", "group", "window", "source", "kind", "unit", "missing_share", "typical"]
    return pd.DataFrame(plan.catalogue())[shown]
