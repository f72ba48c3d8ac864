"""Hazards between horizons: close to a known law, coherent for everybody, restored to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit

from propensity.errors import BundleError
from propensity.models.calibration import PlattCalibrator
from propensity.models.hazard import FEW_BUYERS, HazardModel, fit_hazard, learnable
from propensity.splits import customer_folds

NAMES = ("7d", "30d", "90d")


def drawn(*, hurried: float, n: int = 20_000, seed: int = 0):
    """Prospects whose chance within 30 days follows `z`; `hurried` moves purchases of the second feature's upper half
    forward into the first week."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    z = -2.0 + X[:, 0]
    p = expit(z)
    # Of a 30-day chance, this part of the cumulative hazard falls into the first seven days.
    early = np.where(X[:, 1] > 0, 7 / 30 + hurried, 7 / 30 - hurried / 3)
    total = -np.log1p(-p)
    parts = np.column_stack([total * early, total * (1 - early), total * 2])
    hazards = -np.expm1(-parts)
    alive, entered, bought = np.ones(n, dtype=bool), np.zeros((n, 3), dtype=bool), np.zeros((n, 3), dtype=bool)
    for k in range(3):
        entered[:, k] = alive
        bought[:, k] = alive & (rng.random(n) < hazards[:, k])
        alive &= ~bought[:, k]
    truth = -np.expm1(-np.cumsum(parts, axis=1))
    return X, z, p, entered, bought, truth


def fitted(X, z, entered, bought) -> HazardModel:
    groups = np.arange(len(z), dtype=np.int64)
    folds = customer_folds(bought.any(axis=1).astype(np.int8), groups, folds=3, seed=0)
    return fit_hazard(
        z, X, entered, bought, groups=groups, folds=folds, horizons=NAMES, main=1, columns=["a", "b", "c"], seed=1
    )


def test_probabilities_of_all_horizons_come_close_to_a_known_law():
    X, z, p, entered, bought, truth = drawn(hurried=0.0)
    model = fitted(X, z, entered, bought)
    found = model.probabilities(z, p, X)
    assert model.trees is None
    assert "not clearly better" in model.text
    assert (found[:, 1] == p).all()
    # The level of the sample (of 765 to 7,000 buyers), and no bend along the ranks.
    assert found.mean(axis=0) == pytest.approx((np.cumsum(bought, axis=1) > 0).mean(axis=0), rel=0.02)
    assert np.abs(found - truth).mean(axis=0).max() < 0.012


def test_trees_tell_who_buys_sooner_where_a_feature_does():
    X, z, p, entered, bought, truth = drawn(hurried=0.6)
    model = fitted(X, z, entered, bought)
    found = model.probabilities(z, p, X)
    plain = HazardModel(model.horizons, 1, model.calibrators, model.columns).probabilities(z, p, X)
    assert model.trees is not None
    miss, plain_miss = (np.abs(one[:, 0] - truth[:, 0]).mean() for one in (found, plain))
    assert miss < 0.5 * plain_miss
    assert (found[:, 1] == p).all()


def test_censored_intervals_do_not_count_as_none_bought():
    X, z, _, entered, bought, _ = drawn(hurried=0.0)
    half = np.arange(len(z)) % 2 == 0
    entered[half, 2], bought[half, 2] = False, False  # not observed to its end
    censored = fitted(X, z, entered, bought)
    negative = entered.copy()
    negative[half, 2] = True
    wrong = fitted(X, z, negative, bought)
    level = logit(bought[~half & entered[:, 2], 2].mean())
    at_centre = [one.calibrators[2].transform(np.array([z.mean()]))[0] for one in (censored, wrong)]
    assert abs(at_centre[0] - level) < 0.35
    assert at_centre[1] < at_centre[0] - 0.5


@settings(max_examples=60, deadline=None)
@given(
    log_odds=arrays(np.float64, 12, elements=st.floats(-40, 40)),
    slopes=st.lists(st.floats(0.01, 5), min_size=3, max_size=3),
    levels=st.lists(st.floats(-12, 12), min_size=3, max_size=3),
    main=st.integers(0, 2),
)
def test_for_nobody_a_longer_horizon_is_less_probable(log_odds, slopes, levels, main):
    calibrators = []
    for slope, level in zip(slopes, levels, strict=True):
        one = PlattCalibrator()
        one.slope_, one.intercept_, one.covariance_ = slope, level, np.zeros((2, 2))
        calibrators.append(one)
    model = HazardModel(NAMES, main, tuple(calibrators))
    p = expit(log_odds)
    found = model.probabilities(log_odds, p, np.zeros((12, 1), dtype=np.float32))
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (found[:, main] == p).all()


def test_what_is_written_is_read_back_to_the_bit_and_damage_is_told():
    X, z, p, entered, bought, _ = drawn(hurried=0.6, n=6_000)
    model = fitted(X, z, entered, bought)
    files = model.to_files()
    assert (HazardModel.from_files(files).probabilities(z, p, X) == model.probabilities(z, p, X)).all()
    with pytest.raises(BundleError, match="damaged"):
        HazardModel.from_files({**files, "hazard.json": "{}"})


@pytest.mark.parametrize(
    ("buyers", "main", "kept"),
    [
        ([20, 20, 20], 1, [0, 1, 2]),
        ([19, 20, 20], 1, [1, 2]),  # the short one is one with the next: 39 buyers
        ([40, 19, 40], 0, [0, 2]),  # 59 buyers from the first to the third
        ([40, 19, 0], 0, [0]),  # 19 up to the last: not enough
        ([40, 10, 40], 1, [1, 2]),  # the model's own horizon stays, the shorter one gives way to it
        ([40, 40, 10, 40], 2, [0, 2, 3]),  # ... and only as far as needed: 50 buyers since the first
        ([9, 9, 90], 1, []),  # 18 buyers in the model's own window
    ],
)
def test_horizons_with_few_buyers_of_their_own_are_left_out_and_the_others_stay(buyers, main, kept):
    assert FEW_BUYERS == 20
    assert learnable(buyers, main) == kept
