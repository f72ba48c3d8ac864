"""How often monitoring alarms in quiet months, and how soon it sees a market that turns.

    python -m benchmarks.monitoring [--seeds 20] [--first 101] [--customers 10000] [--models lightgbm]

Simulates markets of 37 periods, in the last of which a cheap competitor enters. The demo study learns what is known
at the start of period 24, and is looked after at the start of each period since: the outcomes of twelve months are
quiet, that of the thirteenth is not. Prints the verdict of every month; `retrain` in a quiet one is a false alarm.
"""

import argparse
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import propensity as pp
from propensity.config import Study
from propensity.data.market import PERIOD_DAYS, START
from propensity.data.simulate import simulate
from propensity.health import Health
from propensity.monitoring import diagnose, gather

ROOT = Path(__file__).resolve().parents[1]
PERIODS, TURNS, LEARNT = 37, 36, 24
TRAIN = (date(2025, 4, 1), date(2025, 5, 1), date(2025, 5, 31))
"""Half of the demo's train cutoffs: quicker, and what monitoring looks at is decided by the latest."""


def known_at(study: Study, source: Path, period: int) -> Study:
    """The study on what is recorded when a period starts."""
    until = START + timedelta(days=period * PERIOD_DAYS)
    data = study.data.model_copy(update={"source": str(source), "recorded_until": until})
    return study.model_copy(update={"data": data})


def healths(study: Study, work: Path, *, customers: int, seed: int) -> list[tuple[str, Health]]:
    """What monitoring says at the start of each period since the model learnt.

    Every day's prospects are gathered once: what is known of them as of that day does not change afterwards.
    """
    market = work / "market"
    simulate(market, customers=customers, seed=seed, periods=PERIODS, turns=TURNS)
    pp.train(known_at(study, market, LEARNT), out=work / "runs", track=False)
    bundle = pp.load_bundle(work / "runs" / "latest" / "bundle")
    study = known_at(study, market, PERIODS)
    learnt, since, today = gather(study, bundle, today=None)
    days = [*since[1:], today]
    return [(now.as_of, diagnose(study, bundle, learnt, since[: i + 1], now)) for i, now in enumerate(days)]


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
    cutoffs = study.cutoffs.model_copy(update={"train": TRAIN, "list": None})
    study = study.model_copy(update={"cutoffs": cutoffs}).with_models(*arguments.models)
    counts: Counter[str] = Counter()
    alarmed, seen = 0, 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            found = healths(study, Path(temporary), customers=arguments.customers, seed=seed)
        *quiet, turned = [health.verdict for _, health in found]
        counts.update(quiet)
        alarmed += "retrain" in quiet
        seen += turned == "retrain"
        ratios = " ".join(f"{month['ratio']:.2f}" for month in found[-1][1].months)
        print(f"seed {seed}: {' '.join(quiet)} | {turned}; bought over expected {ratios}", flush=True)
        for as_of, health in found:
            for check in health.checks:
                if check.level != "ok":
                    print(f"    {as_of} {check.level}: {check.name}: {check.found}", flush=True)
    total = sum(counts.values())
    told = ", ".join(f"{counts[name]} {name}" for name in ("ok", "watch", "retrain"))
    print(f"quiet months: {total}, of them {told}")
    print(f"false alarms: {alarmed} of {arguments.seeds} markets in twelve quiet months")
    print(f"the turn was seen with its first outcome in {seen} of {arguments.seeds} markets")


if __name__ == "__main__":
    main()
