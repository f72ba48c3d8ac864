"""What holds for every ranking: what may change a metric, and what may not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.evaluation.curves import calibration_table, gains_curve
from propensity.evaluation.metrics import METRICS, compute_metrics

always = settings(deadline=None, derandomize=True)
always_slowly = settings(always, max_examples=25)

RANKING = ["roc_auc", "average_precision", *(m for m in METRICS if m.startswith(("lift", "capture"))), "ties"]


@st.composite
def scored(draw):
    """Rows with few distinct probabilities, so that most are tied, and how often each counts."""
    n = draw(st.integers(1, 40))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    p = draw(st.lists(st.integers(0, 8).map(lambda i: i / 8), min_size=n, max_size=n))
    counts = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return np.array(y), np.array(p), np.array(counts)


def close(found, expected):
    """Whether two results agree, None only with None."""
    for metric in METRICS:
        if expected[metric] is None:
            assert found[metric] is None, metric
        else:
            assert found[metric] == pytest.approx(expected[metric], rel=1e-9, abs=1e-8), metric
    assert found["ties"] == {
        key: value if isinstance(value, int) else pytest.approx(value) for key, value in expected["ties"].items()
    }


@always
@given(scored(), st.floats(0.01, 1))
def test_a_monotone_transformation_changes_no_ranking_metric(rows, capacity):
    y, p, _ = rows
    plain = compute_metrics(y, p, capacity=capacity)
    bent = compute_metrics(y, p**3 / 2, capacity=capacity)
    assert {metric: bent[metric] for metric in RANKING} == {metric: plain[metric] for metric in RANKING}


@always
@given(scored(), st.floats(0.01, 1))
def test_a_weight_is_a_repeated_row(rows, capacity):
    y, p, counts = rows
    weighted = compute_metrics(y, p, capacity=capacity, sample_weight=counts)
    repeated = compute_metrics(np.repeat(y, counts), np.repeat(p, counts), capacity=capacity)
    assert (weighted["n"], weighted["positives"]) == (repeated["n"], repeated["positives"])
    close(weighted, repeated)


@always
@given(scored(), st.randoms(use_true_random=False))
def test_row_order_changes_nothing_not_even_the_last_bit(rows, random):
    y, p, _ = rows
    order = np.array(random.sample(range(y.size), y.size))
    hashes = np.arange(y.size, dtype=np.uint64)
    found = compute_metrics(y[order], p[order], capacity=0.3, tie_break=hashes[order])
    assert found == compute_metrics(y, p, capacity=0.3, tie_break=hashes)


@always_slowly
@given(scored(), st.randoms(use_true_random=False))
def test_row_order_changes_no_draw(rows, random):
    y, p, customers = rows
    order = np.array(random.sample(range(y.size), y.size))
    draws = cluster_bootstrap(y, {"m": p}, customers, capacity=0.3, seed=3, replicates=4).draws["m"]
    other = cluster_bootstrap(y[order], {"m": p[order]}, customers[order], capacity=0.3, seed=3, replicates=4).draws[
        "m"
    ]
    for metric in METRICS:
        np.testing.assert_array_equal(draws[metric], other[metric], metric)


@always
@given(scored(), st.floats(0.01, 1))
def test_ranges_and_the_order_of_worst_expected_best(rows, capacity):
    y, p, _ = rows
    found = compute_metrics(y, p, capacity=capacity, tie_break=np.arange(y.size, dtype=np.uint64))
    for metric, low, high in [("roc_auc", 0, 1), ("average_precision", 0, 1), ("brier", 0, 1), ("log_loss", 0, 40)]:
        assert found[metric] is None or low <= found[metric] <= high
    captured = [found[f"capture_at_{share}"] for share in ("1pct", "5pct", "10pct", "20pct")]
    if captured[0] is not None:
        assert captured == sorted(captured)
    for metric, bounds in found["ties"].items():
        if metric != "distinct_scores":
            assert bounds["worst"] <= bounds["listed"] <= bounds["best"]
            assert bounds["worst"] - 1e-12 <= found[metric] <= bounds["best"] + 1e-12


@always
@given(scored())
def test_expected_hits_are_the_mean_over_orders_of_the_ties(rows):
    y, p, _ = rows
    found = compute_metrics(y, p, capacity=0.3)
    if found["ties"].get("lift_at_capacity") is None:
        return
    # with every rotation of the hashes each row of a tie stands once at each place
    listed = []
    for turn in range(y.size):
        hashes = ranks_in_ties(p, turn)
        listed.append(compute_metrics(y, p, capacity=0.3, tie_break=hashes)["ties"]["lift_at_capacity"]["listed"])
    boundary = boundary_group_size(p, 0.3)
    whole_turns = listed[: (y.size // boundary) * boundary]
    assert np.mean(whole_turns) == pytest.approx(found["lift_at_capacity"])


def ranks_in_ties(p, turn):
    """Number the rows of each tie from 0, turned on by `turn` places."""
    hashes = np.zeros(p.size, dtype=np.uint64)
    for value in np.unique(p):
        tied = np.flatnonzero(p == value)
        hashes[tied] = (np.arange(tied.size) + turn) % tied.size
    return hashes


def boundary_group_size(p, share):
    """Give the size of the tie that holds the k-th row."""
    k = int(np.ceil(share * p.size - 1e-9))
    return int(np.sum(p == np.sort(p)[::-1][k - 1]))


@always
@given(scored())
def test_the_gains_curve_passes_through_the_metrics(rows):
    y, p, _ = rows
    found, curve = compute_metrics(y, p, capacity=0.37), gains_curve(y, p)
    for at, name in [(1, "1pct"), (5, "5pct"), (10, "10pct"), (20, "20pct"), (37, "capacity")]:
        assert curve["capture"][at] == found[f"capture_at_{name}"]
        assert curve["lift"][at] == pytest.approx(found[f"lift_at_{name}"])


@always
@given(scored(), st.integers(1, 12))
def test_the_calibration_table_holds_every_row_once_and_cuts_no_tie(rows, bins):
    y, p, _ = rows
    table = calibration_table(y, p, bins=bins)
    assert len(table) <= bins
    assert sum(row["n"] for row in table) == y.size
    assert sum(row["n"] * row["observed"] for row in table) == pytest.approx(y.sum())
    assert sum(row["n"] * row["predicted"] for row in table) == pytest.approx(p.sum())
    assert all(0 <= row["low"] <= row["observed"] <= row["high"] <= 1 for row in table)
    predicted = [row["predicted"] for row in table]
    assert predicted == sorted(predicted)
    sizes = np.cumsum([0] + [row["n"] for row in table])
    ranked = np.sort(p)
    assert all(ranked[cut - 1] < ranked[cut] for cut in sizes[1:-1])


@always_slowly
@given(scored(), st.integers(2, 4))
def test_the_same_rows_told_again_of_the_same_customers_add_no_certainty(rows, copies):
    # with n a multiple of 100, k is whole at each share, so each draw gives the very same figures
    y, p = np.resize(rows[0], 100), np.resize(rows[1], 100)
    once = cluster_bootstrap(y, {"m": p}, np.arange(100), capacity=0.05, seed=1, replicates=5)
    again = cluster_bootstrap(
        np.tile(y, copies),
        {"m": np.tile(p, copies)},
        np.tile(np.arange(100), copies),
        capacity=0.05,
        seed=1,
        replicates=5,
    )
    for metric in METRICS:
        if metric != "average_precision":  # there a row's copies are taken out, but not its customer's other rows
            np.testing.assert_allclose(once.draws["m"][metric], again.draws["m"][metric], rtol=1e-7, atol=1e-7)


def covered(data_sets, n, *, rows_per_customer, truth):
    """Share of 95 % intervals that hold the truth, for probabilities that know nothing of the labels."""
    hits = dict.fromkeys(truth, 0)
    for i in range(data_sets):
        rng = np.random.default_rng([17, i])
        customers = np.repeat(np.arange(n // rows_per_customer), rows_per_customer)
        # a customer's rows share the label and nearly the score: the hardest clustering
        y = (rng.random(n // rows_per_customer) < 0.1)[customers]
        p = rng.random(n // rows_per_customer)[customers]
        p = np.round(np.clip(p + rng.normal(0, 0.01, n), 0, 1), 2)
        result = cluster_bootstrap(y, {"noise": p}, customers, capacity=0.05, seed=i, replicates=150)
        intervals = result.intervals("noise")
        for metric, value in truth.items():
            low, high = intervals[metric]
            hits[metric] += low <= value <= high
    return {metric: count / data_sets for metric, count in hits.items()}


@pytest.mark.slow
def test_noise_does_not_look_good():
    # 95 % stated; chance alone moves the share over 150 data sets by 1.8 points
    found = covered(
        150, 1000, rows_per_customer=1, truth={"lift_at_20pct": 1.0, "roc_auc": 0.5, "average_precision": 0.1}
    )
    assert all(0.90 <= share <= 0.99 for share in found.values()), found


@pytest.mark.slow
def test_intervals_know_that_a_customers_rows_are_not_independent():
    # six rows a customer: intervals that took them for independent would hold the truth far less often
    found = covered(100, 3000, rows_per_customer=6, truth={"roc_auc": 0.5, "lift_at_20pct": 1.0})
    assert all(0.88 <= share <= 0.99 for share in found.values()), found
