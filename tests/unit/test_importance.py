"""The global picture, by hand: means, intervals, kinds of features, directions."""

import numpy as np
import pandas as pd
import pytest

from propensity.explain.importance import importance

CATALOGUE = [
    {"name": "views", "description": "views", "group": "behaviour", "kind": "number"},
    {"name": "visits", "description": "visits", "group": "behaviour", "kind": "number"},
    {"name": "region", "description": "region", "group": "demographics", "kind": "category"},
    {"name": "unused", "description": "unused", "group": "behaviour", "kind": "number"},
    {"name": "bought", "description": "bought", "group": "purchase history", "kind": "number"},
]
POINTS = np.array([[1.0, -1.0, 2.0, 0.0, 0.0], [3.0, -3.0, -2.0, 0.0, 0.0], [5.0, 1.0, 2.0, 0.0, 0.0]])
X = pd.DataFrame(
    {"views": [0.0, 1.0, 2.0], "visits": [5.0, 9.0, 1.0], "region": [0.0, 1.0, 0.0], "unused": 0.0, "bought": 0.0}
)


def test_means_intervals_and_directions():
    moved = np.array([0.5, 0.0, 0.0, 0.0, 0.0])
    features, groups = importance(POINTS, [POINTS + moved, POINTS - moved], X, CATALOGUE)
    assert [row["feature"] for row in features] == ["views", "region", "visits"]
    assert [row["direction"] for row in features] == ["up", None, "down"]
    views = features[0]
    # Sizes 1, 3, 5: mean 3, variance 8/3, of the mean 8/9. Fold means 3.5 and 2.5: (2 - 1) * 0.25.
    error = np.sqrt(8 / 9 + 0.25)
    assert views["mean_abs_points"] == pytest.approx(3.0)
    assert (views["low"], views["high"]) == pytest.approx((3 - 1.6449 * error, 3 + 1.6449 * error), abs=1e-3)
    # Behaviour together: 0, 0 and 6 points; what moves nothing is left out, an interval never falls below 0.
    assert [(row["group"], row["features"]) for row in groups] == [("behaviour", 2), ("demographics", 1)]
    assert groups[0]["mean_abs_points"] == pytest.approx(2.0)
    assert groups[0]["low"] == 0.0


def test_without_folds_there_is_no_interval():
    features, groups = importance(POINTS, [], X, CATALOGUE)
    assert features[0]["low"] is None
    assert groups[0]["high"] is None
