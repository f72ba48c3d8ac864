"""Figures: what they show, and that they leave no state behind."""

import io
import subprocess
import sys

import numpy as np
import pytest

from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.evaluation.curves import calibration_table, gains_curve, precision_recall, share_grid
from propensity.evaluation.plots import plot_calibration, plot_gains, plot_models


@pytest.fixture(scope="module")
def market():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 9, 600)
    return (rng.random(600) < p).astype(int), {"logistic": p, "scorecard": np.round(p, 1)}


def drawn(figure):
    """Render a figure and give its size in bytes."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=50)
    return len(target.getvalue())


def test_gains_show_every_model_and_say_what_is_reached(market):
    y, scores = market
    curves = {name: gains_curve(y, p) for name, p in scores.items()}
    figure = plot_gains(curves, capacity=0.05)
    gains, lift = figure.axes
    assert [text.get_text() for text in gains.get_legend().get_texts()] == ["logistic", "scorecard"]
    np.testing.assert_array_equal(gains.lines[0].get_ydata(), curves["logistic"]["capture"])
    assert np.isnan(lift.lines[0].get_ydata()[0])
    reached = max(curve["capture"][5] for curve in curves.values())
    assert figure.get_suptitle().startswith(f"Contacting the best 5 % reaches {100 * reached:.0f} % of the buyers")
    assert drawn(figure) > 1000


@pytest.mark.parametrize("models", [1, 2, 3, 5])
def test_calibration_has_a_panel_a_model(market, models):
    y, scores = market
    tables = {f"model {i}": calibration_table(y, scores["logistic"]) for i in range(models)}
    figure = plot_calibration(tables)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == models
    assert all("of 10 groups" in axes.get_title(loc="left") for axes in shown)
    assert drawn(figure) > 1000


def test_models_stand_side_by_side_with_intervals(market):
    y, scores = market
    result = cluster_bootstrap(y, scores, np.arange(y.size), capacity=0.05, seed=0, replicates=20)
    models = {name: {**result.estimates[name], "intervals": result.intervals(name)} for name in scores}
    figure = plot_models(models)
    assert [axes.get_xlabel() for axes in figure.axes][:2] == ["ROC AUC", "average precision"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["logistic", "scorecard"]
    assert "has the highest average precision" in figure.get_suptitle()
    assert drawn(figure) > 1000


def test_nothing_to_rank_is_said_in_the_picture():
    y, p = [0, 0, 0], [0.1, 0.2, 0.2]
    figure = plot_gains({"logistic": gains_curve(y, p)})
    assert "nothing to rank" in figure.get_suptitle()
    assert drawn(figure) > 1000
    result = cluster_bootstrap(y, {"logistic": p}, [1, 2, 3], capacity=0.5, seed=0, replicates=3)
    figure = plot_models({"logistic": {**result.estimates["logistic"], "intervals": result.intervals("logistic")}})
    assert figure.axes[0].texts[0].get_text() == "undefined"
    assert drawn(figure) > 1000


def test_empty_pictures_can_be_drawn():
    for figure in (plot_gains({}), plot_calibration({})):
        assert drawn(figure) > 500


def test_figures_leave_pyplot_alone():
    code = (
        "import io, sys; from propensity.evaluation.plots import plot_gains; "
        "plot_gains({}).savefig(io.BytesIO()); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_precision_and_recall_are_thinned_and_end_at_everything(market):
    y, scores = market
    curve = precision_recall(y, scores["logistic"], points=11)
    assert len(curve["recall"]) <= 10
    assert curve["recall"] == sorted(curve["recall"])
    assert curve["recall"][-1] == 1
    assert precision_recall([0, 0], [0.1, 0.2]) == {"recall": [], "precision": [], "score": []}


def test_a_curve_needs_two_points():
    with pytest.raises(ValueError, match="at least 2 are needed"):
        share_grid(1)
