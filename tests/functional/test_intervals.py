"""The interval of a prospect's probability: around it, no narrower than all prospects' error, and holding the truth."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

import propensity as pp
from propensity.bundle import load_bundle, save_bundle
from propensity.data.simulate import simulate
from propensity.evaluation.in_the_large import USUAL_CHANGE
from propensity.learning import Recipe, learn, refit
from propensity.monitoring import _cohort
from propensity.pipelines import labelled_samples, load_rules, named_features, open_study
from propensity.samples import latest_scorable, scoring_frame

SHIPPED = Path(pp.__file__).parent / "data" / "demo" / "demo.yaml"


def test_the_interval_lies_around_the_probability_and_is_no_narrower_than_the_pooled_error(trained: Any) -> None:
    prospects = pd.read_parquet(trained.folder / "prospects.parquet")
    spread = trained.read("bundle/calibration.json")["spread"]
    low, p, high = (logit(prospects[name]) for name in ("probability_low", "probability", "probability_high"))
    assert (low < p).all()
    assert (p < high).all()
    # 90 % of a normal lies within 1.645 standard errors; the variance is at least 3.2 times the pooled one.
    assert spread > 0
    assert (high - low >= 2 * 1.6448 * np.sqrt(3.2 * spread)).all()


def test_change_of_the_level_widens_every_interval(trained: Any, tmp_path: Path) -> None:
    bundle, study = load_bundle(trained.folder / "bundle"), pp.load_study(trained.study)
    assert bundle.change == trained.read("bundle/calibration.json")["change"] > 0
    with open_study(study, today=datetime.now(tz=UTC)) as tables:
        X = scoring_frame(tables, study, bundle.plan, latest_scorable(study, until=tables.until))[0].X
    still, moved = (replace(bundle, change=change) for change in (0.0, 0.25))
    added = moved.standard_error(X) ** 2 - still.standard_error(X) ** 2
    np.testing.assert_allclose(added, 0.25)
    assert (moved.interval(X)[0] < still.interval(X)[0]).all()
    assert (moved.interval(X)[1] > still.interval(X)[1]).all()
    # All prospects move together: by d log-odds more, the expected buyers rise by d times the sum of p (1 - p).
    p = bundle.probability(X)
    added = moved.total_error(X, np.ones(len(X))) ** 2 - still.total_error(X, np.ones(len(X))) ** 2
    assert added == pytest.approx(0.25 * (p * (1 - p)).sum() ** 2)
    assert load_bundle(save_bundle(moved, tmp_path / "moved")).change == 0.25


def test_monitoring_counts_that_months_differ_once(trained: Any) -> None:
    study, bundle = pp.load_study(trained.study), load_bundle(trained.folder / "bundle")
    with open_study(study, today=datetime.now(tz=UTC)) as tables:
        frame, _ = scoring_frame(tables, study, bundle.plan, latest_scorable(study, until=tables.until))
    y = np.zeros(len(frame), dtype=np.int8)
    errors = [_cohort(replace(bundle, change=change), frame, "2025-08-29", y).error for change in (0.0, 0.25)]
    assert errors[0] == errors[1] > 0


def _learnt(folder: Path, *, turns: int | None) -> tuple[Any, Any]:
    """What a market's matured cutoffs taught, and how well it knows those that come after: models, and test rows."""
    simulate(folder, customers=12_000, seed=21, turns=turns)
    study = pp.load_study(SHIPPED)
    data = study.data.model_copy(update={"source": str(folder)})
    study = study.model_copy(update={"data": data}).with_models("scorecard", "lightgbm")
    always = named_features(study, load_rules(study))
    samples = labelled_samples(study, now=datetime.now(tz=UTC), always=always, progress=lambda _: None)
    recipe = Recipe(study=study, plan=samples.plan, scorecard=load_rules(study))
    learnt = learn(recipe, samples.train, samples.validation, progress=lambda _: None)
    fitted = refit(recipe, recipe.names, learnt, [samples.train, samples.validation], progress=lambda _: None)
    truth = pd.read_parquet(folder / "truth.parquet")
    truth["cutoff"] = pd.to_datetime(truth["cutoff"])
    listed = samples.test.keys.merge(truth, on=["customer_id", "cutoff"], validate="1:1")
    assert len(listed) == len(samples.test.X)
    bundles = {name: own.bundle(samples.plan, study.points) for name, own in fitted.items()}
    return bundles, lambda bundle: listed["true_probability"].between(*bundle.interval(samples.test.X)).mean()


@pytest.mark.slow
def test_the_interval_holds_the_true_probability_of_most(tmp_path: Path) -> None:
    bundles, holds = _learnt(tmp_path / "market", turns=None)
    # 90 % is meant. One market's base rate is estimated once, so that all of its prospects err together somewhat.
    assert 0.8 < holds(bundles["lightgbm"]) < 0.98
    # A scorecard is drawn with hardly any error, and far from the truth all the same.
    assert 0.8 < holds(bundles["scorecard"]) < 0.98
    assert holds(replace(bundles["scorecard"], misfit=0.0)) < 0.5


@pytest.mark.slow
def test_where_a_market_turns_the_interval_counts_that_it_may_again(tmp_path: Path) -> None:
    bundles, holds = _learnt(tmp_path / "market", turns=20)
    # The competitor took 0.5 to 1.6 from the log-odds of all, in one of the six steps that were learnt from.
    assert bundles["lightgbm"].change > USUAL_CHANGE**2
    assert 0.8 < holds(bundles["lightgbm"]) < 0.98
    assert holds(bundles["lightgbm"]) > holds(replace(bundles["lightgbm"], change=0.0))
