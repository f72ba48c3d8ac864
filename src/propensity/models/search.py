"""A search for LightGBM's parameters that must beat the defaults, or leaves them in place.

Optuna proposes (a tree-structured Parzen estimator, begun at the defaults), folds that are disjoint in customers and
forward in time judge, and a trial whose first folds are worse than the median of those before is given up. The best is
then held against the defaults on folds dealt anew.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from time import perf_counter
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from optuna.trial import TrialState

from propensity.models import make_model
from propensity.models.base import Float64
from propensity.models.folding import Folds, mean_with_error
from propensity.models.gbm import LightGBMModel
from propensity.models.tuning import MAX_ROUNDS, PATIENCE, choose_settings

logger = logging.getLogger(__name__)

Deal = Callable[[int], Folds]
"""Folds of the same rows, dealt by a seed."""

FRESH_DEALS = 2
"""Times that folds are dealt anew for the verdict."""
_CLEARLY = 1.645
"""Standard errors by which the best must win: a one-sided level of 5 %. It was picked among many on the same rows."""
_STARTUP = 12
"""Trials drawn at random before the estimator proposes."""
_AT_ONCE = 2
"""Folds that are fitted at the same time, on any machine: what is given up must not depend on its cores."""
_BEFORE_PRUNING = 5
"""Trials that see all folds before any is given up."""


@dataclass(frozen=True)
class Search:
    """What was tried and what came of it.

    Attributes
    ----------
    params : dict
        Parameters that beat the defaults; empty where the defaults stay.
    trials : list of dict
        ``number``, ``state`` (complete, pruned), ``log_loss`` (mean over folds; of the folds seen where pruned) and
        ``params`` of each.
    difference, error : float or None
        Log loss of the defaults less that of the best trial, a row, on fresh folds, and its standard error by
        customers; None where no trial was better than the defaults in the search.
    text : str
        The verdict in a sentence.
    """

    params: dict[str, Any]
    trials: list[dict[str, Any]] = field(default_factory=list)
    difference: float | None = None
    error: float | None = None
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self))


def search_settings(
    X: pd.DataFrame,
    y: npt.NDArray[Any],
    groups: npt.NDArray[np.int64],
    *,
    deal: Deal,
    trials: int,
    seconds: float | None = None,
    categorical: Sequence[str | int] = (),
    seed: int = 0,
    fixed: Mapping[str, Any] | None = None,
    storage: optuna.storages.BaseStorage | None = None,
    progress: Callable[[str], None] = logger.info,
) -> Search:
    """Look for parameters of LightGBM that are better than its defaults by more than the noise.

    Parameters
    ----------
    X : DataFrame of shape (n, n_features)
    y : ndarray of shape (n,)
        Labels, 0 or 1.
    groups : ndarray of shape (n,)
        Customer numbers.
    deal : callable
        Takes a seed, gives folds. `seed` deals those of the search, others those of the verdict.
    trials : int
        Trials in all, those of an interrupted search included; the first are the defaults.
    seconds : float, optional
        No trial begins after so many seconds. Results then depend on the machine.
    categorical : sequence of str or int, default=()
        Columns that hold category codes.
    seed : int, default=0
    fixed : mapping, optional
        Parameters of `LightGBMModel` that are not searched.
    storage : optuna storage, optional
        Where trials are kept. The same rows, folds and seed find theirs again, so that an interrupted search goes on
        and ends where an uninterrupted one would.
    progress : callable
        Told of each trial.

    Returns
    -------
    Search

    Notes
    -----
    Trial i is proposed by a sampler seeded with `seed` + i that knows the finished trials alone. The verdict takes the
    log losses of both on the same held-out rows, each with its own number of rounds; the best must be better by more
    than 1.645 standard errors, clustered by customer.
    """
    kept = dict(fixed or {})
    model = make_model("lightgbm", categorical=categorical, seed=seed, params=kept)
    assert isinstance(model, LightGBMModel)  # noqa: S101 - by its name
    judge = _Judge(model, X, y, deal(seed))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage,
        study_name=_name(X, y, groups, deal(seed), seed=seed, fixed=kept, categorical=categorical),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING),
        load_if_exists=True,
    )
    for stale in study.get_trials(states=(TrialState.RUNNING,), deepcopy=False):
        study.tell(stale.number, state=TrialState.FAIL)
    defaults = _defaults(model, y, categorical)
    started = perf_counter()
    while len(done := _finished(study)) < trials:
        if done and seconds is not None and perf_counter() - started > seconds:
            break
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP, seed=seed + len(done))
        if not done:
            study.enqueue_trial(defaults, skip_if_exists=True)
        trial = study.ask()
        loss = judge.loss(trial, _propose(trial, categorical))
        study.tell(trial, loss, state=TrialState.PRUNED if loss is None else TrialState.COMPLETE)
        progress(
            f"lightgbm: trial {len(done) + 1} of {trials}, best log loss {study.best_value:.5f} "
            f"(defaults {_finished(study)[0].value:.5f})"
        )
    told = [_told(trial) for trial in _finished(study)]
    if study.best_trial.number == _finished(study)[0].number:
        return Search({}, told, text=f"None of {len(told)} trials was better than the defaults: they stay.")
    best = dict(study.best_params)
    progress("lightgbm: the best trial against the defaults on fresh folds")
    difference, error = _verdict(X, y, groups, deal, best, categorical=categorical, seed=seed, fixed=kept)
    figures = f"log loss lower by {difference:.5f} ± {error:.5f} a row on fresh folds, {len(told)} trials"
    if difference > _CLEARLY * error:
        return Search(
            best, told, difference, error, f"Tuned: better than the defaults by more than the noise ({figures})."
        )
    return Search({}, told, difference, error, f"The defaults stay: the best trial is not clearly better ({figures}).")


def _defaults(model: LightGBMModel, y: npt.NDArray[Any], categorical: Sequence[str | int]) -> dict[str, Any]:
    """The defaults as a trial, at the size that the positives give."""
    sized = model.parameters(float(np.sum(y)), len(y))
    names = [*_SPACE, *(_CATEGORY_SPACE if categorical else ())]
    return {name: sized[name] if name in sized else getattr(model, name) for name in names}


_SPACE: dict[str, tuple[float, float]] = {
    "num_leaves": (2, 64),
    "learning_rate": (0.02, 0.2),
    "feature_fraction": (0.1, 1.0),
    "bagging_fraction": (0.4, 1.0),
    "min_data_in_leaf": (2, 200),
    "min_sum_hessian_in_leaf": (0.05, 20.0),
    "lambda_l2": (0.1, 200.0),
    "extra_trees": (0, 1),
}
_CATEGORY_SPACE: dict[str, tuple[float, float]] = {"cat_smooth": (1.0, 500.0), "cat_l2": (1.0, 500.0)}


def _propose(trial: optuna.Trial, categorical: Sequence[str | int]) -> dict[str, Any]:
    """A trial's parameters: shares on a plain scale, everything else on a logarithmic one."""
    proposed: dict[str, Any] = {}
    for name, (low, high) in {**_SPACE, **(_CATEGORY_SPACE if categorical else {})}.items():
        if name == "extra_trees":
            proposed[name] = trial.suggest_categorical(name, (False, True))
        elif isinstance(low, int) and isinstance(high, int):
            proposed[name] = trial.suggest_int(name, low, high, log=True)
        else:
            proposed[name] = trial.suggest_float(name, low, high, log=not name.endswith("_fraction"))
    return proposed


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED), deepcopy=False)


def _told(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "log_loss": trial.value,
        "params": dict(trial.params),
    }


def _name(X: pd.DataFrame, y: npt.NDArray[Any], groups: npt.NDArray[np.int64], folds: Folds, **about: Any) -> str:
    """A name that the same rows, folds, seed and space have again."""
    digest = sha256(json.dumps([list(X.columns), _SPACE, _CATEGORY_SPACE, about], default=str).encode())
    for block in (X.to_numpy(), y, groups, *(part for fold in folds for part in fold)):
        digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()[:32]


class _Judge:
    """Mean log loss of parameters over folds; the binned data is made once and shared by all trials."""

    def __init__(self, model: LightGBMModel, X: pd.DataFrame, y: npt.NDArray[Any], folds: Folds) -> None:
        self.model = model
        matrix, labels, weight = model.begin_fit(X, y)
        whole = model.dataset(matrix, labels, weight).construct()
        self.parts = [
            (whole.subset(np.sort(train)).construct(), whole.subset(np.sort(test)).construct()) for train, test in folds
        ]
        self.whole, self.positives, self.rows = whole, float(labels.sum()), len(labels)

    def loss(self, trial: optuna.Trial, proposed: Mapping[str, Any]) -> float | None:
        """The trial's loss with the best common number of rounds; None where it was given up."""
        model = copy(self.model).set_params(**proposed)
        parameters = {
            **model.parameters(self.positives, self.rows),
            "metric": "binary_logloss",
            "num_threads": max(1, (os.cpu_count() or 1) // _AT_ONCE),
        }
        runs: list[_FoldRun] = []
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            for start in range(0, len(self.parts), _AT_ONCE):
                runs += pool.map(lambda part: _FoldRun(parameters, *part), self.parts[start : start + _AT_ONCE])
                trial.report(float(np.mean([min(run.curve) for run in runs])), len(runs))
                if len(runs) < len(self.parts) and trial.should_prune():
                    return None
            length = 1 + max(int(np.argmin(run.curve)) for run in runs)
            curves = list(pool.map(lambda run: run.up_to(length), runs))
        return float(np.min(np.mean(curves, axis=0)))


class _FoldRun:
    """A booster on one fold: stopped when its held-out loss no longer falls, and continued if other folds need more."""

    def __init__(self, parameters: Mapping[str, Any], train: lgb.Dataset, held_out: lgb.Dataset) -> None:
        self.booster = lgb.Booster(dict(parameters), train)
        self.booster.add_valid(held_out, "held_out")
        self.curve: list[float] = []
        best = 0
        while len(self.curve) < min(MAX_ROUNDS, best + 1 + PATIENCE):
            self._step()
            if self.curve[-1] < self.curve[best]:
                best = len(self.curve) - 1

    def _step(self) -> None:
        self.booster.update()
        self.curve.append(float(self.booster.eval_valid()[0][2]))

    def up_to(self, length: int) -> list[float]:
        """The losses after 1 to `length` rounds."""
        while len(self.curve) < length:
            self._step()
        return self.curve[:length]


def _verdict(
    X: pd.DataFrame,
    y: npt.NDArray[Any],
    groups: npt.NDArray[np.int64],
    deal: Deal,
    best: Mapping[str, Any],
    *,
    categorical: Sequence[str | int],
    seed: int,
    fixed: Mapping[str, Any],
) -> tuple[float, float]:
    """How much lower the best trial's loss is than the defaults', a row, on fresh folds; and its standard error."""
    gain, times = np.zeros(len(y)), np.zeros(len(y))
    for turn in range(1, FRESH_DEALS + 1):
        folds = deal(seed + 1_000 * turn)
        plain, tuned = (
            _row_losses(X, y, folds, categorical=categorical, seed=seed + turn, params={**fixed, **params})
            for params in ({}, best)
        )
        seen = ~np.isnan(plain)
        gain[seen] += plain[seen] - tuned[seen]
        times[seen] += 1
    seen = times > 0
    return mean_with_error(gain[seen] / times[seen], groups[seen])


def _row_losses(X: pd.DataFrame, y: npt.NDArray[Any], folds: Folds, **how: Any) -> Float64:
    """Held-out log loss of each row, NaN for rows in no test fold."""
    z = choose_settings("lightgbm", X, y, folds=folds, **how).held_out
    assert z is not None  # noqa: S101 - rounds are always chosen here
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp(0.0, z) - y * z)
