"""Predictions of everybody become tables: metrics with intervals, paired differences, and what a truth can tell."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.quality.ours import MODELS
from propensity.evaluation.bootstrap import BootstrapResult, cluster_bootstrap, percentile_interval

METRICS = ("roc_auc", "average_precision", "lift_at_10pct", "brier", "log_loss", "calibration_slope")
AUTOML = ("flaml", "autogluon")
_REPLICATES = 300


def print_tables(folder: Path, tasks: Sequence[str], peers: Sequence[str]) -> None:
    """Print a row for each task and method, then the paired differences, then the simulated markets."""
    print("| task | method | " + " | ".join(METRICS) + " | seconds |\n|---|---|" + "---|" * (len(METRICS) + 1))
    differences, markets, margins, tuned = [], [], [], []
    for task in tasks:
        told, table, seconds = _read(folder / task, peers)
        methods = {name: table[name].clip(0, 1) for name in (*MODELS, *peers) if name in table}
        result = cluster_bootstrap(
            table["label"], methods, table["group"], capacity=0.1, seed=0, replicates=_REPLICATES
        )
        selected = told["selected"]
        for name in methods:
            mark = " (selected)" if name == selected else ""
            cells = [_cell(result, name, metric) for metric in METRICS]
            spent = f"{seconds[name]:.0f}" if name in seconds else f"{told['seconds']:.0f} (all of ours)"
            print(f"| {task} | {name}{mark} | " + " | ".join(cells) + f" | {spent} |", flush=True)
        differences += [
            (task, selected, name, *_difference(result, selected, name, "roc_auc"))
            for name in methods
            if name != selected
        ]
        if "lightgbm_tuned" in methods:
            verdict = json.loads((folder / task / "lightgbm_tuned.json").read_text(encoding="utf-8"))["text"]
            difference, error, _ = _difference(result, "lightgbm_tuned", "lightgbm", "roc_auc")
            tuned.append(f"| {task} | {verdict} | {difference:+.4f} ± {error:.4f} |")
        known = [name for name in AUTOML if name in methods]
        if known:
            best = max(known, key=lambda name: result.estimates[name]["roc_auc"])
            margins.append((task, best, *_difference(result, selected, best, "roc_auc"), told["seconds"]))
        for card in ("scorecard", "fitted_scorecard"):
            if card != selected:
                lift = _difference(result, selected, card, "lift_at_10pct")
                differences.append((task, f"{selected}, lift@10 %", card, *lift))
        if told["coverage"]:
            markets.append(_market(task, told, table, result))
    if tuned:
        print("\n| task | verdict of the search, on train | AUC on test: tuned − defaults |\n|---|---|---|")
        print("\n".join(tuned))
    print("\n| task | selected | against | difference | 95 % interval |\n|---|---|---|---|---|")
    for task, selected, name, difference, error, interval in differences:
        shown = f"{interval[0]:+.4f} to {interval[1]:+.4f}" if interval else ""
        print(f"| {task} | {selected} | {name} | {difference:+.4f} ± {error:.4f} | {shown} |")
    if margins:
        print("\n| task | better AutoML | our AUC − its | standard errors | our seconds |\n|---|---|---|---|---|")
        for task, best, difference, error, _, spent in margins:
            print(f"| {task} | {best} | {difference:+.4f} | {difference / error:+.1f} | {spent:.0f} |")
        print(f"| mean | | {np.mean([margin[2] for margin in margins]):+.4f} | | |")
    if markets:
        print("\n| market | way to the truth's AUC | 90 % interval holds the truth | by decile | mean width |")
        print("|---|---|---|---|---|")
        print("\n".join(markets))


def _read(folder: Path, peers: Sequence[str]) -> tuple[dict[str, Any], pd.DataFrame, dict[str, float]]:
    """What ours said of itself, everybody's probabilities side by side, and the peers' seconds."""
    told = json.loads((folder / "ours.json").read_text(encoding="utf-8"))
    table, seconds = pd.read_parquet(folder / "ours.parquet"), {}
    labels = pd.read_parquet(folder / "test.parquet", columns=["label"])["label"]
    if not (labels.to_numpy() == table["label"].to_numpy()).all():
        raise SystemExit(f"{folder}: rows differ between ours and the peers'. Remove the folder and run again.")
    for peer in peers:
        if (folder / f"{peer}.json").exists():
            table[peer] = pd.read_parquet(folder / f"{peer}.parquet")["probability"].to_numpy()
            seconds[peer] = json.loads((folder / f"{peer}.json").read_text(encoding="utf-8"))["seconds"]
    return told, table, seconds


def _cell(result: BootstrapResult, name: str, metric: str) -> str:
    value, interval = result.estimates[name][metric], result.intervals(name)[metric]
    digits = 2 if metric in ("lift_at_10pct", "calibration_slope") else 4
    shown = f" ({interval[0]:.{digits}f}–{interval[1]:.{digits}f})" if interval else ""
    return f"{value:.{digits}f}{shown}"


def _difference(result: BootstrapResult, one: str, other: str, metric: str) -> tuple[float, float, list[float] | None]:
    """The paired difference, its standard error and its interval."""
    draws = result.draws[one][metric] - result.draws[other][metric]
    difference = result.estimates[one][metric] - result.estimates[other][metric]
    return difference, float(np.nanstd(draws, ddof=1)), percentile_interval(draws, level=0.95)


def _market(task: str, told: dict[str, Any], table: pd.DataFrame, result: BootstrapResult) -> str:
    best = roc_auc_score(table["label"], table["true_probability"])
    share = (result.estimates[told["selected"]]["roc_auc"] - 0.5) / (best - 0.5)
    held = told["coverage"]
    deciles = ", ".join(f"{part:.0%}" for part in held["by_decile"])
    return f"| {task} | {share:.1%} | {held['overall']:.1%} | {deciles} | {held['mean_width']:.4f} |"
