"""I/O and order of a backtest: steps side by side in processes of their own, each kept, then counted together."""

import json
import logging
import multiprocessing
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.backtest import FROZEN, RANDOM, SELECTED, TRUTH, counted, step_studies, totals
from propensity.bundle import load_bundle, save_bundle
from propensity.config import Study, fingerprint, resolve_path
from propensity.data.market import PERIOD_DAYS, PRODUCTS
from propensity.data.tables import Tables
from propensity.errors import ConfigError, DataError, EnvironmentFailedError, InputError, PropensityError
from propensity.files import to_json, whole_file, whole_folder
from propensity.labels import latest_mature
from propensity.learning import prefixed
from propensity.models.amount import AmountModel
from propensity.models.calibrators import Scored
from propensity.pipelines import (
    Progress,
    check_models,
    engine_errors,
    labelled_samples,
    load_rules,
    named_features,
    open_study,
)
from propensity.report import write_page
from propensity.results import BacktestResult
from propensity.samples import Samples, describe_product, scoring_frame
from propensity.summary import describe_question, package_versions
from propensity.temporal import Duration, format_instant, to_instant
from propensity.training import choose_model, fit_as_of_test
from propensity.value import brought, expected_values, learn_amount, learn_choice

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Step:
    """One step: the study as it stood then, and the folder that keeps what came of it."""

    study: Study
    folder: Path

    @property
    def as_of(self) -> datetime:
        return self.study.cutoff_instants()["test"][0]

    @property
    def name(self) -> str:
        return format_instant(self.as_of, zone=self.study.zone)


@engine_errors()
def backtest(
    study: Study,
    *,
    steps: int | None = None,
    every: Duration | None = None,
    workers: int = 1,
    out: Path | None = None,
    today: datetime | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: Progress = logger.info,
) -> BacktestResult:
    """Walk a study through its past as if live: learn, rank, wait, count.

    Parameters
    ----------
    study : Study
        From `load_study`.
    steps : int, optional
        How many, from 1; the last is the latest whose outcome is known. Default twelve, or as many as the records
        reach back for.
    every : Duration, optional
        From step to step; default that of the train cutoffs, or else the horizon.
    workers : int
        Steps at a time, each in a process of its own.
    out : Path, optional
        Where results go; default ``runs/<study>/backtest``. Steps that stand there are not done again.
    today : datetime, optional
        Records after this instant are impossible: counted and left out, as in training.
    track : bool
        Whether to log to MLflow.
    tracking_uri : str, optional
        In place of the study's own.

    Returns
    -------
    BacktestResult

    Raises
    ------
    InputError
        When the study has no dates, or its records do not reach back far enough.
    DataError, ConfigError
        Why the last step could not be done, where none could.
    """
    if study.is_snapshot:
        raise InputError("backtest: a snapshot has no past to walk through. It needs a study on dated tables.")
    if min(1 if steps is None else steps, workers) < 1:
        raise InputError(f"--steps and --workers are whole numbers from 1 (found {steps} and {workers}).")
    place = out or Path("runs") / study.study / "backtest"
    with open_study(study, today=today) as tables:
        if tables.until is None:
            raise DataError("backtest: the source has no records.")
        studies, impossible = step_studies(
            study,
            steps=steps,
            every=every or study.cutoff_step,
            latest=to_instant(latest_mature(study, tables.until), zone=study.zone),
            begins=tables.begins,
        )
        digest = tables.fingerprint()
    walk = [_Step(moved, place / "steps" / _key(moved, digest)) for moved in studies]
    failed = _run(walk, workers=1 if study.data.on_spark else workers, today=today, progress=progress)
    walk = [step for step in walk if step not in failed]
    progress("the first step's model on all later steps")
    with open_study(study, today=today) as tables:
        ranked = _with_frozen(tables, walk)
    left_out = {**impossible, **{step.name: str(reason) for step, reason in failed.items()}}
    result = _counted(study, walk, ranked, place, left_out)
    _write(study, result)
    if track:
        progress("logging to MLflow")
        result = replace(result, untracked=_track(study, result, uri=tracking_uri or study.tracking.uri))
    return result


def _experiment(study: Study) -> str:
    return study.tracking.experiment or study.study


def _key(study: Study, digest: str) -> str:
    """The name of a step's folder: another study, rules, data or versions have another."""
    modules = (f"{name.split(':')[0].replace('.', '/')}.py" for name in study.features.custom)
    files = [resolve_path(text, beside=study.path) for text in (study.scorecard, *modules) if text]
    contents = [sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]
    # What a step does not read does not make it another.
    read = study.model_copy(
        update={name: type(study).model_fields[name].default for name in ("tracking", "monitoring", "promotion")}
    )
    parts = [fingerprint(read), digest, json.dumps(package_versions(), sort_keys=True), *contents]
    as_of = format_instant(study.cutoff_instants()["test"][0], zone=study.zone).replace(":", "")
    return f"{as_of}-{sha256(' '.join(parts).encode()).hexdigest()[:12]}"


def _run(
    walk: Sequence[_Step], *, workers: int, today: datetime | None, progress: Progress
) -> dict[_Step, PropensityError]:
    """Do the steps that have not been done, several at a time; gives those that could not be done, and why.

    In the first months of a history a study often could not have been: nobody had bought yet, or a feature that its
    rules name was not there.
    """
    failed: dict[_Step, PropensityError] = {}
    waiting = [step for step in walk if not step.folder.exists()]
    done = len(walk) - len(waiting)
    if done:
        progress(f"{done} of {len(walk)} steps have been done before")
    if min(workers, len(waiting)) <= 1:
        for step in waiting:
            try:
                take_step(step.study, step.folder, today=today, progress=prefixed(progress, step.name))
            except (DataError, ConfigError) as error:
                failed[step] = error
        return _unless_all(failed, walk)
    # Processes that share nothing: forked ones would inherit LightGBM's threads, and hang.
    with ProcessPoolExecutor(
        min(workers, len(waiting)), mp_context=multiprocessing.get_context("spawn"), initializer=_as_worker
    ) as pool:
        running: dict[Future[None], _Step] = {
            pool.submit(take_step, step.study, step.folder, today=today): step for step in waiting
        }
        progress(f"step 1 of {len(walk)}")
        try:
            for future in as_completed(running):
                done += 1
                try:
                    future.result()
                    progress(f"{done} of {len(walk)} steps: {running[future].name} is done")
                except (DataError, ConfigError) as error:
                    failed[running[future]] = error
                    progress(f"{done} of {len(walk)} steps: {running[future].name} is left out")
        except BrokenProcessPool:
            raise EnvironmentFailedError(
                "backtest: a step's process was ended from outside, probably for lack of memory. Steps that are done "
                "are kept: go on with fewer --workers, or a lower data.memory_limit."
            ) from None
        except BaseException:
            for child in multiprocessing.active_children():  # the pool would wait for their steps
                child.terminate()
            raise
    return _unless_all(failed, walk)


def _as_worker() -> None:
    """A worker leaves interrupts to its parent, and clears away what it has begun when it is told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _unless_all(failed: dict[_Step, PropensityError], walk: Sequence[_Step]) -> dict[_Step, PropensityError]:
    if len(failed) == len(walk):
        raise failed[max(failed, key=lambda step: step.as_of)]
    return failed


def take_step(study: Study, folder: Path, *, today: datetime | None, progress: Progress = logger.info) -> None:
    """Learn what was known as of the study's test cutoff, rank that day's prospects, and keep both in `folder`."""
    scorecard = load_rules(study)
    samples = labelled_samples(
        study,
        always=named_features(study, scorecard),
        now=today or datetime.now(UTC),
        need_buyers=("train", "validation"),  # a list that nobody bought from was paid for all the same
        progress=progress,
    )
    check_models(study, samples.plan, scorecard)
    then = fit_as_of_test(study, samples, scorecard=scorecard, progress=progress)
    selected, reason, _ = choose_model(then.recipe, then.learnt)
    amount = _amount(study, samples)
    expected = None if amount is None else amount.predict(then.test.X)
    scores = {name: _ranked_by(study, scored, expected) for name, scored in then.predicted.items()}
    has_value = study.contact.has_profit
    ranked = then.test.keys[["customer_id"]].assign(
        label=then.test.labels,
        brought=brought(study.contact, then.test, expected) if has_value else np.nan,
        **scores,
    )
    ranked[SELECTED] = scores[selected]
    ranked[f"probability_{SELECTED}"] = then.predicted[selected].probability
    refitted = then.refitted[selected]
    bundle = refitted.bundle(
        samples.plan,
        study.points,
        prior=refitted.prior(then.priors[selected]),
        scorecard=scorecard,
        amount=amount,
        about={"study": study.study, "model": selected, "seed": study.seed},
    )
    told = {
        "selected": selected,
        "reason": reason,
        "learnt_from": len(study.cutoff_instants()["train"]),
        "features": len(samples.plan.names),
        "warnings": samples.warnings,
        "models": list(scores),
    }
    try:
        with whole_folder(folder) as work:
            ranked.to_parquet(work / "ranked.parquet", index=False)
            save_bundle(bundle, work / "bundle")
            (work / "step.json").write_text(to_json(told), encoding="utf-8")
    except OSError:
        if not folder.exists():  # another walk has done the same step meanwhile
            raise


def _amount(study: Study, samples: Samples) -> AmountModel | None:
    """The model of amounts as of test; None where the study's value is a number, or none."""
    if not (study.contact.has_profit and study.contact.learns_amounts):
        return None
    known = [frame for frame in (samples.train, samples.validation) if frame is not None]
    return learn_amount(study, samples.plan, learn_choice(study, samples.plan, samples.train), known)


def _ranked_by(study: Study, scored: Scored, expected: Floats | None) -> Floats:
    """What the study's list would be ordered by."""
    if study.listing.rank_by != "expected_profit":
        return scored.log_odds
    return expected_values(study.contact, scored.probability, expected)["expected_profit"].to_numpy()


def _with_frozen(tables: Tables, walk: Sequence[_Step]) -> list[pd.DataFrame]:
    """The steps' rows, with what the first step's model and, on a simulated market, the truth say of them."""
    bundle = load_bundle(walk[0].folder / "bundle")
    truth = _truth(walk[0].study)
    found = []
    for step in walk:
        ranked = pd.read_parquet(step.folder / "ranked.parquet")
        if step is walk[0]:
            scored = ranked[[SELECTED, f"probability_{SELECTED}"]]
        else:
            frame, _ = scoring_frame(tables, step.study, bundle.plan, step.as_of)
            own = Scored(bundle.log_odds(frame.X), bundle.for_list(frame.X).probability(frame.X))
            expected = None if bundle.amount is None else bundle.amount.predict(frame.X[bundle.plan.names])
            scored = pd.DataFrame(
                {"score": _ranked_by(step.study, own, expected), "probability": own.probability},
                index=pd.Index(frame.keys["customer_id"]),
            ).reindex(ranked["customer_id"])
        ranked[[FROZEN, f"probability_{FROZEN}"]] = scored.to_numpy()
        if truth is not None:
            known = truth[truth["cutoff"] == step.as_of.replace(tzinfo=None)].set_index("customer_id")
            true = known["true_probability"].reindex(ranked["customer_id"])
            if not true.isna().any():
                ranked = ranked.assign(**{TRUTH: true.to_numpy()})
        found.append(ranked)
    return found


def _truth(study: Study) -> pd.DataFrame | None:
    """The true probabilities that `propensity simulate` leaves beside a market; None for another question."""
    place, outcome = study.source_path / "truth.parquet", study.outcome
    asks = (outcome.product in (PRODUCTS[0], PRODUCTS[:1]), outcome.gap.count, outcome.horizon)
    if not (study.simulated and place.is_file()) or asks != (True, 0, Duration(PERIOD_DAYS, "d")):
        return None
    truth = pd.read_parquet(place, columns=["customer_id", "cutoff", "true_probability"])
    return truth.assign(cutoff=pd.to_datetime(truth["cutoff"]))


def _counted(
    study: Study,
    walk: Sequence[_Step],
    ranked: Sequence[pd.DataFrame],
    place: Path,
    left_out: Mapping[str, str],
) -> BacktestResult:
    told = [json.loads((step.folder / "step.json").read_text(encoding="utf-8")) for step in walk]
    has_truth = all(TRUTH in rows for rows in ranked)
    methods = [*told[0].pop("models"), SELECTED, FROZEN, *([TRUTH] if has_truth else []), RANDOM]
    rows = [
        {"as_of": step.name, **row}
        for step, own in zip(walk, ranked, strict=True)
        for row in counted(own, methods, study.contact)
    ]
    chosen = [
        {
            "as_of": step.name,
            "selected": about["selected"],
            "reason": about["reason"],
            "learnt_from": about["learnt_from"],
            "features": about["features"],
            "warnings": "; ".join(about["warnings"]),
            "matures_on": format_instant(study.matures_at(step.as_of), zone=study.zone),
        }
        for step, about in zip(walk, told, strict=True)
    ]
    return BacktestResult(
        study=study.study,
        steps=pd.DataFrame(rows),
        chosen=pd.DataFrame(chosen),
        left_out=pd.DataFrame(
            [{"as_of": as_of, "reason": reason} for as_of, reason in left_out.items()],
            columns=["as_of", "reason"],
        ).sort_values("as_of", ignore_index=True),
        totals=pd.DataFrame(totals(ranked, methods, study.contact)),
        folder=place,
    )


def _write(study: Study, result: BacktestResult) -> None:
    from propensity.report.walk import draw_walk, render_walk  # matplotlib is imported where it is needed

    tables = {name: getattr(result, name).to_dict("records") for name in ("steps", "chosen", "left_out", "totals")}
    with whole_file(result.folder / "backtest.json") as work:
        work.write_text(to_json({"study": result.study, **tables}), encoding="utf-8")
    with whole_file(result.folder / "backtest.parquet") as work:
        result.steps.to_parquet(work, index=False)
    with whole_file(result.folder / "backtest.png") as work:
        draw_walk(result, work)
    question = describe_question(study, describe_product(study))
    write_page(render_walk(result, question=question, simulated=study.simulated), result.folder / "backtest.html")


def _track(study: Study, result: BacktestResult, *, uri: str) -> str | None:
    """Log the walk to MLflow; why it could not be, where it could not."""
    from propensity.tracking import log_steps  # importing mlflow takes seconds

    def figures(row: Any) -> dict[str, float]:
        wanted = ("captured", "capture", "lift", "profit", "roc_auc", "average_precision")
        return {f"{row['method']}_{name}": float(row[name]) for name in wanted if name in row and pd.notna(row[name])}

    steps: dict[str, dict[str, float]] = {}
    for row in result.steps.to_dict("records"):
        steps.setdefault(str(row["as_of"]), {}).update(figures(row))
    total = {name: value for row in result.totals.to_dict("records") for name, value in figures(row).items()}
    try:
        log_steps(
            "backtest",
            total=total,
            steps=steps,
            tags={str(row["as_of"]): {"selected": str(row["selected"])} for row in result.chosen.to_dict("records")},
            files=[result.folder / f"backtest.{ending}" for ending in ("json", "parquet", "html", "png")],
            study=study.study,
            uri=uri,
            experiment=_experiment(study),
        )
    except EnvironmentFailedError as error:
        return str(error)
    return None
