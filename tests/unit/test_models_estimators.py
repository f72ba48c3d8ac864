"""Every model keeps scikit-learn's contracts and its own: names, weights, files, determinism."""

import json

import numpy as np
import pandas as pd
import pytest
from propensity.errors import BundleError, ConfigError
from propensity.models import MODEL_NAMES, load_model, make_model
from propensity.models.base import BinaryModel
from propensity.models.blend import BlendModel
from propensity.models.gbm import LightGBMModel
from propensity.models.linear import LogisticModel
from propensity.models.scorecard import ScorecardModel
from propensity.models.single_indicator import SingleIndicator
from sklearn.utils.estimator_checks import parametrize_with_checks

SAMPLED = (
    "LightGBM draws rows, and limits leaves by their number of rows: a row of weight 2 is one row to both, "
    "the same row twice is two."
)


def _expected_failures(estimator):
    if isinstance(estimator, LightGBMModel | BlendModel):
        return {"check_sample_weight_equivalence_on_dense_data": SAMPLED}
    return {}


@parametrize_with_checks(
    [
        SingleIndicator(),
        ScorecardModel(),
        LogisticModel(),
        LightGBMModel(rounds=60, seeds=2, threads=1),
        BlendModel(lightgbm=LightGBMModel(rounds=60, seeds=1, threads=1)),
    ],
    expected_failed_checks=_expected_failures,
)
def test_keeps_the_estimator_contract(estimator, check):
    check(estimator)
