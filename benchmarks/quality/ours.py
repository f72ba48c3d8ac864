"""Our own: the study's models as `propensity train` fits them, judged as if live on test."""

import json
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.quality.tasks import samples_of, study_of, truth_of
from propensity.bundle import Bundle
from propensity.config import Study
from propensity.config.rules import LightGBMSpec, ModelsSpec, TuneSpec
from propensity.pipelines import load_rules, open_study
from propensity.samples import Samples, latest_scorable, scoring_frame
from propensity.summary import package_versions
from propensity.training import Training, train_study

MODELS = ("scorecard", "fitted_scorecard", "logistic", "lightgbm", "blend")


def run(task: str, folder: Path) -> None:
    """Train a task's study, and write what its models say of the test rows: ours.parquet and ours.json."""
    study = study_of(task, folder)
    study = study.with_models(*(name for name in study.models.names if name in MODELS))
    samples = samples_of(study)
    started = perf_counter()
    training = trained(study, samples)
    spent = perf_counter() - started
    predictions = training.evaluation.predictions
    if "fitted_scorecard" not in predictions:  # beside the study's own models: it is not selected from
        fitted = trained(study.with_models("fitted_scorecard"), samples)
        predictions = predictions.assign(fitted_scorecard=fitted.evaluation.predictions["fitted_scorecard"])
    truth = truth_of(study, predictions)
    if truth is not None:
        predictions = predictions.assign(true_probability=truth)
    predictions.assign(group=training.evaluation.groups).to_parquet(folder / task / "ours.parquet", index=False)
    told = {
        "seconds": spent,
        "selected": training.evaluation.selected,
        "reason": training.evaluation.reason,
        "settings": training.settings,
        "coverage": None if truth is None else coverage(study, training.bundle),
        "versions": package_versions(),
    }
    (folder / task / "ours.json").write_text(json.dumps(told, indent=1, default=float), encoding="utf-8")


def run_tuned(task: str, folder: Path, trials: int) -> None:
    """LightGBM with a search for its parameters, as `lightgbm_tuned`: lightgbm_tuned.parquet and .json."""
    study = study_of(task, folder)
    options = LightGBMSpec(tune=TuneSpec(trials=trials))
    study = study.model_copy(update={"models": ModelsSpec(lightgbm=options)})
    samples = samples_of(study)
    started = perf_counter()
    training = trained(study, samples)
    told = {"seconds": perf_counter() - started, "settings": training.settings}
    told |= training.search.to_dict() if training.search else {}
    predictions = training.evaluation.predictions.rename(columns={"lightgbm": "probability"})
    predictions[["probability"]].to_parquet(folder / task / "lightgbm_tuned.parquet", index=False)
    (folder / task / "lightgbm_tuned.json").write_text(json.dumps(told, indent=1, default=float), encoding="utf-8")


def trained(study: Study, samples: Samples) -> Training:
    """The study trained as `propensity train` does, without its list and report."""
    about = {"study": study.study, "run": "benchmark"}
    card = load_rules(study)
    return train_study(study, samples, scorecard=card, stages=None, about=about, progress=lambda _: None)


def coverage(study: Study, bundle: Bundle) -> dict[str, Any]:
    """How often the list's 90 % interval holds the true probability: overall, by decile, and its mean width."""
    with open_study(study, today=datetime.now(tz=UTC)) as tables:
        frame, _ = scoring_frame(tables, study, bundle.plan, latest_scorable(study, until=tables.until))
    truth = truth_of(study, frame.keys)
    low, high = bundle.interval(frame.X)
    inside: npt.NDArray[np.bool_] = (low <= truth) & (truth <= high)
    decile = pd.qcut(-bundle.log_odds(frame.X), 10, labels=False, duplicates="drop")
    return {
        "overall": float(inside.mean()),
        "by_decile": pd.Series(inside).groupby(decile).mean().tolist(),
        "mean_width": float((high - low).mean()),
    }
