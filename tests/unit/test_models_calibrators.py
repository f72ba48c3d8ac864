"""Calibrators after Platt: as their libraries have it, never falling, never 0 or 1, and chosen only where better."""

import json
import math
import warnings

import numpy as np
import pytest
from betacal import BetaCalibration
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from venn_abers import VennAbers

from propensity.models.calibrators import (
    METHODS,
    choose_calibrator,
    fit_step,
    step_from_dict,
)
from propensity.splits import customer_folds

GRID = np.linspace(-9, 9, 2_001)


def drawn(n: int = 1_500, *, seed: int = 0, bend: float = 0.0):
    """Log-odds and labels; with `bend` the true log-odds level off to the right, which no straight line follows."""
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(-1.5, 1.5, n), 2)
    true = np.minimum(z, -1.5) + (1 - bend) * np.maximum(z + 1.5, 0)
    return z, (rng.random(n) < expit(true)).astype(np.int8)


def test_isotonic_regression_is_the_librarys() -> None:
    z, y = drawn()
    floor = 1 / (len(z) + 2)
    library = IsotonicRegression(y_min=floor, y_max=1 - floor, out_of_bounds="clip").fit(z, y)
    found = expit(fit_step("isotonic", z, y).transform(GRID))
    np.testing.assert_allclose(found, library.predict(GRID), rtol=0, atol=1e-12)


def test_beta_calibration_is_the_librarys() -> None:
    z, y = drawn()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = BetaCalibration("abm").fit(expit(z), y)
    bound = 1 / (len(z) + 2)
    expected = np.clip(library.predict(expit(GRID)), bound, 1 - bound)
    np.testing.assert_allclose(expit(fit_step("beta", z, y).transform(GRID)), expected, rtol=0, atol=1e-12)


def test_venn_abers_is_the_librarys() -> None:
    z, y = drawn()
    p = expit(z)
    with np.errstate(all="ignore"):
        library = VennAbers().fit(np.column_stack([1 - p, p]), y)
    q = expit(GRID)
    expected, pair = library.predict_proba(np.column_stack([1 - q, q]))
    bound = 1 / (len(z) + 2)
    step = fit_step("venn_abers", z, y)
    np.testing.assert_allclose(expit(step.transform(GRID)), np.clip(expected[:, 1], bound, 1 - bound), atol=1e-12)
    low, high = (expit(end) for end in step.span(GRID))
    np.testing.assert_allclose(low, np.clip(pair[:, 0], bound, 1 - bound), rtol=0, atol=1e-12)
    np.testing.assert_allclose(high, np.clip(pair[:, 1], bound, 1 - bound), rtol=0, atol=1e-12)


def test_venn_abers_by_hand() -> None:
    # Scores -1 (no), 1 (yes). A new row at 0: as a non-buyer it pools with -1: p0 = 0; as a buyer with 1: p1 = 1.
    # p = 1 / (1 - 0 + 1) = 1/2. At 1 itself, as a non-buyer it ties with the buyer there: p0 = 1/2, p = 1 / 1.5.
    # At -1, as a buyer it ties with the non-buyer there: p1 = 1/2, p = 0.5 / 1.5.
    step = fit_step("venn_abers", np.array([-1.0, 1.0]), np.array([0, 1]))
    assert expit(step.transform([0.0, 1.0, -1.0])) == pytest.approx([1 / 2, 2 / 3, 1 / 3])


def test_many_rows_are_fitted_in_cells_close_to_all_of_them() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(-2, 1, 12_000)
    y = rng.random(12_000) < expit(z)
    step = fit_step("venn_abers", z, y)
    assert len(step.to_dict()["knots"]) <= 2_000
    near = np.linspace(-4, 0, 50)
    isotonic = expit(fit_step("isotonic", z, y).transform(near))
    assert np.abs(expit(step.transform(near)) - isotonic).max() < 0.03


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", ["usual", "few", "separated", "backwards", "constant"])
def test_a_step_never_falls_and_never_reaches_0_or_1(method, case) -> None:
    z, y = drawn(400, seed=3)
    if case == "few":
        y[:] = 0
        y[:3] = 1
    if case == "separated":
        y = (z > 0).astype(np.int8)
    if case == "backwards":
        y = (z < -3).astype(np.int8)
    if case == "constant":
        z[:] = -1.0
    step = fit_step(method, z, y)
    found = step.transform(GRID)
    assert (np.diff(found) >= 0).all()
    if method != "platt":
        assert np.abs(found).max() <= logit(1 - 1 / 402) + 1e-9
    low, high = step.span(GRID)
    assert (low <= found + 1e-12).all()
    assert (found <= high + 1e-12).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_restored_from_json_to_the_bit(method) -> None:
    step = fit_step(method, *drawn())
    twin = step_from_dict(json.loads(json.dumps(step.to_dict())))
    np.testing.assert_array_equal(twin.transform(GRID), step.transform(GRID))
    np.testing.assert_array_equal(twin.span(GRID), step.span(GRID))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown method 'spline'"):
        step_from_dict({"method": "spline"})
    with pytest.raises(ValueError, match="unknown method 'spline'"):
        fit_step("spline", *drawn(50))


def test_fitting_leaves_the_filters_of_warnings_alone() -> None:
    before = list(warnings.filters)
    for method in METHODS:
        fit_step(method, *drawn(200))
    assert warnings.filters == before


def chosen(z, y, wanted="auto"):
    groups = np.arange(len(z))
    return choose_calibrator(wanted, z, y, groups, customer_folds(y, groups, seed=1))


def test_platt_stays_where_the_line_is_straight() -> None:
    methods = [chosen(*drawn(3_000, seed=seed)).method for seed in range(8)]
    # by chance another is one standard error better now and then
    assert methods.count("platt") >= 6


def test_another_is_taken_where_the_line_bends() -> None:
    choice = chosen(*drawn(20_000, seed=5, bend=1.0))
    assert choice.method != "platt"
    by = {row["method"]: row for row in choice.compared}
    assert by[choice.method]["log_loss"] == min(row["log_loss"] for row in choice.compared)
    assert by[choice.method]["difference"] < -by[choice.method]["standard_error"]
    assert "more than one standard error" in choice.reason


def test_platt_stays_with_a_few_buyers() -> None:
    kept = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        z = rng.normal(-5.4, 1.5, 2_000)  # about 25 buyers
        kept += chosen(z, (rng.random(2_000) < expit(z)).astype(np.int8)).method == "platt"
    assert kept >= 7


def test_the_studys_word_is_taken_and_rows_stay_in_platts_order() -> None:
    z, y = drawn(3_000)
    choice = chosen(z, y, "isotonic")
    assert (choice.method, choice.compared) == ("isotonic", [])
    np.testing.assert_array_equal(choice.scored.log_odds, chosen(z, y, "platt").scored.log_odds)
    assert math.isfinite(np.log(choice.scored.probability).sum())
