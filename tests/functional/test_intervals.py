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
from propensity.data.simulate import simulate
from propensity.learning import Recipe, learn, refit
from propensity.pipelines import labelled_samples, load_rules, named_features

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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightgbm", "scorecard"])
def test_the_interval_holds_the_true_probability_of_most(tmp_path: Path, name: str) -> None:
    simulate(tmp_path / "market", customers=12_000, seed=21)
    study = pp.load_study(SHIPPED)
    data = study.data.model_copy(update={"source": str(tmp_path / "market")})
    study = study.model_copy(update={"data": data}).with_models("scorecard", "lightgbm")
    always = named_features(study, load_rules(study))
    samples = labelled_samples(study, now=datetime.now(tz=UTC), always=always, progress=lambda _: None)
    recipe = Recipe(study=study, plan=samples.plan, scorecard=load_rules(study))
    learnt = learn(recipe, samples.train, samples.validation, progress=lambda _: None)
    assert samples.validation is not None
    assert samples.test is not None
    matured = [samples.train, samples.validation]
    fitted = refit(recipe, recipe.names, learnt, matured, progress=lambda _: None)[name]
    bundle = fitted.bundle(samples.plan, study.points)
    truth = pd.read_parquet(tmp_path / "market" / "truth.parquet")
    truth["cutoff"] = pd.to_datetime(truth["cutoff"])
    listed = samples.test.keys.merge(truth, on=["customer_id", "cutoff"], validate="1:1")
    low, high = bundle.interval(samples.test.X)
    assert len(listed) == len(low)
    # 90 % is meant. One market's base rate is estimated once, so that all of its prospects err together somewhat.
    # A scorecard is drawn with hardly any error, and far from the truth all the same.
    assert 0.8 < listed["true_probability"].between(low, high).mean() < 0.98
    if name == "scorecard":
        low, high = replace(bundle, misfit=0.0).interval(samples.test.X)
        assert listed["true_probability"].between(low, high).mean() < 0.5
