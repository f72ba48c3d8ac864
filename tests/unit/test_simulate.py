"""The simulated market's tables: what they hold, that they are written whole, and that a seed gives the same bytes."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from propensity.config import load_study
from propensity.data import simulate as module
from propensity.data.market import (
    CHALLENGES,
    GOALS,
    INTERESTS,
    KINDS,
    PRODUCTS,
    REGIONS,
    ROLES,
    TARGET_REGIONS,
    cutoff_day,
)
from propensity.data.simulate import MarketSummary, longer_horizon_truth, simulate
from propensity.errors import InputError

DEMO = Path(module.__file__).parent / "demo" / "demo.yaml"
TABLES = ("customers", "events", "purchases", "contracts", "truth")


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> MarketSummary:
    return simulate(tmp_path_factory.mktemp("simulated") / "market", customers=4_000)


@pytest.fixture(scope="module")
def tables(summary: MarketSummary) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(summary.folder / f"{name}.parquet") for name in TABLES}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_summary_counts_the_rows_of_each_table(summary: MarketSummary, tables: dict[str, pd.DataFrame]) -> None:
    assert {name: len(table) for name, table in tables.items()} == {name: getattr(summary, name) for name in TABLES}
    assert list(summary.base_rate) == [cutoff_day(period) for period in range(26)]


def test_customers_are_persons_or_businesses_with_one_row_each(tables: dict[str, pd.DataFrame]) -> None:
    customers = tables["customers"].set_index("customer_id")
    assert customers.index.is_unique
    assert list(customers.index[:2]) == ["C0000000", "C0000001"]
    business = customers["customer_type"] == "business"
    assert 0.08 < business.mean() < 0.16
    assert customers.loc[business, ["birth_date", "income", "home_owner", "occupation"]].isna().all(axis=None)
    assert customers.loc[~business, ["industry", "employees", "turnover", "ownership"]].isna().all(axis=None)
    assert set(customers["region"]) == set(REGIONS)
    assert 0.3 < (customers["registered_at"] < "2023-09-09").mean() < 0.7


def test_values_go_missing_and_not_at_random(tables: dict[str, pd.DataFrame]) -> None:
    persons = tables["customers"].query("customer_type == 'consumer'")
    for column, low, high in (("birth_date", 0.002, 0.03), ("income", 0.05, 0.25), ("home_owner", 0.05, 0.2)):
        assert low < persons[column].isna().mean() < high, column
    managers = persons["occupation"] == "manager"
    assert persons.loc[managers, "income"].isna().mean() > persons.loc[~managers, "income"].isna().mean() + 0.03


def test_events_lie_in_the_history_and_most_are_known_at_once(tables: dict[str, pd.DataFrame]) -> None:
    events = tables["events"]
    assert set(events["event_type"]) == set(KINDS)
    assert events["occurred_at"].min() >= pd.Timestamp("2023-09-09")
    assert events["available_at"].max() < pd.Timestamp("2025-09-28")
    delay = events["available_at"] - events["occurred_at"]
    assert delay.min() > pd.Timedelta(0)
    assert 0.005 < (delay > pd.Timedelta("1h")).mean() < 0.06
    sent = events["event_type"] == "email_sent"
    assert set(events.loc[sent, "initiated_by"]) == {"business"}
    assert set(events.loc[~sent, "initiated_by"]) == {"customer"}
    assert 60 < len(events) / len(tables["customers"]) < 120


def test_nobody_acts_before_registering(tables: dict[str, pd.DataFrame]) -> None:
    registered = tables["customers"].set_index("customer_id")["registered_at"]
    for table, time in (("events", "occurred_at"), ("purchases", "ordered_at")):
        records = tables[table]
        assert (records[time].to_numpy() >= registered.loc[records["customer_id"]].to_numpy()).all()


def test_no_email_is_sent_after_an_opt_out_became_known(tables: dict[str, pd.DataFrame]) -> None:
    events = tables["events"]
    known = events[events["event_type"] == "opted_out"].set_index("customer_id")["available_at"]
    assert known.index.is_unique
    assert 0.02 < len(known) / len(tables["customers"]) < 0.12
    sent = events[events["event_type"] == "email_sent"].join(known.rename("left"), on="customer_id", how="inner")
    # Mails of the period in which the opt-out arrives may still go out.
    assert (sent["occurred_at"] < sent["left"] + pd.Timedelta("30D")).all()


def test_purchases_cover_all_products_and_some_are_cancelled(tables: dict[str, pd.DataFrame]) -> None:
    purchases = tables["purchases"]
    assert set(purchases["category"]) == set(PRODUCTS)
    home = purchases[purchases["category"] == "home_insurance"]
    assert home["customer_id"].is_unique
    assert (home["available_at"] == home["ordered_at"]).all()
    assert 0.01 < (purchases["amount"] < 0).mean() < 0.1
    np.testing.assert_array_equal(purchases["amount"], purchases["amount"].round(2))


def test_contract_starts_are_events_too(tables: dict[str, pd.DataFrame]) -> None:
    events, contracts = tables["events"], tables["contracts"]
    starts = events[events["event_type"] == "competitor_contract"]
    columns = ["customer_id", "available_at"]
    pd.testing.assert_frame_equal(
        starts[[*columns, "occurred_at"]].reset_index(drop=True),
        contracts[[*columns, "started_at"]].rename(columns={"started_at": "occurred_at"}),
        check_categorical=False,
    )


def test_the_base_rate_is_realistic_once_the_history_has_filled_up(summary: MarketSummary) -> None:
    rates = [rate for day, rate in summary.base_rate.items() if day >= date(2024, 1, 1)]
    assert min(rates) > 0.01
    assert max(rates) < 0.05


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    first, again, other = (
        _bytes(simulate(tmp_path / name, customers=300, periods=5, seed=seed).folder)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert all(first[f"{name}.parquet"] != other[f"{name}.parquet"] for name in TABLES)


def test_full_chunks_do_not_depend_on_the_number_of_customers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    told: list[str] = []
    small = simulate(tmp_path / "small", customers=100, periods=4).folder
    large = simulate(tmp_path / "large", customers=250, periods=4, progress=told.append).folder
    assert told == [f"simulated {n} of 250 customers" for n in (100, 200, 250)]
    for name in TABLES:
        part, whole = (pd.read_parquet(folder / f"{name}.parquet") for folder in (small, large))
        whole = whole[whole["customer_id"].astype(str) < "C0000100"]
        pd.testing.assert_frame_equal(part, whole, check_categorical=False)


def test_a_market_is_replaced_whole_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    market, papers = tmp_path / "market", tmp_path / "papers"
    simulate(market, customers=50, periods=2)
    simulate(market, customers=60, periods=2)
    assert len(pd.read_parquet(market / "customers.parquet")) == 60
    papers.mkdir()
    (papers / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else than a simulated market"):
        simulate(papers, customers=50, periods=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["market", "papers"]


def test_a_failure_leaves_nothing_behind_and_the_old_market_in_place(tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    simulate(tmp_path / "market", customers=50, periods=2)
    before = _bytes(tmp_path / "market")
    for name in ("market", "new"):
        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path / name, customers=60, periods=2, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["market"]
    assert _bytes(tmp_path / "market") == before


@pytest.mark.parametrize(("name", "value"), [("customers", 0), ("periods", 0), ("seed", -1)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(InputError, match=rf"{name} must be \d or more \(found {value}\)"):
        simulate(tmp_path / "market", **{name: value})
    assert not list(tmp_path.iterdir())


def test_the_smallest_market_is_whole(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "one", customers=1, periods=1)
    assert summary.customers == 1
    assert sorted(path.stem for path in summary.folder.iterdir()) == sorted(["README", *TABLES])


@pytest.mark.parametrize("day", [date(2023, 9, 10), date(2024, 9, 3), date(2023, 8, 10)])
def test_longer_horizons_start_on_the_grid(day: date) -> None:
    with pytest.raises(InputError, match="is no cutoff of a market of 4 periods"):
        longer_horizon_truth(day, horizon_periods=2, customers=10, periods=4)


def test_longer_horizons_need_a_period_and_two_repeats() -> None:
    with pytest.raises(InputError, match="found 0 and 100"):
        longer_horizon_truth(date(2023, 12, 8), horizon_periods=0, customers=10, periods=4)


def test_the_demo_asks_about_this_market_on_its_grid(tables: dict[str, pd.DataFrame]) -> None:
    study = load_study(DEMO)
    assert study.simulated
    assert study.cutoffs is not None
    cutoffs = [cutoff.date() for part in study.cutoff_instants().values() for cutoff in part]
    assert {*cutoffs, study.cutoffs.list} == {cutoff_day(period) for period in range(16, 25)}
    assert study.target.criteria["where we sell"] == f"region IN {TARGET_REGIONS}"
    assert (study.outcome.product, str(study.outcome.horizon)) == (("home_insurance",), "30d")
    assert set(study.data.customers.attributes) <= set(tables["customers"])


def test_about_half_answer_the_survey_and_what_they_say_hangs_on_who_they_are(
    tables: dict[str, pd.DataFrame],
) -> None:
    people = tables["customers"]
    for column, words in (("goal", GOALS), ("challenge", CHALLENGES), ("decision_role", ROLES)):
        assert set(people[column].dropna().astype(str)) == set(words)
        assert 0.4 < people[column].notna().mean() < 0.7
    private = people[people["customer_type"] == "consumer"]
    assert people.loc[people["customer_type"] == "business", "interest"].isna().all()
    assert set(private["interest"].dropna().astype(str)) == set(INTERESTS)
    answered = private[private["goal"].notna() & private["income"].notna()]
    poor = answered["income"] < answered["income"].median()
    price = answered["goal"] == "price"
    assert price[poor].mean() > price[~poor].mean() + 0.05
