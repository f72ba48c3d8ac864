"""How fast and how exact contributions are, beside LightGBM's own and SHAP's, and what reasons for a long list cost.

    python -m benchmarks.explain --folder DIR [--rows 1000000]

One thread against one thread. Two models: our default LightGBM (three boosters, rounds chosen by folds) of the demo
study on a simulated market of 20,000 customers, and one booster of 500 trees with 63 leaves on 120 made-up columns with
gaps and categories. Then the largest difference to ``pred_contrib`` over the studies of configs/, each with our default
LightGBM on its own rows. Last, five reasons for each of `--rows` prospects, drawn with replacement from the market's
test prospects, against what predicting them alone takes. Prints Markdown.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before LightGBM is loaded: SHAP asks it for all threads

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.quality.tasks import STUDIES, samples_of, study_of
from propensity.explain.reasons import top_reasons
from propensity.features.plan import FeaturePlan
from propensity.learning import Recipe, choose_all
from propensity.models.gbm import LightGBMModel
from propensity.models.tree_shap import TreeShap

Floats = npt.NDArray[np.float64]
_CHUNK = 50_000
"""Rows that are explained at a time, as scoring does."""


def seconds(work: Callable[[], Any], times: int = 3) -> float:
    """The least of several times."""
    spent = []
    for _ in range(times):
        started = perf_counter()
        work()
        spent.append(perf_counter() - started)
    return min(spent)


def default_model(folder: Path) -> tuple[LightGBMModel, pd.DataFrame, FeaturePlan]:
    """The demo study's LightGBM on a simulated market, its test rows, and what its columns are."""
    study = study_of("market_small", folder).with_models("lightgbm")
    samples = samples_of(study)
    recipe = Recipe(study=study, plan=samples.plan, scorecard=None)
    settings, _ = choose_all(recipe, samples.train, progress=lambda _: None)
    model = recipe.make("lightgbm", settings["lightgbm"]).fit(samples.train.X, samples.train.labels)
    assert isinstance(model, LightGBMModel)  # noqa: S101
    assert samples.test is not None  # noqa: S101
    return model, samples.test.X, samples.plan


def large_booster() -> tuple[lgb.Booster, npt.NDArray[np.float32]]:
    """500 trees of 63 leaves on 120 columns: numbers, counts, categories; a twentieth of the values is missing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 120)).astype(np.float32)
    X[:, 5:10] = rng.integers(0, 20, (len(X), 5))
    X[:, 10:40] = rng.poisson(0.7, (len(X), 30))
    X[rng.random(X.shape) < 0.05] = np.nan
    z = np.nansum(X[:, :20] * rng.normal(size=20), axis=1) / 2 + np.nan_to_num(X[:, 0] * X[:, 1]) - 2
    data = lgb.Dataset(X, rng.random(len(X)) < 1 / (1 + np.exp(-z)), categorical_feature=list(range(5, 10)))
    parameters = {"objective": "binary", "num_leaves": 63, "feature_fraction": 0.5, "verbosity": -1, "num_threads": 1}
    return lgb.train(parameters, data, num_boost_round=500), X


def beside_peers(name: str, boosters: list[lgb.Booster], X: npt.NDArray[np.float32], few: int) -> None:
    """Print a line: rows a second of ours and of both peers, which explain `few` rows."""
    import shap

    started = perf_counter()
    ours = TreeShap([booster.model_to_string() for booster in boosters], X.shape[1])
    ours(X[:1])
    begun = perf_counter() - started
    part = np.ascontiguousarray(X[:few])
    mean = np.mean([booster.predict(part, pred_contrib=True, num_threads=1) for booster in boosters], axis=0)
    error = np.abs(np.column_stack([ours(part), np.full(few, ours.base)]) - mean).max()
    many = np.ascontiguousarray(X[:8_192])
    rate = len(many) / seconds(lambda: ours(many))
    contrib = few / seconds(lambda: [booster.predict(part, pred_contrib=True, num_threads=1) for booster in boosters])
    explainers = [shap.TreeExplainer(booster) for booster in boosters]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SHAP tells of a change to what it gives
        explained = few / seconds(lambda: [explainer.shap_values(part) for explainer in explainers])
    print(
        f"| {name} | {sum(booster.num_trees() for booster in boosters):,} | {rate:,.0f} | {contrib:,.0f} | "
        f"{explained:,.0f} | {rate / contrib:.0f} | {rate / explained:.0f} | {error:.0e} | {begun:.1f} |",
        flush=True,
    )


def differences(folder: Path) -> None:
    """Print the largest difference to LightGBM's own contributions for each study."""
    for task in STUDIES:
        samples = samples_of(study_of(task, folder))
        train, test = samples.train, samples.test
        assert test is not None  # noqa: S101 - all have a test
        model = LightGBMModel(list(samples.plan.categories)).fit(train.X, train.labels)
        rows = test.X.to_numpy()[:2_000]
        theirs = np.mean([booster.predict(rows, pred_contrib=True) for booster in model.boosters_], axis=0)
        phi, base = model.contributions(test.X.iloc[:2_000])
        error = np.abs(np.column_stack([phi, np.full(len(rows), base)]) - theirs).max()
        print(f"| {task} | {len(rows):,} | {len(test.X.columns)} | {error:.0e} |", flush=True)


def long_list(model: LightGBMModel, X: pd.DataFrame, plan: FeaturePlan, rows: int) -> None:
    """Print what five reasons for each of many prospects take, against predicting them."""
    drawn = np.random.default_rng(1).integers(0, len(X), rows)
    block, catalogue = X.to_numpy()[drawn], plan.catalogue()
    shap = TreeShap([booster.model_to_string() for booster in model.boosters_], X.shape[1])
    spent = {"predict": 0.0, "contributions": 0.0, "reasons": 0.0}
    for start in range(0, rows, _CHUNK):
        part = block[start : start + _CHUNK]
        began = perf_counter()
        for booster in model.boosters_:
            booster.predict(part, raw_score=True, num_threads=1)
        predicted = perf_counter()
        phi = shap(part)
        explained = perf_counter()
        top_reasons(phi, pd.DataFrame(part, columns=X.columns), catalogue)
        done = perf_counter()
        for name, took in zip(spent, np.diff([began, predicted, explained, done]), strict=True):
            spent[name] += float(took)
    whole = spent["contributions"] + spent["reasons"]
    print(f"{rows:,} prospects, {len(model.boosters_)} boosters, {X.shape[1]} columns; seconds:")
    print(", ".join(f"{name} {took:.1f}" for name, took in spent.items()))
    print(f"(contributions + reasons) / predict: {whole / spent['predict']:.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where simulated markets are kept")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    model, X, plan = default_model(arguments.folder)
    print(
        "| model | trees | ours, rows/s | pred_contrib | shap | ours / pred_contrib | ours / shap | error | begin, s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    beside_peers("our default", model.boosters_, X.to_numpy(), 1_000)
    booster, large = large_booster()
    beside_peers("500 trees of 63 leaves", [booster], large, 100)
    print("\n| study | rows | columns | largest difference |\n|---|---|---|---|")
    differences(arguments.folder)
    print()
    long_list(model, X, plan, arguments.rows)


if __name__ == "__main__":
    main()
