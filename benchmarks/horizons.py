"""Several horizons from one model, against a model trained for each horizon alone.

    python -m benchmarks.horizons --folder DIR [--only TASK …]

Both are LightGBM with our defaults on the same features and the same test prospects. The one model is fitted for the
study's own horizon, with a hazard on top; the others anew with another label. For a longer horizon they have earlier
cutoffs only: those whose longer windows had ended by the test cutoff. `market_earlier` is the market of `market_small`
a month before, when 90 days can be looked up. AUC on test, with the paired 95 % interval of the
difference from 300 draws of customers. Prints Markdown.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality.tasks import samples_of, study_of
from propensity.config import Study
from propensity.config.samples import CutoffsSpec
from propensity.evaluation.bootstrap import cluster_bootstrap, percentile_interval
from propensity.horizons import person_periods
from propensity.learning import Recipe, Refit, learn, refit
from propensity.samples import Samples
from propensity.temporal import Duration
from propensity.training import hazard_of

BAR = -0.003
HORIZONS: dict[str, tuple[str, ...]] = {
    "market_small": ("7d", "14d", "60d"),
    "market_earlier": ("7d", "60d", "90d"),
    "adventureworks_clothing": ("30d", "60d"),
    "adventureworks_helmets": ("30d", "60d"),
    "online_retail_baking": ("30d", "60d"),
    "starbucks_bogo": ("2d", "4d"),
}
_SINCE_OCTOBER = {"first": "2024-10-03", "every": "30d"}
CUTOFFS: dict[str, dict[str, Any]] = {
    "market_earlier": {
        "train": {**_SINCE_OCTOBER, "last": "2025-05-01"},
        "validation": "2025-05-31",
        "test": "2025-06-30",
    },
}
"""Of the one model, where they are not those of the study's file."""
EARLIER: dict[tuple[str, str], dict[str, Any]] = {
    ("market_earlier", "60d"): {
        "train": {**_SINCE_OCTOBER, "last": "2025-03-02"},
        "validation": "2025-05-01",
        "test": "2025-06-30",
    },
    ("market_earlier", "90d"): {
        "train": {**_SINCE_OCTOBER, "last": "2025-01-01"},
        "validation": "2025-04-01",
        "test": "2025-06-30",
    },
    ("market_small", "60d"): {
        "train": {"first": "2025-01-01", "last": "2025-04-01", "every": "30d"},
        "validation": "2025-05-31",
        "test": "2025-07-30",
    },
}


def main() -> None:
    """Print a row for each task and horizon."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where simulated markets are kept")
    parser.add_argument("--only", nargs="*", choices=list(HORIZONS), default=list(HORIZONS))
    arguments = parser.parse_args()
    print("| task | horizon | buyers | one model | trained for it alone | difference | 95 % interval | bar |")
    print("|---|---|---|---|---|---|---|---|")
    for task in arguments.only:
        study = study_of("market_small" if task == "market_earlier" else task, arguments.folder)
        if task in CUTOFFS:
            study = study.model_copy(update={"cutoffs": CutoffsSpec.model_validate(CUTOFFS[task])})
        compare(task, study.with_models("lightgbm"))


def compare(task: str, study: Study) -> None:
    """One task: all its horizons."""
    own = str(study.outcome.horizon)
    asked = tuple(Duration.parse(horizon) for horizon in HORIZONS[task])
    several = study.model_copy(update={"outcome": study.outcome.model_copy(update={"horizons": asked})})
    samples = samples_of(several)
    model = fitted(several, samples)
    assert samples.test is not None  # noqa: S101 - all have a test
    test, until = samples.test, several.cutoff_instants()["test"][0]
    hazard = hazard_of(several, samples.plan, model, until=until, progress=lambda _: None)
    if hazard is None:
        raise SystemExit(f"{task}: too few buyers to learn the horizons from.")
    scored = model.score(test.X)
    found = hazard.probabilities(scored.log_odds, scored.probability, test.X.to_numpy())
    if not (np.diff(found, axis=1) >= 0).all():
        raise SystemExit(f"{task}: a probability falls as the horizon grows.")
    bought = np.cumsum(person_periods(test, several, observed_until=samples.until).bought, axis=1) > 0
    for k, horizon in enumerate(map(str, several.outcome.all_horizons)):
        if horizon in hazard.horizons and horizon != own:
            alone = probability_alone(task, study, horizon, test.keys["customer_id"].to_numpy())
            one = found[:, hazard.horizons.index(horizon)]
            show(f"| {task} | {horizon} | ", bought[:, k].astype(np.int8), one, alone, test.groups)
    print(f"\n{task}: {hazard.text}\n", flush=True)


def fitted(study: Study, samples: Samples) -> Refit:
    """LightGBM as it is judged on test."""
    recipe = Recipe(study=study, plan=samples.plan, scorecard=None)
    assert samples.validation is not None  # noqa: S101 - studies over time have one
    learnt = learn(recipe, samples.train, samples.validation, progress=lambda _: None)
    frames = [samples.train, samples.validation]
    return refit(recipe, ["lightgbm"], learnt, frames, progress=lambda _: None)["lightgbm"]


def probability_alone(task: str, study: Study, horizon: str, customers: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The test rows' probabilities by a model whose label is this horizon's."""
    changes: dict[str, Any] = {"outcome": study.outcome.model_copy(update={"horizon": Duration.parse(horizon)})}
    if (task, horizon) in EARLIER:
        changes["cutoffs"] = CutoffsSpec.model_validate(EARLIER[task, horizon])
    alone = study.model_copy(update=changes)
    samples = samples_of(alone)
    assert samples.test is not None  # noqa: S101 - all have a test
    if samples.test.keys["customer_id"].tolist() != customers.tolist():
        raise SystemExit(f"{task}: the test prospects differ between horizons.")
    return fitted(alone, samples).score(samples.test.X).probability


def show(
    head: str,
    y: npt.NDArray[np.int8],
    one: npt.NDArray[np.float64],
    alone: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
) -> None:
    """Print both AUCs and their difference."""
    result = cluster_bootstrap(y, {"one": one, "alone": alone}, groups, capacity=0.1, seed=0, replicates=300)
    aucs = [result.estimates[name]["roc_auc"] for name in ("one", "alone")]
    draws = result.draws["one"]["roc_auc"] - result.draws["alone"]["roc_auc"]
    low, high = percentile_interval(draws, level=0.95) or (np.nan, np.nan)
    difference = aucs[0] - aucs[1]
    verdict = "OK" if difference >= BAR else "NO"
    figures = f"{aucs[0]:.4f} | {aucs[1]:.4f} | {difference:+.4f} | {low:+.4f} to {high:+.4f}"
    print(f"{head}{int(y.sum()):,} | {figures} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
