"""How near a scorecard that is learnt comes to the logistic model, by cross-validation inside train.

    python -m benchmarks.scorecards [STUDY ...] [--repeats 2]

The studies are snapshots in `configs/` (default: coil2000 and bank_marketing); their test rows are not looked at. Each
of five folds, `--repeats` times, is ranked by models that were fitted on the other four; the logistic model's shrinkage
is chosen by folds inside those.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from propensity.config import load_study
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.models import make_model
from propensity.models.tuning import choose_settings
from propensity.samples import read_snapshot_rows, snapshot_samples
from propensity.splits import customer_folds

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
MODELS = ("logistic", "fitted_scorecard")
FOLDS = 5


def fold_aucs(train: Frame, plan: FeaturePlan, *, seed: int) -> list[list[float]]:
    """The AUC of each model on each fold."""
    aucs: list[list[float]] = []
    categorical = list(plan.categories)
    for fit_rows, held_out in customer_folds(train.labels, train.groups, folds=FOLDS, seed=seed):
        own, other = train.take(fit_rows), train.take(held_out)
        inner = customer_folds(own.labels, own.groups, folds=FOLDS, seed=seed + 1)
        aucs.append([])
        for name in MODELS:
            chosen = choose_settings(name, own.X, own.labels, folds=inner, categorical=categorical).settings
            model = make_model(name, categorical=categorical, settings=chosen, categories=plan.categories)
            scores = model.fit(own.X, own.labels).decision_function(other.X)
            aucs[-1].append(float(roc_auc_score(other.labels, scores)))
    return aucs


def main() -> None:
    """Print the mean AUC of both models, and the mean difference with its standard error over folds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=["coil2000", "bank_marketing"])
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.studies:
        study = load_study(CONFIGS / f"{name}.yaml")
        samples = snapshot_samples(read_snapshot_rows(study), study)
        seeds = range(study.seed, study.seed + 10 * arguments.repeats, 10)
        aucs = np.array([auc for seed in seeds for auc in fold_aucs(samples.train, samples.plan, seed=seed)])
        difference = aucs[:, 1] - aucs[:, 0]
        error = difference.std(ddof=1) / len(difference) ** 0.5
        print(
            f"{name}: {len(samples.train):,} rows, {samples.train.labels.sum():,} bought; "
            f"AUC logistic {aucs[:, 0].mean():.4f}, fitted scorecard {aucs[:, 1].mean():.4f}, difference "
            f"{difference.mean():+.4f} (standard error over folds {error:.4f})"
        )


if __name__ == "__main__":
    main()
