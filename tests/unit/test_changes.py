"""From list to list: points and places are taken apart without a remainder."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.changes import BOUGHT, CAME, STAYED, WENT, list_changes, told_in_short
from propensity.wording import english

CATALOGUE = [
    {"name": f"events_{kind}_30d", "measure": "count", "words": {"what": "kind", "of": kind, "label": f"{kind}s"},
     "window": "30d", "unit": "count", "kind": "number", "sensitive": False, "categories": []}
    for kind in ("visit", "quote")
]  # fmt: skip


def ranked(customers: list[str], points: list[float]) -> pd.DataFrame:
    order = np.argsort(-np.array(points), kind="stable")
    rank = np.empty(len(points), dtype=int)
    rank[order] = np.arange(1, len(points) + 1)
    return pd.DataFrame({"customer_id": customers, "rank": rank, "points": points})


@pytest.fixture
def changes() -> pd.DataFrame:
    """Ten customers of two features, whose weights and values change; one buys, one goes, two come."""
    rng = np.random.default_rng(0)
    people = [f"c{i}" for i in range(10)]
    X_then, X_now = (pd.DataFrame(rng.poisson(3, (12, 2)).astype(float), columns=[c["name"] for c in CATALOGUE])
                     for _ in range(2))  # fmt: skip
    old, new = np.array([1.0, 5.0]), np.array([2.0, 4.0])
    everybody = [*people, "c10", "c11"]
    then = pd.DataFrame({"customer_id": people})
    before = ranked(people, (X_then.to_numpy()[:10] @ old).tolist())
    stay = [i for i in range(12) if i not in (3, 7)]
    X = X_now.iloc[stay].reset_index(drop=True)
    now = ranked([everybody[i] for i in stay], (X.to_numpy() @ new).tolist())
    seen = X_then.to_numpy()[:10]
    return list_changes(before, now, then=then, points=seen @ new, contributions_then=seen * new,
                        contributions_now=X.to_numpy() * new, X=X, bought=["c3"], catalogue=CATALOGUE,
                        wording=english())  # fmt: skip


def test_points_and_places_add_up(changes: pd.DataFrame) -> None:
    own = changes[changes["status"] == STAYED]
    assert len(own) == 8
    change = own["points_now"] - own["points_before"]
    assert (own["by_model"] + own["by_data"]).to_numpy() == pytest.approx(change.to_numpy())
    parts = own["ranks_by_model"] + own["ranks_by_data"] + own["ranks_by_others"]
    assert (parts == own["rank_now"] - own["rank_before"]).all()
    told = own[["contribution_1", "contribution_2", "contribution_3", "contribution_other"]].sum(axis=1)
    assert told.to_numpy() == pytest.approx(own["by_data"].to_numpy())
    assert (change.abs().diff().dropna() <= 1e-9).all()  # the largest first
    assert own["reason_1"].str.contains("in the last 30 days").all()


def test_who_came_and_who_went_is_said(changes: pd.DataFrame) -> None:
    status = changes.set_index("customer_id")["status"]
    assert status[["c3", "c7", "c10", "c11"]].tolist() == [BOUGHT, WENT, CAME, CAME]
    assert len(changes) == 12
    told = told_in_short(changes, since="2025-08-01")
    assert told["status"] == {STAYED: 8, CAME: 2, BOUGHT: 1, WENT: 1}
    own = changes[changes["status"] == STAYED]
    assert told["by_data"] == pytest.approx(own["by_data"].abs().mean())


def test_where_nothing_changes_nothing_moves() -> None:
    X = pd.DataFrame({c["name"]: [3.0, 2.0, 1.0] for c in CATALOGUE})
    points = X.sum(axis=1).to_numpy()
    listed = ranked(["a", "b", "c"], points.tolist())
    given: dict[str, Any] = {"then": listed[["customer_id"]], "points": points, "contributions_then": X.to_numpy(),
                             "contributions_now": X.to_numpy(), "X": X, "bought": [], "catalogue": CATALOGUE,
                             "wording": english()}  # fmt: skip
    same = list_changes(listed, listed, **given)
    assert (same[["by_model", "by_data", "ranks_by_model", "ranks_by_data", "ranks_by_others"]] == 0).all(axis=None)
    assert same["reason_1"].isna().all()


def test_whom_the_tables_no_longer_show_has_parts_that_are_not_known() -> None:
    X = pd.DataFrame({c["name"]: [3.0, 2.0] for c in CATALOGUE})
    points = X.sum(axis=1).to_numpy()
    listed = ranked(["a", "b"], points.tolist())
    found = list_changes(listed, listed, then=listed[["customer_id"]].iloc[:1], points=points[:1],
                         contributions_then=X.to_numpy()[:1], contributions_now=X.to_numpy(), X=X, bought=[],
                         catalogue=CATALOGUE, wording=english())  # fmt: skip
    row = found.set_index("customer_id").loc["b"]
    assert row["status"] == STAYED
    assert pd.isna(row["by_model"])
    assert pd.isna(row["ranks_by_others"])
