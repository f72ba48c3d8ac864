"""What drives a model: in parts of the prospects, in pairs, and since the run before."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.config import PointsSpec
from propensity.drivers import Previous, interactions_of, since_last
from propensity.explain.importance import importance_by
from propensity.explain.interactions import strongest_pairs
from propensity.models.base import UnsupportedTreesError
from propensity.models.gbm import LightGBMModel
from propensity.models.linear import LogisticModel

NAMES = ("visits", "age", "region", "noise")
CATALOGUE = [
    {"name": name, "description": f"the {name}", "kind": "category" if name == "region" else "number"} for name in NAMES
]


def test_each_group_has_its_own_strongest_features() -> None:
    points = np.zeros((100, 4))
    points[:60, 0], points[60:, 1], points[:, 3] = 4.0, -6.0, 0.5
    groups = np.array(["owners"] * 60 + ["tenants"] * 35 + ["few"] * 4 + [None], dtype=object)
    found = importance_by(points, groups, CATALOGUE, count=1)
    assert found == {
        "groups": ["owners", "tenants"],
        "rows": [60, 35],
        "features": [
            {"feature": "visits", "description": "the visits", "mean_abs_points": [4.0, 0.0]},
            {"feature": "age", "description": "the age", "mean_abs_points": [0.0, 6.0]},
        ],
    }
    assert importance_by(points, np.array([None] * 100, dtype=object), CATALOGUE) is None


def rows(n: int) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(4)
    X = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=NAMES)
    X["region"] = rng.integers(0, 4, n).astype(np.float32)
    z = 1.5 * X["visits"] * X["age"] + X["region"] * (X["visits"] > 0) - 1
    return X, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)


def test_pairs_that_work_together_are_found_with_their_direction() -> None:
    X, y = rows(2_000)
    model = LightGBMModel(categorical=["region"]).fit(X, y)
    first, second, *_ = strongest_pairs(model, X.iloc[:200], CATALOGUE, scale=2.0)
    assert first["features"] == ["visits", "age"]
    assert first["both_high"] > 0.2  # both high: more than each by itself
    assert second["features"] == ["visits", "region"]
    assert second["both_high"] is None
    phi = 2.0 * 2 * model.interactions(X.iloc[:200])[:, 0, 1]
    assert np.isclose(first["mean_abs_points"], np.abs(phi).mean())
    above = (X.iloc[:200][["visits", "age"]] > X.iloc[:200][["visits", "age"]].median()).all(axis=1)
    assert np.isclose(first["both_high"], phi[above].mean())


def test_a_model_that_adds_up_has_no_pairs() -> None:
    X, y = rows(500)
    assert strongest_pairs(LogisticModel(categorical=["region"]).fit(X, y), X[:50], CATALOGUE, scale=1.0) == []


def drives(name: str, points: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"feature": name, "description": name, "mean_abs_points": points, "low": low, "high": high}


def test_changes_are_told_with_what_is_clear() -> None:
    study: Any = SimpleNamespace(points=PointsSpec(), study="tea")
    previous = {
        "study": {"name": "tea"},
        "points": PointsSpec().model_dump(),
        "run": {"id": "r1", "as_of": "2025-08-01", "selected": "blend"},
        "importance": [drives("a", 9.0, 8.0, 10.0), drives("b", 2.0, 1.0, 3.0), drives("gone", 4.0, 3.0, 5.0)],
    }
    now = [
        drives("b", 2.5, 1.5, 3.5),
        drives("a", 3.0, 2.0, 4.0),
        drives("new", 1.0, 0.0, 2.0),
        drives("c", 2, None, None),
    ]
    found = since_last(Previous("the champion", previous), now, study)
    assert found is not None
    assert (found["what"], found["run"]) == ("the champion", "r1")
    assert (found["as_of"], found["selected"]) == ("2025-08-01", "blend")
    told = {row["feature"]: (row["before"], row["now"], row["clear"]) for row in found["features"]}
    assert told == {
        "a": (9.0, 3.0, True),
        "gone": (4.0, 0.0, True),
        "c": (0.0, 2.0, False),
        "new": (0.0, 1.0, False),  # its interval holds 0
        "b": (2.0, 2.5, False),
    }
    assert [row["feature"] for row in found["features"]] == ["a", "gone", "c", "new", "b"]
    assert since_last(None, now, study) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"study": {"name": "coffee"}},
        {"points": {**PointsSpec().model_dump(), "pdo": 40.0}},
        {"run": {}},
        {"run": "r1"},
        {"importance": None},
        {"importance": [{"feature": "a", "mean_abs_points": 1.0, "description": "a"}]},
        {"importance": [{"feature": "gone", "mean_abs_points": 1.0, "low": 0.0, "high": 2.0}]},
    ],
)
def test_a_report_of_another_study_or_version_is_not_compared_with(odd: dict[str, Any]) -> None:
    study: Any = SimpleNamespace(points=PointsSpec(), study="tea")
    run = {"id": "r1", "as_of": None, "selected": "blend"}
    previous = {"study": {"name": "tea"}, "points": PointsSpec().model_dump(), "run": run, "importance": []}
    now = [drives("a", 9.0, 8.0, 10.0)]
    assert since_last(Previous("", previous), now, study) is not None
    assert since_last(Previous("", {**previous, **odd}), now, study) is None


def test_pairs_are_of_rows_from_all_over_the_list_and_no_run_is_lost_for_them() -> None:
    X, y = rows(2_000)
    model = LightGBMModel(categorical=["region"]).fit(X, y)
    ranked = X.iloc[np.argsort(-model.decision_function(X))].reset_index(drop=True)
    seen: list[pd.DataFrame] = []
    bundle: Any = SimpleNamespace(
        model=SimpleNamespace(interactions=lambda own: seen.append(own) or model.interactions(own)),
        plan=SimpleNamespace(catalogue=lambda: CATALOGUE),
    )
    assert interactions_of(bundle, ranked, scale=1.0, rng=np.random.default_rng(0))
    assert len(pd.concat(seen)) == 300
    assert 900 < pd.concat(seen).index.to_series().median() < 1_100

    def refuse(_: pd.DataFrame) -> None:
        raise UnsupportedTreesError("linear trees have no contributions")

    bundle.model.interactions = refuse
    assert interactions_of(bundle, ranked, scale=1.0, rng=np.random.default_rng(0)) is None
