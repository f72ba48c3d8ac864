"""Training: from samples to models judged side by side, and the one that is deployed. Pure: no I/O.

The protocol: settings by folds inside train; calibration and selection on validation (on nested folds
for snapshots without order); test is looked at once, for all models; then a refit on all matured rows.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.evaluation.bootstrap import BootstrapResult, cluster_bootstrap
from propensity.evaluation.compare import compare, select
from propensity.features.matrix import FeaturePlan, Frame
from propensity.models import MODEL_NAMES, make_model
from propensity.models.base import BinaryModel
from propensity.models.blend import blend_weight
from propensity.models.calibration import PlattCalibrator, cross_fit_platt
from propensity.models.tuning import choose_settings, cross_fit
from propensity.rules.scorecard import Scorecard
from propensity.rules.stages import StageRules
from propensity.samples import FOLDS, Samples
from propensity.splits import Fold, customer_folds, scramble

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Settings = dict[str, dict[str, Any]]
Progress = Callable[[str], None]

VALIDATION_REPLICATES = 200
TEST_REPLICATES = 500
_ENOUGH_POSITIVES = 100
"""Positives from which the latest cutoff alone calibrates the deployed model."""


@dataclass(frozen=True)
class Learnt:
    """Models fitted on train and calibrated on validation (or on nested folds).

    Attributes
    ----------
    settings : dict
        What folds inside train chose, by model.
    models, calibrators : dict
        By model.
    validation : dict
        By model: cross-fitted calibrated probabilities of the rows that calibration saw, shape (n,).
    judged : Frame
        Those rows: validation, or train where folds stand in for it.
    """

    settings: Settings
    models: dict[str, BinaryModel]
    calibrators: dict[str, PlattCalibrator]
    validation: dict[str, Floats]
    judged: Frame

    def probability(self, name: str, X: pd.DataFrame) -> Floats:
        """Calibrated probabilities of a model, shape (n,)."""
        log_odds = self.calibrators[name].transform(self.models[name].decision_function(X))
        return np.asarray(expit(log_odds), dtype=np.float64)


@dataclass(frozen=True)
class Evaluation:
    """All models side by side on validation and test.

    Attributes
    ----------
    metrics : dict
        Model → split → metrics with intervals.
    comparisons : list of dict
        Paired differences to the baseline.
    selected : str
        The model that is deployed, chosen on validation.
    reason : str
        Why, in a sentence.
    predictions : DataFrame
        Test rows: ``customer_id``, ``cutoff``, ``label`` and a probability for each model.
    """

    metrics: dict[str, dict[str, dict[str, Any]]]
    comparisons: list[dict[str, Any]]
    selected: str
    reason: str
    predictions: pd.DataFrame
    groups: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Training:
    """The result of training a study."""

    samples: Samples
    evaluation: Evaluation
    settings: Settings
    bundle: Bundle
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """What a model needs besides rows: names, seed, categories, and the scorecard."""

    study: Study
    plan: FeaturePlan
    scorecard: Scorecard | None

    @property
    def names(self) -> list[str]:
        """The study's models, the simplest first."""
        return [name for name in MODEL_NAMES if name in self.study.models]

    @property
    def categorical(self) -> list[str]:
        """Columns that hold categories."""
        return list(self.plan.categories)

    def make(self, name: str, settings: Mapping[str, Any]) -> BinaryModel:
        """An unfitted model with the settings that folds chose."""
        feature = self.study.single_indicator.feature
        return make_model(
            name,
            categorical=self.categorical,
            seed=self.study.seed,
            settings=settings,
            scorecard=self.scorecard.model_dump(mode="json", by_alias=True) if self.scorecard else None,
            categories=self.plan.categories,
            params={"feature": feature} if name == "single_indicator" and feature else None,
        )


def train_study(
    study: Study,
    samples: Samples,
    *,
    scorecard: Scorecard | None,
    stages: StageRules | None,
    about: Mapping[str, Any],
    progress: Progress = logger.info,
) -> Training:
    """Fit, judge and deploy the models of a study.

    Parameters
    ----------
    study : Study
        The specification.
    samples : Samples
        Rows for train, validation and test.
    scorecard : Scorecard or None
        Marketing's rules.
    stages : StageRules or None
        Rules of the buying stages, kept in the bundle.
    about : mapping
        What the bundle says about itself besides the model's name.
    progress : callable
        Told what is being done.

    Returns
    -------
    Training
    """
    recipe = Recipe(study=study, plan=samples.plan, scorecard=scorecard)
    learnt = learn(recipe, samples.train, samples.validation, samples.folds, progress=progress)
    progress("evaluating on test")
    if samples.test is not None:
        test, predicted = samples.test, {name: learnt.probability(name, samples.test.X) for name in recipe.names}
    else:
        test, predicted = samples.train, _outer_predictions(recipe, samples, progress=progress)
    evaluation = evaluate(recipe, learnt, test, predicted)
    progress(f"fitting {evaluation.selected} on all matured rows")
    rows = [samples.train, samples.validation, samples.test if not study.is_snapshot else None]
    bundle = deploy(
        recipe,
        evaluation.selected,
        learnt.settings[evaluation.selected],
        _stack([frame for frame in rows if frame is not None]),
        stages=stages,
        about=about,
    )
    return Training(samples=samples, evaluation=evaluation, settings=learnt.settings, bundle=bundle)


def learn(
    recipe: Recipe, train: Frame, validation: Frame | None, folds: Sequence[Fold], *, progress: Progress
) -> Learnt:
    """Steps 1 and 2 of the protocol: settings by folds inside train; models; calibration on rows not fitted on."""
    settings = choose_all(recipe, train, folds, progress=progress)
    models = {}
    for name in recipe.names:
        progress(f"fitting {name}")
        models[name] = recipe.make(name, settings[name]).fit(train.X, train.labels)
    if validation is not None:
        judged = validation
        raw = {name: model.decision_function(validation.X) for name, model in models.items()}
    else:
        judged, raw = train, _nested_log_odds(recipe, train, progress=progress)
    again = customer_folds(judged.labels, judged.groups, folds=FOLDS, seed=recipe.study.seed + 1)
    return Learnt(
        settings=settings,
        models=models,
        calibrators={name: PlattCalibrator().fit(z, judged.labels) for name, z in raw.items()},
        validation={name: expit(cross_fit_platt(z, judged.labels, again)) for name, z in raw.items()},
        judged=judged,
    )


def choose_all(recipe: Recipe, train: Frame, folds: Sequence[Fold], *, progress: Progress) -> Settings:
    """The settings of each model, by folds inside train; a blend's weight on the folds' held-out rows."""
    settings: Settings = {}
    for name in recipe.names:
        if name != "blend":
            progress(f"choosing settings of {name}")
            settings[name] = choose_settings(
                name, train.X, train.labels, folds=folds, categorical=recipe.categorical, seed=recipe.study.seed
            )
    if "blend" in recipe.names:
        progress("choosing the weights of the blend")
        held_out = {
            name: cross_fit(recipe.make(name, settings[name]), train.X, train.labels, folds=folds)
            for name in ("lightgbm", "logistic")
        }
        weight = blend_weight(held_out["lightgbm"], held_out["logistic"], train.labels)
        settings["blend"] = {
            "logistic": settings["logistic"],
            "lightgbm": settings["lightgbm"],
            "weight": weight,
        }
    return settings


def _nested_log_odds(recipe: Recipe, train: Frame, *, progress: Progress) -> dict[str, Floats]:
    """Log-odds of every train row by models whose settings, too, were chosen without its fold."""
    out = {name: np.full(len(train), np.nan) for name in recipe.names}
    outer = customer_folds(train.labels, train.groups, folds=FOLDS, seed=recipe.study.seed)
    for k, (fit_rows, held_out) in enumerate(outer, start=1):
        inner = train.take(fit_rows)
        inner_folds = customer_folds(inner.labels, inner.groups, folds=FOLDS, seed=recipe.study.seed)
        settings = choose_all(recipe, inner, inner_folds, progress=lambda text, k=k: progress(f"fold {k}: {text}"))
        for name in recipe.names:
            model = recipe.make(name, settings[name]).fit(inner.X, inner.labels)
            out[name][held_out] = model.decision_function(train.X.iloc[held_out])
    return out


def _outer_predictions(recipe: Recipe, samples: Samples, *, progress: Progress) -> dict[str, Floats]:
    """Test predictions of a split by folds: the whole procedure, once without each fold."""
    assert recipe.study.split is not None  # noqa: S101 - folds are a snapshot's split
    train = samples.train
    out = {name: np.full(len(train), np.nan) for name in recipe.names}
    count = recipe.study.split.folds or FOLDS
    outer = customer_folds(train.labels, train.groups, folds=count, seed=recipe.study.seed + 2)
    for k, (fit_rows, held_out) in enumerate(outer, start=1):
        inner = train.take(fit_rows)
        folds = customer_folds(inner.labels, inner.groups, folds=FOLDS, seed=recipe.study.seed)
        learnt = learn(recipe, inner, None, folds, progress=lambda text, k=k: progress(f"test fold {k}: {text}"))
        for name in recipe.names:
            out[name][held_out] = learnt.probability(name, train.X.iloc[held_out])
    return out


def evaluate(recipe: Recipe, learnt: Learnt, test: Frame, predicted: Mapping[str, Floats]) -> Evaluation:
    """Step 3 of the protocol: selection on validation; test figures for every model, with intervals."""
    study, judged = recipe.study, learnt.judged
    on_validation = cluster_bootstrap(
        judged.labels,
        learnt.validation,
        judged.groups,
        capacity=study.contact.share(len(judged)),
        seed=study.seed,
        replicates=VALIDATION_REPLICATES,
    )
    selected, reason = select(
        on_validation.estimates,
        {name: on_validation.draws[name]["average_precision"] for name in recipe.names},
        simplicity=recipe.names,
    )
    on_test = cluster_bootstrap(
        test.labels,
        predicted,
        test.groups,
        capacity=study.contact.share(len(test)),
        seed=study.seed,
        replicates=TEST_REPLICATES,
    )
    metrics = {
        name: {"validation": _with_intervals(on_validation, name), "test": _with_intervals(on_test, name)}
        for name in recipe.names
    }
    baseline = next(name for name in ("scorecard", "single_indicator", recipe.names[0]) if name in recipe.names)
    comparisons = compare(on_test, baseline=baseline, split="test") if len(recipe.names) > 1 else []
    predictions = test.keys[["customer_id", "cutoff"]].assign(label=test.labels, **predicted)
    return Evaluation(
        metrics=metrics,
        comparisons=comparisons,
        selected=selected,
        reason=reason,
        predictions=predictions,
        groups=test.groups,
    )


def _with_intervals(result: BootstrapResult, name: str) -> dict[str, Any]:
    return {**result.estimates[name], "intervals": result.intervals(name)}


def deploy(
    recipe: Recipe,
    name: str,
    settings: Mapping[str, Any],
    rows: Frame,
    *,
    stages: StageRules | None,
    about: Mapping[str, Any],
) -> Bundle:
    """Step 4 of the protocol: the same settings fitted on all matured rows, calibration by cross-fitting.

    The calibration is learnt on held-out log-odds of the latest cutoff (of all rows, where it has fewer
    than 100 positives). The models of the folds are kept: they tell how far a probability can be trusted.
    """
    folds = customer_folds(rows.labels, rows.groups, folds=FOLDS, seed=recipe.study.seed)
    raw, refits = np.full(len(rows), np.nan), []
    for fit_rows, held_out in folds:
        refit = recipe.make(name, settings).fit(rows.X.iloc[fit_rows], rows.labels[fit_rows])
        raw[held_out] = refit.decision_function(rows.X.iloc[held_out])
        refits.append(refit)
    at = rows.keys["cutoff"].to_numpy()
    latest = np.ones(len(rows), dtype=bool) if recipe.study.is_snapshot else at == at.max()
    if rows.labels[latest].sum() < _ENOUGH_POSITIVES:
        latest[:] = True
    return Bundle(
        plan=recipe.plan,
        model=recipe.make(name, settings).fit(rows.X, rows.labels),
        calibrator=PlattCalibrator().fit(raw[latest], rows.labels[latest]),
        folds=tuple(refits),
        points=recipe.study.points,
        scorecard=recipe.scorecard,
        stages=stages,
        segments=recipe.study.segments,
        about={**about, "model": name},
    )


def _stack(frames: Sequence[Frame]) -> Frame:
    """Frames one below the other, rows in an order of their own (by customer's number, then cutoff)."""
    keys = pd.concat([frame.keys for frame in frames], ignore_index=True)
    order = np.lexsort((keys["cutoff"].to_numpy(), scramble(keys["code"].to_numpy(), seed=0)))
    block = np.concatenate([frame.X.to_numpy() for frame in frames])[order]
    return Frame(
        X=pd.DataFrame(block, columns=frames[0].X.columns),
        keys=keys.iloc[order].reset_index(drop=True),
        y=np.concatenate([frame.labels for frame in frames])[order],
    )
