"""How much a first purchase is worth, given that it happens: the mean of buyers, or trees on the features.

The second part of a two-part model (https://doi.org/10.2307/1909582): the first gives the probability that a prospect
buys, this one the amount of those who do, so that their product is the expected amount of a prospect. It is learnt on
buyers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.errors import BundleError
from propensity.models.base import column_positions
from propensity.models.folding import Folds, Rows, clustered_error, mean_over_folds
from propensity.models.gbm import plain_names, read_tree_files, tree_files

FEW_CUSTOMERS = 100
"""Buyers below which the mean is taken without looking for more."""
ROUNDS = (10, 20, 40, 80, 160)
"""Numbers of trees to choose from."""
_CAP = 0.99
_INNER_FOLDS = 4

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AmountChoice:
    """Which model of the amount folds chose, and by how much.

    Attributes
    ----------
    rounds : int or None
        Trees of the model; None: the mean.
    gain : float or None
        Gamma loss of the mean less that of the trees, on rows held out; above 0 the trees are better. None where the
        trees were not tried.
    standard_error : float or None
        Of the gain, over customers.
    reason : str
        In a sentence.
    """

    rounds: int | None
    gain: float | None
    standard_error: float | None
    reason: str


@dataclass(frozen=True)
class AmountModel:
    """The expected amount of a first purchase, given that it happens.

    Attributes
    ----------
    mean : float
        Mean amount of the buyers, in the study's money.
    standard_error : float
        Of the mean, with each customer's purchases together.
    deviation : float
        Standard deviation of the amount around what the model expects.
    buyers, customers : int
        Rows and customers that it was learnt on.
    columns : tuple of str
        The features, in order.
    trees : str or None
        LightGBM's text; None: everybody's amount is the mean.
    level : float
        Factor on what the trees say, so that the amounts of held-out buyers add up to what they paid.
    """

    mean: float
    standard_error: float
    deviation: float
    buyers: int
    customers: int
    columns: tuple[str, ...] = ()
    trees: str | None = None
    level: float = 1.0

    @property
    def kind(self) -> str:
        """What it is: ``mean`` or ``trees``."""
        return "mean" if self.trees is None else "trees"

    def predict(self, X: pd.DataFrame) -> Floats:
        """The expected amount of each row, given a purchase, shape (n,), in the study's money."""
        if self.trees is None:
            return np.full(len(X), self.mean)
        booster = lgb.Booster(model_str=self.trees)
        return self.level * _predict(booster, X[list(self.columns)].to_numpy())

    def to_files(self) -> dict[str, str]:
        """The model as text files."""
        head = {
            "mean": self.mean,
            "standard_error": self.standard_error,
            "deviation": self.deviation,
            "buyers": self.buyers,
            "customers": self.customers,
            "columns": list(self.columns),
            "level": self.level,
        }
        return tree_files("amount", head, self.trees)

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> AmountModel:
        """Restore what `to_files` made; the same rows get the same amounts to the bit.

        Raises
        ------
        BundleError
            When a file is damaged.
        """
        try:
            head, trees = read_tree_files("amount", files)
            return cls(**{**head, "columns": tuple(head["columns"])}, trees=trees)
        except (KeyError, TypeError, ValueError) as damage:
            raise BundleError(f"amount: the model is damaged ({damage}). Write the bundle again.") from None


def gamma_loss(amount: Floats, expected: Floats) -> Floats:
    """Give the gamma loss of each row, shape (n,): ``log(expected) + amount / expected``.

    Half the gamma deviance, up to what the amount alone gives. Errors count by their ratio, so that a few large
    purchases do not decide, and on average it is least where `expected` is the mean, whatever the amounts' distribution
    (https://doi.org/10.1198/jasa.2011.r10138). Unlike the deviance it bears amounts of zero and below.

    Parameters
    ----------
    amount : ndarray of shape (n,)
        What was paid.
    expected : ndarray of shape (n,)
        Above 0.

    Examples
    --------
    >>> gamma_loss(np.array([10.0, 0.0]), np.array([10.0, 1.0])).round(3).tolist()
    [3.303, 0.0]
    """
    return np.asarray(np.log(expected) + amount / expected)


def choose_amount(
    X: pd.DataFrame,
    amount: Floats,
    groups: Integers,
    *,
    folds: Folds,
    categorical: Sequence[str] = (),
    seed: int = 0,
) -> AmountChoice:
    """Choose between the mean and trees, by the gamma loss of buyers whose customers were held out.

    Trees are taken only where they are better by more than one standard error of the paired difference, over customers.
    Their number is chosen inside each fold's own buyers, so that the comparison is not flattered by the choice.

    Parameters
    ----------
    X : DataFrame of float32, shape (n, features)
        Features of buyers.
    amount : ndarray of shape (n,)
        What they paid, in the study's money; finite.
    groups : ndarray of shape (n,)
        Customer of each row.
    folds : sequence of (fit, held out)
        Row positions, disjoint in customers; every row is held out once.
    categorical : sequence of str
        Columns that hold category codes.
    seed : int
        Of what trees draw.

    Returns
    -------
    AmountChoice
    """
    customers = len(np.unique(groups))
    if customers < FEW_CUSTOMERS:
        reason = f"the mean: {customers:,} buyers are too few to learn more from (fewer than {FEW_CUSTOMERS})"
        return AmountChoice(None, None, None, reason)
    if any(amount[fit].mean() <= 0 for fit, _ in folds):
        return AmountChoice(None, None, None, "the mean: amounts are not above zero on average")
    block = X.to_numpy()
    positions = column_positions(categorical, list(X.columns), role="categorical")
    by_trees, by_mean = np.empty(len(amount)), np.empty(len(amount))
    for fit, held_out in folds:
        rounds = _choose_rounds(block[fit], amount[fit], groups[fit], positions, seed=seed)
        booster = _fit(block[fit], amount[fit], list(X.columns), positions, rounds=rounds, seed=seed)
        level = amount[fit].sum() / _predict(booster, block[fit]).sum()
        by_trees[held_out] = level * _predict(booster, block[held_out])
        by_mean[held_out] = amount[fit].mean()
    difference = gamma_loss(amount, by_mean) - gamma_loss(amount, by_trees)
    gain, error = float(difference.mean()), clustered_error(difference, groups)
    told = f"they gain {gain:.4f} in gamma loss on held-out buyers, standard error {error:.4f}"
    if gain <= error:
        return AmountChoice(None, gain, error, f"the mean: trees are not clearly better ({told})")
    rounds = _choose_rounds(block, amount, groups, positions, seed=seed)
    return AmountChoice(rounds, gain, error, f"trees: clearly better than the mean ({told})")


def fit_amount(
    X: pd.DataFrame,
    amount: Floats,
    groups: Integers,
    choice: AmountChoice,
    *,
    folds: Folds,
    categorical: Sequence[str] = (),
    seed: int = 0,
) -> AmountModel:
    """Fit the chosen model of the amount on buyers, its level on rows held out.

    Trees see an amount below zero as zero, and one above the 99th percentile as that; the level counts all as they
    are. Parameters as in `choose_amount`.
    """
    mean = float(amount.mean())
    facts: dict[str, Any] = {"standard_error": clustered_error(amount, groups), "buyers": len(amount)}
    facts["customers"] = len(np.unique(groups))
    if choice.rounds is None or mean <= 0:
        return AmountModel(mean=mean, deviation=float(amount.std()), **facts)
    rounds, block, names = choice.rounds, X.to_numpy(), list(X.columns)
    positions = column_positions(categorical, names, role="categorical")

    def held_out(fit: Rows, out: Rows) -> Floats:
        return _predict(_fit(block[fit], amount[fit], names, positions, rounds=rounds, seed=seed), block[out])

    said = mean_over_folds(len(amount), folds, held_out)
    level = float(amount.sum() / said.sum())
    return AmountModel(
        mean=mean,
        deviation=float(np.sqrt(np.mean((amount - level * said) ** 2))),
        columns=tuple(names),
        trees=_fit(block, amount, names, positions, rounds=rounds, seed=seed).model_to_string(),
        level=level,
        **facts,
    )


def _choose_rounds(
    block: npt.NDArray[np.float32], amount: Floats, groups: Integers, positions: list[int], *, seed: int
) -> int:
    """The number of trees with the least gamma loss on customers held out, the fewest of equals."""
    customer = np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(seed).permutation(customer.max() + 1)[customer] % _INNER_FOLDS
    names = [str(j) for j in range(block.shape[1])]
    losses = np.zeros(len(ROUNDS))
    for k in range(_INNER_FOLDS):
        fit, out = fold != k, fold == k
        booster = _fit(block[fit], amount[fit], names, positions, rounds=ROUNDS[-1], seed=seed)
        for i, rounds in enumerate(ROUNDS):
            level = amount[fit].sum() / _predict(booster, block[fit], rounds=rounds).sum()
            losses[i] += gamma_loss(amount[out], level * _predict(booster, block[out], rounds=rounds)).sum()
    return ROUNDS[int(np.argmin(losses))]


def _fit(
    block: npt.NDArray[np.float32],
    amount: Floats,
    names: Sequence[str],
    positions: list[int],
    *,
    rounds: int,
    seed: int,
) -> lgb.Booster:
    """Few, small, strongly shrunk trees with a logarithmic link: buyers are few, and amounts vary much."""
    dataset = lgb.Dataset(
        block,
        label=np.clip(amount, 0.0, np.quantile(amount, _CAP)),
        feature_name=plain_names(names),
        categorical_feature=positions,
        params={"feature_pre_filter": False, "max_bin": 63},
    )
    parameters = {
        "objective": "gamma",
        "metric": "none",  # its own refuses amounts of zero
        "num_leaves": 4,
        "learning_rate": 0.05,
        "feature_fraction": 0.5,
        "min_data_in_leaf": 20,
        "lambda_l2": 10.0,
        "cat_smooth": 50.0,
        "cat_l2": 50.0,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
        "max_bin": 63,
        "feature_pre_filter": False,
    }
    text = lgb.train(parameters, dataset, num_boost_round=rounds).model_to_string()
    # Read back at once: what is used now and what is loaded later are the same text.
    return lgb.Booster(model_str=text)


def _predict(booster: lgb.Booster, block: npt.NDArray[np.float32], *, rounds: int = -1) -> Floats:
    return np.asarray(booster.predict(block, num_iteration=rounds, num_threads=1), dtype=np.float64)
