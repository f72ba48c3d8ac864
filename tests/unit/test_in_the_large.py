"""Actual over expected buyers by hand, with the exact interval of a Poisson count."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import poisson

from propensity.evaluation.in_the_large import USUAL_CHANGE, by_cutoff, in_the_large, level_change
from propensity.evaluation.recalibration import calibration_intercept


def test_ratio_by_hand() -> None:
    found = in_the_large([1, 1, 1, 0, 0], [0.5, 0.5, 0.5, 0.25, 0.25])
    assert (found["n"], found["buyers"], found["expected"], found["ratio"]) == (5, 3, 2.0, 1.5)


@pytest.mark.parametrize("buyers", [1, 4, 30])
def test_the_interval_is_the_exact_one(buyers: int) -> None:
    found = in_the_large(np.arange(1_000) < buyers, np.full(1_000, 0.01))
    low, high = found["low"] * found["expected"], found["high"] * found["expected"]
    # with the low mean, so many or more are seen in 2.5 %; with the high one, so many or fewer
    assert poisson.sf(buyers - 1, low) == pytest.approx(0.025, abs=1e-6)
    assert poisson.cdf(buyers, high) == pytest.approx(0.025, abs=1e-6)


def test_nobody_bought() -> None:
    found = in_the_large([0, 0], [0.5, 0.5])
    assert (found["ratio"], found["low"]) == (0.0, 0.0)
    assert found["high"] == pytest.approx(-np.log(0.025), abs=1e-6)


def test_cutoffs_come_in_the_order_of_time() -> None:
    at = np.array(["2025-02-01", "2025-01-01", "2025-02-01"], dtype="datetime64[us]")
    rows = by_cutoff(at, [1, 0, 0], [0.5, 0.25, 0.25])
    assert [(str(row["cutoff"])[:10], row["n"], row["buyers"]) for row in rows] == [
        ("2025-01-01", 1, 0),
        ("2025-02-01", 2, 1),
    ]
    (whole,) = by_cutoff(np.full(3, "NaT", dtype="datetime64[us]"), [1, 0, 0], [0.5, 0.25, 0.25])
    assert (whole["cutoff"], whole["n"]) == (None, 3)


def _cutoffs(levels: np.ndarray, *, days: int, seed: int, n: int = 6_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cutoffs so many days apart at which `n` prospects each buy at the given level, beside what a model says."""
    rng = np.random.default_rng(seed)
    at = np.datetime64("2025-01-01") + np.repeat(np.arange(len(levels)), n) * np.timedelta64(days, "D")
    z = rng.normal(-3.5, 1.0, len(at))
    return at, (rng.random(len(at)) < expit(z + np.repeat(levels, n))).astype(np.int8), z


def test_chance_alone_is_hardly_change() -> None:
    found = [level_change(*_cutoffs(np.zeros(8), days=30, seed=seed), apart=30) for seed in range(20)]
    # Seven steps without change beside the one that is assumed.
    assert np.mean(found) < USUAL_CHANGE**2 / 4


def test_change_from_cutoff_to_cutoff_is_found_in_its_size() -> None:
    steps = np.random.default_rng(0).normal(0, 0.4, (20, 7))
    steps *= 0.4 / np.sqrt((steps**2).mean(axis=1, keepdims=True))
    levels = np.column_stack([np.zeros(20), steps.cumsum(axis=1)])
    levels = levels - levels.mean(axis=1, keepdims=True)
    found = [level_change(*_cutoffs(own, days=30, seed=seed), apart=30) for seed, own in enumerate(levels)]
    assert np.mean(found) == pytest.approx(0.4**2 * 7 / 8 + USUAL_CHANGE**2 / 8, rel=0.1)


@pytest.mark.parametrize(("seen", "size"), [(3, 0.2), (8, 0.2), (8, 0.3)])
def test_the_next_level_lies_within_the_interval_that_it_promises(seen: int, size: float) -> None:
    rng, inside = np.random.default_rng(7), []
    for seed in range(150):
        levels = np.concatenate([[0.0], rng.normal(0, size, seen).cumsum()])
        at, y, z = _cutoffs(levels[:-1], days=30, seed=seed, n=2_000)
        last = at == at[-1]
        told = calibration_intercept(z[last], y[last], np.ones(int(last.sum())))
        assert told is not None
        p = expit(z[last] + told)
        error = np.sqrt(level_change(at, y, z, apart=30) + 1 / (p * (1 - p)).sum())
        inside.append(abs(levels[-1] - told) < 1.645 * error)
    # 90 % is meant. A variance known from seven steps gives 86 % (Student's t), and the assumed step takes from a large
    # one. The share of 150 has an error of 0.03.
    assert 0.75 < np.mean(inside) < 0.97


def test_change_is_that_of_a_horizon_not_of_a_step() -> None:
    # a steady rise of 0.1 a week is one of 0.4 in four weeks
    at, y, z = _cutoffs(0.1 * np.arange(12), days=7, seed=3)
    assert level_change(at, y, z, apart=28) == pytest.approx(0.4**2, rel=0.25)
    assert level_change(at, y, z, apart=30) == pytest.approx(0.4**2, rel=0.25)
    assert level_change(at, y, z, apart=7) < 0.4**2 / 8
    # what a model says of all alike does not matter, nor the order of rows
    mixed = np.random.default_rng(0).permutation(len(at))
    assert level_change(at[mixed], y[mixed], z[mixed] + 2, apart=28) == pytest.approx(level_change(at, y, z, apart=28))


def test_the_usual_change_stands_where_none_can_be_seen() -> None:
    usual = pytest.approx(USUAL_CHANGE**2)
    at, y, z = _cutoffs(np.array([0.0, 1.0]), days=30, seed=1)
    assert level_change(at, y, z, apart=30) > 0.3
    assert level_change(at, y, z, apart=60) == usual
    alone = at == at[0]
    assert level_change(at[alone], y[alone], z[alone], apart=30) == usual
    assert level_change(at, np.where(alone, 0, y), z, apart=30) == usual  # nobody bought: no level to compare
    assert level_change(np.full(len(at), np.datetime64("NaT")), y, z, apart=30) == 0
