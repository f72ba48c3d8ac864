"""The base rate without labels: found under label shift, left alone without, and refused where it does not help."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from propensity.models.prior import Prior, em_prior, judge_em


def shifted(base: float, *, n: int = 40_000, seed: int = 0, calibrated_to: float = 0.05, apart: float = 2.0):
    """Rows with `base` buyers, whose log-odds are right for a share of `calibrated_to`: two normals `apart`."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < base).astype(np.int8)
    x = rng.normal(apart * y, 1.0)
    return apart * x - apart**2 / 2 + logit(calibrated_to), y  # the log of the ratio of the densities, plus the prior


@settings(max_examples=25, deadline=None)
@given(base=st.floats(0.01, 0.4), seed=st.integers(0, 1_000))
def test_em_finds_the_base_rate_under_label_shift(base: float, seed: int) -> None:
    z, y = shifted(base, seed=seed)
    assert em_prior(z, prior_from=0.05) == pytest.approx(y.mean(), abs=0.01 + 0.05 * base)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_without_a_shift_little_changes(seed: int) -> None:
    z, _ = shifted(0.05, seed=seed)
    assert abs(Prior("em", 0.05).shift(z)) < 0.2


def test_the_fixed_point_is_the_mean_of_the_corrected_probabilities() -> None:
    z, _ = shifted(0.12)
    found = em_prior(z, prior_from=0.05)
    assert expit(z + Prior("em", 0.05).shift(z)).mean() == pytest.approx(found, abs=1e-6)


def test_a_base_rate_that_runs_away_is_not_used() -> None:
    # from 5 % to 12 % the odds rise 2.6 times, to 40 % 12.7 times
    for base, used in ((0.12, True), (0.4, False)):
        assert bool(Prior("em", 0.05).shift(shifted(base)[0])) == used
    z, y = shifted(0.4)
    assert not judge_em(z, y, np.arange(len(y)), base_rate=0.05)[0]


def test_latest_shifts_nothing() -> None:
    assert Prior().shift(shifted(0.3)[0]) == 0.0


def test_nobody_who_looks_like_a_buyer_leaves_a_finite_base_rate() -> None:
    assert 0 < em_prior(np.full(100, -40.0), prior_from=0.05) < 1e-4
    assert Prior("em", 0.05).shift(np.full(100, -40.0)) == 0.0


def test_em_is_accepted_where_it_helps_and_refused_where_it_does_not() -> None:
    z, y = shifted(0.15)
    accepted, why = judge_em(z, y, np.arange(len(y)), base_rate=0.05)
    assert accepted
    assert "from 0.0500 to 0.1" in why
    # No label shift: those who buy look different. EM sees fewer who look like buyers and takes the rate down.
    rng = np.random.default_rng(3)
    far, bought = z - 1.5, rng.random(len(z)) < 0.15
    assert not judge_em(far, bought, np.arange(len(y)), base_rate=0.05)[0]
