"""Tiers, stages and groups divide the prospects; swap sets, moves and the qualification's waterfall add up."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from propensity.cohort import FunnelStep
from propensity.config import PyramidSpec
from propensity.evaluation.swap import agreement, swap_sets
from propensity.rules.pyramid import pyramid_values, tiers
from propensity.rules.qualification import qualification_counts, qualify
from propensity.rules.segments import Dimension
from propensity.rules.stages import STAGES, StageRules, buying_stage, stage_transitions
from propensity.scoring import waterfall

NUMBERS = st.sampled_from([0.0, 0.0, 1.0, 2.0, 2.5, 7.0, 1e6, float("nan")])
COLUMNS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40)
SCALES = st.sampled_from(["rank", "range", {"low": 0, "high": 5}, {"low": 5, "high": 0}])


def frame_of(rows: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["a", "b"], dtype="float32")


@st.composite
def pyramids(draw: st.DrawFn) -> PyramidSpec:
    indicators = [
        {"feature": name, "scale": draw(SCALES), "weight": draw(st.sampled_from([0.5, 1, 3])), "missing": 0.25}
        for name in draw(st.sampled_from([["a"], ["a", "b"]]))
    ]
    if draw(st.booleans()):
        parts = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
        shares = {f"tier {i}": part / sum(parts) for i, part in enumerate(parts)}
        return PyramidSpec.model_validate({"indicators": indicators, "shares": shares})
    edges = sorted(draw(st.sets(st.integers(1, 100), min_size=1, max_size=4)), reverse=True)
    cut_offs = {f"tier {i}": edge for i, edge in enumerate([*edges, 0])}
    return PyramidSpec.model_validate({"indicators": indicators, "cut_offs": cut_offs})


@given(COLUMNS, pyramids())
def test_tiers_divide_the_prospects_by_value(rows, pyramid):
    values = pyramid_values(frame_of(rows), pyramid)
    assert ((values >= 0) & (values <= 100 + 1e-9)).all()
    tier = tiers(values, pyramid)
    rank = np.array([pyramid.tiers.index(name) for name in tier])  # every prospect has one of the tiers
    for i in range(len(rows)):
        assert (rank[values > values[i]] <= rank[i]).all()
        assert (rank[values == values[i]] == rank[i]).all()
    room = np.round(np.cumsum(list(pyramid.shares.values())) * len(rows))
    for k, name in enumerate(list(pyramid.shares)[:-1]):
        assert (rank <= k).sum() <= room[k], name


@given(COLUMNS, st.sets(st.sampled_from(["with a competitor", "comparing", "searching"])))
def test_stages_divide_the_prospects(rows, given_stages):
    texts = {"with a competitor": "a > 2", "comparing": "b > 1", "searching": "a > 0 OR b IS NULL"}
    rules = StageRules.model_validate({stage: texts[stage] for stage in given_stages})
    stages = buying_stage(frame_of(rows), rules)
    assert set(stages) <= ({*given_stages, "unaware"} if given_stages else {None})


@given(COLUMNS, st.sets(st.sampled_from([-1.0, 0.0, 0.1, 1.0, 2.5, 1e6]), min_size=1).map(sorted))
def test_groups_divide_the_prospects(rows, edges):
    frame = frame_of(rows)
    dimension = Dimension("d", "a", edges=tuple(edges))
    groups = dimension.group_of(frame)
    assert set(groups) <= set(dimension.groups)
    assert ((groups == "missing") == frame["a"].isna()).all()


@given(COLUMNS, st.integers(0, 45), st.integers(0, 3))
def test_swap_sets_add_up(rows, count, seed):
    frame = frame_of(rows).fillna(0.5)
    y = (np.arange(len(rows)) % 3 == 0).astype(int)
    count = min(count, len(rows))
    sets, _ = swap_sets(y, frame["a"], frame["b"], np.arange(len(rows)), count=count, seed=seed, replicates=5)
    table = sets.set_index("set")
    assert np.isclose(table["prospects"].sum(), len(rows))
    assert np.isclose(table["buyers"].sum(), y.sum())
    for side in ("enters", "leaves"):
        assert np.isclose(table.loc["both", "prospects"] + table.loc[side, "prospects"], count)
    agreed = agreement(y, frame["a"], np.where(frame["b"] > 1, "x", "y"), tiers=["x", "y"])
    assert agreed["prospects"].sum() == len(rows)
    assert agreed["buyers"].sum() == y.sum()


@given(st.data())
def test_moves_add_up_on_both_sides(data):
    keys = st.dictionaries(st.integers(0, 30), st.sampled_from(STAGES), max_size=20)
    earlier, later = (pd.Series(data.draw(keys), dtype=object) for _ in range(2))
    bought = data.draw(st.sets(st.integers(0, 30)))
    moves = stage_transitions(earlier, later, bought)
    assert moves["customers"].sum() == len(earlier.index.union(later.index))
    assert moves.loc[moves["from"].isin(STAGES), "customers"].sum() == len(earlier)
    assert moves.loc[moves["to"].isin(STAGES), "customers"].sum() == len(later)
    gone = set(earlier.index) - set(later.index)
    assert moves.loc[moves["to"] == "bought", "customers"].sum() == len(gone & bought)


@given(COLUMNS, st.booleans())
def test_the_waterfall_of_qualification_adds_up(rows, only):
    answers = qualify(frame_of(rows), {"interest": "a > 0", "time frame": "b >= 1"})
    counts = qualification_counts(answers)
    assert (counts.groupby("question")["prospects"].sum() == len(rows)).all()
    passing = int((answers["qualification"] == "pass").sum())
    listed = passing if only else len(rows)
    steps = [FunnelStep("customers", len(rows) + 3, 0, ""), FunnelStep("prospects", len(rows), 3, "")]
    told = {step["name"]: step for step in waterfall(steps, listed, answers)}
    assert told["scored"]["count"] - told["unqualified"]["removed"] == told["listed"]["count"] == listed
    assert told["unqualified"]["count"] == len(rows) - passing
