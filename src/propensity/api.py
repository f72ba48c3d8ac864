"""The functions for Python: the same that the command line calls, with the moment of the call filled in."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propensity.config import Study, load_study
from propensity.errors import InputError
from propensity.temporal import to_instant

if TYPE_CHECKING:
    import pandas as pd

    from propensity.bundle import Bundle
    from propensity.data.simulate import MarketSummary
    from propensity.pipelines import Progress
    from propensity.results import (
        AuditResult,
        BacktestResult,
        CheckResult,
        Classification,
        CustomerExplanation,
        MatrixResult,
        MonitoringResult,
        OutcomesResult,
        PromotionResult,
        ScorecardLines,
        ScorecardTable,
        ScoreResult,
        TrainResult,
    )
    from propensity.rules.scorecard_sql import Dialect

__all__ = [
    "audit",
    "backtest",
    "check",
    "classify",
    "explain",
    "explain_scorecard",
    "feature_catalogue",
    "fit_scorecard",
    "load_bundle",
    "load_study",
    "monitor",
    "outcomes",
    "promote",
    "score",
    "scorecard_sql",
    "shap_explanation",
    "show_scorecard",
    "simulate",
    "track",
    "train",
    "write_matrix",
]

StudyLike = Study | str | Path


def _study(study: StudyLike) -> Study:
    return study if isinstance(study, Study) else load_study(study)


def _quiet(_: str) -> None:
    """Tell nobody."""


def _instant(value: date | datetime | str | None, study: Study) -> datetime | None:
    if value is None:
        return None
    try:
        return to_instant(value, zone=study.zone)
    except ValueError:
        raise InputError(f"as of: {value!r} is not a date. Write it as 2025-09-01.") from None


def check(study: StudyLike, *, progress: "Progress" = _quiet) -> "CheckResult":
    """Look at a study's tables and draw its cohorts, without training.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    CheckResult
        ``tables`` and ``funnel`` as DataFrames, and ``warnings``.

    Raises
    ------
    InputError
        When something in the study or its tables must be mended.
    """
    from propensity import pipelines

    return pipelines.check(_study(study), today=datetime.now(UTC), progress=progress)


def audit(
    study: StudyLike,
    *,
    model: str | None = None,
    runs: str | Path | None = None,
    tracking_uri: str | None = None,
    progress: "Progress" = _quiet,
) -> "AuditResult":
    """Ask of a study whether anything as of its cutoffs knows what came later.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    model, runs, tracking_uri
        Whose scores to look at, as in `score`; default the study's latest run, or a quick model where none fits.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    AuditResult
        ``verdict`` and ``sentence``; ``findings``, ``trials``, ``features`` and ``availability`` as DataFrames.
    """
    from propensity import pipelines

    return pipelines.audit(
        _study(study),
        model=model,
        runs=Path(runs) if runs is not None else None,
        tracking_uri=tracking_uri,
        today=datetime.now(UTC),
        progress=progress,
    )


def classify(
    study: StudyLike,
    *,
    as_of: date | datetime | str,
    since: date | datetime | str | None = None,
    model: str | None = None,
    runs: str | Path | None = None,
    tracking_uri: str | None = None,
    out: str | Path | None = None,
    progress: "Progress" = _quiet,
) -> "Classification":
    """Divide the target customers as of a date: ever and never purchased, segments, buying stages, and moves.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    as_of : date, datetime or str
        The cutoff: only rows before it count.
    since : date, datetime or str, optional
        An earlier cutoff, to tell who moved from which buying stage to which.
    model, runs, tracking_uri
        Whose features and stages count, as in `score`; default the study's latest run.
    out : str or Path, optional
        Where to write every prospect with its groups (``.parquet`` or ``.csv``).
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    Classification
        ``customers``, ``groups`` and ``transitions`` as DataFrames.
    """
    from propensity import classification

    loaded = _study(study)
    at = _instant(as_of, loaded)
    assert at is not None  # noqa: S101 - a date was given
    return classification.classify(
        loaded,
        at=at,
        since=_instant(since, loaded),
        model=model,
        runs=Path(runs) if runs is not None else None,
        tracking_uri=tracking_uri,
        out=Path(out) if out is not None else None,
        today=datetime.now(UTC),
        progress=progress,
    )


def feature_catalogue(study: StudyLike, *, progress: "Progress" = _quiet) -> "pd.DataFrame":
    """The features of a study, in plain words.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    DataFrame
        ``name``, ``description``, ``group``, ``window``, ``source``, ``kind``, ``unit``, ``missing_share`` (0 to 1,
        on train) and ``typical``, a row for each feature.
    """
    from propensity import pipelines

    return pipelines.catalogue(_study(study), now=datetime.now(UTC), progress=progress)


def write_matrix(study: StudyLike, out: str | Path, *, progress: "Progress" = _quiet) -> "MatrixResult":
    """Write the labelled rows of all the study's cutoffs, with all features, as Parquet, in bounded memory.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    out : str or Path
        The file to write, ``.parquet``.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    MatrixResult
        ``path``, and how many ``rows`` and ``features`` were written.
    """
    from propensity import pipelines

    return pipelines.write_matrix(_study(study), Path(out), now=datetime.now(UTC), progress=progress)


def train(
    study: StudyLike,
    *,
    out: str | Path | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: "Progress" = _quiet,
) -> "TrainResult":
    """Train a study: models side by side, a bundle, a list, a report, and an MLflow run.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    out : str or Path, optional
        Where runs go; default ``runs/<study>``.
    track : bool, default=True
        Whether to log to MLflow.
    tracking_uri : str, optional
        In place of the study's ``tracking.uri``.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    TrainResult
        ``metrics``, ``comparisons``, ``funnel``, ``predictions`` and ``prospects`` as DataFrames, and ``folder``.
    """
    from propensity import pipelines

    return pipelines.train(
        _study(study),
        out=Path(out) if out is not None else None,
        now=datetime.now(UTC),
        track=track,
        tracking_uri=tracking_uri,
        progress=progress,
    )


def score(
    study: StudyLike,
    *,
    as_of: date | datetime | str | None = None,
    data: str | Path | None = None,
    model: str | None = None,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    tracking_uri: str | None = None,
    wording: str | None = None,
    random_control: str | float | None = None,
    anyway: bool = False,
    since: str | Path | None = None,
    table: str | None = None,
    database: str | None = None,
    progress: "Progress" = _quiet,
) -> "ScoreResult":
    """Rank the prospects as of a date, or the rows of a file for a snapshot study.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    as_of : date, datetime or str, optional
        The cutoff, local to the study's time zone; needed unless the study is a snapshot.
    data : str or Path, optional
        For a snapshot study: the rows to score.
    model : str, optional
        ``models:/name@alias``, ``runs:/…`` or a bundle's folder; default: the study's latest run.
    out : str or Path, optional
        Where to write the list (``.parquet`` or ``.csv``), its manifest beside it.
    runs : str or Path, optional
        Where the study's runs are; default ``runs/<study>``.
    wording : str, optional
        A language (``de``) or a wording file, in place of the study's own.
    random_control : str or float, optional
        The share of customers whom the campaign leaves alone (``2%``), in place of the study's own.
    anyway : bool
        Make the list although there are fewer prospects or records than usual, or older ones.
    since : str or Path, optional
        An earlier list of the study: who rose and fell since, and why, is in ``changes`` and written beside the list.
    table : str, optional
        A database's table that gets the list too, with ``study`` before its columns, in place of what it held of this
        study and date: in one transaction.
    database : str, optional
        Its address: ``duckdb://FILE`` or ``postgresql://…``.

    Returns
    -------
    ScoreResult
        ``prospects`` as a DataFrame, best first, and ``manifest``.
    """
    from propensity import pipelines

    loaded = _study(study) if wording is None else _study(study).with_wording(wording)
    if random_control is not None:
        loaded = loaded.with_control(random_control)
    return pipelines.score(
        loaded,
        as_of=_instant(as_of, loaded),
        data=Path(data) if data is not None else None,
        model=model,
        out=Path(out) if out is not None else None,
        runs=Path(runs) if runs is not None else None,
        tracking_uri=tracking_uri,
        anyway=anyway,
        since=_path(since),
        table=table,
        database=database,
        today=datetime.now(UTC),
        progress=progress,
    )


def outcomes(
    study: StudyLike,
    lists: str | Path | None = None,
    *,
    out: str | Path | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: "Progress" = _quiet,
) -> "OutcomesResult":
    """Hold earlier lists against what has happened since: predicted against actual, lift, control against contacted.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    lists : str or Path, optional
        A folder of lists that `score` wrote; default ``lists/<study>``.
    out : str or Path, optional
        Where to write the rows; default ``outcomes.parquet`` in `lists`.
    track : bool
        Whether to log the figures of matured lists to MLflow.
    tracking_uri : str, optional
        MLflow's store, in place of the study's.

    Returns
    -------
    OutcomesResult
        ``lists``, ``bands`` and ``effects`` as DataFrames. A list that has not matured has expected figures only.
    """
    from propensity import lifecycle

    loaded = _study(study)
    return lifecycle.outcomes(
        loaded,
        Path("lists") / loaded.study if lists is None else Path(lists),
        out=_path(out),
        today=datetime.now(UTC),
        track=track,
        tracking_uri=tracking_uri,
        progress=progress,
    )


def promote(
    study: StudyLike, *, rollback: bool = False, tracking_uri: str | None = None, progress: "Progress" = _quiet
) -> "PromotionResult":
    """Let the registered challenger take the champion's place, if every rule of the study's `promotion` holds.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    rollback : bool
        Make the champion of before the last promotion the champion again instead.
    tracking_uri : str, optional
        MLflow's store, in place of the study's.

    Returns
    -------
    PromotionResult
        ``is_promoted``, ``reason``, and ``rules``, ``metrics`` and ``comparisons`` as DataFrames.
    """
    from propensity import promoting

    loaded = _study(study)
    if rollback:
        return promoting.rollback(loaded, tracking_uri=tracking_uri)
    return promoting.promote(loaded, today=datetime.now(UTC), tracking_uri=tracking_uri, progress=progress)


def explain(
    study: StudyLike,
    customer: str | int,
    *,
    as_of: date | datetime | str | None = None,
    model: str | None = None,
    runs: str | Path | None = None,
    tracking_uri: str | None = None,
    wording: str | None = None,
    progress: "Progress" = _quiet,
) -> "CustomerExplanation":
    """Take one prospect's score apart.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    customer : str or int
        The customer's key.
    as_of : date, datetime or str, optional
        The cutoff; default the latest scorable one.
    model, runs, tracking_uri, wording
        As in `score`.

    Returns
    -------
    CustomerExplanation
        ``contributions`` (points, signed), ``scorecard``, ``timeline``, ``neighbours`` and ``moves`` as DataFrames.
    """
    from propensity import explaining

    loaded = _study(study) if wording is None else _study(study).with_wording(wording)
    return explaining.explain(
        loaded,
        str(customer),
        as_of=_instant(as_of, loaded),
        model=model,
        runs=Path(runs) if runs is not None else None,
        tracking_uri=tracking_uri,
        today=datetime.now(UTC),
        progress=progress,
    )


def backtest(
    study: StudyLike,
    *,
    steps: int | None = None,
    every: str | None = None,
    workers: int = 1,
    out: str | Path | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: "Progress" = _quiet,
) -> "BacktestResult":
    """Walk a study through its past as if live: learn what was known, rank, wait the horizon, count.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    steps : int, optional
        How many, from 1; the last is the latest whose outcome is known. Default twelve, or as many as the records
        reach back for.
    every : str, optional
        From step to step, such as ``30d``; default that of the train cutoffs, or else the horizon.
    workers : int
        Steps at a time. More than one are processes of their own: a script then needs Python's
        ``if __name__ == "__main__":``.
    out : str or Path, optional
        Where results go, and steps are kept: a backtest that was cut off goes on. Default ``runs/<study>/backtest``.
    track, tracking_uri
        As in `train`.
    progress : callable
        Told what is being done.

    Returns
    -------
    BacktestResult
        ``steps``, ``chosen``, ``left_out`` and ``totals`` as DataFrames.
    """
    from propensity import backtesting
    from propensity.errors import InputError
    from propensity.temporal import Duration

    try:
        step = None if every is None else Duration.parse(every)
    except ValueError as error:
        raise InputError(f"--every: {error}.") from None
    if step is not None and step.count == 0:
        raise InputError("--every: a step is longer than nothing. Write one such as 30d.")
    return backtesting.backtest(
        _study(study),
        steps=steps,
        every=step,
        workers=workers,
        out=_path(out),
        today=datetime.now(UTC),
        track=track,
        tracking_uri=tracking_uri,
        progress=progress,
    )


def track(run: str | Path, *, tracking_uri: str | None = None) -> dict[str, str]:
    """Send a run to MLflow, unless it is there already.

    Parameters
    ----------
    run : str or Path
        The run's folder.
    tracking_uri : str, optional
        MLflow's store; needed where the run is in none yet.

    Returns
    -------
    dict
        Where MLflow keeps it: ``uri``, ``experiment_id``, ``run_id``, ``model_uri`` and ``model_version``.
    """
    from propensity import run_folder

    return run_folder.send_run(Path(run), tracking_uri=tracking_uri)


def monitor(
    study: StudyLike,
    *,
    model: str | None = None,
    runs: str | Path | None = None,
    out: str | Path | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: "Progress" = _quiet,
) -> "MonitoringResult":
    """Tell whether a model is still what it was: ok, watch or retrain, and why.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    model, runs
        As in `score`.
    out : str or Path, optional
        The folder of the page and its figures; default ``runs/<study>/monitoring``.
    track, tracking_uri
        As in `train`.
    progress : callable
        Told what is being done.

    Returns
    -------
    MonitoringResult
        ``verdict``, and ``checks``, ``features``, ``months`` and ``mix`` as DataFrames.
    """
    from propensity import monitoring

    return monitoring.monitor(
        _study(study),
        model=model,
        runs=_path(runs),
        out=_path(out),
        today=datetime.now(UTC),
        track=track,
        tracking_uri=tracking_uri,
        progress=progress,
    )


def show_scorecard(
    study: StudyLike, *, card: str | Path | None = None, progress: "Progress" = _quiet
) -> "ScorecardTable":
    """A scorecard line by line: points, share and conversion of the train prospects, weight of evidence, stability.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    card : str or Path, optional
        A scorecard's file; default the study's own.
    progress : callable
        Told what is being done.

    Returns
    -------
    ScorecardTable
    """
    from propensity import scorecards

    return scorecards.show(_study(study), card=_path(card), now=datetime.now(UTC), progress=progress)


def explain_scorecard(
    study: StudyLike,
    customer: str | int,
    *,
    card: str | Path | None = None,
    as_of: date | datetime | str | None = None,
    progress: "Progress" = _quiet,
) -> "ScorecardLines":
    """The arithmetic of one prospect's points.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    customer : str or int
        The customer's key.
    card : str or Path, optional
        A scorecard's file; default the study's own.
    as_of : date, datetime or str, optional
        The cutoff; default the latest scorable one.

    Returns
    -------
    ScorecardLines
        A row for each indicator; their weighted points add up to the total.
    """
    from propensity import scorecards

    loaded = _study(study)
    return scorecards.explain(
        loaded,
        str(customer),
        card=_path(card),
        as_of=_instant(as_of, loaded),
        now=datetime.now(UTC),
        progress=progress,
    )


def fit_scorecard(study: StudyLike, out: str | Path, *, progress: "Progress" = _quiet) -> "ScorecardTable":
    """Learn a scorecard on the study's train prospects, and write it as a file that a marketer can take over.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    out : str or Path
        The ``.yaml`` file; it must not be there yet.

    Returns
    -------
    ScorecardTable
    """
    from propensity import scorecards

    return scorecards.fit(_study(study), Path(out), now=datetime.now(UTC), progress=progress)


def scorecard_sql(
    study: StudyLike, *, card: str | Path | None = None, table: str = "matrix", dialect: "Dialect" = "duckdb"
) -> str:
    """A scorecard as SQL that gives the same points, over the matrix that `write_matrix` writes.

    Parameters
    ----------
    study : Study, str or Path
        A loaded study, or the path of its file.
    card : str or Path, optional
        A scorecard's file; default the study's own.
    table : str
        The table that holds the features.
    dialect : {"duckdb", "spark"}

    Returns
    -------
    str
        One ``SELECT``.
    """
    from propensity import scorecards

    return scorecards.sql(_study(study), card=_path(card), table=table, dialect=dialect)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def load_bundle(folder: str | Path) -> "Bundle":
    """Load a model bundle from its folder; no code from it is run.

    Parameters
    ----------
    folder : str or Path
        A run's ``bundle`` folder.

    Returns
    -------
    Bundle
        With `probability`, `interval` and `log_odds` over feature rows.

    Raises
    ------
    BundleError
        When it is damaged, or newer than this version reads.
    """
    from propensity import bundle

    return bundle.load_bundle(folder)


def shap_explanation(bundle: "Bundle", rows: "pd.DataFrame") -> Any:
    """A model's exact contributions as SHAP's own object, on which SHAP's own plots work.

    Parameters
    ----------
    bundle : Bundle
        From `load_bundle`.
    rows : DataFrame of shape (n, features or more)
        Features as `write_matrix` gives them: categories as texts.

    Returns
    -------
    shap.Explanation
        Values of shape (n, features), calibrated log-odds; categories stand as the numbers of their codes.
    """
    from propensity.bundle import encode
    from propensity.explain.contributions import explanation

    return explanation(bundle.model, encode(rows, bundle.plan), calibrator=bundle.calibrator)


def simulate(out: str | Path, *, customers: int = 20_000, seed: int = 7) -> "MarketSummary":
    """Simulate a market whose true probabilities are known, and write its tables to a folder.

    Parameters
    ----------
    out : str or Path
        The folder to write. A simulated market that is already there is replaced; anything else is left alone.
    customers : int
    seed : int
        The same seed and customers give the same bytes.

    Returns
    -------
    MarketSummary
    """
    from propensity.data import simulate as simulator

    return simulator.simulate(out, customers=customers, seed=seed)
