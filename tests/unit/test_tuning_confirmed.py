"""What a search found on train is taken only where it is better on validation."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from propensity.config import load_study
from propensity.config.rules import LightGBMSpec, ModelsSpec, TuneSpec
from propensity.features.matrix import Frame
from propensity.learning import Recipe, _confirmed
from propensity.models.search import Search


def frame(n: int, *, seed: int, day: str, first: int) -> Frame:
    """Who buys: a step in one column, hidden among noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 6)).astype(np.float32), columns=list("abcdef"))
    chance = 1 / (1 + np.exp(2.5 - 3.0 * (X["a"] > 0.8) - 1.5 * X["b"] * (X["a"] > 0)))
    y = (rng.random(n) < chance).to_numpy().astype(np.int8)
    keys = pd.DataFrame({"customer_id": np.arange(n), "code": np.arange(n) + first, "cutoff": pd.Timestamp(day)})
    return Frame(X=X, keys=keys, y=y)


@pytest.fixture
def recipe() -> Recipe:
    study = load_study(Path(__file__).parents[2] / "configs" / "demo.yaml")
    models = ModelsSpec(lightgbm=LightGBMSpec(tune=TuneSpec(trials=5)))
    # One train cutoff: folds are by customers.
    cutoffs = study.cutoffs.model_copy(update={"train": [pd.Timestamp("2025-01-01").date()]})
    study = study.model_copy(update={"models": models, "cutoffs": cutoffs})
    return Recipe(study=study, plan=SimpleNamespace(categories={}, features=()), scorecard=None)


@pytest.mark.parametrize(
    ("found", "kept", "said"),
    [
        (
            {"num_leaves": 2, "learning_rate": 0.02, "rounds": 2},
            False,
            "The defaults stay: what the search found won on",
        ),
        (None, True, "on validation log loss lower by"),
    ],
)
def test_validation_has_the_last_word(recipe, found, kept, said, monkeypatch):
    train = frame(4_000, seed=1, day="2025-01-01", first=0)
    validation = frame(3_000, seed=2, day="2025-03-01", first=9_000)
    search = Search({"num_leaves": 2}, [], 0.01, 0.001, "Tuned: better than the defaults by more than the noise.")
    settings = {"lightgbm": found or {"num_leaves": 8, "learning_rate": 0.03, "rounds": 200}}
    if kept:  # the defaults are made worse than what was found
        monkeypatch.setattr(
            "propensity.learning.choose_all", lambda *_, **__: ({"lightgbm": {"num_leaves": 2, "rounds": 1}}, None)
        )
    chosen, told = _confirmed(recipe, settings, search, train, validation, progress=lambda _: None)
    assert (chosen == settings) is kept
    assert bool(told.params) is kept
    assert said in told.text
