"""Settings chosen by folds inside training: rounds of LightGBM, shrinkage of the logistic model.

The folds are handed in: disjoint in customers and, with several cutoffs, forward in time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from propensity.models import make_model
from propensity.models.base import BinaryModel, Float32, Float64
from propensity.models.folding import Folds, mean_over_folds
from propensity.models.gbm import LightGBMModel
from propensity.models.linear import LogisticModel, encode, learn_terms, penalty
from propensity.models.ridge import fit_ridge

logger = logging.getLogger(__name__)

MAX_ROUNDS = 3_000
PATIENCE = 60
"""Rounds without a better mean log loss after which more are not tried."""

ROWS_FOR_SHRINKAGE = 30_000
"""Of more train rows in a fold, every second, third, ... is used to choose the logistic model's shrinkage."""

RISES = 3
"""Candidates in a row that may be worse than the best before weaker shrinkage is not tried."""

C_GRID = tuple(float(f"{10 ** (half / 2):.3g}") for half in range(-8, 2))
"""Candidates for `LogisticModel.C`, strongest shrinkage first: 0.0001 to 3.16 by half decades."""


@dataclass(frozen=True)
class Tuned:
    """What folds chose, and what the models that they were chosen with say of the rows held out.

    Attributes
    ----------
    settings : dict
        For `propensity.models.make_model`.
    held_out : ndarray of shape (n,) or None
        Log-odds of each row by a model that had not seen its fold; NaN for rows in no test fold. None
        where nothing was chosen.
    """

    settings: dict[str, Any]
    held_out: Float64 | None = None


def choose_settings(
    name: str,
    X: pd.DataFrame | npt.NDArray[Any],
    y: npt.ArrayLike,
    *,
    folds: Folds,
    categorical: Sequence[str | int] = (),
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> Tuned:
    """Choose a model's settings by the log loss of rows that a fold did not train on.

    Parameters
    ----------
    name : str
        One of `propensity.models.MODEL_NAMES`.
    X : DataFrame or array of shape (n, n_features)
    y : array of shape (n,)
        Labels, 0 or 1.
    folds : sequence of (train, test)
        Row positions.
    categorical : sequence of str or int, default=()
        Columns that hold category codes.
    seed : int, default=0
    params : mapping or None, default=None
        What the user fixed: it is not chosen again, and the rest is chosen given it.
    threads : int or None, default=None
        Threads of LightGBM.

    Returns
    -------
    Tuned
        Its settings are ``{"rounds": int, "num_leaves": int, "learning_rate": float}`` for ``lightgbm``: the best mean
        over folds, one seed, with the size of trees and steps that it was found with. ``{"C": float}`` for
        ``logistic``: the strongest shrinkage within one standard error of the best. Empty for the
        others, and where `params` leaves nothing to choose.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, rows = rng.normal(size=(300, 2)).astype("float32"), np.arange(300)
    >>> y = X[:, 0] + rng.normal(size=300) > 1
    >>> folds = [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    >>> sorted(choose_settings("logistic", X, y, folds=folds).settings)
    ['C']
    """
    fixed = dict(params or {})
    if name == "lightgbm" and "rounds" not in fixed:
        given = {"threads": threads, **fixed}
        boosters = cast(LightGBMModel, make_model(name, categorical=categorical, seed=seed, params=given))
        rounds, held_out = _choose_rounds(boosters, X, y, folds)
        # Trees and steps stay as they were when the rounds were chosen, whatever the model is fitted on later.
        labels = np.asarray(y)
        sized = boosters.parameters(float(np.sum(labels == labels.max())), len(labels))
        kept = {key: sized[key] for key in ("num_leaves", "learning_rate") if key not in fixed}
        return Tuned({"rounds": rounds, **kept}, held_out)
    if name == "logistic" and "C" not in fixed:
        linear = cast(LogisticModel, make_model(name, categorical=categorical, params=fixed))
        strength, held_out = _choose_shrinkage(linear, X, y, folds)
        return Tuned({"C": strength}, held_out)
    return Tuned({})


def cross_fit(model: BinaryModel, X: pd.DataFrame | npt.NDArray[Any], y: npt.ArrayLike, *, folds: Folds) -> Float64:
    """Return log-odds of each fold's test rows by a copy of the model fitted on its train rows.

    Parameters
    ----------
    model : BinaryModel
        Unfitted, or fitted: it is cloned and stays as it is.
    X : DataFrame or array of shape (n, n_features)
    y : array of shape (n,)
    folds : sequence of (train, test)
        Row positions.

    Returns
    -------
    ndarray of shape (n,)
        The mean where a row is tested by several folds, NaN where by none.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.arange(6, dtype="float32").reshape(-1, 1), np.array([0, 1, 0, 1, 0, 1])
    >>> log_odds = cross_fit(LogisticModel(), X, y, folds=[(np.arange(4), np.arange(4, 6))])
    >>> np.isnan(log_odds).tolist()
    [True, True, True, True, False, False]
    """
    labels = np.asarray(y)
    return mean_over_folds(
        len(labels),
        folds,
        lambda train, test: clone(model).fit(_rows(X, train), labels[train]).decision_function(_rows(X, test)),
    )


def _rows(X: pd.DataFrame | npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> Any:
    """Return the rows of a frame or an array."""
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _choose_rounds(model: LightGBMModel, X: Any, y: npt.ArrayLike, folds: Folds) -> tuple[int, Float64]:
    """Return the number of rounds with the best mean log loss over folds, and its held-out log-odds."""
    matrix, labels, weight = model.begin_fit(X, y)
    history = lgb.cv(
        {**model.parameters(float(labels.sum()), len(labels)), "metric": "binary_logloss"},
        model.dataset(matrix, labels, weight),
        num_boost_round=MAX_ROUNDS,
        folds=[(np.asarray(train), np.asarray(test)) for train, test in folds],
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        return_cvbooster=True,
    )
    curve = history["valid binary_logloss-mean"]
    rounds = int(np.argmin(curve)) + 1
    logger.info("lightgbm: %d rounds, mean log loss %.5f over %d folds", rounds, curve[rounds - 1], len(folds))
    boosters = iter(history["cvbooster"].boosters)
    held_out = mean_over_folds(
        len(labels),
        folds,
        lambda _, test: next(boosters).predict(matrix[test], raw_score=True, num_iteration=rounds, num_threads=1),
    )
    return rounds, held_out


def _choose_shrinkage(model: LogisticModel, X: Any, y: npt.ArrayLike, folds: Folds) -> tuple[float, Float64]:
    """Return the strongest shrinkage within one standard error of the best, and its held-out log-odds."""
    matrix, labels, _ = model.begin_fit(X, y)
    paths = [_shrinkage_path(model, matrix, labels, train, test) for train, test in folds]
    tried = min(map(len, paths))
    losses = np.array(
        [
            [float((np.logaddexp(0.0, z) - labels[test] * z).mean()) for z in path[:tried]]
            for path, (_, test) in zip(paths, folds, strict=True)
        ]
    )
    mean = losses.mean(axis=0)
    best = int(np.argmin(mean))
    # Folds differ more than penalties do: the error is that of the paired difference from the best.
    error = (losses - losses[:, [best]]).std(axis=0, ddof=min(1, len(losses) - 1)) / np.sqrt(len(losses))
    chosen = int(np.flatnonzero(mean - error <= mean[best])[0])
    logger.info("logistic: C = %g, mean log loss %.5f over %d folds", C_GRID[chosen], mean[chosen], len(losses))
    found = iter(path[chosen] for path in paths)
    return C_GRID[chosen], mean_over_folds(len(labels), folds, lambda *_: next(found))


def _shrinkage_path(
    model: LogisticModel,
    matrix: Float32,
    labels: Float64,
    train: npt.NDArray[np.intp],
    test: npt.NDArray[np.intp],
) -> list[Float64]:
    """Return log-odds of the test rows for one candidate after the other, until their log loss keeps rising."""
    # C is a prior variance: it means the same on any number of rows, so that a part of many will do.
    train = np.asarray(train)[:: -(-len(train) // ROWS_FOR_SHRINKAGE)]
    weight = np.ones(len(train))
    terms = learn_terms(matrix[train], weight, model.categorical_positions())
    seen, unseen = encode(terms, matrix[train]), encode(terms, matrix[test])
    coef, losses, path = None, [], []
    for C in C_GRID:
        coef = fit_ridge(seen, labels[train], weight, penalty(seen.shape[1], C), coef)
        z = unseen @ coef
        path.append(z)
        losses.append(float((np.logaddexp(0.0, z) - labels[test] * z).mean()))
        if len(losses) - 1 - int(np.argmin(losses)) >= RISES:
            break
    return path
