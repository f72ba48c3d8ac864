"""The customers whom a campaign leaves alone: drawn by lot, once and for all."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chisquare

import propensity as pp
from propensity.errors import InputError
from propensity.scoring import control_slice

KEYS = pd.Series([f"C{number:07d}" for number in range(50_000)])


@pytest.fixture(scope="module")
def study():
    from importlib import resources
    from pathlib import Path

    return pp.load_study(Path(str(resources.files("propensity") / "data" / "demo" / "demo.yaml")))


def test_nobody_is_left_alone_unless_the_study_says_so(study):
    assert not control_slice(study, KEYS).any()
    assert control_slice(study.with_control("100%"), KEYS).all()


def test_the_share_holds_in_all_and_in_every_part(study):
    drawn = control_slice(study.with_control("2%"), KEYS)
    assert binomtest(int(drawn.sum()), len(KEYS), 0.02).pvalue > 1e-3
    by_part = drawn.reshape(10, -1).sum(axis=1)
    assert chisquare(by_part).pvalue > 1e-3
    # neighbours in the numbering do not go together
    both = int((drawn[1:] & drawn[:-1]).sum())
    assert binomtest(both, len(KEYS) - 1, 0.02**2).pvalue > 1e-3


def test_a_customer_stays_whoever_else_is_listed_and_in_whatever_order(study):
    some = study.with_control("2%")
    drawn = pd.Series(control_slice(some, KEYS), index=KEYS)
    fewer = KEYS.sample(frac=0.3, random_state=0)
    assert control_slice(some, fewer).tolist() == drawn[fewer].tolist()


def test_a_larger_share_keeps_those_of_a_smaller_one(study):
    few, more = (control_slice(study.with_control(share), KEYS) for share in (0.02, "5%"))
    assert few.sum() < more.sum()
    assert not (few & ~more).any()


def test_another_seed_or_study_draws_others(study):
    own = control_slice(study.with_control("5%"), KEYS)
    for other in (study.model_copy(update={"seed": 8}), study.model_copy(update={"study": "other"})):
        drawn = control_slice(other.with_control("5%"), KEYS)
        # as many in common as two draws that know nothing of each other have
        assert binomtest(int((drawn & own).sum()), len(KEYS), 0.05**2).pvalue > 1e-3


def test_the_lot_is_not_that_which_breaks_ties(study):
    from propensity.scoring import tie_breaker

    drawn = control_slice(study.with_control("5%"), KEYS)
    assert abs(np.corrcoef(drawn, tie_breaker(KEYS).astype(np.float64))[0, 1]) < 0.02


@pytest.mark.parametrize("share", ["2", "x", "-1%", 1.5, "120%"])
def test_what_is_no_share_is_said(study, share):
    with pytest.raises(InputError, match="is no share"):
        study.with_control(share)
