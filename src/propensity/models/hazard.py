"""Several horizons from one model: a discrete-time hazard on top of its log-odds.

Time after the cutoff is cut at the horizons. Of those who have not bought before an interval, a share buys in it (the
hazard): a logistic function of the model's log-odds with a slope and a level for each interval, to which trees on the
features and those log-odds may add. Reference: Singer and Willett, 1993, doi:10.3102/10769986018002155.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from propensity.errors import BundleError
from propensity.models.calibration import PlattCalibrator
from propensity.models.folding import Folds, mean_with_error
from propensity.models.gbm import plain_names, read_tree_files, tree_files

FEW_BUYERS = 20
"""Buyers in an interval below which it has no hazard of its own, and is one with the next."""
MAX_ROUNDS = 100
CONTROLS = 10
"""Periods without a purchase for each one with: they stand for all, at a tenth more variance than all of them."""
MOST_CASES = 25_000
"""Periods with a purchase that trees are learnt from, which bounds memory and time."""
_BESIDE = ("log_odds", "interval")
"""What trees read beside the features."""

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HazardModel:
    """The hazard of each interval between horizons.

    Attributes
    ----------
    horizons : tuple of str
        The ends of the intervals, the shortest first.
    main : int
        Which of them is the model's own horizon.
    calibrators : tuple of PlattCalibrator
        From the model's log-odds to those of buying in an interval, one for each.
    columns : tuple of str
        The features that trees read.
    trees : str or None
        LightGBM's text; None where they are not clearly better.
    text : str
        Why there are trees, or none.
    """

    horizons: tuple[str, ...]
    main: int
    calibrators: tuple[PlattCalibrator, ...]
    columns: tuple[str, ...] = ()
    trees: str | None = None
    text: str = ""

    def hazard_log_odds(self, log_odds: Floats, X: Float32) -> Floats:
        """Log-odds of buying in each interval for who enters it, shape (n, intervals)."""
        out = np.column_stack([calibrator.transform(log_odds) for calibrator in self.calibrators])
        if self.trees is not None:
            booster = lgb.Booster(model_str=self.trees)
            for k in range(out.shape[1]):
                interval = np.full(len(X), k)
                out[:, k] += booster.predict(_block(X, log_odds, interval), raw_score=True, num_threads=1)
        return out

    def probabilities(self, log_odds: Floats, probability: Floats, X: Float32) -> Floats:
        """The probability of buying within each horizon, shape (n, horizons): never falling from one to the next.

        Parameters
        ----------
        log_odds : ndarray of shape (n,)
            Of the model, calibrated.
        probability : ndarray of shape (n,)
            Of buying within the model's own horizon; its column is this to the bit.
        X : ndarray of float32, shape (n, features)

        Notes
        -----
        With the cumulative hazard L(h), the sum of -log(1 - hazard) up to h, P(h) = 1 - (1 - p) ** (L(h) / L(main)).
        """
        cumulative = np.cumsum(np.logaddexp(0.0, self.hazard_log_odds(log_odds, X)), axis=1)
        share = cumulative / cumulative[:, [self.main]]
        found = -np.expm1(share * np.log1p(-np.minimum(probability, 1 - 1e-15))[:, None])
        found[:, self.main] = probability
        # Rounding alone could make a neighbour cross the model's own probability.
        found[:, : self.main] = np.minimum(found[:, : self.main], probability[:, None])
        found[:, self.main :] = np.maximum(found[:, self.main :], probability[:, None])
        return np.asarray(found)

    def to_files(self) -> dict[str, str]:
        """The model as text files."""
        head = {
            "horizons": list(self.horizons),
            "main": self.main,
            "calibrators": [calibrator.to_dict() for calibrator in self.calibrators],
            "columns": list(self.columns),
            "text": self.text,
        }
        return tree_files("hazard", head, self.trees)

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> HazardModel:
        """Restore what `to_files` made.

        Raises
        ------
        BundleError
            When a file is damaged.
        """
        try:
            head, trees = read_tree_files("hazard", files)
            return cls(
                horizons=tuple(head["horizons"]),
                main=int(head["main"]),
                calibrators=tuple(PlattCalibrator.from_dict(one) for one in head["calibrators"]),
                columns=tuple(head["columns"]),
                trees=trees,
                text=head["text"],
            )
        except (KeyError, TypeError, ValueError) as damage:
            raise BundleError(f"horizons: the model is damaged ({damage}). Write the bundle again.") from None


def learnable(buyers: Sequence[int], main: int) -> list[int]:
    """Which horizons have a hazard to be learnt: those with buyers enough since the one before, and the model's own.

    Parameters
    ----------
    buyers : sequence of int
        Who bought in each interval, of those that entered it and were observed to its end.
    main : int
        The model's own horizon. Before it the shorter ones give way.

    Returns
    -------
    list of int
        Positions, ascending; empty where the model's own window has too few buyers.

    Examples
    --------
    >>> learnable([3, 50, 8, 40], main=1), learnable([30, 5, 2], main=1), learnable([5, 5, 90], main=1)
    ([1, 3], [1], [])
    """
    kept: list[int] = []
    for k in range(len(buyers)):
        if k == main:
            while kept and sum(buyers[kept[-1] + 1 : k + 1]) < FEW_BUYERS:
                kept.pop()
        since = kept[-1] + 1 if kept else 0
        if sum(buyers[since : k + 1]) >= FEW_BUYERS:
            kept.append(k)
        elif k == main:
            return []
    return kept


def fit_hazard(
    log_odds: Floats,
    X: Float32,
    entered: Flags,
    bought: Flags,
    *,
    groups: npt.NDArray[np.int64],
    folds: Folds,
    horizons: Sequence[str],
    main: int,
    columns: Sequence[str],
    categorical: Sequence[int] = (),
    seed: int = 0,
) -> HazardModel:
    """Learn the hazard of each interval.

    Parameters
    ----------
    log_odds : ndarray of shape (n,)
        Calibrated log-odds of rows that the model was not fitted on, in an order that tells nothing.
    X : ndarray of float32, shape (n, features)
    entered : ndarray of bool, shape (n, intervals)
        Rows that had not bought before an interval, and were observed to its end. All others are censored.
    bought : ndarray of bool, shape (n, intervals)
        Those of them that bought in it.
    groups : ndarray of shape (n,)
        Customer numbers.
    folds : sequence of (train, test)
        Row positions, disjoint in customers: they choose the number of trees, and whether there are any.
    horizons : sequence of str
        Names of the intervals' ends.
    main : int
        Which of them is the model's own horizon.
    columns : sequence of str
        Names of the features.
    categorical : sequence of int
        Columns of `X` that hold category codes.
    seed : int

    Returns
    -------
    HazardModel
        With trees only where held-out log loss gains more than one standard error, clustered by customer.
    """
    calibrators = tuple(
        PlattCalibrator().fit(log_odds[entered[:, k]], bought[entered[:, k], k]) for k in range(entered.shape[1])
    )
    plain = HazardModel(tuple(horizons), main, calibrators, tuple(columns))
    periods = _sampled(plain.hazard_log_odds(log_odds, X), X, log_odds, entered, bought, seed=seed)
    make = partial(_boost, columns=columns, categorical=categorical, seed=seed)
    held_out, rounds = _held_out_trees(periods, folds, make)
    gain, error, figures = 0.0, 0.0, "no number of them lowered held-out log loss"
    if rounds:
        gain, error = mean_with_error(periods.losses() - periods.losses(held_out), groups[periods.row])
        figures = f"held-out log loss lower by {gain:.6f} ± {error:.6f} a row and interval"
    if gain <= error:
        text = f"One shape over time for all ranks: trees are not clearly better ({figures})."
        return HazardModel(tuple(horizons), main, calibrators, tuple(columns), None, text)
    booster = make(periods, rounds)
    text = f"Trees tell who buys sooner and who later ({figures})."
    return HazardModel(tuple(horizons), main, calibrators, tuple(columns), booster.model_to_string(), text)


def _block(X: Float32, log_odds: Floats, interval: npt.NDArray[np.intp]) -> Float32:
    """What trees read: the features, the model's log-odds and the interval."""
    return np.column_stack([X, log_odds.astype(np.float32), interval.astype(np.float32)])


@dataclass(frozen=True)
class _Periods:
    """Rows and intervals that trees are learnt from: what they read, where they begin, and how much each counts."""

    row: npt.NDArray[np.intp]
    block: Float32
    start: Floats
    y: Floats
    weight: Floats

    def losses(self, added: Floats | float = 0.0) -> Floats:
        """Log loss of each with what trees add, weighted: their mean is that of all periods."""
        z = self.start + added
        return np.asarray(self.weight / self.weight.mean() * (np.logaddexp(0.0, z) - self.y * z))

    def take(self, kept: Flags) -> _Periods:
        return _Periods(self.row[kept], self.block[kept], self.start[kept], self.y[kept], self.weight[kept])


_Make = Callable[[_Periods, int], lgb.Booster]


def _sampled(start: Floats, X: Float32, log_odds: Floats, entered: Flags, bought: Flags, *, seed: int) -> _Periods:
    """The periods with a purchase and some of those without, each weighted by how many it stands for."""
    row, interval = np.nonzero(entered)
    y = bought[row, interval]
    rng = np.random.default_rng(seed)
    weight, most = np.zeros(len(y)), MOST_CASES
    for places in (np.flatnonzero(y), np.flatnonzero(~y)):
        kept = places if len(places) <= most else rng.choice(places, most, replace=False)
        weight[kept] = len(places) / max(len(kept), 1)
        most = CONTROLS * len(kept)
    kept = np.flatnonzero(weight)
    row, interval, weight = row[kept], interval[kept], weight[kept]
    block = _block(X[row], log_odds[row], interval)
    return _Periods(row, block, start[row, interval], y[kept].astype(np.float64), weight)


def _held_out_trees(periods: _Periods, folds: Folds, make: _Make) -> tuple[Floats, int]:
    """What trees add to each period held out, and the number of rounds with the least mean loss."""
    tried = [0, 2, 4, 8, 16]
    said = _said_of_held_out(periods, folds, tried, make)
    if np.argmin([periods.losses(one).mean() for one in said]) == len(tried) - 1:  # still falling: more of them
        tried = [0, 16, 32, 64, MAX_ROUNDS]
        said = _said_of_held_out(periods, folds, tried, make)
    best = int(np.argmin([periods.losses(one).mean() for one in said]))
    return said[best], tried[best]


def _said_of_held_out(periods: _Periods, folds: Folds, tried: Sequence[int], make: _Make) -> Floats:
    """What trees that have not seen them add to each period, for each number of trees."""
    said = np.zeros((len(tried), len(periods.y)))
    for train, _ in folds:
        fit = np.isin(periods.row, train)
        booster = make(periods.take(fit), tried[-1])
        for i, rounds in enumerate(tried[1:], start=1):
            said[i, ~fit] = booster.predict(periods.block[~fit], raw_score=True, num_iteration=rounds, num_threads=1)
    return said


def _boost(
    periods: _Periods, rounds: int, *, columns: Sequence[str], categorical: Sequence[int], seed: int
) -> lgb.Booster:
    """Few, small, strongly shrunk trees that begin at the hazard which the model's log-odds give."""
    parameters: dict[str, Any] = {
        "objective": "binary",
        "num_leaves": 6,
        "learning_rate": 0.06,
        # Who is sooner shows where a feature and the interval meet: with few columns, a part of them seldom holds both.
        "feature_fraction": 0.5 if periods.block.shape[1] > 21 else 1.0,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "min_data_in_leaf": 50,
        "min_sum_hessian_in_leaf": 3.0,
        "lambda_l2": 20.0,
        "cat_smooth": 50.0,
        "cat_l2": 50.0,
        "feature_pre_filter": False,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "boost_from_average": False,
        "verbosity": -1,
    }
    dataset = lgb.Dataset(
        periods.block,
        label=periods.y,
        weight=periods.weight,
        init_score=periods.start,
        feature_name=plain_names([*columns, *_BESIDE]),
        categorical_feature=list(categorical),
        params=parameters,
    )
    text = lgb.train(parameters, dataset, num_boost_round=rounds).model_to_string()
    # Read back at once: what is used now and what is loaded later are the same text.
    return lgb.Booster(model_str=text)
