"""Training: from samples to models judged side by side, and the one that is deployed. Pure: no I/O.

The protocol: settings by folds inside train; selection on validation, calibrated there (on nested folds for
snapshots without order). Then the procedure is judged as it will be used: refitted, as of the test cutoff, on
all that had matured by then, calibrated by cross-fitting on the latest of it, and held against test once, all
models side by side. The bundle is the same refit on all that has matured by now.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.evaluation.bootstrap import BootstrapResult, cluster_bootstrap
from propensity.evaluation.compare import compare, select
from propensity.evaluation.in_the_large import by_cutoff
from propensity.evaluation.verdict import Verdict, judge_against
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.horizons import judge_horizons, learn_horizons
from propensity.learning import Learnt, Progress, Recency, Recipe, Refit, Settings, learn, prefixed, refit
from propensity.models.amount import AmountModel
from propensity.models.calibrators import Choice, Scored
from propensity.models.hazard import HazardModel
from propensity.models.prior import Prior, judge_em
from propensity.models.single_indicator import SingleIndicator
from propensity.rules.scorecard import Scorecard
from propensity.rules.stages import StageRules
from propensity.samples import FOLDS, Samples, latest_scorable
from propensity.splits import customer_folds
from propensity.value import judge_profit, learn_amount, learn_choice

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from propensity.models.search import Search

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

VALIDATION_REPLICATES = 200
TEST_REPLICATES = 500


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
    ranked_by : dict
        Model → Platt's log-odds of the test rows, shape (n,): what the list is ordered by.
    verdicts : list of Verdict
        The model against the scorecard, and against the single indicator, as the study has them.
    """

    metrics: dict[str, dict[str, dict[str, Any]]]
    comparisons: list[dict[str, Any]]
    selected: str
    reason: str
    predictions: pd.DataFrame
    ranked_by: dict[str, Floats]
    groups: npt.NDArray[np.int64]
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Training:
    """The result of training a study.

    `indicator` tells which feature the single indicator ranks on, `recency` how older rows count, `search` what came
    of tuning LightGBM, `amount` is the model of amounts as it was before test's buyers were known, `profit` tells what
    a campaign on test would have earned, `horizons` how each came out, `calibration` which calibrator the deployed
    model has and why, `by_cutoff` how many bought, and how many were expected to, at each matured cutoff.
    """

    samples: Samples
    evaluation: Evaluation
    settings: Settings
    bundle: Bundle
    calibration: dict[str, Any] = field(default_factory=dict)
    by_cutoff: list[dict[str, Any]] = field(default_factory=list)
    indicator: dict[str, Any] | None = None
    recency: Recency = field(default_factory=dict)
    search: "Search | None" = None
    amount: AmountModel | None = None
    profit: dict[str, Any] | None = None
    horizons: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AsOfTest:
    """The study's procedure as of the test cutoff, and what it says of that day's prospects.

    Attributes
    ----------
    learnt : Learnt
        What folds and validation chose.
    priors : dict
        Model → correction of its base rate.
    refitted : dict
        Model → its refit on all that had matured by test; empty where there is no order in time.
    test : Frame
        The rows to be judged.
    predicted : dict
        Model → what it says of them.
    """

    recipe: Recipe
    learnt: Learnt
    priors: dict[str, Prior]
    refitted: dict[str, Refit]
    test: Frame
    predicted: dict[str, Scored]


def fit_as_of_test(
    study: Study,
    samples: Samples,
    *,
    scorecard: Scorecard | None,
    trials: "BaseStorage | None" = None,
    progress: Progress = logger.info,
) -> AsOfTest:
    """Choose and fit the models of a study as of the test cutoff; parameters as for `train_study`."""
    recipe = Recipe(study=study, plan=samples.plan, scorecard=scorecard, trials=trials)
    learnt = learn(recipe, samples.train, samples.validation, progress=progress)
    priors = choose_priors(recipe, learnt, samples, progress=progress)
    refitted: dict[str, Refit] = {}
    if samples.test is None:
        test, predicted = samples.train, _outer_predictions(recipe, samples, progress=progress)
    elif samples.validation is None:
        test, predicted = samples.test, {name: learnt.score(name, samples.test.X) for name in recipe.names}
    else:
        test = samples.test
        before = [samples.train, samples.validation]
        refitted = refit(recipe, recipe.names, learnt, before, progress=progress)
        predicted = {name: refitted[name].score(test.X, prior=priors[name]) for name in recipe.names}
    return AsOfTest(recipe, learnt, priors, refitted, test, predicted)


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
    then = fit_as_of_test(study, samples, scorecard=scorecard, trials=trials, progress=progress)
    recipe, learnt, refitted, test, predicted = then.recipe, then.learnt, then.refitted, then.test, then.predicted
    progress("evaluating on test")
    evaluation = evaluate(recipe, learnt, test, predicted)
    known = [frame for frame in (samples.train, samples.validation) if frame is not None]
    amount = learn_amount(study, samples.plan, choice, known)
    profit = judge_profit(study, test, predicted, amount=amount, choice=choice, selected=evaluation.selected)
    horizons = _judged_horizons(
        study, samples, refitted.get(evaluation.selected), predicted[evaluation.selected], progress=progress
    )
    # The test rows of a snapshot are the prospects to list: the bundle must not have seen their labels.
    labelled = [samples.train, samples.validation, None if study.is_snapshot else samples.test]
    matured = [frame for frame in labelled if frame is not None]
    name = evaluation.selected
    # LightGBM beside it tells how far another model may be from the truth.
    beside = [other for other in recipe.names if other in (name, "lightgbm")]
    deployed = refit(recipe, beside, learnt, matured, progress=progress)[name]
    calibrator, prior = learnt.chosen[name], deployed.prior(then.priors[name])
    calibration = {"method": calibrator.method, "reason": calibrator.reason, "compared": calibrator.compared}
    bundle = deployed.bundle(
        samples.plan,
        study.points,
        prior=prior,
        scorecard=scorecard,
        stages=stages,
        segments=study.segments,
        amount=learn_amount(study, samples.plan, choice, matured),
        hazard=hazard_of(study, samples.plan, deployed, until=_list_made_at(study, samples), progress=progress),
        about={**about, "model": name, "calibration": calibrator.method},
    )
    return Training(
        samples=samples,
        evaluation=evaluation,
        settings=learnt.settings,
        bundle=bundle,
        calibration={**calibration, "prior": prior.to_dict()},
        by_cutoff=_by_cutoff(evaluation, test, calibrator, learnt.judged, refitted.get(evaluation.selected)),
        indicator=_indicator(learnt, samples.plan),
        recency=learnt.recency,
        search=learnt.search,
        amount=amount,
        profit=profit,
        horizons=horizons,
    )


def _list_made_at(study: Study, samples: Samples) -> datetime | None:
    """What the deployed model may know: nothing from its list's date on, though more may be recorded."""
    return None if samples.until is None else latest_scorable(study, until=samples.until)


def hazard_of(
    study: Study, plan: FeaturePlan, refitted: "Refit", *, until: datetime | None, progress: Progress
) -> HazardModel | None:
    """What is known of the study's horizons by an instant; None where it has one only, or too little is known."""
    if not study.outcome.horizons:
        return None
    progress("learning the horizons")
    rows, log_odds = refitted.rows, refitted.calibrator.transform(refitted.held_out)
    folds = customer_folds(rows.labels, rows.groups, folds=FOLDS, seed=study.seed)
    return learn_horizons(study, plan, rows, log_odds, folds=folds, observed_until=until)


def _judged_horizons(
    study: Study, samples: Samples, refitted: "Refit | None", scored: Scored, *, progress: Progress
) -> dict[str, Any] | None:
    """How each horizon came out on test, by what was known as of the test cutoff."""
    if not study.outcome.horizons or samples.test is None or refitted is None:
        return None
    hazard = hazard_of(study, samples.plan, refitted, until=study.cutoff_instants()["test"][0], progress=progress)
    found = None
    if hazard is not None:
        found = hazard.probabilities(scored.log_odds, scored.probability, samples.test.X.to_numpy())
    return judge_horizons(study, samples.test, hazard, found, observed_until=samples.until)


def choose_priors(recipe: Recipe, learnt: Learnt, samples: Samples, *, progress: Progress) -> dict[str, Prior]:
    """How each model's base rate is corrected: by EM where, as of validation, that would have helped there."""
    if recipe.study.calibration.prior == "latest":
        return dict.fromkeys(recipe.names, Prior())
    validation = samples.validation
    if validation is None:
        reason = "the latest matured labels: without validation rows EM cannot be judged"
        return dict.fromkeys(recipe.names, Prior(reason=reason))
    progress("judging the correction of the base rate as of validation")
    fitted = refit(recipe, recipe.names, learnt, [samples.train], progress=progress)
    priors = {}
    for name, model in fitted.items():
        z = model.step.transform(model.score(validation.X).log_odds)
        helps, told = judge_em(z, validation.labels, validation.groups, base_rate=model.base_rate)
        reason = f"{'EM' if helps else 'the latest matured labels, not EM'}: {told}"
        priors[name] = Prior("em" if helps else "latest", reason=reason)
    return priors


def _by_cutoff(
    evaluation: Evaluation, test: Frame, choice: Choice, judged: Frame, refitted: "Refit | None"
) -> list[dict[str, Any]]:
    """Calibration in the large of the selected model, as of the test cutoff: of all that had matured, and of test.

    What had matured is told by models that had not seen those customers; the latest of it calibrated the model, so
    that it is right there by construction.
    """
    if refitted is not None:
        z = refitted.calibrator.transform(refitted.held_out)
        held_out, p = refitted.rows, np.asarray(expit(refitted.step.transform(z)))
        latest = refitted.rows.keys["cutoff"].to_numpy()[refitted.latest]
    else:
        held_out, p = judged, choice.scored.probability
        latest = judged.keys["cutoff"].to_numpy()
    rows = by_cutoff(held_out.keys["cutoff"].to_numpy(), held_out.labels, p)
    known = set(latest[~np.isnat(latest)])
    told = [{"split": "matured", "calibrates": row["cutoff"] is None or row["cutoff"] in known, **row} for row in rows]
    if test is not judged:
        on_test = evaluation.predictions[evaluation.selected].to_numpy()
        found = by_cutoff(test.keys["cutoff"].to_numpy(), test.labels, on_test)
        told += [{"split": "test", "calibrates": False, **row} for row in found]
    return told


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


def _outer_predictions(recipe: Recipe, samples: Samples, *, progress: Progress) -> dict[str, Scored]:
    """Test predictions of a split by folds: the whole procedure, once without each fold."""
    assert recipe.study.split is not None  # noqa: S101 - folds are a snapshot's split
    train = samples.train
    out = {name: Scored(*np.full((2, len(train)), np.nan)) for name in recipe.names}
    count = recipe.study.split.folds or FOLDS
    outer = customer_folds(train.labels, train.groups, folds=count, seed=recipe.study.seed + 2)
    for k, (fit_rows, held_out) in enumerate(outer, start=1):
        inner = train.take(fit_rows)
        learnt = learn(recipe, inner, None, progress=prefixed(progress, f"test fold {k}"))
        for name in recipe.names:
            for whole, part in zip(out[name], learnt.score(name, train.X.iloc[held_out]), strict=True):
                whole[held_out] = part
    return out


def choose_model(recipe: Recipe, learnt: Learnt) -> tuple[str, str, BootstrapResult]:
    """The model to deploy, chosen on validation; why; and all models there."""
    study, judged = recipe.study, learnt.judged
    on_validation = cluster_bootstrap(
        judged.labels,
        {name: choice.scored.probability for name, choice in learnt.chosen.items()},
        judged.groups,
        ranked_by={name: choice.scored.log_odds for name, choice in learnt.chosen.items()},
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
        keep="scorecard",
    )
    return selected, reason, on_validation


def evaluate(recipe: Recipe, learnt: Learnt, test: Frame, predicted: Mapping[str, Scored]) -> Evaluation:
    """Step 3 of the protocol: selection on validation; test figures for every model, with intervals."""
    study = recipe.study
    selected, reason, on_validation = choose_model(recipe, learnt)
    probability = {name: scored.probability for name, scored in predicted.items()}
    ranked_by = {name: scored.log_odds for name, scored in predicted.items()}
    on_test = cluster_bootstrap(
        test.labels,
        probability,
        test.groups,
        ranked_by=ranked_by,
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
    # Where a scorecard itself is deployed, the best that stood beside it is judged against it.
    rules = ("scorecard", "single_indicator")
    others = [name for name in recipe.names if name not in rules]
    precision = {name: on_validation.estimates[name]["average_precision"] or 0.0 for name in others}
    opponent = selected if selected in others else max(others, key=lambda name: precision[name], default=None)
    verdicts = [
        judge_against(
            on_test, test.labels, ranked_by, model=opponent, rival=rule, capacity=study.contact.share(len(test))
        )
        for rule in rules
        if rule in recipe.names and opponent is not None
    ]
    predictions = test.keys[["customer_id", "cutoff"]].assign(label=test.labels, **probability)
    return Evaluation(
        metrics=metrics,
        comparisons=comparisons,
        selected=selected,
        reason=reason,
        predictions=predictions,
        ranked_by=ranked_by,
        groups=test.groups,
        verdicts=verdicts,
    )


def _with_intervals(result: BootstrapResult, name: str) -> dict[str, Any]:
    return {**result.estimates[name], "intervals": result.intervals(name)}
