"""How far models get on a simulated market, whose true probabilities are known.

    python -m benchmarks.market [--customers 50000] [--models scorecard lightgbm] [--seed 7] [--turns PERIOD]

Simulates a market, trains the demo study on it, and prints for each model the share of the distance from an AUC of
0.5 to the AUC of the true probability, both on the study's test rows; the calibration slope, and lift against both
scorecards with its interval. How often intervals hold the truth: `benchmarks.intervals`.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

import propensity as pp
from propensity.data.simulate import simulate
from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.evaluation.compare import compare

CARDS = ("scorecard", "fitted_scorecard")
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Simulate, train, and compare with the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--models", nargs="+", default=["scorecard", "lightgbm"])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--turns", type=int, default=None, help="the period in which a cheap competitor enters")
    arguments = parser.parse_args()
    customers = arguments.customers
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        simulate(work / "market", customers=customers, seed=arguments.seed, turns=arguments.turns)
        study = pp.load_study(ROOT / "configs" / "demo.yaml")
        data = study.data.model_copy(update={"source": str(work / "market")})
        study = study.model_copy(update={"data": data}).with_models(*arguments.models)
        result = pp.train(study, out=work / "runs", track=False)
        truth = pd.read_parquet(work / "market" / "truth.parquet")
    truth["cutoff"] = pd.to_datetime(truth["cutoff"])
    test = result.predictions.merge(truth, on=["customer_id", "cutoff"], how="left", validate="1:1")
    best = roc_auc_score(test["label"], test["true_probability"])
    print(f"{customers:,} customers; test: {len(test):,} prospects, {int(test['label'].sum()):,} bought")
    print(f"AUC of the true probability {best:.4f}")
    for model in result.metrics["model"].unique():
        auc = roc_auc_score(test["label"], test[model])
        print(f"{model:17} AUC {auc:.4f}  {(auc - 0.5) / (best - 0.5):6.1%} of the distance")
    print(f"selected: {result.selected}")
    on_test = result.metrics[result.metrics["split"] == "test"].set_index("model")
    print(
        "calibration slope: " + ", ".join(f"{name} {slope:.3f}" for name, slope in on_test["calibration_slope"].items())
    )
    models = list(result.metrics["model"].unique())
    drawn = cluster_bootstrap(
        test["label"].to_numpy(),
        {model: test[model].to_numpy() for model in models},
        test["customer_id"].to_numpy(),
        capacity=0.1,
        seed=study.seed,
    )
    rows = [row for card in CARDS if card in models for row in compare(drawn, baseline=card)]
    lifts = pd.DataFrame([row for row in rows if row["metric"] == "lift_at_10pct" and row["model"] not in CARDS])
    print(lifts.drop(columns="split", errors="ignore").to_string(index=False))


if __name__ == "__main__":
    main()
