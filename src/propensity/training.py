"""Training: from samples to models judged side by side, and the one that is deployed. Pure: no I/O.

The protocol: settings by folds inside train; selection on validation, calibrated there (on nested folds for
snapshots without order). Then the procedure is judged as it will be used: refitted, as of the test cutoff, on
all that had matured by then, calibrated by cross-fitting on the latest of it, and held against test once, all
models side by side. The bundle is the same refit on all that has matured by now.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from propensity.bundle import Bundle, drawing_variance
from propensity.config import Study
from propensity.evaluation.bootstrap import BootstrapResult, cluster_bootstrap
from propensity.evaluation.compare import compare, select
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.horizons import judge_horizons, learn_horizons
from propensity.models import MODEL_NAMES, make_model
from propensity.models.base import BinaryModel
from propensity.models.blend import BlendModel, blend_weight
from propensity.models.calibration import PlattCalibrator, cross_fit_platt
from propensity.models.folding import mean_with_error
from propensity.models.hazard import HazardModel
from propensity.models.single_indicator import SingleIndicator
from propensity.models.tuning import choose_settings
from propensity.rules.scorecard import Scorecard
from propensity.rules.stages import StageRules
from propensity.samples import FOLDS, Samples, train_folds
from propensity.splits import Fold, customer_folds, recency_weights, scramble
from propensity.temporal import Duration
from propensity.value import judge_profit, learn_amount, learn_choice

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from propensity.models.search import Search

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Settings = dict[str, dict[str, Any]]
Recency = Mapping[str, float | None]
"""Model → half-life in the unit of `Frame.at`; without one, all rows count alike."""
Progress = Callable[[str], None]

VALIDATION_REPLICATES = 200
TEST_REPLICATES = 500
_SPREAD_ROWS = 10_000
"""Rows that the average uncertainty of a model is taken from."""
_ENOUGH_POSITIVES = 100
"""Positives from which the latest cutoff alone calibrates the deployed model."""
_WEIGHTED = ("logistic", "lightgbm")
"""Models whose older rows may count less; a blend takes over those of its parts."""
_HALF_LIVES = (1 / 2, 1 / 6)
"""Half-lives that are tried, as shares of train's length: the oldest rows count a quarter, or next to nothing."""


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
    recency : dict
        Model → half-life of a row's weight, in the unit of `Frame.at`; without one, all rows count alike.
    search : Search or None
        What came of the search for LightGBM's parameters, where the study asks for one.
    """

    settings: Settings
    models: dict[str, BinaryModel]
    calibrators: dict[str, PlattCalibrator]
    validation: dict[str, Floats]
    judged: Frame
    recency: Recency = field(default_factory=dict)
    search: "Search | None" = None

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
    """The result of training a study.

    `indicator` tells which feature the single indicator ranks on, `recency` how older rows count, `search` what came
    of tuning LightGBM, `profit` what a campaign on test would have earned, and `horizons` how each came out.
    """

    samples: Samples
    evaluation: Evaluation
    settings: Settings
    bundle: Bundle
    indicator: dict[str, Any] | None = None
    recency: Recency = field(default_factory=dict)
    search: "Search | None" = None
    profit: dict[str, Any] | None = None
    horizons: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """What a model needs besides rows: names, seed, categories, the scorecard, and where a search keeps its trials."""

    study: Study
    plan: FeaturePlan
    scorecard: Scorecard | None
    trials: "BaseStorage | None" = None

    @property
    def names(self) -> list[str]:
        """The study's models, the simplest first."""
        return [name for name in MODEL_NAMES if name in self.study.models.names]

    @property
    def categorical(self) -> list[str]:
        """Columns that hold categories."""
        return list(self.plan.categories)

    def make(self, name: str, settings: Mapping[str, Any]) -> BinaryModel:
        """An unfitted model with the settings that folds chose."""
        study = self.study
        return make_model(
            name,
            categorical=self.categorical,
            seed=study.seed,
            settings=settings,
            scorecard=self.scorecard.model_dump(mode="json", by_alias=True) if self.scorecard else None,
            categories=self.plan.categories,
            params=self.fixed(name),
        )

    def fixed(self, name: str) -> dict[str, Any]:
        """What the study itself says of a model's parameters."""
        study = self.study
        if name == "single_indicator" and study.single_indicator.feature:
            return {"feature": study.single_indicator.feature}
        if name == "fitted_scorecard":
            return {**study.points.model_dump(), "directions": dict(study.fitted_scorecard.directions)}
        if name == "lightgbm" and study.models.lightgbm is not None and study.models.lightgbm.monotone:
            signs = {"rising": 1, "falling": -1}
            return {"monotone": {column: signs[way] for column, way in study.models.lightgbm.monotone.items()}}
        return {}


def train_study(
    study: Study,
    samples: Samples,
    *,
    scorecard: Scorecard | None,
    stages: StageRules | None,
    about: Mapping[str, Any],
    trials: "BaseStorage | None" = None,
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
    trials : optuna storage, optional
        Where a search keeps its trials, so that an interrupted one goes on.
    progress : callable
        Told what is being done.

    Returns
    -------
    Training
    """
    choice = learn_choice(study, samples.plan, samples.train)
    recipe = Recipe(study=study, plan=samples.plan, scorecard=scorecard, trials=trials)
    refitted: dict[str, Refit] = {}
    learnt = learn(recipe, samples.train, samples.validation, progress=progress)
    if samples.test is None:
        test, predicted = samples.train, _outer_predictions(recipe, samples, progress=progress)
    elif samples.validation is None:
        test, predicted = samples.test, {name: learnt.probability(name, samples.test.X) for name in recipe.names}
    else:
        test = samples.test
        before = [samples.train, samples.validation]
        refitted = refit(recipe, recipe.names, learnt.settings, before, recency=learnt.recency, progress=progress)
        predicted = {name: refitted[name].probability(test.X) for name in recipe.names}
    progress("evaluating on test")
    evaluation = evaluate(recipe, learnt, test, predicted)
    known = [frame for frame in (samples.train, samples.validation) if frame is not None]
    amount = learn_amount(study, samples.plan, choice, known)
    profit = judge_profit(study, test, predicted, amount=amount, choice=choice, selected=evaluation.selected)
    horizons = _judged_horizons(study, samples, refitted, evaluation.selected, progress=progress)
    # The test rows of a snapshot are the prospects to list: the bundle must not have seen their labels.
    labelled = [samples.train, samples.validation, None if study.is_snapshot else samples.test]
    matured = [frame for frame in labelled if frame is not None]
    name, how = evaluation.selected, learnt.recency
    deployed = refit(recipe, [name], learnt.settings, matured, recency=how, progress=progress)[name]
    bundle = Bundle(
        plan=samples.plan,
        model=deployed.model,
        calibrator=deployed.calibrator,
        folds=deployed.folds,
        spread=deployed.spread,
        points=study.points,
        scorecard=scorecard,
        stages=stages,
        segments=study.segments,
        amount=learn_amount(study, samples.plan, choice, matured),
        hazard=_hazard(study, samples.plan, deployed, until=samples.until, progress=progress),
        about={**about, "model": evaluation.selected},
    )
    return Training(
        samples=samples,
        evaluation=evaluation,
        settings=learnt.settings,
        bundle=bundle,
        indicator=_indicator(learnt, samples.plan),
        recency=learnt.recency,
        search=learnt.search,
        profit=profit,
        horizons=horizons,
    )


def _hazard(
    study: Study, plan: FeaturePlan, refitted: "Refit", *, until: datetime | None, progress: Progress
) -> HazardModel | None:
    """What is known of the study's horizons by an instant; None where it has one only, or too little is known."""
    if not study.outcome.horizons:
        return None
    progress("learning the horizons")
    seen = refitted.held_out
    return learn_horizons(study, plan, seen.rows, seen.log_odds, folds=seen.folds, observed_until=until)


def _judged_horizons(
    study: Study, samples: Samples, refitted: Mapping[str, "Refit"], selected: str, *, progress: Progress
) -> dict[str, Any] | None:
    """How each horizon came out on test, by what was known as of the test cutoff."""
    if not study.outcome.horizons or samples.test is None:
        return None
    test, model = samples.test, refitted[selected]
    hazard = _hazard(study, samples.plan, model, until=study.cutoff_instants()["test"][0], progress=progress)
    found = None
    if hazard is not None:
        log_odds = model.calibrator.transform(model.model.decision_function(test.X))
        found = hazard.probabilities(log_odds, expit(log_odds), test.X.to_numpy())
    return judge_horizons(study, test, hazard, found, observed_until=samples.until)


def _indicator(learnt: Learnt, plan: FeaturePlan) -> dict[str, Any] | None:
    """The single indicator as it was learnt on train: its feature, which end ranks higher, and its AUC there."""
    model = learnt.models.get("single_indicator")
    if not isinstance(model, SingleIndicator):
        return None
    feature = plan.features[model.position_]
    auc = model.training_auc_
    return {
        "feature": feature.name,
        "description": feature.description,
        "higher_is_better": model.direction_ > 0,
        "chosen": auc is not None,
        "train_auc": None if auc is None else max(auc, 1 - auc),
    }


def learn(recipe: Recipe, train: Frame, validation: Frame | None, *, progress: Progress) -> Learnt:
    """Steps 1 and 2 of the protocol: settings by folds inside train; models; calibration on rows not fitted on."""
    settings, search = choose_all(recipe, train, progress=progress)
    progress("fitting on train")
    recency = _choose_recency(recipe, settings, train, validation, progress=progress)
    models = _fit_together(recipe, recipe.names, settings, train, recency)
    if validation is not None:
        judged = validation
        raw = {name: model.decision_function(validation.X) for name, model in models.items()}
    else:
        judged, raw = train, _nested_log_odds(recipe, train, progress=progress)
    again = _calibration_folds(judged, recipe.study)
    return Learnt(
        settings=settings,
        recency=recency,
        models=models,
        calibrators={name: PlattCalibrator().fit(z, judged.labels) for name, z in raw.items()},
        validation={name: expit(cross_fit_platt(z, judged.labels, again)) for name, z in raw.items()},
        judged=judged,
        search=search,
    )


def _calibration_folds(judged: Frame, study: Study) -> list[Fold]:
    return customer_folds(judged.labels, judged.groups, folds=FOLDS, seed=study.seed + 1)


def _choose_recency(
    recipe: Recipe, settings: Settings, train: Frame, validation: Frame | None, *, progress: Progress
) -> Recency:
    """Each model's half-life, in the unit of `Frame.at`: as declared, or chosen on validation.

    All history counts alike unless a half-life of half or of a sixth of train's length has a lower log loss on
    validation, each calibrated by cross-fitting, by more than one standard error.
    """
    names, declared = [name for name in recipe.names if name in _WEIGHTED], recipe.study.recency
    if isinstance(declared, Duration):
        return dict.fromkeys(names, declared.approximate_days)
    if declared == "none" or validation is None or train.at is None or not np.ptp(train.at):
        return {}
    folds, chosen = _calibration_folds(validation, recipe.study), dict[str, float | None]()

    def losses(name: str, half_life: float | None) -> Floats:
        model = _fit_together(recipe, [name], settings, train, {name: half_life})[name]
        z = cross_fit_platt(model.decision_function(validation.X), validation.labels, folds)
        return np.asarray(np.logaddexp(0.0, z) - validation.labels * z, dtype=np.float64)

    for name in names:
        progress(f"recency of {name}: all history, or recent")
        alike, best = losses(name, None), 0.0
        for share in _HALF_LIVES:
            half_life = share * float(np.ptp(train.at))
            gain, error = mean_with_error(alike - losses(name, half_life), validation.groups)
            if gain > max(error, best):
                chosen[name], best = half_life, gain
    return chosen


def choose_all(recipe: Recipe, train: Frame, *, progress: Progress) -> tuple[Settings, "Search | None"]:
    """The settings of each model, by folds inside train; a blend's weight on the folds' held-out rows."""
    settings: Settings = {}
    held_out: dict[str, Floats | None] = {}
    folds = train_folds(train, recipe.study, seed=recipe.study.seed)
    search = None
    for name in recipe.names:
        if name != "blend":
            found: dict[str, Any] = {}
            if name == "lightgbm" and (search := _search(recipe, train, progress=progress)) is not None:
                found = search.params
            progress(f"choosing settings of {name}")
            tuned = choose_settings(
                name,
                train.X,
                train.labels,
                folds=folds,
                categorical=recipe.categorical,
                seed=recipe.study.seed,
                params={**recipe.fixed(name), **found},
            )
            settings[name], held_out[name] = {**found, **tuned.settings}, tuned.held_out
    if "blend" in recipe.names:
        trees, linear = held_out["lightgbm"], held_out["logistic"]
        assert trees is not None and linear is not None  # noqa: S101, PT018 - both have settings to choose
        weight = blend_weight(trees, linear, train.labels)
        settings["blend"] = {
            "logistic": settings["logistic"],
            "lightgbm": settings["lightgbm"],
            "weight": weight,
        }
    return settings, search


def _search(recipe: Recipe, train: Frame, *, progress: Progress) -> "Search | None":
    """A search for LightGBM's parameters, where the study asks for one."""
    options = recipe.study.models.lightgbm
    if options is None or options.tune is None:
        return None
    from propensity.models.search import search_settings  # optuna is imported where it is needed

    return search_settings(
        train.X,
        train.labels,
        train.groups,
        deal=lambda seed: train_folds(train, recipe.study, seed=seed),
        trials=options.tune.trials,
        seconds=options.tune.seconds,
        categorical=recipe.categorical,
        seed=recipe.study.seed,
        fixed=recipe.fixed("lightgbm"),
        storage=recipe.trials,
        progress=progress,
    )


def _prefixed(progress: Progress, place: str) -> Progress:
    return lambda text: progress(f"{place}: {text}")


def _nested_log_odds(recipe: Recipe, train: Frame, *, progress: Progress) -> dict[str, Floats]:
    """Log-odds of every train row by models whose settings, too, were chosen without its fold."""
    out = {name: np.full(len(train), np.nan) for name in recipe.names}
    outer = customer_folds(train.labels, train.groups, folds=FOLDS, seed=recipe.study.seed)
    for k, (fit_rows, held_out) in enumerate(outer, start=1):
        inner = train.take(fit_rows)
        settings, _ = choose_all(recipe, inner, progress=_prefixed(progress, f"fold {k}"))
        for name, model in _fit_together(recipe, recipe.names, settings, inner, {}).items():
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
        learnt = learn(recipe, inner, None, progress=_prefixed(progress, f"test fold {k}"))
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
    # The single indicator is the floor that every other method must beat: judged beside them, not deployed.
    candidates = [name for name in recipe.names if name != "single_indicator"] or recipe.names
    selected, reason = select(
        {name: on_validation.estimates[name] for name in candidates},
        {name: on_validation.draws[name]["average_precision"] for name in candidates},
        simplicity=candidates,
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


@dataclass(frozen=True)
class HeldOut:
    """Rows, in an order of their own, with calibrated log-odds by models that had not seen their customers."""

    rows: Frame
    log_odds: Floats
    folds: list[Fold]


@dataclass(frozen=True)
class Refit:
    """A model fitted on all rows given, calibrated by cross-fitting.

    Attributes
    ----------
    model : BinaryModel
        Fitted on all rows.
    calibrator : PlattCalibrator
        Learnt on log-odds of rows whose customers the predicting model had not seen.
    folds : tuple of BinaryModel
        Those models, each without one group of customers.
    spread : float
        What the drawing of customers adds to the variance of the calibrated log-odds, on average over those rows.
    held_out : HeldOut
        All rows that it was fitted on.
    """

    model: BinaryModel
    calibrator: PlattCalibrator
    folds: tuple[BinaryModel, ...]
    spread: float
    held_out: HeldOut

    def probability(self, X: pd.DataFrame) -> Floats:
        """Calibrated probabilities, shape (n,)."""
        return np.asarray(expit(self.calibrator.transform(self.model.decision_function(X))), dtype=np.float64)


def refit(
    recipe: Recipe,
    names: Sequence[str],
    settings: Settings,
    frames: Sequence[Frame],
    *,
    recency: Recency,
    progress: Progress,
) -> dict[str, Refit]:
    """Fit models with settings and half-lives chosen before on frames in the order of time.

    The calibration is learnt on held-out log-odds of the last frame's latest cutoff (of all rows, where
    that has fewer than 100 positives).
    """
    rows, latest = _stack(frames)
    if rows.labels[latest].sum() < _ENOUGH_POSITIVES:
        latest[:] = True
    folds = customer_folds(rows.labels, rows.groups, folds=FOLDS, seed=recipe.study.seed)
    fits = [fit_rows for fit_rows, _ in folds] + [np.arange(len(rows))]
    models: dict[str, list[BinaryModel]] = {name: [] for name in names}
    for k, fit_rows in enumerate(fits, start=1):
        progress(f"refitting on {len(fit_rows):,} matured rows ({k} of {len(fits)})")
        fitted = _fit_together(recipe, names, settings, rows.take(fit_rows), recency)
        for name in names:
            models[name].append(fitted[name])
    sample = rows.X[latest].head(_SPREAD_ROWS)  # rows stand in an order of their own, so that the first are any
    refits = {}
    for name, (*held_out, model) in models.items():
        raw = np.empty(len(rows))
        for (_, test_rows), part in zip(folds, held_out, strict=True):
            raw[test_rows] = part.decision_function(rows.X.iloc[test_rows])
        calibrator = PlattCalibrator().fit(raw[latest], rows.labels[latest])
        spread = float(drawing_variance(held_out, calibrator, sample).mean())
        seen = HeldOut(rows, calibrator.transform(raw), folds)
        refits[name] = Refit(model, calibrator, tuple(held_out), spread, seen)
    return refits


def _fit_together(
    recipe: Recipe, names: Sequence[str], settings: Settings, rows: Frame, recency: Recency
) -> dict[str, BinaryModel]:
    """Fit several models on the same rows; a blend is put together out of its parts, not fitted again."""
    alone = [name for name in names if name != "blend"]
    if "blend" in names:
        alone = list(dict.fromkeys([*alone, "logistic", "lightgbm"]))
    weights = {name: None if rows.at is None else recency_weights(rows.at, recency.get(name)) for name in alone}
    fitted = {name: recipe.make(name, settings[name]).fit(rows.X, rows.labels, weights[name]) for name in alone}
    if "blend" in names:
        weight = settings["blend"]["weight"]
        fitted["blend"] = BlendModel.of(fitted["logistic"], fitted["lightgbm"], weight=weight)
    return fitted


def _stack(frames: Sequence[Frame]) -> tuple[Frame, npt.NDArray[np.bool_]]:
    """Frames one below the other in an order of their own (by customer), and which rows are the latest."""
    keys = pd.concat([frame.keys for frame in frames], ignore_index=True)
    last = np.arange(len(keys)) >= len(keys) - len(frames[-1])
    at = keys["cutoff"].to_numpy()
    if not np.isnat(at).any():
        last &= at == at.max()
    order = np.lexsort((at, scramble(keys["code"].to_numpy(), seed=0)))
    block = np.concatenate([frame.X.to_numpy() for frame in frames])[order]
    stacked = Frame(
        X=pd.DataFrame(block, columns=frames[0].X.columns, copy=False),
        keys=keys.iloc[order].reset_index(drop=True),
        y=np.concatenate([frame.labels for frame in frames])[order],
        purchases=_purchases(frames, order),
    )
    return stacked, last[order]


def _purchases(frames: Sequence[Frame], order: npt.NDArray[np.intp]) -> pd.DataFrame | None:
    known = [frame.purchases for frame in frames if frame.purchases is not None]
    return pd.concat(known, ignore_index=True).take(order).reset_index(drop=True) if known else None
