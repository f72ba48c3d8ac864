"""Platt's calibration in log-odds: recovery, stability, and prior correction."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from propensity.models.calibration import PlattCalibrator, cross_fit_platt, prior_shift


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(1)
    true = rng.normal(-2.5, 1.2, 40_000)
    return true, (rng.random(40_000) < expit(true)).astype(np.int8)


def test_undoes_overconfidence_and_a_shift(drawn):
    true, y = drawn
    calibrator = PlattCalibrator().fit(2.5 * true - 1.0, y)
    # 2.5 t - 1 -> t: slope 0.4, intercept 0.4
    assert calibrator.slope_ == pytest.approx(0.4, abs=0.01)
    assert calibrator.intercept_ == pytest.approx(0.4, abs=0.05)


def test_agrees_with_plain_maximum_likelihood_on_much_data(drawn):
    true, y = drawn
    plain = LogisticRegression(C=1e9, tol=1e-10).fit(true.reshape(-1, 1), y)
    calibrator = PlattCalibrator().fit(true, y)
    assert calibrator.slope_ == pytest.approx(plain.coef_[0, 0], abs=2e-3)
    assert calibrator.intercept_ == pytest.approx(plain.intercept_[0], abs=5e-3)


def test_covariance_is_that_of_the_estimates():
    rng = np.random.default_rng(2)
    estimates, covariances = [], []
    for _ in range(300):
        z = rng.normal(-1.5, 1.0, 800)
        calibrator = PlattCalibrator().fit(z, rng.random(800) < expit(z))
        estimates.append([calibrator.slope_, calibrator.intercept_])
        covariances.append(calibrator.covariance_)
    np.testing.assert_allclose(np.cov(np.array(estimates).T), np.mean(covariances, axis=0), rtol=0.25)


def test_keeps_the_mean_probability_at_the_base_rate(drawn):
    true, y = drawn
    probability = expit(PlattCalibrator().fit(0.3 * true + 2, y).transform(0.3 * true + 2))
    assert probability.mean() == pytest.approx(y.mean(), abs=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e6])
def test_perfect_separation_stays_finite(scale):
    x = scale * np.array([-2.0, -1.0, 1.0, 2.0])
    calibrator = PlattCalibrator().fit(x, [0, 0, 1, 1])
    probability = expit(calibrator.transform(x))
    assert np.isfinite([calibrator.slope_, calibrator.intercept_]).all()
    assert np.isfinite(calibrator.covariance_).all()
    assert (probability > 0).all()
    assert (probability < 1).all()


def test_a_backward_ranking_is_flattened_but_never_turned_round(drawn):
    true, y = drawn
    calibrator = PlattCalibrator().fit(-true, y)
    assert 0 < calibrator.slope_ < 0.05


def test_equal_scores_get_the_base_rate():
    calibrator = PlattCalibrator().fit(np.full(400, 3.0), np.arange(400) < 40)
    assert expit(calibrator.transform([3.0]))[0] == pytest.approx(0.1, abs=0.005)
    assert calibrator.slope_ == pytest.approx(1.0)


def test_weights_count_as_rows():
    rng = np.random.default_rng(3)
    x, y, weight = rng.normal(size=60), rng.integers(0, 2, 60), rng.integers(1, 4, 60)
    weighted = PlattCalibrator().fit(x, y, weight)
    repeated = PlattCalibrator().fit(np.repeat(x, weight), np.repeat(y, weight))
    assert weighted.slope_ == pytest.approx(repeated.slope_, rel=1e-6)
    assert weighted.intercept_ == pytest.approx(repeated.intercept_, rel=1e-6)


def test_reads_back_equal_to_the_bit(drawn):
    calibrator = PlattCalibrator().fit(*drawn)
    twin = PlattCalibrator.from_dict(calibrator.to_dict())
    np.testing.assert_array_equal(twin.transform(drawn[0]), calibrator.transform(drawn[0]))
    np.testing.assert_array_equal(twin.covariance_, calibrator.covariance_)


@pytest.mark.parametrize(
    ("log_odds", "y", "message"),
    [
        ([0.0, 1.0], [0, 0], "needs positives and negatives, found 0 and 2"),
        ([0.0, np.nan], [0, 1], "1 of 2 log-odds are not finite"),
        ([0.0, 1.0, 2.0], [0, 1], "equally long"),
        ([0.0, 1.0], [1, 2], "labels must be 0 or 1"),
    ],
)
def test_unusable_input_is_told(log_odds, y, message):
    with pytest.raises(ValueError, match=message):
        PlattCalibrator().fit(log_odds, y)


def test_cross_fitting_never_lets_a_row_calibrate_itself(drawn):
    true, y = drawn[0][:300], drawn[1][:300]
    rows = np.arange(300)
    folds = [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in (0, 1)]
    calibrated = cross_fit_platt(true, y, folds)
    np.testing.assert_array_equal(np.isnan(calibrated), rows % 3 == 2)
    other = y.copy()
    other[0] = 1 - other[0]
    changed = cross_fit_platt(true, other, folds)
    np.testing.assert_array_equal(changed[rows % 3 == 0], calibrated[rows % 3 == 0])
    assert not np.array_equal(changed[rows % 3 == 1], calibrated[rows % 3 == 1])


def test_prior_shift_moves_odds_by_the_ratio_of_prior_odds():
    # Saerens et al.: odds 1:3 at a prior of 1:1 become 1:27 at a prior of 1:9.
    assert expit(prior_shift([logit(0.25)], prior_from=0.5, prior_to=0.1))[0] == pytest.approx(1 / 28)
    there = prior_shift([0.7], prior_from=0.04, prior_to=0.2)
    assert prior_shift(there, prior_from=0.2, prior_to=0.04)[0] == pytest.approx(0.7)
    with pytest.raises(ValueError, match="prior_to must lie between 0 and 1"):
        prior_shift([0.0], prior_from=0.5, prior_to=1.0)
