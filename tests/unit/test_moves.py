"""What would move a score: real values, families together, the strongest changes first."""

import numpy as np
import pandas as pd

from propensity.explain.moves import moves

WEEK, MONTH, AGE = "events_visit_7d", "events_visit_30d", "age"
VISITS = {"what": "kind", "of": "visit", "label": "visits"}
CATALOGUE = [
    {"name": WEEK, "measure": "count", "words": VISITS, "window": "7d", "unit": "count", "family": MONTH},
    {"name": MONTH, "measure": "count", "words": VISITS, "window": "30d", "unit": "count", "family": MONTH},
    {"name": AGE, "measure": "attribute", "words": {"label": AGE, "name": AGE}, "unit": "years", "family": AGE},
]
WEIGHTS = np.array([10.0, 3.0, 1.0])
ROW = pd.DataFrame([[1.0, 2.0, 40.0]], columns=[WEEK, MONTH, AGE], dtype="float32")
DONORS = pd.DataFrame([[0.0, 1.0, 20.0], [2.0, 9.0, 30.0], [1.0, 2.0, 90.0]], columns=ROW.columns, dtype="float32")


def found(actionable: list[bool], **more: int) -> pd.DataFrame:
    return moves(
        ROW,
        DONORS,
        CATALOGUE,
        np.array(actionable),
        points=lambda X: X.to_numpy(dtype=np.float64) @ WEIGHTS,
        probability=lambda X: 1 / (1 + np.exp(-(X.to_numpy(dtype=np.float64) @ WEIGHTS) / 100)),
        contributions=lambda X: X.to_numpy(dtype=np.float64) * WEIGHTS,
        **more,
    )


def test_a_family_moves_together_to_what_a_prospect_does_and_its_strongest_speaks() -> None:
    table = found([True, True, False])
    # A week of 2 with a month of 9: 10 + 21 points; never a week of 2 with a month of 1.
    assert table["points"].tolist() == [31.0, -13.0]
    assert table["now"].tolist() == ["2 visits in the last 30 days", "1 visit in the last 7 days"]
    assert table["then"].tolist() == ["9 visits in the last 30 days", "0 visits in the last 7 days"]
    assert np.allclose(table["probability"], 1 / (1 + np.exp(-(np.array([87.0, 43.0])) / 100)))


def test_a_family_moves_only_where_all_of_it_may() -> None:
    assert found([True, False, False]).empty
    assert found([False, False, False]).columns.tolist() == ["feature", "now", "then", "points", "probability"]
    assert found([False, False, True])["points"].tolist() == [50.0, -20.0]


def test_the_strongest_of_each_direction_are_kept() -> None:
    assert found([True, True, True], count=1)["points"].tolist() == [50.0, -20.0]
    assert found([True, True, True])["points"].tolist() == [50.0, 31.0, -13.0, -20.0]


def test_who_speaks_reads_differently_then() -> None:
    donors = pd.DataFrame([[1.4, 6.0, 40.0]], columns=ROW.columns, dtype="float32")
    table = moves(
        ROW,
        donors,
        CATALOGUE,
        np.array([True, True, False]),
        points=lambda X: X.to_numpy(dtype=np.float64) @ np.array([100.0, 1.0, 1.0]),
        probability=lambda X: np.full(len(X), 0.5),
        contributions=lambda X: X.to_numpy(dtype=np.float64) * np.array([100.0, 1.0, 1.0]),
    )
    # The week's visits move the score by 40 of 44 points, yet both values read as one visit.
    assert table[["now", "then"]].to_numpy().tolist() == [
        ["2 visits in the last 30 days", "6 visits in the last 30 days"]
    ]
