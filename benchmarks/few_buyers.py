"""What few buyers do to choices made on validation: how often a scorecard is left, and Platt is left.

python -m benchmarks.few_buyers [--buyers 10]
"""

import argparse
from collections import Counter

import numpy as np
from scipy.special import expit

from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.models.calibrators import choose_calibrator
from propensity.splits import customer_folds

ROWS = 2_000
MARGINS = (1.0, 1.5, 2.0)


def left(buyers: int, card: float, models: float, *, seeds: int = 200) -> list[float]:
    """Share of validations on which the best of three models beats the scorecard by more than each margin.

    `card` and `models` say how far apart buyers and others are in their scores (standard deviation about 1);
    all scores share half of their variance.
    """
    beaten = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        y = np.zeros(ROWS, int)
        y[:buyers] = 1
        shared = rng.normal(size=ROWS)
        apart = {"scorecard": card, **{f"model {i}": models for i in range(3)}}
        scores = {name: expit(d * y + 0.7 * shared + 0.714 * rng.normal(size=ROWS) - 4) for name, d in apart.items()}
        found = cluster_bootstrap(y, scores, np.arange(ROWS), capacity=0.05, seed=0, replicates=150)
        precision = {name: found.estimates[name]["average_precision"] for name in scores}
        best = max(scores, key=lambda name: precision[name])
        draws = [found.draws[name]["average_precision"] for name in (best, "scorecard")]
        error = np.std(draws[0] - draws[1], ddof=1) if best != "scorecard" else np.inf
        beaten.append((precision[best] - precision["scorecard"]) / error)
    return [float(np.mean(np.array(beaten) > margin)) for margin in MARGINS]


def calibrators(rows: int, middle: float, *, seeds: int = 40) -> tuple[float, Counter[str]]:
    """Mean buyers, and what `auto` takes on scores that Platt's line fits; draws with under 5 buyers do not count."""
    chosen, buyers, customers = Counter[str](), [], np.arange(rows)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        z = rng.normal(middle, 1.5, rows)
        y = (rng.random(rows) < expit(z)).astype(np.int8)
        if y.sum() >= 5:
            buyers.append(int(y.sum()))
            chosen[choose_calibrator("auto", z, y, customers, customer_folds(y, customers, seed=1)).method] += 1
    return float(np.mean(buyers)), chosen


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--buyers", type=int, default=10)
    buyers = parser.parse_args().buyers
    print(f"share that leaves the scorecard after {MARGINS} standard errors, {buyers} buyers of {ROWS:,}", flush=True)
    for name, card, models in (("equal", 0.8, 0.8), ("scorecard better", 0.9, 0.4), ("models better", 0.5, 1.4)):
        print(f"{name}: {left(buyers, card, models)}", flush=True)
    for rows, middle in ((2_000, -7.2), (2_000, -5.4), (4_000, -4.5), (10_000, -3.4)):
        mean, chosen = calibrators(rows, middle)
        print(f"{mean:.0f} buyers of {rows:,} on average: {dict(chosen)}", flush=True)


if __name__ == "__main__":
    main()
