"""The search for LightGBM's parameters: beats the defaults or leaves them; bounded, seeded, resumable."""

import json

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy.special import expit

from propensity.models.search import Search, search_settings
from propensity.splits import customer_folds


def _stumps(n=3_000, seed=0):
    """A sum of steps in 12 columns: what trees of two leaves learn best, and with many positives."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 12)).astype(np.float32), columns=[f"x{j}" for j in range(12)])
    z = 0.7 * np.where(X > 0, 1, -1).sum(axis=1) - 0.5
    return X, (rng.random(n) < expit(z)).astype(np.int8)


def _search(X, y, *, trials, storage=None, told=None, **more) -> Search:
    groups = np.arange(len(y), dtype=np.int64)
    return search_settings(
        X,
        y,
        groups,
        deal=lambda seed: customer_folds(y, groups, folds=4, seed=seed),
        trials=trials,
        seed=5,
        storage=storage,
        progress=(told if told is not None else []).append,
        **more,
    )


def test_a_search_finds_what_suits_the_data_better_than_the_defaults_and_says_by_how_much():
    X, y = _stumps()
    found = _search(X, y, trials=16)
    assert found.params
    assert found.difference is not None
    assert found.error is not None
    assert found.difference > found.error > 0
    assert found.text.startswith("Tuned")
    best = min((trial for trial in found.trials if trial["state"] == "complete"), key=lambda trial: trial["log_loss"])
    assert found.params == best["params"]
    assert best["log_loss"] < found.trials[0]["log_loss"]


def test_the_first_trial_is_the_defaults_and_on_noise_they_stay():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(800, 5)).astype(np.float32), columns=list("abcde"))
    y = (rng.random(800) < 0.1).astype(np.int8)
    found = _search(X, y, trials=8)
    assert found.params == {}
    assert "defaults" in found.text
    first = found.trials[0]["params"]
    assert (first["num_leaves"], first["learning_rate"], first["lambda_l2"]) == (8, 0.03, 5.0)
    assert len(found.trials) == 8


def test_hopeless_trials_are_given_up_before_their_last_fold():
    found = _search(*_stumps(), trials=16)
    assert any(trial["state"] == "pruned" for trial in found.trials)


def test_an_interrupted_search_goes_on_and_ends_where_an_uninterrupted_one_does(tmp_path):
    X, y = _stumps(n=900)
    whole = _search(X, y, trials=15)

    class StopError(Exception):
        pass

    def stop(text):
        if "trial 6" in text:
            raise StopError

    class Telling(list):
        def append(self, text):
            super().append(text)
            stop(text)

    file = tmp_path / "trials.jsonl"
    with pytest.raises(StopError):
        _search(X, y, trials=15, storage=JournalStorage(JournalFileBackend(str(file))), told=Telling())
    # A trial that was being fitted when the process died.
    storage = JournalStorage(JournalFileBackend(str(file)))
    optuna.load_study(study_name=None, storage=storage).ask()
    told = []
    resumed = _search(X, y, trials=15, storage=JournalStorage(JournalFileBackend(str(file))), told=told)
    assert told[0].startswith("lightgbm: trial 7 of 15")
    assert [trial["params"] for trial in resumed.trials] == [trial["params"] for trial in whole.trials]
    assert (resumed.params, resumed.difference, resumed.error) == (whole.params, whole.difference, whole.error)
    # Plain JSON, a line each: nothing that a loader could run.
    for line in file.read_text(encoding="utf-8").splitlines():
        json.loads(line)


def test_other_rows_or_another_seed_do_not_find_the_trials_of_these(tmp_path):
    X, y = _stumps(n=400)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "trials.jsonl")))
    _search(X, y, trials=3, storage=storage)
    told = []
    _search(X + 1, y, trials=3, storage=storage, told=told)
    assert told[0].startswith("lightgbm: trial 1 of 3")


def test_no_trial_begins_after_the_time_is_over():
    found = _search(*_stumps(n=400), trials=500, seconds=1e-9)
    assert len(found.trials) == 1


def test_what_the_study_fixed_holds_in_every_trial():
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.normal(size=(1_500, 2)).astype(np.float32), columns=["a", "b"])
    y = (rng.random(1_500) < expit(np.abs(X["a"]) - 1 + X["b"])).astype(np.int8)
    free, held = (_search(X, y, trials=2, fixed=fixed).trials[0]["log_loss"] for fixed in ({}, {"monotone": {"a": 1}}))
    assert held > free  # |a| both falls and rises, so that the constraint costs
