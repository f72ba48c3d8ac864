"""Calibrators side by side: what validation chooses, and how each does on test, of one model on one study.

    python -m benchmarks.calibration --folder DIR [TASK ...]

One training a task: all calibrators are learnt on its held-out log-odds, and judged on the same test rows.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from benchmarks.quality.tasks import MARKETS, samples_of, study_of
from propensity.config.rules import CalibrationSpec
from propensity.evaluation.curves import calibration_table
from propensity.evaluation.metrics import compute_metrics
from propensity.learning import Learnt, Recipe, learn, refit
from propensity.models.calibration import PlattCalibrator
from propensity.models.calibrators import METHODS, choose_calibrator, fit_step
from propensity.models.prior import Prior, em_prior
from propensity.samples import FOLDS, Samples
from propensity.splits import customer_folds
from propensity.training import choose_priors

MODEL = "lightgbm"
TASKS = (
    "coil2000",
    "bank_marketing",
    "starbucks_bogo",
    "adventureworks_clothing",
    "online_retail_baking",
    "market_small",
    "adventureworks_helmets",
    "market_drifting",
)
Floats = npt.NDArray[np.float64]


def held_out(recipe: Recipe, learnt: Learnt, samples: Samples) -> tuple[Floats, npt.NDArray[np.int8], Floats, str]:
    """Log-odds and labels that the test's calibration is learnt on, log-odds of test, and what auto chooses and why."""
    study = recipe.study
    judged, raw = learnt.judged, learnt.raw[MODEL]
    folds = customer_folds(judged.labels, judged.groups, folds=FOLDS, seed=study.seed + 1)
    choice = choose_calibrator("auto", raw, judged.labels, judged.groups, folds)
    assert samples.test is not None  # noqa: S101 - all tasks have a test
    print(f"{judged.labels.sum():,} buyers of {len(judged):,} on validation. {choice.reason}.", flush=True)
    if samples.validation is None:
        return raw, judged.labels, learnt.models[MODEL].decision_function(samples.test.X), choice.method
    known = [samples.train, samples.validation]
    fitted = refit(recipe, [MODEL], learnt, known, progress=lambda _: None)[MODEL]
    test = fitted.model.decision_function(samples.test.X)
    return fitted.held_out[fitted.latest], fitted.rows.labels[fitted.latest], test, choice.method


def expected_error(y: npt.NDArray[np.int8], p: Floats) -> float:
    """Expected calibration error: mean distance of promised and observed in ten bins of equal size."""
    table = calibration_table(y, p)
    return sum(row["n"] * abs(row["predicted"] - row["observed"]) for row in table) / len(y)


def show(name: str, y: npt.NDArray[np.int8], p: Floats, score: Floats) -> None:
    """Print a row of the table."""
    found = compute_metrics(y, p, capacity=0.1, score=score)
    slope, shift = found["calibration_slope"], found["calibration_intercept"]
    print(
        f"| {name} | {found['log_loss']:.5f} | {found['brier']:.5f} | {expected_error(y, p):.4f} "
        f"| {slope:.2f} | {shift:+.2f} | {found['roc_auc']:.4f} |",
        flush=True,
    )


def main() -> None:
    """Print a table a task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where simulated markets are kept")
    parser.add_argument("tasks", nargs="*", default=TASKS)
    parser.add_argument("--customers", type=int, help="of a simulated market, in place of its own number")
    given = parser.parse_args()
    if given.customers:
        MARKETS.update({name: replace(market, customers=given.customers) for name, market in MARKETS.items()})
    for task in given.tasks:
        print(f"\n## {task}")
        study = study_of(task, given.folder).with_models(MODEL)
        samples = samples_of(study)
        recipe = Recipe(study=study, plan=samples.plan, scorecard=None)
        learnt = learn(recipe, samples.train, samples.validation, progress=lambda _: None)
        z, y, test, chosen = held_out(recipe, learnt, samples)
        platt = PlattCalibrator().fit(z, y)
        assert samples.test is not None  # noqa: S101 - all tasks have a test
        labels, score = samples.test.labels, platt.transform(test)
        print(f"calibrated on {y.sum():,} buyers of {len(y):,}; test {labels.sum():,} of {len(labels):,}\n")
        print("| calibrator | log loss | Brier | expected calibration error | slope | in the large | AUC |")
        print("|---|---|---|---|---|---|---|")
        for method in METHODS:
            p = expit(fit_step(method, platt.transform(z), y).transform(score))
            show(method + (" (auto)" if method == chosen else ""), labels, p, score)
        corrected = Prior("em", float(expit(platt.transform(z)).mean()))
        show("platt, prior by EM", labels, expit(score + corrected.shift(score)), score)  # not, where it runs away
        wanted = study.model_copy(update={"calibration": CalibrationSpec(method="platt", prior="em")})
        learnt.chosen[MODEL] = replace(learnt.chosen[MODEL], method="platt")
        told = choose_priors(Recipe(wanted, samples.plan, None), learnt, samples, progress=lambda _: None)[MODEL]
        base, found = corrected.base_rate or 0.0, em_prior(score, prior_from=corrected.base_rate or 0.0)
        print(f"\nEM on test: from {base:.4f} to {found:.4f}, it was {labels.mean():.4f}. Accepted: {told.reason}.")


if __name__ == "__main__":
    main()
