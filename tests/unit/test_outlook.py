"""Groups of a sensitive attribute as they are told: in words, and in bands that somebody is in."""

import numpy as np
import pandas as pd
import pytest

from propensity.features.catalogue import Feature
from propensity.outlook import groups_of


def feature(kind: str = "number", unit: str = "value", categories: tuple[str, ...] = ()) -> Feature:
    return Feature("x", "x", kind, "demographics", unit, "customers", categories=categories)


@pytest.mark.parametrize(
    ("values", "of", "told"),
    [
        ([0.0, 2.0, None], feature("ordinal", categories=("low", "middle", "high")), ["low", "high", None]),
        ([1.0, 0.0, None], feature("boolean"), ["yes", "no", None]),
        ([30.9, 30.1, 41.0], feature(unit="years"), ["30", "30", "41"]),
        ([1_000.0, 2.5], feature(), ["1,000", "2.5"]),
        (np.arange(8.0), feature(), ["0 to 1"] * 2 + ["2 to 3"] * 2 + ["4 to 5"] * 2 + ["6 to 7"] * 2),
        ([5.0] * 20 + [*range(3), *range(6, 12)], feature(), ["5"] * 20 + ["0 to 2"] * 3 + ["6 to 11"] * 6),
        (
            1e9 + np.arange(8),
            feature(),
            [f"{1e9 + a:,.17g} to {1e9 + a + 1:,.17g}" for a in (0, 2, 4, 6) for _ in "ab"],
        ),
        (
            [*range(6), np.inf, np.inf, None],
            feature(),
            ["0 to 1"] * 2 + ["2 to 3"] * 2 + ["4 to 5"] * 2 + ["inf"] * 2 + [None],
        ),
    ],
)
def test_groups_are_told_by_values_that_occur(values, of, told):
    assert groups_of(pd.Series(values, dtype="float64"), of) == told


def test_categories_are_as_they_are():
    values = pd.Series(["f", None, "m"], dtype=object)
    assert groups_of(values, feature("category", categories=("f", "m"))) == ["f", None, "m"]
