"""On a simulated market: what is at or after a cutoff changes nothing as of it, and neither does the order of rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from propensity.cohort import Cohort
from propensity.config import ContactsSpec, Study, TableSpec, load_study
from propensity.data import simulate
from propensity.data.tables import Tables, open_tables
from propensity.features.matrix import Frame, build_frame
from propensity.features.plan import FeaturePlan, learn_plan
from propensity.samples import criteria_plan, draw, express, scoring_frame, temporal_samples, train_folds

TABLES = {"customers": "registered_at", "events": "occurred_at", "purchases": "ordered_at"}
DEMO = Path(simulate.__file__).parent / "demo" / "demo.yaml"
Market = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class AsOf:
    """All that is known as of a cutoff."""

    cohort: Cohort
    plan: FeaturePlan
    frame: Frame


@pytest.fixture(scope="module")
def study() -> Study:
    """The demo's study, with fewer train cutoffs, a criterion over behaviour, and its mails as contacts."""
    demo = load_study(DEMO)
    assert demo.cutoffs is not None
    train = tuple(day.date() for day in demo.cutoff_instants()["train"][-2:])
    criteria = {**demo.target.criteria, "in touch": "events_visit_90d > 0 AND recency_days_visit < 60"}
    mails = TableSpec(file="events.parquet", where="event_type = 'email_sent'")
    contacts = ContactsSpec(
        table="mails", key="customer_id", occurred_at="occurred_at", available_at="available_at", by="channel"
    )
    changes = {
        "data": demo.data.model_copy(update={"tables": {"mails": mails}, "contacts": contacts}),
        "cutoffs": demo.cutoffs.model_copy(update={"train": train}),
        "target": demo.target.model_copy(update={"criteria": criteria}),
    }
    return demo.model_copy(update=changes)


@pytest.fixture(scope="module")
def market(simulated_market: Path) -> Market:
    return {name: pd.read_parquet(simulated_market / f"{name}.parquet") for name in TABLES}


@pytest.fixture(scope="module")
def cutoff(study: Study) -> datetime:
    return study.cutoff_instants()["validation"][0]


def as_of(tables: Tables, study: Study, cutoff: datetime) -> AsOf:
    cohort = draw(tables, study, cutoff, plan=criteria_plan(tables, study))
    plan, _ = learn_plan(tables, study, cohorts=[cohort.keys], cutoffs=[cutoff])
    return AsOf(cohort, plan, build_frame(tables, plan, cohorts=[cohort.keys], cutoffs=[cutoff]))


def written(market: Market, folder: Path) -> Path:
    for name, table in market.items():
        table.to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def truth(simulated_market: Path, study: Study, cutoff: datetime) -> AsOf:
    with open_tables(study.data, simulated_market, express=express) as tables:
        return as_of(tables, study, cutoff)


def future(table: pd.DataFrame, time: str, cutoff: datetime) -> pd.Series:
    """Rows that happen, or become known, at or after the cutoff."""
    instant = pd.Timestamp(cutoff.replace(tzinfo=None))
    late = table["available_at"] >= instant if "available_at" in table else False
    return (table[time] >= instant) | late


def delete(table: pd.DataFrame, is_future: pd.Series, _: str) -> pd.DataFrame:
    return table[~is_future]


def duplicate(table: pd.DataFrame, is_future: pd.Series, name: str) -> pd.DataFrame:
    if name == "customers":  # a key occurs once: more newcomers, then
        more = table[is_future].assign(customer_id=lambda t: "N" + t["customer_id"])
    else:
        more = table[is_future]
    return pd.concat([table, more, more[::-1]] if name != "customers" else [table, more], ignore_index=True)


def alter(table: pd.DataFrame, is_future: pd.Series, name: str) -> pd.DataFrame:
    """Other customers, other kinds, other amounts: the answer itself is written into the future."""
    altered = table.copy()
    rng = np.random.default_rng(5)
    for column in set(table) - {*TABLES.values(), "available_at", *(["customer_id"] if name == "customers" else [])}:
        altered.loc[is_future, column] = rng.permutation(table.loc[is_future, column].to_numpy())
    if name == "purchases":
        altered.loc[is_future, "category"] = "home_insurance"
        altered.loc[is_future, "amount"] = 1e6
    if name == "events":
        altered.loc[is_future, "event_type"] = "opted_out"
    return altered


def later(table: pd.DataFrame, is_future: pd.Series, name: str) -> pd.DataFrame:
    """What happened at or after the cutoff happens years later."""
    moved = table.copy()
    when = moved[TABLES[name]] >= moved.loc[is_future, TABLES[name]].max() - pd.Timedelta(days=60)
    moved.loc[when & is_future, TABLES[name]] += pd.Timedelta(days=1500)
    return moved


@pytest.mark.parametrize("change", [delete, duplicate, alter, later])
def test_nothing_at_or_after_the_cutoff_changes_a_cohort_or_a_feature(
    change: Callable[..., pd.DataFrame],
    market: Market,
    study: Study,
    cutoff: datetime,
    truth: AsOf,
    tmp_path: Path,
) -> None:
    other = {}
    for name, time in TABLES.items():
        is_future = future(market[name], time, cutoff)
        assert 20 < is_future.sum() < len(is_future)
        other[name] = change(market[name], is_future, name)
        assert not other[name].equals(market[name])
    with open_tables(study.data, written(other, tmp_path), express=express) as tables:
        found = as_of(tables, study, cutoff)
    assert found.cohort.keys["customer_id"].tolist() == truth.cohort.keys["customer_id"].tolist()
    assert [step.to_dict() for step in found.cohort.funnel] == [step.to_dict() for step in truth.cohort.funnel]
    for one, other_one in zip(found.cohort.criteria, truth.cohort.criteria, strict=True):
        assert one.fails == other_one.fails
        assert one.kept_out["customer_id"].tolist() == other_one.kept_out["customer_id"].tolist()
    assert len(truth.cohort.criteria[-1].kept_out) > 20
    assert found.plan.to_dict() == truth.plan.to_dict()
    assert found.frame.keys["customer_id"].tolist() == truth.frame.keys["customer_id"].tolist()
    assert found.frame.X.to_numpy().tobytes() == truth.frame.X.to_numpy().tobytes()


def test_late_records_are_among_what_was_changed(market: Market, cutoff: datetime) -> None:
    instant = pd.Timestamp(cutoff.replace(tzinfo=None))
    events = market["events"]
    assert ((events["occurred_at"] < instant) & (events["available_at"] >= instant)).sum() > 0


def test_a_change_before_the_cutoff_is_seen(
    market: Market, study: Study, cutoff: datetime, truth: AsOf, tmp_path: Path
) -> None:
    """The test above can fail: one event, a microsecond before the cutoff."""
    events = market["events"]
    key = truth.cohort.keys["customer_id"][0]
    when = pd.Timestamp(cutoff.replace(tzinfo=None)) - pd.Timedelta(microseconds=1)
    one = events.iloc[[0]].assign(customer_id=key, occurred_at=when, available_at=when, event_type="visit")
    other = {**market, "events": pd.concat([events, one], ignore_index=True)}
    with open_tables(study.data, written(other, tmp_path), express=express) as tables:
        found = as_of(tables, study, cutoff)
    differs = (
        found.frame.X[truth.plan.names].to_numpy() != truth.frame.X.to_numpy()
    ) & truth.frame.X.notna().to_numpy()
    assert found.frame.keys["customer_id"][differs.any(axis=1)].tolist() == [key]


def test_the_order_of_rows_changes_nothing_not_even_the_last_bit(
    market: Market, study: Study, simulated_market: Path, tmp_path: Path
) -> None:
    shuffled = {name: table.sample(frac=1, random_state=3) for name, table in market.items()}
    with open_tables(study.data, simulated_market, express=express) as tables:
        plain, fingerprint = temporal_samples(tables, study), tables.fingerprint()
    with open_tables(study.data, written(shuffled, tmp_path), express=express) as tables:
        other, again = temporal_samples(tables, study), tables.fingerprint()
    assert again == fingerprint
    assert other.funnels == plain.funnels
    assert other.plan.to_dict() == plain.plan.to_dict()
    assert other.warnings == plain.warnings
    for mine, yours in ((plain.train, other.train), (plain.validation, other.validation), (plain.test, other.test)):
        assert mine is not None
        assert yours is not None
        assert mine.X.to_numpy().tobytes() == yours.X.to_numpy().tobytes()
        assert (mine.labels == yours.labels).all()
        pd.testing.assert_frame_equal(mine.keys, yours.keys)
    folds = (train_folds(samples.train, study, seed=3) for samples in (plain, other))
    for (fitted, held), (same_fitted, same_held) in zip(*folds, strict=True):
        assert (fitted == same_fitted).all()
        assert (held == same_held).all()


def test_the_matrix_for_training_is_the_matrix_for_scoring_at_the_same_cutoff(
    study: Study, simulated_market: Path
) -> None:
    with open_tables(study.data, simulated_market, express=express) as tables:
        samples = temporal_samples(tables, study)
        cutoffs = study.cutoff_instants()
        for part, split in ((samples.validation, "validation"), (samples.test, "test"), (samples.train, "train")):
            assert part is not None
            for instant in cutoffs[split]:
                rows = (part.keys["cutoff"] == pd.Timestamp(instant.replace(tzinfo=None))).to_numpy()
                scored, _ = scoring_frame(tables, study, samples.plan, instant)
                assert scored.y is None
                assert scored.X.columns.tolist() == part.X.columns.tolist()
                assert scored.keys["customer_id"].tolist() == part.keys["customer_id"][rows].tolist()
                assert scored.X.to_numpy().tobytes() == part.X[rows].to_numpy().tobytes()


def test_train_matures_before_validation_and_validation_before_test(study: Study) -> None:
    cutoffs = study.cutoff_instants()
    assert max(map(study.matures_at, cutoffs["train"])) <= min(cutoffs["validation"])
    assert max(map(study.matures_at, cutoffs["validation"])) <= min(cutoffs["test"])
