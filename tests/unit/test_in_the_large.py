"""Actual over expected buyers by hand, with the exact interval of a Poisson count."""

import numpy as np
import pytest
from scipy.stats import poisson

from propensity.evaluation.in_the_large import by_cutoff, in_the_large


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
