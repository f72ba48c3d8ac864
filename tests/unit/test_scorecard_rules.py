"""The scorecard's file and its errors, and sums that are exact."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.errors import ConfigError
from propensity.rules.scorecard import Scorecard, check_features, indicator_points, load_scorecard, total_points


def card(*indicators: dict[str, Any]) -> Scorecard:
    return Scorecard.model_validate({"scorecard": "test", "indicators": list(indicators)})


def step(name: str, points: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "feature": name, "buckets": [{"below": 1, "points": 0}, {"points": points}], **more}


def test_equal_sums_are_equal_numbers_whatever_the_order() -> None:
    # 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 in floating point: a tie would be broken by rounding.
    for order in itertools.permutations("abc"):
        points = dict(zip(order, (0.1, 0.2, 0.3), strict=True))
        scorecard = card(*(step(name, points[name]) for name in "abc"))
        assert total_points(scorecard, pd.DataFrame({name: [1.0] for name in "abc"})).tolist() == [0.6]


def test_the_total_is_the_sum_of_the_indicators() -> None:
    rng = np.random.default_rng(3)
    names = [f"f{i}" for i in range(12)]
    scorecard = card(*(step(name, float(rng.normal()), weight=float(rng.uniform(0.1, 3))) for name in names))
    frame = pd.DataFrame(rng.integers(0, 3, size=(200, 12)).astype(np.float32), columns=names)
    np.testing.assert_allclose(
        indicator_points(scorecard, frame).sum(axis=1), total_points(scorecard, frame), rtol=0, atol=1e-9
    )


def test_an_edge_belongs_to_the_bucket_above_it_in_single_precision_too() -> None:
    # float32 holds 0.7 as 0.69999999: compared in float64 it would fall into the bucket below.
    scorecard = card({"name": "s", "feature": "s", "buckets": [{"below": 0.7, "points": 1}, {"points": 2}]})
    for dtype in (np.float32, np.float64):
        assert total_points(scorecard, pd.DataFrame({"s": np.array([0.7, 0.69], dtype)})).tolist() == [2.0, 1.0]


def test_infinite_and_empty_columns_have_points() -> None:
    scorecard = card(step("a", 3, missing=-1), {"name": "b", "feature": "b", "categories": {"x": 1}, "missing": -2})
    frame = pd.DataFrame({"a": [np.inf, -np.inf, np.nan], "b": [None, None, None]})
    assert indicator_points(scorecard, frame).to_numpy().tolist() == [[3.0, -2.0], [0.0, -2.0], [-1.0, -2.0]]
    assert total_points(scorecard, frame.iloc[:0]).shape == (0,)


def test_categories_may_be_a_categorical() -> None:
    scorecard = card({"name": "b", "feature": "b", "categories": {"x": 1.5}, "otherwise": 9, "missing": -2})
    frame = pd.DataFrame({"b": pd.Categorical(["x", "y", None])})
    assert total_points(scorecard, frame).tolist() == [1.5, 9.0, -2.0]


def test_a_faulty_feature_is_named_with_those_close_to_it() -> None:
    scorecard = card(step("events_veiw_30d", 1), step("age", 1))
    with pytest.raises(ConfigError, match=r"indicator 'events_veiw_30d' .* Did you mean 'events_view_30d'"):
        check_features(scorecard, ["events_view_30d", "age", "region"])
    with pytest.raises(ConfigError, match="does not exist"):
        indicator_points(scorecard, pd.DataFrame({"age": [1.0]}))
    check_features(scorecard, ["events_veiw_30d", "age"])


def test_numbers_want_buckets_and_categories_want_categories() -> None:
    with pytest.raises(ConfigError, match=r"'a' reads 'a', which holds categories\. Give it 'categories'"):
        indicator_points(card(step("a", 1)), pd.DataFrame({"a": ["x"]}))
    with pytest.raises(ConfigError, match=r"'b' reads 'b', which holds numbers\. Give it 'buckets'"):
        indicator_points(card({"name": "b", "feature": "b", "categories": {"x": 1}}), pd.DataFrame({"b": [1.0]}))


def test_a_scorecard_survives_json() -> None:
    scorecard = card(step("a", 1, special={999: -5}, kind="current"), step("b", 2))
    assert Scorecard.model_validate_json(scorecard.model_dump_json()) == scorecard


@pytest.mark.parametrize(
    ("indicator", "problem"),
    [
        ("{name: a, feature: a}", "needs either 'buckets'"),
        ("{name: a, feature: a, buckets: [{points: 1}], categories: {x: 1}}", "needs either 'buckets'"),
        ("{name: a, feature: a, buckets: [{below: 1, points: 1}]}", "last bucket of 'a' has no 'below'"),
        ("{name: a, feature: a, buckets: [{points: 1}, {points: 1}]}", "only the last bucket of 'a'"),
        (
            "{name: a, feature: a, buckets: [{below: 2, points: 1}, {below: 0, points: 2}, {points: 1}]}",
            "must rise: found 2, 0",
        ),
        (
            "{name: a, feature: a, buckets: [{below: 2, points: 1}, {below: 2, points: 2}, {points: 1}]}",
            "must rise: found 2, 2",
        ),
        ("{name: a, feature: a, categories: {x: 1}, special: {1: 2}}", "give 'special' values as categories"),
        ("{name: a, feature: a, buckets: [{points: 1}], otherwise: 2}", "takes the place of 'otherwise'"),
        ("{name: a, feature: a, buckets: [{points: .inf}]}", "finite number"),
        ("{name: a, feature: a, buckets: [{points: 1}], weight: 0}", "greater than 0"),
        ("{name: a, feature: a, buckets: [{points: 1}], wieght: 2}", "did you mean 'weight'"),
    ],
)
def test_errors_in_the_file_say_where(tmp_path: Path, indicator: str, problem: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(f"scorecard: test\nindicators:\n  - {indicator}\n")
    with pytest.raises(ConfigError, match=rf"card\.yaml:3: .*{problem}"):
        load_scorecard(path)


def test_two_indicators_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    line = "  - {name: a, feature: a, buckets: [{points: 1}]}\n"
    path.write_text(f"scorecard: test\nindicators:\n{line}{line}")
    with pytest.raises(ConfigError, match="two indicators are called 'a'"):
        load_scorecard(path)
