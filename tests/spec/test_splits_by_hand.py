"""Folds inside train: a few rows, the folds worked out or told by what must hold of them."""

import numpy as np
import pytest

from propensity.splits import customer_folds, fold_of_rows, forward_folds, scramble

DAY = 86_400_000_000


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


def test_all_rows_of_a_customer_are_in_one_fold_and_buyers_are_spread() -> None:
    # Customers 1 and 2 have three rows each and buy once; 3 to 6 have one row and never buy. Two folds.
    groups = ints(1, 2, 1, 2, 1, 2, 3, 4, 5, 6)
    y = labels(0, 0, 1, 0, 0, 1, 0, 0, 0, 0)
    fold = fold_of_rows(y, groups, folds=2, seed=0)
    for customer in np.unique(groups):
        assert len(set(fold[groups == customer])) == 1
    assert fold[0] != fold[1], "one buyer each"
    assert np.bincount(fold[6:]).tolist() == [2, 2], "two of the others each"


def test_the_order_of_rows_changes_no_customers_fold() -> None:
    groups = ints(*range(100), *range(0, 100, 3))
    y = (groups % 7 == 0).astype(np.int8)
    fold = fold_of_rows(y, groups, folds=5, seed=3)
    back = np.arange(len(groups))[::-1]
    assert (fold_of_rows(y[back], groups[back], folds=5, seed=3) == fold[back]).all()
    assert (fold_of_rows(y, groups, folds=5, seed=4) != fold).any()


def test_scrambling_is_fixed_and_collides_with_nothing() -> None:
    # The first number of splitmix64 with state 0 (the generator's published test vector): 0 with seed 0 gives it.
    assert int(scramble(ints(0), seed=0)[0]) == 0xE220A8397B1DCDAF
    assert len(np.unique(scramble(np.arange(100_000), seed=7))) == 100_000
    assert (scramble(ints(1, 2, 3), seed=1) != scramble(ints(1, 2, 3), seed=2)).all()
    assert scramble(ints(5), seed=2**31 - 1).dtype == np.uint64


def test_every_row_is_held_out_once() -> None:
    groups = ints(*np.repeat(np.arange(20), 3))
    y = (groups < 5).astype(np.int8)
    folds = customer_folds(y, groups, folds=5, seed=1)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(60))
    for fitted, held in folds:
        assert not set(groups[fitted]) & set(groups[held])
        assert len(fitted) + len(held) == 60
        assert y[held].sum() == 3, "five buyers of three rows in five folds: one each"


def grid(customers: int, cutoffs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Everybody at every cutoff (30 days apart, the first at 0); every third customer buys at each of them."""
    groups = np.repeat(np.arange(customers), cutoffs).astype(np.int64)
    at = np.tile(np.arange(cutoffs) * 30 * DAY, customers).astype(np.int64)
    return (groups % 3 == 0).astype(np.int8), groups, at


def test_with_several_cutoffs_early_ones_are_fitted_and_later_customers_held_out() -> None:
    y, groups, at = grid(30, 6)
    # Horizon 30 days: the labels of day 90 are known on day 120, where the later third (days 120 and 150) begins.
    folds = forward_folds(y, groups, at, matures={int(c): int(c) + 30 * DAY for c in np.unique(at)}, folds=5, seed=0)
    assert len(folds) == 5
    for fitted, held in folds:
        assert not set(groups[fitted]) & set(groups[held])
        assert set(at[fitted] // DAY) == {0, 30, 60, 90}
        assert set(at[held] // DAY) == {120, 150}
    held = np.concatenate([held for _, held in folds])
    assert sorted(held) == np.flatnonzero(at >= 120 * DAY).tolist(), "each later row once"


def test_what_had_not_matured_at_the_first_held_out_cutoff_is_not_fitted_on() -> None:
    y, groups, at = grid(30, 6)
    # Horizon 30 days and a lag of 10: the labels of day 90 are known on day 130, too late for day 120.
    matures = {int(c): int(c) + 40 * DAY for c in np.unique(at)}
    for fitted, held in forward_folds(y, groups, at, matures=matures, folds=5, seed=0):
        assert set(at[fitted] // DAY) == {0, 30, 60}
        assert at[held].min() == 120 * DAY
        assert max(matures[int(c)] for c in at[fitted]) <= at[held].min()


@pytest.mark.parametrize(
    ("cutoffs", "wait"),
    [
        (1, 30),  # one cutoff: there is nothing to go forward to
        (3, 90),  # three, whose labels overlap: nothing had matured
    ],
)
def test_without_an_earlier_matured_cutoff_folds_are_disjoint_in_customers_only(cutoffs: int, wait: int) -> None:
    y, groups, at = grid(30, cutoffs)
    matures = {int(c): int(c) + wait * DAY for c in np.unique(at)}
    folds = forward_folds(y, groups, at, matures=matures, folds=5, seed=0)
    plain = customer_folds(y, groups, folds=5, seed=0)
    for (fitted, held), (same_fitted, same_held) in zip(folds, plain, strict=True):
        assert fitted.tolist() == same_fitted.tolist()
        assert held.tolist() == same_held.tolist()


def test_too_few_buyers_to_go_forward_are_spread_over_all_rows() -> None:
    y, groups, at = grid(30, 6)
    y = np.where((at < 120 * DAY) | (groups == 0), y, 0).astype(np.int8)  # two late buys: fewer than five folds
    folds = forward_folds(y, groups, at, matures={int(c): int(c) + 30 * DAY for c in np.unique(at)}, folds=5, seed=0)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(len(y)))
