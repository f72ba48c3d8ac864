"""What is ranked: the studies of configs/ and simulated markets, as the same rows and features for everybody."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import propensity as pp
from propensity.config import Study
from propensity.data.simulate import simulate
from propensity.features.matrix import Frame, decode
from propensity.pipelines import labelled_samples, load_rules, named_features
from propensity.samples import Samples

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Market:
    """A simulated market: its size, its seed, and the period in which it turns (a cheap competitor enters)."""

    customers: int
    seed: int = 7
    turns: int | None = None


MARKETS = {
    "market_small": Market(20_000),
    "market_eight": Market(20_000, seed=8),
    "market_nine": Market(20_000, seed=9),
    "market_drifting": Market(60_000, seed=11, turns=20),
    "market_large": Market(200_000, seed=13),
}
STUDIES = (
    "coil2000",
    "bank_marketing",
    "adventureworks_helmets",
    "adventureworks_clothing",
    "starbucks_bogo",
    "online_retail_baking",
    "demo_business",
)
TASKS = (*STUDIES, *MARKETS)


def study_of(task: str, folder: Path = Path()) -> Study:
    """The study of a task; a simulated market is made in `folder` the first time."""
    config = task if task in STUDIES else "demo"
    study = pp.load_study(ROOT / "configs" / f"{config}.yaml")
    market = MARKETS.get(task, MARKETS["market_small"])
    if not study.simulated or task == "starbucks_bogo":  # simulated by its publisher
        return study
    place = folder / "markets" / f"{market.customers}-{market.seed}-{market.turns}"
    if not place.exists():
        simulate(place, customers=market.customers, seed=market.seed, turns=market.turns)
    return study.model_copy(update={"data": study.data.model_copy(update={"source": str(place)})})


def samples_of(study: Study) -> Samples:
    """The study's rows, as `propensity train` makes them."""
    always = named_features(study, load_rules(study))
    return labelled_samples(study, always=always, now=datetime.now(tz=UTC), progress=lambda _: None)


def export(samples: Samples, folder: Path) -> None:
    """The rows for peers: all that had matured before test, and test, with categories as texts."""
    assert samples.test is not None  # noqa: S101 - all tasks have a test
    folder.mkdir(parents=True, exist_ok=True)
    matured = [frame for frame in (samples.train, samples.validation) if frame is not None]
    pd.concat([_table(frame, samples) for frame in matured]).to_parquet(folder / "train.parquet", index=False)
    _table(samples.test, samples).to_parquet(folder / "test.parquet", index=False)
    about = {"features": samples.plan.names, "categories": list(samples.plan.categories)}
    (folder / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _table(frame: Frame, samples: Samples) -> pd.DataFrame:
    decoded = decode(frame.X, samples.plan.catalogue())
    return decoded.assign(label=frame.labels, customer=frame.groups, cutoff=frame.keys["cutoff"].to_numpy())


def truth_of(study: Study, predictions: pd.DataFrame) -> Any:
    """The true probability of each test row of a simulated market of ours, or None."""
    place = study.source_path / "truth.parquet"
    if not study.simulated or not place.is_file():
        return None
    truth = pd.read_parquet(place)
    truth["cutoff"] = pd.to_datetime(truth["cutoff"])
    rows = predictions[["customer_id", "cutoff"]].merge(truth, on=["customer_id", "cutoff"], how="left", validate="1:1")
    return rows["true_probability"].to_numpy()
