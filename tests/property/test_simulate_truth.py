"""The simulated market's truth: it follows from the tables before the cutoff alone, and comes true."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata

from propensity.data.simulate import MarketSummary, longer_horizon_truth, simulate
from propensity.errors import InputError

DAY = pd.Timedelta("1D")
TABLES = ("customers", "events", "purchases", "truth")
SEASONS = {month: 0.2 * np.cos(2 * np.pi * (month - 4) / 12) for month in range(1, 13)}


def read(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> MarketSummary:
    return simulate(tmp_path_factory.mktemp("truth") / "market", customers=20_000)


@pytest.fixture(scope="module")
def market(summary: MarketSummary) -> dict[str, pd.DataFrame]:
    return read(summary.folder)


def truth_at(tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp) -> pd.Series:
    """The truth at one cutoff, by customer."""
    truth = tables["truth"]
    rows = truth[truth["cutoff"] == cutoff].astype({"customer_id": str}).set_index("customer_id")
    return rows["true_probability"]


def cut(tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """The tables as they stood at the cutoff: what had happened and was known."""
    customers, events, purchases, _ = (tables[name] for name in TABLES)
    return {
        "customers": customers[customers["registered_at"] < cutoff],
        "events": events[(events["occurred_at"] < cutoff) & (events["available_at"] < cutoff)],
        "purchases": purchases[(purchases["ordered_at"] < cutoff) & (purchases["available_at"] < cutoff)],
    }


def true_probability(tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp) -> pd.Series:
    """The law of docs/simulated_market.md, customer by customer, from tables cut at the cutoff."""
    events: dict[str, dict[str, list[float]]] = {}
    days = (cutoff - tables["events"]["occurred_at"]) / DAY
    for customer, kind, ago in zip(tables["events"]["customer_id"], tables["events"]["event_type"], days, strict=True):
        events.setdefault(customer, {}).setdefault(kind, []).append(ago)
    purchases: dict[str, list[tuple[str, float, float]]] = {}
    orders = tables["purchases"]
    days = (cutoff - orders["ordered_at"]) / DAY
    for customer, *order in zip(orders["customer_id"], orders["category"], orders["amount"], days, strict=True):
        purchases.setdefault(customer, []).append(tuple(order))
    found = {}
    for row in tables["customers"].itertuples():
        bought = purchases.get(row.customer_id, [])
        if all(category != "home_insurance" for category, _, _ in bought):
            found[row.customer_id] = 1 / (1 + np.exp(-log_odds(row, events.get(row.customer_id, {}), bought, cutoff)))
    return pd.Series(found)


def log_odds(row: Any, events: dict[str, list[float]], bought: list[Any], cutoff: pd.Timestamp) -> float:
    def count(kind: str, window: int) -> int:
        return sum(ago <= window for ago in events.get(kind, []))

    period = (cutoff - pd.Timestamp("2023-09-09")) // (30 * DAY)
    total = SEASONS[cutoff.month] - 0.012 * period
    total += firm(row) if row.customer_type == "business" else person(row, cutoff)
    total += 0.22 * min(count("search", 30), 3) + 0.12 * min(count("read", 90), 4)
    contract = min(events.get("competitor_contract", [np.inf]))
    if contract < 300:
        total -= 0.6
    elif contract < 365:
        total += 1.0
    if count("quote", 30):
        total += 0.1 if contract < 300 else 2.0
    if count("comparison", 30):
        total += 1.3 if count("price_page", 30) else -0.3
    if count("abandoned_basket", 7):
        total += 0.8
    if count("moved_house", 90):
        total += 0.2 if row.home_owner is False else 1.5
    if count("email_sent", 30) >= 2 and not count("email_open", 30):
        total -= 0.4
    if any(category == "motor_insurance" and amount > 0 and ago <= 365 for category, amount, ago in bought):
        total += 0.6
    if any(amount < 0 and ago <= 365 for _, amount, ago in bought):
        total -= 0.6
    return total


def person(row: Any, cutoff: pd.Timestamp) -> float:
    age = (cutoff - pd.Timestamp(row.birth_date)) / DAY / 365.25 if row.birth_date is not None else None
    household = 2 if np.isnan(row.household_size) else row.household_size
    at_home = {True: 1.0 if household >= 3 else 0.1, False: -1.0, None: -0.4}
    total = at_home[row.home_owner]
    total -= 0.7 * min(((40 if age is None else age) - 38) ** 2 / 256, 3)
    if not np.isnan(row.income):
        total += np.tanh(np.log(row.income / 31_000) / 0.35) * (0.8 if age is not None and age < 48 else -0.6)
    total += {"north": 0.2, "south": 0.0, "east": -0.2, "west": 0.1, "islands": -0.4}[row.region]
    total += {"search": 0.1, "advertising": -0.2, "referral": 0.4}.get(row.acquisition_source, 0)
    return total - 3.4


def firm(row: Any) -> float:
    small = np.isnan(row.employees) or row.employees < 12
    decides = row.job_title in ("owner", "manager")
    return -4.4 + (1.1 if small and decides else 0) + (0.3 if row.ownership == "private" else -0.6)


@pytest.mark.parametrize("day", ["2023-10-09", "2024-09-03", "2025-07-30", "2025-09-28"])
def test_the_truth_follows_from_the_tables_cut_at_the_cutoff(tmp_path: Path, day: str) -> None:
    cutoff = pd.Timestamp(day)
    tables = read(simulate(tmp_path / "market", customers=1_500, seed=11).folder)
    truth = truth_at(tables, cutoff)
    recomputed = true_probability(cut(tables, cutoff), cutoff)
    assert set(truth.index) == set(recomputed.index)
    np.testing.assert_allclose(truth, recomputed[truth.index], rtol=1e-9)


def test_a_turn_changes_who_buys_from_its_day_on(tmp_path: Path) -> None:
    given = {"customers": 1_500, "seed": 11}
    steady = read(simulate(tmp_path / "steady", **given).folder)
    turned = read(simulate(tmp_path / "turned", turns=20, **given).folder)
    before, after = pd.Timestamp("2025-04-01"), pd.Timestamp("2025-05-31")  # periods 19 and 21
    pd.testing.assert_series_equal(truth_at(turned, before), truth_at(steady, before))
    tables = cut(turned, after)
    unturned = true_probability(tables, after)
    quotes = tables["events"].query("event_type == 'quote'")
    quoted = set(quotes.loc[quotes["occurred_at"] >= after - 30 * DAY, "customer_id"])
    region = tables["customers"].set_index("customer_id")["region"]
    less = [0.5 + 0.5 * (key in quoted) + 0.6 * (region[key] == "north") for key in unturned.index]
    expected = expit(logit(unturned) - np.array(less))
    np.testing.assert_allclose(truth_at(turned, after)[unturned.index], expected, rtol=1e-9)


def test_a_turn_outside_the_market_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"turns must be 0 to 25.*found 26"):
        simulate(tmp_path / "market", customers=10, turns=26)


def labelled(tables: dict[str, pd.DataFrame], *, days: int = 30) -> pd.DataFrame:
    """The truth of every cutoff whose window has passed, with `bought`: within `days` of the cutoff."""
    truth, purchases = tables["truth"], tables["purchases"]
    home = purchases[purchases["category"] == "home_insurance"].set_index("customer_id")["ordered_at"]
    truth = truth.assign(customer_id=truth["customer_id"].astype(str)).join(home, on="customer_id")
    truth["bought"] = (truth["ordered_at"] >= truth["cutoff"]) & (truth["ordered_at"] < truth["cutoff"] + days * DAY)
    return truth[truth["cutoff"] + 30 * DAY <= "2025-09-28"]


def standard_scores(chance: pd.Series, bought: pd.Series, by: Any) -> pd.Series:
    """How many binomial standard errors the purchases of each group lie from what was expected."""
    table = pd.DataFrame({"bought": bought, "chance": chance, "variance": chance * (1 - chance)})
    sums = table.groupby(by, observed=True).sum()
    return (sums["bought"] - sums["chance"]) / np.sqrt(sums["variance"])


def test_the_truth_comes_true_in_every_band(market: dict[str, pd.DataFrame]) -> None:
    rows = labelled(market)
    bands = pd.cut(rows["true_probability"], [0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.5, 1])
    scores = standard_scores(rows["true_probability"], rows["bought"], bands)
    assert len(scores) == 10
    assert scores.abs().max() < 3.5
    by_cutoff = standard_scores(rows["true_probability"], rows["bought"], rows["cutoff"])
    assert len(by_cutoff) == 25
    assert by_cutoff.abs().max() < 3.5


@pytest.mark.parametrize("days", [1, 7, 15, 29])
def test_shorter_horizons_follow_from_a_constant_daily_hazard(market: dict[str, pd.DataFrame], days: int) -> None:
    rows = labelled(market, days=days)
    shorter = 1 - (1 - rows["true_probability"]) ** (days / 30)
    scores = standard_scores(shorter, rows["bought"], pd.qcut(shorter, 5, labels=False))
    assert scores.abs().max() < 3.5


def test_one_period_of_the_longer_truth_is_the_truth(tmp_path: Path) -> None:
    given = {"customers": 400, "seed": 3, "periods": 8}
    truth = truth_at(read(simulate(tmp_path / "market", **given).folder), pd.Timestamp("2024-03-07"))
    once = longer_horizon_truth(date(2024, 3, 7), horizon_periods=1, repeats=2, **given)
    assert list(once["customer_id"]) == list(truth.index)
    np.testing.assert_allclose(once["true_probability"], truth, rtol=1e-12)
    np.testing.assert_allclose(once["standard_error"], 0, atol=1e-12)


def test_longer_horizons_come_true(tmp_path: Path) -> None:
    given = {"customers": 6_000, "seed": 4, "periods": 12}
    tables = read(simulate(tmp_path / "market", **given).folder)
    cutoff = pd.Timestamp("2024-06-05")
    home = tables["purchases"].query("category == 'home_insurance'").set_index("customer_id")["ordered_at"]
    shorter = truth_at(tables, cutoff).to_numpy()
    for periods in (2, 3):
        rows = longer_horizon_truth(cutoff.date(), horizon_periods=periods, repeats=20, **given)
        assert set(rows["horizon_days"]) == {30 * periods}
        assert (rows["true_probability"] > shorter).all()
        bought = rows["customer_id"].map(home) < cutoff + periods * 30 * DAY
        bands = pd.qcut(rows["true_probability"], 4, labels=False)
        assert standard_scores(rows["true_probability"], bought, bands).abs().max() < 3.5


@pytest.mark.parametrize("seed", [7, 8])
def test_the_truth_ranks_well_but_not_perfectly(tmp_path: Path, seed: int) -> None:
    assert 0.78 < simulate(tmp_path / "market", customers=10_000, seed=seed).auc_of_truth < 0.9


def prospects(tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp) -> pd.DataFrame:
    """The demo's prospects at a cutoff with raw columns: attributes, counts by kind and window, recencies."""
    now = cut(tables, cutoff)
    events = now["events"].assign(ago=(cutoff - now["events"]["occurred_at"]) / DAY)
    orders = now["purchases"].assign(ago=(cutoff - now["purchases"]["ordered_at"]) / DAY)
    parts = [now["customers"].set_index("customer_id")]
    for records, column in ((events, "event_type"), (orders, "category")):
        table = {"index": records["customer_id"].astype(str), "columns": records[column].astype(str)}
        for window in (7, 30, 90, 365):
            inside = records["ago"] <= window
            parts.append(pd.crosstab(**table, values=inside, aggfunc="sum").add_suffix(f"_{window}d"))
        recency = pd.crosstab(**table, values=records["ago"], aggfunc="min")
        parts.append(recency.add_suffix("_recency_days"))
    frame = parts[0].join(parts[1:])
    counts = frame.columns.str.fullmatch(r".*_\d+d")
    frame.loc[:, counts] = frame.loc[:, counts].fillna(0)
    frame["age"] = (cutoff - pd.to_datetime(frame["birth_date"])) / DAY / 365.25
    frame["tenure_days"] = (cutoff - frame["registered_at"]) / DAY
    target = (frame["age"] >= 18) & (frame["customer_type"] == "consumer") & (frame["region"] != "islands")
    target &= frame["opted_out_365d"].eq(0) & frame.index.isin(truth_at(tables, cutoff).index)
    rows = labelled(tables)
    rows = rows[rows["cutoff"] == cutoff].set_index("customer_id")[["true_probability", "bought"]]
    return frame[target].join(rows)


def expected_auc(score: Any, chance: Any) -> float:
    """The ROC AUC that `score` can expect where `chance` holds the true probabilities (no ties in `score`)."""
    order = np.argsort(rankdata(score, method="ordinal"))
    chance = np.asarray(chance)[order]
    below = np.cumsum(1 - chance) - (1 - chance) / 2
    return float((chance * below).sum() / chance.sum() / (1 - chance).sum())


@pytest.mark.slow
def test_the_market_is_hard_for_a_linear_model_and_learnable_for_trees(market: dict[str, pd.DataFrame]) -> None:
    import lightgbm
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    cutoffs = [pd.Timestamp("2025-01-01") + 30 * step * DAY for step in (0, 1, 2, 3, 4, 5, 7)]
    frames = [prospects(market, cutoff) for cutoff in cutoffs]
    sizes = [len(frame) for frame in frames]
    both = pd.concat(frames, ignore_index=True)
    chance, bought = both.pop("true_probability").to_numpy(), both.pop("bought").to_numpy()
    words = ["region", "gender", "occupation", "acquisition_source"]
    numbers = both.select_dtypes("number").join(both["home_owner"].map({True: 1.0, False: 0.0}))
    numbers = numbers.loc[:, numbers.notna().any()]
    dummies = pd.get_dummies(both[words].astype(str), dtype=float)
    wide = pd.concat(
        [numbers.fillna(numbers.max()), numbers.isna().astype(float).add_suffix("_missing"), dummies], axis=1
    )
    train, test = np.arange(len(both)) < sum(sizes[:-1]), slice(sum(sizes[:-1]), None)
    scaled = StandardScaler().fit(wide[train]).transform(wide)
    linear = LogisticRegression(C=0.03, max_iter=500).fit(scaled[train], bought[train]).decision_function(scaled[test])
    settings = {"num_leaves": 8, "learning_rate": 0.03, "feature_fraction": 0.3, "min_data_in_leaf": 60, "seed": 0}
    matrix = pd.concat([numbers, dummies], axis=1).astype("float32")
    data = lightgbm.Dataset(matrix[train].to_numpy(), bought[train])
    trees = lightgbm.train({"objective": "binary", "lambda_l2": 10, "verbose": -1, **settings}, data, 400)
    truth, linear_auc, trees_auc = (
        expected_auc(score, chance[test])
        for score in (chance[test], linear, trees.predict(matrix[test].to_numpy(), raw_score=True))
    )
    print(f"AUC at {cutoffs[-1]:%Y-%m-%d}: truth {truth:.4f}, logistic {linear_auc:.4f}, LightGBM {trees_auc:.4f}")
    assert truth >= linear_auc + 0.02
    assert trees_auc - 0.5 >= 0.9 * (truth - 0.5)
