"""The README's table of results: every study in configs/, trained end to end and judged on test.

    python -m benchmarks.studies [--only NAME …] [--out DIR]

Prints a Markdown table: a row per study, and per model AUC, average precision and lift@10 % on test with 95 %
intervals (a bootstrap over customers). The demos' market is simulated first (20,000 customers).
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import propensity as pp
from propensity.data.simulate import simulate

ROOT = Path(__file__).resolve().parents[1]
STUDIES = (
    "demo",
    "demo_business",
    "adventureworks_helmets",
    "adventureworks_clothing",
    "starbucks_bogo",
    "online_retail_baking",
    "coil2000",
    "bank_marketing",
)
MODELS = ("scorecard", "logistic", "lightgbm", "blend")
METRICS = (("AUC", "roc_auc"), ("AP", "average_precision"), ("lift@10 %", "lift_at_10pct"))


def study_of(name: str, work: Path) -> Any:
    """The study of a name; the demos' on a market made in `work`."""
    study = pp.load_study(ROOT / "configs" / f"{name}.yaml")
    if not study.simulated or name == "starbucks_bogo":  # simulated by its publisher
        return study
    simulate(work / "market", customers=20_000, seed=7)
    data = study.data.model_copy(update={"source": str(work / "market")})
    return study.model_copy(update={"data": data})


def figure(values: dict[str, Any], metric: str) -> str:
    """One metric with its interval."""
    interval = values["intervals"][metric]
    digits = 2 if metric.startswith("lift") else 3
    text = f"{values[metric]:.{digits}f}"
    return f"{text} ({interval[0]:.{digits}f}–{interval[1]:.{digits}f})" if interval else text


def row(name: str, metrics: dict[str, Any]) -> str:
    """One study as a row of the table."""
    test = {model: splits["test"] for model, splits in metrics["models"].items()}
    first = test["scorecard"]
    cells = [f"`{name}`", f"{first['n']:,}", f"{first['base_rate']:.1%}"]
    for model in MODELS:
        chosen = " **selected**" if metrics["selected"] == model else ""
        cells.append("<br>".join(f"{label} {figure(test[model], metric)}" for label, metric in METRICS) + chosen)
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--out", type=Path, default=None, help="where the runs go (default: a temporary folder)")
    arguments = parser.parse_args()
    print("| study | prospects | base rate | " + " | ".join(MODELS) + " |")
    print("|---|---|---|" + "---|" * len(MODELS))
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        for name in arguments.only:
            result = pp.train(study_of(name, Path(temporary)), out=out / name, track=False)
            metrics = json.loads((result.folder / "metrics.json").read_text(encoding="utf-8"))
            print(row(name, metrics), flush=True)


if __name__ == "__main__":
    main()
