"""How well prospects are ranked: our models beside LightGBM's defaults, logistic regression, FLAML and AutoGluon.

    python -m benchmarks.quality --folder DIR --peers PYTHON [--only TASK …] [--seconds 300] [--trials 40]

PYTHON is the interpreter of an environment with benchmarks/requirements-peers.txt (theirs and ours do not go together);
without it peers are left out. Everybody gets the same rows and features: all that had matured before the test cutoff,
then test. What DIR holds already is not done again, so that a run that was cut off goes on. Prints Markdown.
"""

import argparse
import subprocess
from pathlib import Path

from benchmarks.quality import ours
from benchmarks.quality.table import print_tables
from benchmarks.quality.tasks import TASKS, export, samples_of, study_of

PEERS = ("logistic_regression", "lightgbm_defaults", "flaml", "autogluon")
TUNED = "lightgbm_tuned"
_SCRIPT = Path(__file__).with_name("peers.py")


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where rows, markets and predictions are kept")
    parser.add_argument("--peers", type=Path, default=None, help="Python of the peers' environment")
    parser.add_argument("--only", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seconds", type=float, default=300, help="budget of FLAML and of AutoGluon, each")
    parser.add_argument("--trials", type=int, default=40, help="trials of our own search; 0: none")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    for task in arguments.only:
        if not (folder / task / "about.json").exists():
            export(samples_of(study_of(task, folder)), folder / task)
        if not (folder / task / "ours.json").exists():
            ours.run(task, folder)
        if arguments.trials and not (folder / task / f"{TUNED}.json").exists():
            ours.run_tuned(task, folder, arguments.trials)
        for peer in PEERS if arguments.peers else ():
            if not (folder / task / f"{peer}.json").exists():
                command = [arguments.peers, _SCRIPT, peer, folder / task, str(arguments.seconds)]
                subprocess.run(command, check=True)
    print_tables(folder, arguments.only, (TUNED, *PEERS))


if __name__ == "__main__":
    main()
