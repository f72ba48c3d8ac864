"""LightGBM with parameters that suit few positives, averaged over seeds, kept as text."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from propensity.errors import BundleError
from propensity.models.base import BinaryModel, Float32, Float64, UnsupportedTreesError, column_positions

if TYPE_CHECKING:
    from propensity.models.tree_shap import TreeShap

logger = logging.getLogger(__name__)

_ADDITIVITY = 1e-9
_DRAWS = ("bagging_seed", "feature_fraction_seed", "extra_seed", "objective_seed")
_ROWS_FOR_THREADS = 50_000


class LightGBMModel(BinaryModel):
    """Gradient-boosted trees in log-odds: the mean of several boosters that differ in their seed only.

    What a few hundred positives can tell is little: trees are small, steps are short, each tree sees some
    of the columns and rows, leaf values are shrunk strongly, and a leaf must hold an expected number of
    positives (`min_sum_hessian_in_leaf`), not just rows. With more positives trees may grow (`num_leaves`
    None: 8 leaves below 1,000 positives, 15 below 20,000, then 31) and steps lengthen (`learning_rate` None:
    0.03, 0.06, 0.1). The defaults were compared by cross-validation on training data of several real
    sets of 140 to 3,100 positives. Rounds that folds chose are kept as they are, with the leaves and steps
    that they were found with, when the model is fitted on more data: shrinkage in trees acts by counts, so
    that more data loosens it by itself.

    Rows are neither resampled nor weighted by class: that would spoil the probabilities and buys no
    ranking.

    Parameters
    ----------
    categorical : sequence of str or int, default=()
        Columns that hold category codes, by name (or by position for arrays).
    rounds : int, default=200
        Trees of each booster. `propensity.models.tuning.choose_settings` chooses it.
    seeds : int, default=3
        Number of boosters.
    seed : int, default=0
        First seed; booster i uses ``seed + i``.
    num_leaves : int or None, default=None
        Leaves of a tree; None: by the number of positives.
    learning_rate : float or None, default=None
        Length of a step; None: by the number of positives.
    feature_fraction, bagging_fraction : float in (0, 1], default=0.5 and 0.8
        Share of columns and of rows that a tree sees.
    min_data_in_leaf : int, default=10
        Rows that a leaf must hold.
    min_sum_hessian_in_leaf : float, default=0.5
        Sum of p * (1 - p) that a leaf must hold: for rare outcomes, expected positives.
    lambda_l2 : float, default=5.0
        Shrinkage of leaf values.
    cat_smooth, cat_l2 : float, default=50.0
        Shrinkage of categories.
    min_data_per_group : int, default=100
        Rows that a category must hold to be split off.
    max_bin : int, default=255
        Bins of a column.
    extra_trees : bool, default=False
        Whether thresholds are drawn at random, one for each column that a split looks at.
    monotone : mapping of str to {1, -1} or None, default=None
        Columns along which the score may only rise (1) or only fall (-1), everything else unchanged. Missing values
        stand outside of the order.
    threads : int or None, default=None
        Threads; None: one for few rows, else as many as there are cores. Results do not depend on it.

    Attributes
    ----------
    boosters_ : list of lightgbm.Booster
    classes_ : ndarray of shape (2,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 2)).astype(np.float32)
    >>> y = X[:, 0] + rng.normal(size=400) > 1
    >>> model = LightGBMModel(rounds=20, threads=1).fit(X, y)
    >>> phi, base = model.contributions(X)
    >>> bool(np.allclose(base + phi.sum(axis=1), model.decision_function(X)))
    True
    """

    kind = "lightgbm"

    def __init__(
        self,
        categorical: Sequence[str | int] = (),
        rounds: int = 200,
        seeds: int = 3,
        seed: int = 0,
        num_leaves: int | None = None,
        learning_rate: float | None = None,
        feature_fraction: float = 0.5,
        bagging_fraction: float = 0.8,
        min_data_in_leaf: int = 10,
        min_sum_hessian_in_leaf: float = 0.5,
        lambda_l2: float = 5.0,
        cat_smooth: float = 50.0,
        cat_l2: float = 50.0,
        min_data_per_group: int = 100,
        max_bin: int = 255,
        extra_trees: bool = False,
        monotone: Mapping[str, int] | None = None,
        threads: int | None = None,
    ) -> None:
        self.categorical = categorical
        self.rounds = rounds
        self.seeds = seeds
        self.seed = seed
        self.num_leaves = num_leaves
        self.learning_rate = learning_rate
        self.feature_fraction = feature_fraction
        self.bagging_fraction = bagging_fraction
        self.min_data_in_leaf = min_data_in_leaf
        self.min_sum_hessian_in_leaf = min_sum_hessian_in_leaf
        self.lambda_l2 = lambda_l2
        self.cat_smooth = cat_smooth
        self.cat_l2 = cat_l2
        self.min_data_per_group = min_data_per_group
        self.max_bin = max_bin
        self.extra_trees = extra_trees
        self.monotone = monotone
        self.threads = threads

    def _fit(self, X: Float32, y: Float64, weight: Float64) -> None:
        for name in ("rounds", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"lightgbm: {name} must be at least 1, found {getattr(self, name)!r}.")
        dataset = self.dataset(X, y, weight)
        dataset.construct()
        cores = os.cpu_count() or 1
        # Seeds that a full round of cores leaves over share the cores among them.
        over = self.seeds % cores
        several = cores // over if over and len(y) >= _ROWS_FOR_THREADS else 1

        def train(offset: int) -> str:
            parameters = self.parameters(float(weight @ y), len(y), offset=offset)
            parameters["num_threads"] = self.threads or (1 if offset < self.seeds - over else several)
            return str(lgb.train(parameters, dataset, num_boost_round=self.rounds).model_to_string())

        # A thread for each seed wastes less than threads that wait for each other inside one tree.
        with ThreadPoolExecutor(max_workers=cores) as pool:
            texts = list(pool.map(train, range(self.seeds)))
        # Read back at once: what is used now and what is loaded later are the same text.
        self.boosters_ = [lgb.Booster(model_str=text) for text in texts]

    def dataset(self, X: Float32, y: Float64, weight: Float64) -> lgb.Dataset:
        """Return the binned data that boosters of all seeds, and of all folds in tuning, share.

        Parameters
        ----------
        X : ndarray of shape (n, n_features), float32
        y : ndarray of shape (n,)
            1.0 for positives, 0.0 for negatives.
        weight : ndarray of shape (n,)

        Returns
        -------
        lightgbm.Dataset
        """
        names = self._column_names()
        unweighted = bool((weight == weight[0]).all()) and weight[0] == 1.0
        return lgb.Dataset(
            X,
            label=y,
            weight=None if unweighted else weight,
            feature_name=plain_names(names),
            categorical_feature=column_positions(self.categorical, names, role="categorical"),
            params=self.parameters(float(weight @ y), len(y)),
            free_raw_data=True,
        )

    def parameters(self, positives: float, rows: int, *, offset: int = 0) -> dict[str, Any]:
        """Return LightGBM's parameters for training data of a given size.

        Parameters
        ----------
        positives : float
            Weight of the positive rows.
        rows : int
        offset : int, default=0
            Which of the boosters: added to the seed of what a booster draws. The binning's seed belongs
            to the data, which all boosters share.

        Returns
        -------
        dict
        """
        size = 0 if positives < 1_000 else 1 if positives < 20_000 else 2
        return {
            "objective": "binary",
            "num_leaves": (8, 15, 31)[size] if self.num_leaves is None else self.num_leaves,
            "learning_rate": (0.03, 0.06, 0.1)[size] if self.learning_rate is None else self.learning_rate,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "min_data_in_leaf": self.min_data_in_leaf,
            "min_sum_hessian_in_leaf": self.min_sum_hessian_in_leaf,
            "lambda_l2": self.lambda_l2,
            "cat_smooth": self.cat_smooth,
            "cat_l2": self.cat_l2,
            "min_data_per_group": self.min_data_per_group,
            "max_bin": self.max_bin,
            "extra_trees": self.extra_trees,
            **self._constraints(),
            "feature_pre_filter": False,
            "data_random_seed": self.seed,
            **dict.fromkeys(_DRAWS, self.seed + offset),
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": self._threads(rows),
            "verbosity": -1,
        }

    def _constraints(self) -> dict[str, Any]:
        """Return LightGBM's parameters for the columns that may only rise or only fall; none without such columns."""
        if not self.monotone:
            return {}
        names = self._column_names()
        column_positions(list(self.monotone), names, role="monotone")
        signs = [int(self.monotone.get(name, 0)) for name in names]
        return {"monotone_constraints": signs, "monotone_constraints_method": "intermediate"}

    def _threads(self, rows: int) -> int:
        """Return the number of threads, 0 for all: on few rows they wait for each other longer than they work."""
        if self.threads is not None:
            return self.threads
        return 0 if rows >= _ROWS_FOR_THREADS else 1

    def _log_odds(self, X: Float32) -> Float64:
        total = np.zeros(len(X))
        for booster in self.boosters_:
            total += booster.predict(X, raw_score=True, num_threads=self._threads(len(X)))
        return total / len(self.boosters_)

    def _contributions(self, X: Float32) -> tuple[Float64, float]:
        threads = self.threads or os.cpu_count() or 1
        shap = self._tree_shap()
        if shap is not None:
            phi, base = shap(X, threads=threads), shap.base
        else:
            total = np.zeros((len(X), self.n_features_in_ + 1))
            for booster in self.boosters_:
                total += booster.predict(X, pred_contrib=True, num_threads=threads)
            total /= len(self.boosters_)
            phi, base = total[:, :-1], float(total[0, -1])
        log_odds = self._log_odds(X)
        error = np.abs(base + phi.sum(axis=1) - log_odds)
        if (error > _ADDITIVITY * np.maximum(1.0, np.abs(log_odds))).any():
            raise ArithmeticError(
                f"lightgbm: contributions miss the log-odds by up to {error.max():.3g}. "
                "The booster and its explanation do not belong together."
            )
        return phi, base

    def _interactions(self, X: Float32) -> Float64:
        from propensity.models.tree_interactions import TreeInteractions  # numba is imported where it is needed

        texts = [booster.model_to_string() for booster in self.boosters_]
        return TreeInteractions(texts, self.n_features_in_)(X)

    def _tree_shap(self) -> TreeShap | None:
        """Return what explains these boosters, made once; None where LightGBM itself must."""
        from propensity.models.tree_shap import TreeShap  # numba is imported where it is needed

        known: tuple[list[lgb.Booster], TreeShap | None] | None = getattr(self, "_explainer", None)
        if known is None or known[0] is not self.boosters_:
            try:
                shap = TreeShap([booster.model_to_string() for booster in self.boosters_], self.n_features_in_)
                known = self.boosters_, shap
            except UnsupportedTreesError as reason:
                logger.warning("lightgbm: contributions come from LightGBM itself, many times slower: %s.", reason)
                known = self.boosters_, None
            self._explainer = known
        return known[1]

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        texts = {
            f"{self.kind}_{position}.txt": booster.model_to_string() for position, booster in enumerate(self.boosters_)
        }
        return {"boosters": list(texts)}, texts

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        expected = plain_names(self._column_names())
        self.boosters_ = []
        for name in state["boosters"]:
            try:
                booster = lgb.Booster(model_str=files[name])
            except lgb.basic.LightGBMError as damage:
                raise BundleError(f"model: {name} is damaged ({damage}). Write the bundle again.") from damage
            if booster.feature_name() != expected:
                raise BundleError(f"model: the columns of {name} differ from those of {self.kind}.json.")
            self.boosters_.append(booster)


def tree_files(name: str, head: Mapping[str, Any], trees: str | None) -> dict[str, str]:
    """Write a model of some facts and, perhaps, trees as text files: ``<name>.json`` and ``trees.txt``."""
    files = {f"{name}.json": json.dumps(dict(head), indent=1, allow_nan=False, ensure_ascii=False) + "\n"}
    return files if trees is None else files | {"trees.txt": trees}


def read_tree_files(name: str, files: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
    """Read the facts and the trees that `tree_files` wrote; they are checked to be whole.

    Raises
    ------
    KeyError, ValueError
        When a file is missing or damaged.
    """
    head, trees = json.loads(files[f"{name}.json"]), files.get("trees.txt")
    if trees is not None:
        try:
            lgb.Booster(model_str=trees)
        except lgb.basic.LightGBMError as damage:
            raise ValueError(f"trees.txt: {damage}") from damage
    return head, trees


def plain_names(names: Sequence[str]) -> list[str]:
    """Return column names that LightGBM's text format can hold: JSON characters and blanks become ``_``.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    list of str
        Unique; names that are fine already stay as they are.

    Examples
    --------
    >>> plain_names(["age", "spend [eur]", "spend_[eur]"])
    ['age', 'spend__eur_', 'spend__eur__2']
    """
    plain: list[str] = []
    taken: set[str] = set()
    for position, name in enumerate(names):
        candidate = re.sub(r'[\s",:\[\]{}]', "_", name)
        while candidate in taken:
            candidate = f"{candidate}_{position}"
        taken.add(candidate)
        plain.append(candidate)
    return plain
