"""Learning: settings, models and calibrators of a study from labelled rows, and their refit on more. Pure: no I/O.

Steps 1, 2 and 4 of the protocol: settings by folds inside train; calibration on rows that were not fitted on; the same
procedure again on all that has matured, calibrated by cross-fitting.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from propensity.bundle import ERROR_RATIO, Bundle, drawing_variance
from propensity.config import PointsSpec, Study
from propensity.evaluation.in_the_large import USUAL_CHANGE, level_change, level_of
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.models import MODEL_NAMES, make_model
from propensity.models.base import BinaryModel
from propensity.models.blend import BlendModel, blend_weight
from propensity.models.calibration import PlattCalibrator, cross_fit_platt
from propensity.models.calibrators import Choice, Scored, Step, choose_calibrator, fit_step
from propensity.models.folding import mean_with_error
from propensity.models.prior import Prior
from propensity.models.tuning import choose_settings
from propensity.rules.scorecard import Scorecard
from propensity.samples import FOLDS, train_folds
from propensity.splits import Fold, customer_folds, recency_weights, scramble
from propensity.temporal import Duration

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from propensity.models.search import Search

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Settings = dict[str, dict[str, Any]]
Recency = Mapping[str, float | None]
"""Model → half-life in the unit of `Frame.at`; without one, all rows count alike."""
Progress = Callable[[str], None]

LATEST = Prior()
"""The base rate of the latest matured labels."""
_SPREAD_ROWS = 10_000
"""Rows that the average uncertainty of a model is taken from."""
_ENOUGH_POSITIVES = 100
"""Positives from which the latest cutoff alone calibrates the deployed model."""
_SURELY = 2.576
"""Standard errors of chance that two levels of buying surely differ by, beyond the usual change (1 %, two-sided)."""
_WEAK = 100.0
"""Inverse strength of a ridge that only keeps two columns that say the same apart."""
_WEIGHTED = ("logistic", "lightgbm")
"""Models whose older rows may count less; a blend takes over those of its parts."""
_HALF_LIVES = (1 / 2, 1 / 6)
"""Half-lives that are tried, as shares of train's length: the oldest rows count a quarter, or next to nothing."""


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

    def untuned(self) -> "Recipe":
        """The recipe without a search."""
        models = self.study.models
        options = models.lightgbm and models.lightgbm.model_copy(update={"tune": None})
        study = self.study.model_copy(update={"models": models.model_copy(update={"lightgbm": options})})
        return replace(self, study=study)

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


@dataclass(frozen=True)
class Learnt:
    """Models fitted on train and calibrated on validation (or on nested folds).

    Attributes
    ----------
    settings : dict
        What folds inside train chose, by model.
    models, calibrators, steps : dict
        By model.
    raw : dict
        By model: log-odds of the rows that calibration saw, not calibrated, shape (n,).
    chosen : dict
        By model: the calibrator that was chosen, and the rows that calibration saw as it scores them by cross-fitting.
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
    steps: dict[str, Step]
    raw: dict[str, Floats]
    chosen: dict[str, Choice]
    judged: Frame
    recency: Recency = field(default_factory=dict)
    search: "Search | None" = None

    def score(self, name: str, X: pd.DataFrame) -> Scored:
        """What a model says of rows."""
        return _score(self.models[name], self.calibrators[name], self.steps[name], X)


def _score(
    model: BinaryModel, calibrator: PlattCalibrator, step: Step, X: pd.DataFrame, *, prior: Prior = LATEST
) -> Scored:
    log_odds = calibrator.transform(model.decision_function(X))
    bent = step.transform(log_odds)
    return Scored(log_odds, np.asarray(expit(bent + prior.shift(bent)), dtype=np.float64))


def learn(recipe: Recipe, train: Frame, validation: Frame | None, *, progress: Progress) -> Learnt:
    """Steps 1 and 2 of the protocol: settings by folds inside train; models; calibration on rows not fitted on."""
    settings, search = choose_all(recipe, train, progress=progress)
    if search is not None and search.params and validation is not None:
        settings, search = _confirmed(recipe, settings, search, train, validation, progress=progress)
    progress("fitting on train")
    recency = _choose_recency(recipe, settings, train, validation, progress=progress)
    models = _fit_together(recipe, recipe.names, settings, train, recency)
    if validation is not None:
        judged = validation
        raw = {name: model.decision_function(validation.X) for name, model in models.items()}
    else:
        judged, raw = train, _nested_log_odds(recipe, train, progress=progress)
    again = _calibration_folds(judged, recipe.study)
    wanted = recipe.study.calibration.method
    calibrators = {name: PlattCalibrator().fit(z, judged.labels) for name, z in raw.items()}
    chosen = {name: choose_calibrator(wanted, z, judged.labels, judged.groups, again) for name, z in raw.items()}
    steps = {
        name: fit_step(choice.method, calibrators[name].transform(raw[name]), judged.labels)
        for name, choice in chosen.items()
    }
    return Learnt(
        settings=settings,
        recency=recency,
        models=models,
        calibrators=calibrators,
        steps=steps,
        raw=raw,
        chosen=chosen,
        judged=judged,
        search=search,
    )


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


def _confirmed(
    recipe: Recipe, settings: Settings, search: "Search", train: Frame, validation: Frame, *, progress: Progress
) -> tuple[Settings, "Search"]:
    """The tuned settings where they are better than the defaults on validation too; else the defaults.

    Folds inside train cannot tell what lasts: validation is of other rows, and in a study with dates later.
    """
    progress("lightgbm: tuned against the defaults on validation")
    defaults, _ = choose_all(recipe.untuned(), train, progress=progress)
    folds = _calibration_folds(validation, recipe.study)
    before, after = (
        _losses_on_validation(recipe, "lightgbm", own, train, validation, folds, None) for own in (defaults, settings)
    )
    gain, error = mean_with_error(before - after, validation.groups)
    told = f"on validation log loss {'lower' if gain > 0 else 'higher'} by {abs(gain):.5f} ± {error:.5f}"
    if gain > 0:
        return settings, replace(search, text=f"{search.text.rstrip('.')}; {told}.")
    return defaults, replace(
        search, params={}, text=f"The defaults stay: what the search found won on train and not beyond it ({told})."
    )


def _losses_on_validation(
    recipe: Recipe,
    name: str,
    settings: Settings,
    train: Frame,
    validation: Frame,
    folds: Sequence[Fold],
    half_life: float | None,
) -> Floats:
    """Log loss of each validation row by a model fitted on train, calibrated by cross-fitting."""
    model = _fit_together(recipe, [name], settings, train, {name: half_life})[name]
    z = cross_fit_platt(model.decision_function(validation.X), validation.labels, folds)
    return np.asarray(np.logaddexp(0.0, z) - validation.labels * z, dtype=np.float64)


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
        return _losses_on_validation(recipe, name, settings, train, validation, folds, half_life)

    for name in names:
        progress(f"recency of {name}: all history, or recent")
        alike, best = losses(name, None), 0.0
        for share in _HALF_LIVES:
            half_life = share * float(np.ptp(train.at))
            gain, error = mean_with_error(alike - losses(name, half_life), validation.groups)
            if gain > max(error, best):
                chosen[name], best = half_life, gain
    return chosen


def prefixed(progress: Progress, place: str) -> Progress:
    """Progress that says where it happens."""
    return lambda text: progress(f"{place}: {text}")


def _nested_log_odds(recipe: Recipe, train: Frame, *, progress: Progress) -> dict[str, Floats]:
    """Log-odds of every train row by models whose settings, too, were chosen without its fold."""
    out = {name: np.full(len(train), np.nan) for name in recipe.names}
    outer = customer_folds(train.labels, train.groups, folds=FOLDS, seed=recipe.study.seed)
    for k, (fit_rows, held_out) in enumerate(outer, start=1):
        inner = train.take(fit_rows)
        settings, _ = choose_all(recipe, inner, progress=prefixed(progress, f"fold {k}"))
        for name, model in _fit_together(recipe, recipe.names, settings, inner, {}).items():
            out[name][held_out] = model.decision_function(train.X.iloc[held_out])
    return out


@dataclass(frozen=True)
class Refit:
    """A model fitted on all rows given, calibrated by cross-fitting.

    Attributes
    ----------
    model : BinaryModel
        Fitted on all rows.
    calibrator : PlattCalibrator
        Learnt on log-odds of rows whose customers the predicting model had not seen.
    step : Step
        Learnt on the same rows.
    folds : tuple of BinaryModel
        Those models, each without one group of customers.
    spread : float
        What the drawing of customers adds to the variance of the calibrated log-odds, on average over recent rows.
    misfit : float
        The variance of the true log-odds around the model's as far as LightGBM, fitted beside it, tells; 0 without.
    change : float
        The variance of the level's change from a cutoff to the next, in log-odds; see `level_change`.
    rows : Frame
        All rows that were fitted on.
    held_out : ndarray of shape (n,)
        Log-odds of each of them by the model that had not seen its customer, not calibrated.
    latest : ndarray of bool, shape (n,)
        The rows that the calibration was learnt on.
    """

    model: BinaryModel
    calibrator: PlattCalibrator
    step: Step
    folds: tuple[BinaryModel, ...]
    spread: float
    misfit: float
    change: float
    rows: Frame
    held_out: Floats
    latest: npt.NDArray[np.bool_]

    @property
    def base_rate(self) -> float:
        """The share of buyers that the calibration was learnt on: the mean probability of its rows."""
        return float(expit(self.step.transform(self.calibrator.transform(self.held_out[self.latest]))).mean())

    def prior(self, chosen: Prior) -> Prior:
        """A correction of the base rate from that of this refit's own calibration."""
        return replace(chosen, base_rate=self.base_rate)

    def bundle(self, plan: FeaturePlan, points: PointsSpec, **beside: Any) -> Bundle:
        """The model with its calibration and uncertainty, and what else a bundle holds."""
        return Bundle(
            plan=plan,
            model=self.model,
            calibrator=self.calibrator,
            step=self.step,
            folds=self.folds,
            spread=self.spread,
            misfit=self.misfit,
            change=self.change,
            points=points,
            **beside,
        )

    def score(self, X: pd.DataFrame, *, prior: Prior = LATEST) -> Scored:
        """What the model says of rows, corrected to their base rate as `prior` says."""
        return _score(self.model, self.calibrator, self.step, X, prior=self.prior(prior))


def refit(
    recipe: Recipe,
    names: Sequence[str],
    learnt: Learnt,
    frames: Sequence[Frame],
    *,
    progress: Progress,
) -> dict[str, Refit]:
    """Fit models with settings and half-lives chosen before on frames in the order of time.

    The calibration, by each model's method, is learnt on held-out log-odds of the latest cutoff where that has 100
    positives. Where it has fewer, on all rows; but on the latest cutoffs that together have 100, if buying has surely
    changed since those before, by more than is usual.
    """
    rows, place = _stack(frames)
    recent = _recent(place, rows)
    folds = customer_folds(rows.labels, rows.groups, folds=FOLDS, seed=recipe.study.seed)
    fits = [fit_rows for fit_rows, _ in folds] + [np.arange(len(rows))]
    models: dict[str, list[BinaryModel]] = {name: [] for name in names}
    for k, fit_rows in enumerate(fits, start=1):
        progress(f"refitting on {len(fit_rows):,} matured rows ({k} of {len(fits)})")
        fitted = _fit_together(recipe, names, learnt.settings, rows.take(fit_rows), learnt.recency)
        for name in names:
            models[name].append(fitted[name])
    apart = _apart(recipe.study)
    sample = rows.X[recent].head(_SPREAD_ROWS)  # rows stand in an order of their own, so that the first are any
    refits = {}
    for name, (*held_out, model) in models.items():
        raw = np.empty(len(rows))
        for (_, test_rows), part in zip(folds, held_out, strict=True):
            raw[test_rows] = part.decision_function(rows.X.iloc[test_rows])
        latest = recent if _calibrates(recent, place, rows, raw) else np.ones(len(rows), dtype=np.bool_)
        calibrator = PlattCalibrator().fit(raw[latest], rows.labels[latest])
        step = fit_step(learnt.chosen[name].method, calibrator.transform(raw[latest]), rows.labels[latest])
        spread = float(drawing_variance(held_out, calibrator, sample).mean())
        change = level_change(rows.keys["cutoff"], rows.labels, calibrator.transform(raw), apart=apart)
        refits[name] = Refit(model, calibrator, step, tuple(held_out), spread, 0.0, change, rows, raw, latest)
    if "lightgbm" in refits:
        trees = refits["lightgbm"]
        others = {name: fitted for name, fitted in refits.items() if name != "lightgbm"}
        refits |= {name: replace(fitted, misfit=_misfit(fitted, trees)) for name, fitted in others.items()}
    return refits


def _apart(study: Study) -> float:
    """Days from a cutoff to the first that may learn from its labels: the least from the latest to a list."""
    outcome = study.outcome
    spans = (outcome.gap, outcome.horizon, outcome.reporting_lag)
    return sum(span.approximate_days for span in spans if span is not None)


def _misfit(fitted: Refit, trees: Refit) -> float:
    """How far the true log-odds lie from a model's, as a variance: what LightGBM sees beyond it, and its own error.

    What it sees beyond is the variance of the step from the model's calibrated log-odds to the best mixture of both on
    rows that neither had seen. A scorecard is drawn with hardly any error, and may be far from the truth all the same.
    """
    seen, labels = fitted.latest, fitted.rows.labels[fitted.latest]
    own, other = (part.calibrator.transform(part.held_out[seen]) for part in (fitted, trees))
    both = np.column_stack([own, other])
    mixed = LogisticRegression(C=_WEAK).fit(both, labels).decision_function(both)
    return float(np.var(mixed - own)) + ERROR_RATIO * trees.spread


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


def _stack(frames: Sequence[Frame]) -> tuple[Frame, npt.NDArray[np.intp]]:
    """Frames one below the other in an order of their own (by customer), and each row's place in time.

    The place is that of its cutoff, or of its frame where there are no cutoffs, counted from the earliest.
    """
    keys = pd.concat([frame.keys for frame in frames], ignore_index=True)
    at = keys["cutoff"].to_numpy()
    of = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    place = of if np.isnat(at).any() else np.unique(at, return_inverse=True)[1]
    order = np.lexsort((at, scramble(keys["code"].to_numpy(), seed=0)))
    block = np.concatenate([frame.X.to_numpy() for frame in frames])[order]
    stacked = Frame(
        X=pd.DataFrame(block, columns=frames[0].X.columns, copy=False),
        keys=keys.iloc[order].reset_index(drop=True),
        y=np.concatenate([frame.labels for frame in frames])[order],
        purchases=_purchases(frames, order),
    )
    return stacked, place[order]


def _recent(place: npt.NDArray[np.intp], rows: Frame) -> npt.NDArray[np.bool_]:
    """The rows of the latest places in time that together have buyers enough; all, where not even all have.

    Where label windows overlap a purchase stands at several cutoffs, and counts once.
    """
    bought = rows.labels == 1
    last = pd.Series(place[bought]).groupby(rows.groups[bought]).max()
    since = np.bincount(last.to_numpy(), minlength=place.max() + 1)[::-1].cumsum()[::-1]
    enough = np.flatnonzero(since >= _ENOUGH_POSITIVES)
    return place >= (enough[-1] if len(enough) else 0)


def _calibrates(recent: npt.NDArray[np.bool_], place: npt.NDArray[np.intp], rows: Frame, raw: Floats) -> bool:
    """Whether the recent rows alone are to calibrate: they are one cutoff's, or buying has surely changed."""
    if np.ptp(place[recent]) == 0:
        return True
    if recent.all():
        return False
    y = rows.labels
    z = PlattCalibrator().fit(raw, y).transform(raw)
    (now, now_error), (before, before_error) = (level_of(y[own], z[own]) for own in (recent, ~recent))
    if not np.isfinite(before):
        return True  # nobody had bought: what came before has no say
    repeated = y.sum() / len(np.unique(rows.groups[y == 1]))
    error = float(np.hypot(now_error, before_error) * np.sqrt(repeated))
    return abs(now - before) > USUAL_CHANGE + _SURELY * error


def _purchases(frames: Sequence[Frame], order: npt.NDArray[np.intp]) -> pd.DataFrame | None:
    known = [frame.purchases for frame in frames if frame.purchases is not None]
    return pd.concat(known, ignore_index=True).take(order).reset_index(drop=True) if known else None
