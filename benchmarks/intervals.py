"""How often a prospect's 90 % interval holds the true probability, on simulated markets.

    python -m benchmarks.intervals --folder DIR [--customers 20000] [--seeds 1 2 3 4] [--turns PERIOD] [--models ...]

For each market and model, whichever would be selected: the share of the list's prospects whose true probability lies
inside, overall and in the deciles with the least and the most, and the mean width; beside it the share by an interval
that does not count change from cutoff to cutoff. The seeds are not those on which the interval's share of bias was
settled (5 and 7). Prints Markdown.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import propensity as pp
from benchmarks.quality.tasks import ROOT, samples_of, truth_of
from propensity.data.simulate import simulate
from propensity.learning import Recipe, learn, refit
from propensity.pipelines import load_rules, open_study
from propensity.samples import latest_scorable, scoring_frame

MODELS = ("scorecard", "logistic", "lightgbm")


def coverage(
    customers: int, seed: int, folder: Path, *, turns: int | None, models: Sequence[str]
) -> list[dict[str, float | str]]:
    """A row for each model on one market."""
    place = folder / (f"{customers}-{seed}" if turns is None else f"{customers}-{seed}-turns-{turns}")
    if not place.exists():
        simulate(place, customers=customers, seed=seed, turns=turns)
    study = pp.load_study(ROOT / "configs" / "demo.yaml").with_models(*models)
    study = study.model_copy(update={"data": study.data.model_copy(update={"source": str(place)})})
    samples = samples_of(study)
    recipe = Recipe(study=study, plan=samples.plan, scorecard=load_rules(study))
    learnt = learn(recipe, samples.train, samples.validation, progress=lambda _: None)
    matured = [frame for frame in (samples.train, samples.validation, samples.test) if frame is not None]
    fitted = refit(recipe, recipe.names, learnt, matured, progress=lambda _: None)
    with open_study(study, today=datetime.now(tz=UTC)) as tables:
        frame, _ = scoring_frame(tables, study, samples.plan, latest_scorable(study, until=tables.until))
    truth = truth_of(study, frame.keys)
    rows: list[dict[str, float | str]] = []
    for name in recipe.names:
        bundle = fitted[name].bundle(samples.plan, study.points)
        low, high = bundle.interval(frame.X)
        inside = pd.Series((low <= truth) & (truth <= high))
        still_low, still_high = replace(bundle, change=0.0).interval(frame.X)
        rank = np.argsort(np.argsort(-bundle.log_odds(frame.X), kind="stable"))
        by_decile = inside.groupby(rank * 10 // len(rank)).mean()
        rows.append(
            {
                "model": name,
                "overall": inside.mean(),
                "least": by_decile.min(),
                "most": by_decile.max(),
                "width": float((high - low).mean()),
                "still": float(((still_low <= truth) & (truth <= still_high)).mean()),
            }
        )
    return rows


def main() -> None:
    """Print a row for each market and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where markets are kept")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--turns", type=int, default=None, help="the period in which a cheap competitor enters")
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    print("| seed | model | holds the truth | least decile | most | mean width | without change |")
    print("|---|---|---|---|---|---|---|")
    for seed in arguments.seeds:
        for row in coverage(
            arguments.customers, seed, arguments.folder, turns=arguments.turns, models=arguments.models
        ):
            shares = " | ".join(f"{row[name]:.1%}" for name in ("overall", "least", "most"))
            print(f"| {seed} | {row['model']} | {shares} | {row['width']:.4f} | {row['still']:.1%} |", flush=True)


if __name__ == "__main__":
    main()
