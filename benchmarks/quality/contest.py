"""coil2000 as in the contest of 2000: how many owners are among the first 800 of 4,000? The winner had 121.

    python -m benchmarks.quality.contest [--seeds 5]

Full runs of the study that differ in their seed alone; every choice is made by cross-validation on train. Ties count
with their expectation. Prints Markdown.
"""

import argparse

import numpy as np

from benchmarks.quality.ours import trained
from benchmarks.quality.tasks import samples_of, study_of
from propensity.evaluation.curves import ranked_tally

CONTACTED = 800
WINNER = 121


def main() -> None:
    """Train once for each seed, and print the owners found by each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    found = []
    for seed in range(1, arguments.seeds + 1):
        study = study_of("coil2000").model_copy(update={"seed": seed})
        evaluation = trained(study, samples_of(study)).evaluation
        predictions = evaluation.predictions
        owners = {
            name: float(ranked_tally(predictions["label"], predictions[name]).hits_at([CONTACTED]).expected[0])
            for name in study.models.names
        }
        if not found:
            print("| seed | selected | its owners | " + " | ".join(owners) + " |\n|---|---|---|" + "---|" * len(owners))
        cells = " | ".join(f"{count:.1f}" for count in owners.values())
        print(f"| {seed} | {evaluation.selected} | {owners[evaluation.selected]:.1f} | {cells} |", flush=True)
        found.append(owners[evaluation.selected])
    buyers = int(predictions["label"].sum())
    error = np.sqrt(np.mean(found) * (1 - np.mean(found) / buyers))
    print(
        f"\nMean {np.mean(found):.1f} of {buyers} owners (the contest's winner: {WINNER}); the sampling error of such a"
    )
    print(f"count is about {error:.0f}.")


if __name__ == "__main__":
    main()
