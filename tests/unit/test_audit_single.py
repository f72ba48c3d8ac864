"""How well a feature ranks by itself: by value, by presence, by band; and which of them is suspicious."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from propensity.audit.single import lower_end, single_feature_aucs
from propensity.audit.too_good import find_too_good
from propensity.features.catalogue import Feature
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.features.profile import ProfilePlan

ROWS = 2_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def y(rng) -> np.ndarray:
    return (rng.random(ROWS) < 0.1).astype(np.int8)


def judge(X, y, **named) -> pd.DataFrame:
    X = np.asarray(X, dtype=np.float32)
    is_category = named.pop("is_category", np.zeros(X.shape[1], dtype=bool))
    return single_feature_aucs(X, y, np.arange(len(y)), is_category=is_category, **named)


def test_by_value_it_is_the_area_under_the_curve_whichever_way_a_feature_points(rng, y):
    X = np.column_stack([y + rng.normal(size=ROWS), -y + rng.normal(size=ROWS), rng.integers(0, 4, ROWS)])
    X = X.astype(np.float32)
    areas = [roc_auc_score(y, column) for column in X.T]
    np.testing.assert_allclose(judge(X, y)["value"], np.maximum(areas, 1 - np.array(areas)), rtol=1e-12)


def test_missing_values_are_left_out_of_the_value_and_judged_by_presence(rng, y):
    column = y + rng.normal(size=ROWS)
    known = rng.random(ROWS) < np.where(y == 1, 0.9, 0.4)
    found = judge(np.where(known, column, np.nan)[:, None], y).iloc[0]
    assert found["value"] == pytest.approx(roc_auc_score(y[known], column[known].astype(np.float32)))
    assert found["presence"] == pytest.approx(roc_auc_score(y, known))


def test_a_peak_in_the_middle_is_seen_in_bands_only(rng, y):
    column = np.where(y == 1, rng.normal(0, 0.1, ROWS), rng.normal(0, 3, ROWS))
    found = judge(column[:, None], y).iloc[0]
    assert found["value"] < 0.6
    assert found["band"] > 0.9
    assert found["by"] == "band"


def test_codes_of_categories_have_no_order(rng, y):
    codes = np.where(y == 1, 1, rng.choice([0, 2, 3], ROWS))
    found = judge(codes[:, None], y, is_category=np.array([True])).iloc[0]
    assert np.isnan(found["value"])
    assert found["band"] == 1.0


def test_many_rare_categories_foresee_nothing_on_other_customers(rng, y):
    found = judge(rng.integers(0, 400, (ROWS, 1)), y, is_category=np.array([True])).iloc[0]
    assert found["band"] < 0.6


def test_few_buyers_are_no_evidence(rng):
    y = np.zeros(ROWS, dtype=np.int8)
    y[:19] = 1
    assert judge(y[:, None], y).loc[0, ["value", "presence", "band"]].isna().all()


def test_a_perfect_order_of_few_is_less_sure_than_one_of_many():
    areas, few, many = np.ones(2), np.array([20, 2_000]), np.array([20, 20_000])
    low = lower_end(areas, few, many)
    assert low[0] < low[1] < 1.0
    assert low[0] > 0.85  # 20 of each, all 400 pairs in order


def test_rows_beyond_a_hundred_thousand_of_a_class_change_nothing_to_speak_of(rng):
    y = (rng.random(250_000) < 0.01).astype(np.int8)
    column = (y + rng.normal(size=len(y))).astype(np.float32)
    found = judge(column[:, None], y).iloc[0]
    assert found["value"] == pytest.approx(roc_auc_score(y, column), abs=0.003)


def plan_and_frame(columns: dict[str, np.ndarray], y: np.ndarray) -> tuple[FeaturePlan, Frame]:
    features = tuple(Feature(name, f"the {name}", "number", "demographics", "value", "customers") for name in columns)
    keys = pd.DataFrame({"customer_id": np.arange(len(y)), "code": np.arange(len(y)), "cutoff": pd.NaT})
    plan = FeaturePlan(profile=ProfilePlan(features, tuple(columns), {}), records=(), features=features)
    return plan, Frame(X=pd.DataFrame(columns).astype(np.float32), keys=keys, y=y)


def test_noise_is_never_suspicious(rng, y):
    plan, frame = plan_and_frame({f"noise_{i}": rng.normal(size=ROWS) for i in range(200)}, y)
    findings, judged = find_too_good(plan, frame, seed=0)
    assert findings == []
    assert len(judged) == 200
    assert judged["low"].is_monotonic_decreasing


def test_a_feature_far_better_than_all_others_together_is_suspicious(rng, y):
    """0.78 alone is what honest features reach; beside others that know nothing it is too good."""
    leak = y * 1.1 + rng.normal(size=ROWS)
    noise = {f"noise_{i}": rng.normal(size=ROWS) for i in range(5)}
    helpful = {f"helpful_{i}": y * 0.9 + rng.normal(size=ROWS) for i in range(5)}
    alone, judged = find_too_good(*plan_and_frame({"leak": leak, **noise}, y), seed=0)
    assert [finding.subject for finding in alone] == ["leak"]
    assert "all other features together reach 0.5" in alone[0].text
    assert judged["others"].notna().sum() == 1
    assert not find_too_good(*plan_and_frame({"leak": leak, **noise, **helpful}, y), seed=0)[0]


def test_too_few_buyers_are_said_not_to_be_judged(rng):
    y = np.zeros(ROWS, dtype=np.int8)
    y[:10] = 1
    findings, judged = find_too_good(*plan_and_frame({"leak": y.astype(float)}, y), seed=0)
    assert [finding.level for finding in findings] == ["not tested"]
    assert judged.empty
