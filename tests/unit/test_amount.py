"""The amount of a first purchase: trees where they are clearly better, else the mean; the level is that of the data."""

import numpy as np
import pandas as pd
import pytest

from propensity.errors import BundleError
from propensity.models.amount import FEW_CUSTOMERS, AmountChoice, AmountModel, choose_amount, fit_amount
from propensity.splits import customer_folds


def buyers(rows: int, *, effect: float, seed: int = 0):
    """Buyers whose amount has mean 50 × exp(effect × f0), gamma-distributed around it."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(rows, 12)).astype(np.float32), columns=[f"f{j}" for j in range(12)])
    mean = 50 * np.exp(effect * X["f0"].to_numpy(dtype=np.float64))
    return X, mean * rng.gamma(2.0, 0.5, size=rows), np.arange(rows), mean


def folds_of(groups):
    return customer_folds(np.ones(len(groups), np.int8), groups, folds=5, seed=1)


def learn(X, amount, groups, *, choice=None) -> tuple[AmountChoice, AmountModel]:
    folds = folds_of(groups)
    choice = choice or choose_amount(X, amount, groups, folds=folds, seed=1)
    return choice, fit_amount(X, amount, groups, choice, folds=folds, seed=1)


@pytest.fixture(scope="module")
def trees() -> AmountModel:
    X, amount, groups, _ = buyers(1_500, effect=0.6)
    choice, model = learn(X, amount, groups)
    assert choice.rounds is not None
    assert choice.gain > choice.standard_error > 0
    return model


def test_trees_are_taken_and_calibrated_where_the_amount_depends_on_a_feature(trees):
    # two thousand other buyers: the predicted sum is the actual one within 5 %, also in the lower and upper half
    X, _, _, mean = buyers(2_000, effect=0.6, seed=9)
    expected = trees.predict(X)
    assert trees.kind == "trees"
    assert expected.sum() == pytest.approx(mean.sum(), rel=0.05)
    for half in (X["f0"] < 0, X["f0"] >= 0):
        assert expected[half].mean() == pytest.approx(mean[half].mean(), rel=0.12)
    assert np.corrcoef(np.log(expected), np.log(mean))[0, 1] > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_taken_where_it_does_not(seed):
    X, amount, groups, _ = buyers(600, effect=0.0, seed=seed)
    choice, model = learn(X, amount, groups)
    assert choice.rounds is None
    assert "not clearly better" in choice.reason
    assert (model.predict(X) == amount.mean()).all()
    assert model.standard_error == pytest.approx(amount.std(ddof=1) / np.sqrt(600), rel=1e-9)


def test_few_buyers_have_the_mean():
    X, amount, groups, _ = buyers(FEW_CUSTOMERS - 1, effect=2.0)
    choice, model = learn(X, amount, groups)
    assert (choice.rounds, choice.gain, model.kind) == (None, None, "mean")
    # many rows of few customers are few
    assert learn(*(pd.concat([X, X]), np.tile(amount, 2), np.tile(groups, 2)))[0].rounds is None


def test_held_out_sum_is_the_actual_one(trees):
    # refitted by hand on each fold: level × held-out predictions add up to what was paid, zeros and returns included
    X, amount, groups, _ = buyers(400, effect=0.6)
    amount[:40] = 0.0
    amount[40:45] = -5.0
    amount[45] = 50_000.0
    choice = AmountChoice(40, 1.0, 0.1, "given")
    _, model = learn(X, amount, groups, choice=choice)
    said = 0.0
    for fit, out in folds_of(groups):
        part = fit_amount(X.iloc[fit], amount[fit], groups[fit], choice, folds=[(np.arange(len(fit)),) * 2], seed=1)
        said += (part.predict(X.iloc[out]) / part.level).sum()
    assert model.level * said == pytest.approx(amount.sum(), rel=1e-9)
    assert (model.predict(X) > 0).all()


def test_an_outlier_does_not_make_trees_wild():
    X, amount, groups, _ = buyers(500, effect=0.0, seed=4)
    amount[3] = 1_000 * amount.mean()
    choice, _ = learn(X, amount, groups)
    assert choice.rounds is None


def test_amounts_that_are_not_above_zero_have_the_mean():
    X, amount, groups, _ = buyers(300, effect=1.0)
    choice, model = learn(X, -amount, groups)
    assert choice.rounds is None
    assert model.mean == pytest.approx(-amount.mean())


def test_files_give_the_same_model_to_the_bit(trees):
    X = buyers(50, effect=0.6, seed=3)[0]
    twin = AmountModel.from_files(trees.to_files())
    assert twin == trees
    assert (twin.predict(X) == trees.predict(X)).all()
    mean = AmountModel(mean=2.5, standard_error=0.1, deviation=1.0, buyers=3, customers=3)
    assert AmountModel.from_files(mean.to_files()) == mean


@pytest.mark.parametrize("damage", [{"amount.json": "{}"}, {"amount.json": "no JSON"}, {"trees.txt": "no trees"}])
def test_damaged_files_are_told(trees, damage):
    with pytest.raises(BundleError, match="amount: the model is damaged"):
        AmountModel.from_files({**trees.to_files(), **damage})


def test_columns_are_found_by_name(trees):
    X = buyers(20, effect=0.6, seed=3)[0]
    assert (trees.predict(X[X.columns[::-1]]) == trees.predict(X)).all()
