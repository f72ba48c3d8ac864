"""How often monitoring alarms in quiet months, and how soon it sees a market that turns.

    python -m benchmarks.monitoring [--seeds 20] [--first 101] [--customers 10000] [--models lightgbm]

Simulates markets of 37 periods, in the last of which a cheap competitor enters. The demo study learns what is known
at the start of period 24, and is looked after at the start of each period since: the outcomes of twelve months are
quiet, that of the thirteenth is not. Prints the verdict of every month; `retrain` in a quiet one is a false alarm.
"""

import argparse
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import propensity as pp
from propensity.config import Study
from propensity.data.market import PERIOD_DAYS, START
from propensity.data.simulate import simulate
from propensity.results import MonitoringResult

ROOT = Path(__file__).resolve().parents[1]
PERIODS, TURNS, LEARNT = 37, 36, 24


def known_at(study: Study, source: Path, period: int) -> Study:
    """The study on what is recorded when a period starts."""
    until = START + timedelta(days=period * PERIOD_DAYS)
    data = study.data.model_copy(update={"source": str(source), "recorded_until": until})
    return study.model_copy(update={"data": data})


def verdicts(study: Study, work: Path, *, customers: int, seed: int) -> list[MonitoringResult]:
    """What monitoring says at the start of each period since the model learnt."""
    market = work / "market"
    simulate(market, customers=customers, seed=seed, periods=PERIODS, turns=TURNS)
    pp.train(known_at(study, market, LEARNT), out=work / "runs", track=False)
    return [
        pp.monitor(known_at(study, market, period), runs=work / "runs", out=work / "monitoring", track=False)
        for period in range(LEARNT + 1, PERIODS + 1)
    ]


def main() -> None:
    """Simulate, train, look after, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=101)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--models", nargs="+", default=["lightgbm"])
    arguments = parser.parse_args()
    study = pp.load_study(ROOT / "configs" / "demo.yaml")
    assert study.cutoffs is not None  # noqa: S101 - the demo has dates
    cutoffs = study.cutoffs.model_copy(update={"list": None})
    study = study.model_copy(update={"cutoffs": cutoffs}).with_models(*arguments.models)
    counts: Counter[str] = Counter()
    alarmed, seen = 0, 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            found = verdicts(study, Path(temporary), customers=arguments.customers, seed=seed)
        *quiet, turned = [one.verdict for one in found]
        counts.update(quiet)
        alarmed += "retrain" in quiet
        seen += turned == "retrain"
        months = found[-1].months
        ratios = " ".join(f"{ratio:.2f}" for ratio in months["ratio"])
        print(f"seed {seed}: {' '.join(quiet)} | {turned}; bought over expected {ratios}", flush=True)
        for one in found:
            for row in one.checks[one.checks["level"] != "ok"].to_dict("records"):
                print(f"    {one.as_of} {row['level']}: {row['name']}: {row['found']}", flush=True)
    total = sum(counts.values())
    told = ", ".join(f"{counts[name]} {name}" for name in ("ok", "watch", "retrain"))
    print(f"quiet months: {total}, of them {told}")
    print(f"false alarms: {alarmed} of {arguments.seeds} markets in twelve quiet months")
    print(f"the turn was seen with its first outcome in {seen} of {arguments.seeds} markets")


if __name__ == "__main__":
    main()
