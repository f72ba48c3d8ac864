"""Families: features that move together, of one kind, by rank, whatever the scale and the gaps."""

import numpy as np
import pandas as pd

from propensity.features.catalogue import Feature
from propensity.features.families import families


def feature(name, group="behaviour", kind="number", **more):
    return Feature(name, "", kind, group, "count", "events", **more)


def test_features_that_move_together_are_one_family():
    rng = np.random.default_rng(0)
    views, income = rng.poisson(2, 500).astype(float), rng.normal(size=500)
    X = pd.DataFrame(
        {
            "income": income,
            "views": views,
            "views_skewed": np.exp(3 * views),  # the same by rank
            "recency": np.where(views > 0, 10 - views, np.nan),  # falls as views rise; missing ranks last
            "views_elsewhere": views,  # of another kind
            "views_secret": views,
            "views_band": views,
            "bought": rng.poisson(1, 500),
        }
    )
    found = families(
        [
            feature("income", "demographics"),
            feature("views"),
            feature("views_skewed"),
            feature("recency"),
            feature("views_elsewhere", "purchase history"),
            feature("views_secret", sensitive=True),
            feature("views_band", kind="category"),
            feature("bought"),
        ],
        X,
    )
    expected = ["income", "views", "views", "views", "views_elsewhere", "views_secret", "views_band", "bought"]
    assert found == expected


def test_constant_columns_and_single_features_stand_alone():
    X = pd.DataFrame({"a": [1.0, 1.0, 1.0], "b": [1.0, 2.0, 3.0], "c": [5.0, 5.0, 5.0]})
    assert families([feature("a"), feature("b"), feature("c")], X) == ["a", "b", "c"]
    assert families([feature("b")], X) == ["b"]
