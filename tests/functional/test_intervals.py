"""The interval of a prospect's probability: around it, no narrower than all prospects' error, and holding the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

import propensity as pp
from propensity.data.simulate import simulate

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
def test_the_interval_holds_the_true_probability_of_most(tmp_path: Path) -> None:
    simulate(tmp_path / "market", customers=12_000, seed=21)
    study = pp.load_study(SHIPPED)
    data = study.data.model_copy(update={"source": str(tmp_path / "market")})
    study = study.model_copy(update={"data": data}).with_models("lightgbm")
    prospects = pp.train(study, out=tmp_path / "runs", track=False).prospects
    truth = pd.read_parquet(tmp_path / "market" / "truth.parquet").rename(columns={"cutoff": "as_of"})
    truth["as_of"] = pd.to_datetime(truth["as_of"])
    listed = prospects.merge(truth, on=["customer_id", "as_of"], validate="1:1")
    inside = listed["true_probability"].between(listed["probability_low"], listed["probability_high"])
    assert len(listed) == len(prospects)
    # 90 % is meant. One market's base rate is estimated once, so that all of its prospects err together somewhat.
    assert 0.8 < inside.mean() < 0.98
