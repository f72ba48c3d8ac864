"""Value of a first purchase, whole: in the list, its manifest, profit.json and the report; and what it may not see."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.bundle import load_bundle, save_bundle
from propensity.cohort import funnel_steps
from propensity.config import ContactSpec, load_study
from propensity.features.matrix import Frame
from propensity.models.amount import AmountChoice, fit_amount
from propensity.models.prior import Prior
from propensity.outlook import captured_by_share
from propensity.pipelines import labelled_samples
from propensity.scoring import in_order, list_manifest, rank_prospects, ranked_list
from propensity.splits import customer_folds
from propensity.value import contact_down_to, learn_amount

CONTACT = "contact: {capacity: 5%, cost: 1.5, value: 60}"
LEARNT = "contact: {capacity: 5%, cost: 1.5, value: amount, margin: 0.3}"
BY_PROFIT = ("list: {qualified_only: false}", "list: {rank_by: expected_profit}")
NOW = pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()


@pytest.fixture(scope="session")
def valued_text(quick_text: str) -> str:
    """The quick study, with amounts that are learnt, ranked by expected profit."""
    assert CONTACT in quick_text
    assert BY_PROFIT[0] in quick_text
    return quick_text.replace(CONTACT, LEARNT).replace(*BY_PROFIT)


def train(propensity, study: Path, out: Path) -> Path:
    answer = propensity("train", study, "--out", out, "--no-track", "--json")
    assert answer.code == 0, answer.err
    return Path(answer.json["folder"])


@pytest.fixture(scope="module")
def valued(propensity, quick, valued_text, tmp_path_factory) -> Path:
    """The run of that study."""
    folder = tmp_path_factory.mktemp("valued")
    shutil.copytree(quick.study.parent, folder / "configs")
    study = folder / "configs" / "study.yaml"
    study.write_text(valued_text, encoding="utf-8")
    return train(propensity, study, folder / "runs")


def read(run: Path, name: str):
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_list_falls_in_expected_profit_which_is_its_parts_multiplied(valued):
    listed = pd.read_parquet(valued / "prospects.parquet")
    assert listed["expected_profit"].is_monotonic_decreasing
    assert listed["rank"].tolist() == list(range(1, len(listed) + 1))
    assert listed["decile"].is_monotonic_increasing
    value = listed["probability"] * 0.3 * listed["expected_amount"]
    np.testing.assert_allclose(listed["expected_value"], value, rtol=1e-12)
    np.testing.assert_allclose(listed["expected_profit"], value - 1.5, rtol=1e-12)
    assert (listed.loc[listed["contact"], "expected_profit"] > 0).all()


def test_manifest_says_how_far_to_go_and_what_reasons_explain(valued):
    listed, manifest = pd.read_parquet(valued / "prospects.parquet"), read(valued, "manifest.json")["list"]
    down_to, taken = manifest["contact_down_to"], listed[listed["contact"]]
    assert down_to["contacts"] == len(taken) == down_to["rank"]
    assert down_to["expected_buyers"] == pytest.approx(taken["probability"].sum())
    assert down_to["expected_profit"] == pytest.approx(taken["expected_profit"].sum())
    low, high = down_to["interval"]
    assert low < down_to["expected_profit"] < high
    assert any("reasons and points explain the probability" in note for note in manifest["notes"])


def test_profit_json_is_what_the_report_holds_and_agrees_with_the_predictions(valued):
    profit, predictions = read(valued, "profit.json"), pd.read_parquet(valued / "predictions.parquet")
    assert profit == read(valued, "report.json")["profit"]
    assert set(profit["models"]) == {"single_indicator", "scorecard"}
    for name, own in profit["models"].items():
        # the mean amount for all: the rule keeps to probabilities above cost / (margin × mean)
        assert profit["amount"]["model"] == "mean"
        worth = predictions[name] * 0.3 * profit["amount"]["mean"] > 1.5
        assert own["down_to"]["contacted"] == min(worth.sum(), profit["capacity"]["count"])
        assert own["curve"]["contacted"][-1] == len(predictions)
    assert "not uplift" in profit["note"]
    html = (valued / "report.html").read_text(encoding="utf-8")
    assert "Contact down to rank" in html
    assert "profit-chart" in html


def test_train_says_one_line_about_profit(quick):
    assert "Profit: contact down to rank" in " ".join(quick.answer.out.split())


def dearer(market: Path, folder: Path, *, since: str) -> Path:
    """The market with every amount times 100 from a day on."""
    shutil.copytree(market, folder)
    purchases = pd.read_parquet(folder / "purchases.parquet")
    late = purchases["ordered_at"] >= pd.Timestamp(since)
    assert 0 < late.sum() < len(purchases)
    purchases.loc[late, "amount"] *= 100
    purchases.to_parquet(folder / "purchases.parquet")
    return folder


def test_what_is_bought_after_the_last_matured_window_changes_nothing(
    propensity, valued, valued_text, market, make_study, tmp_path
):
    other = dearer(market, tmp_path / "tables", since="2025-08-29")  # the end of the test window, the list's cutoff
    run = train(propensity, make_study(valued_text.replace(str(market), str(other))), tmp_path / "runs")
    assert read(run, "profit.json") == read(valued, "profit.json")
    lists = [pd.read_parquet(folder / "prospects.parquet").drop(columns="model_version") for folder in (run, valued)]
    pd.testing.assert_frame_equal(*lists, check_exact=True)


def test_amounts_of_the_test_window_do_not_reach_what_test_is_judged_with(
    propensity, valued, valued_text, market, make_study, tmp_path
):
    other = dearer(market, tmp_path / "tables", since="2025-07-30")  # the test cutoff
    run = train(propensity, make_study(valued_text.replace(str(market), str(other))), tmp_path / "runs")
    then, now = read(valued, "profit.json"), read(run, "profit.json")
    for name in ("mean", "standard_error", "buyers", "reason", "test_expected"):
        assert now["amount"][name] == then["amount"][name]
    assert now["amount"]["test_mean"] == pytest.approx(100 * then["amount"]["test_mean"])
    for name in then["models"]:
        for key in ("contacted", "rank", "expected_profit"):
            assert now["models"][name]["down_to"][key] == then["models"][name]["down_to"][key]


def test_amounts_are_those_of_rows_that_bought_in_their_own_window(make_study, valued_text):
    # amounts known of rows that are not positive (a longer window may hold them) are not looked at
    study = load_study(make_study(valued_text))
    samples = labelled_samples(study, always=[], now=NOW, progress=lambda _: None)
    choice = AmountChoice(None, None, None, "given")
    model = learn_amount(study, samples.plan, choice, [samples.train])
    train = samples.train
    wild = train.purchases.assign(amount=np.where(train.labels == 1, train.purchases["amount"], 1e6))
    assert learn_amount(study, samples.plan, choice, [replace(train, purchases=wild)]) == model
    assert model.mean == pytest.approx(train.purchases.loc[train.labels == 1, "amount"].mean())


@pytest.fixture(scope="module")
def with_trees(quick):
    """The quick run's bundle with amounts by trees on made-up buyers, and made-up prospects."""
    bundle = load_bundle(quick.folder / "bundle")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 2, size=(400, len(bundle.plan.names))).astype(np.float32))
    X.columns = bundle.plan.names
    amount, groups = np.exp(rng.normal(size=400) + X.iloc[:, 0].to_numpy()), np.arange(400)
    folds = customer_folds(np.ones(400, np.int8), groups, folds=5)
    trees = fit_amount(X, amount, groups, AmountChoice(40, 1.0, 0.1, "given"), folds=folds)
    keys = pd.DataFrame({"customer_id": [f"C{i}" for i in groups], "cutoff": pd.Timestamp("2025-08-29")})
    return replace(bundle, amount=trees), X, keys


@settings(max_examples=15)
@given(cost=st.floats(0, 20), margin=st.floats(0.01, 1), capacity=st.floats(0.01, 1))
def test_any_list_by_expected_profit_falls_in_it(with_trees, cost, margin, capacity):
    bundle, X, keys = with_trees
    contact = ContactSpec(capacity=capacity, cost=cost, value="amount", margin=margin)
    names = {"model_name": "m", "model_version": "1"}
    listed = rank_prospects(bundle, X, keys, contact=contact, rank_by="expected_profit", **names)
    assert listed["expected_profit"].is_monotonic_decreasing
    amounts = pd.Series(bundle.amount.predict(X), index=keys["customer_id"])
    np.testing.assert_array_equal(listed["expected_amount"], amounts[listed["customer_id"]])
    np.testing.assert_array_equal(listed["expected_value"], listed["probability"] * margin * listed["expected_amount"])
    # a prefix, for the list falls in what decides
    contacts = int(listed["contact"].sum())
    assert listed["contact"].iloc[:contacts].all()
    assert contacts <= np.ceil(capacity * len(listed))
    by_probability = rank_prospects(bundle, X, keys, contact=contact, **names)
    assert by_probability["probability"].is_monotonic_decreasing
    assert by_probability["contact"].sum() == contacts


def test_a_long_list_is_explained_in_parts_and_says_how_far_it_is(with_trees, monkeypatch):
    bundle, X, keys = with_trees
    names = {"contact": ContactSpec(), "model_name": "m", "model_version": "1"}
    told: list[str] = []
    whole = rank_prospects(bundle, X, keys, progress=told.append, **names)
    assert told == []  # a short one says nothing
    monkeypatch.setattr("propensity.scoring.CHUNK", 150)
    parts = rank_prospects(bundle, X, keys, progress=told.append, **names)
    pd.testing.assert_frame_equal(parts, whole)
    assert [text.rpartition(", about ")[0] for text in told] == [
        f"explaining prospects: {done} of at most 400" for done in (150, 300, 400)
    ]


class Doubled(Prior):
    """A correction that doubles the odds of any list."""

    def shift(self, log_odds) -> float:
        return float(np.log(2.0))


def test_the_interval_of_the_list_knows_of_a_corrected_base_rate(with_trees, make_study, valued_text):
    bundle, X, keys = with_trees
    cheap = valued_text.replace("cost: 1.5", "cost: 0.001")  # so that some are worth it
    study, frame = load_study(make_study(cheap)), Frame(X=X, keys=keys)
    bundle = replace(bundle, prior=Doubled("em", base_rate=0.1, reason="given"))
    shifted = bundle.for_list(X)
    ranked, steps = ranked_list(study, bundle, frame), funnel_steps([400, 400, 400, 400], study.target)
    found = list_manifest(study, bundle, ranked, steps, None, frame, digest=None)["contact_down_to"]
    assert found == contact_down_to(shifted, study.contact, ranked, in_order(frame, ranked))
    assert found["interval"] != contact_down_to(bundle, study.contact, ranked, in_order(frame, ranked))["interval"]


def test_bundle_keeps_the_amounts_to_the_bit(with_trees, tmp_path):
    bundle, X, _ = with_trees
    twin = load_bundle(save_bundle(bundle, tmp_path / "bundle"))
    assert (twin.amount.predict(X) == bundle.amount.predict(X)).all()
    assert load_bundle(save_bundle(replace(bundle, amount=None), tmp_path / "without")).amount is None


def test_a_bundle_without_amounts_cannot_rank_by_them(propensity, quick, make_study, valued_text, tmp_path):
    study = make_study(valued_text)
    answer = propensity(
        "score", study, "--as-of", "2025-08-29", "--model", quick.folder, "--out", tmp_path / "list.csv"
    )
    assert answer.code != 0
    assert "trained without. Train again" in " ".join(answer.err.split())
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (CONTACT, "contact: {cost: 1.5, value: amuont}", "contact.value: neither a number from 0"),
        (CONTACT, "contact: {cost: 1.5, value: -3}", "contact.value: neither a number from 0"),
        (CONTACT, "contact: {cost: 1.5, value: 60, margin: 0.3}", "'margin' is the share of an amount that is earned"),
        (CONTACT, "contact: {cost: 1.5, value: amount, margin: 0}", "contact.margin: Input should be greater than 0"),
        (CONTACT, f"contact: {{capacity: 5%, value: 60}}\n{BY_PROFIT[1]}", "needs contact.cost and contact.value"),
        ("    amount: amount ", "    #", "contact.value: the purchases have no amount"),
        ("outcome: {product: home_insurance,", "outcome: {event: {kind: quote},", "an event has no amount"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(propensity, make_study, valued_text, quick_text, old, new, said):
    text = quick_text.replace("list: {qualified_only: false}", "") if old == CONTACT else valued_text
    assert old in text
    study = make_study(text.replace(old, new))
    answer = propensity("check", study)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert f"{study.name}:" in answer.err


def test_a_snapshot_has_no_amounts(tmp_path):
    from propensity.errors import ConfigError

    spec = {
        "study": "flat",
        "data": {"source": "rows.csv", "customers": {"table": "rows", "attributes": {"age": "number"}}},
        "outcome": {"column": "y"},
        "split": {"folds": 3},
        "models": ["logistic"],
        "contact": {"cost": 1, "value": "amount"},
    }
    (tmp_path / "study.yaml").write_text(json.dumps(spec))
    with pytest.raises(ConfigError, match="a snapshot has no purchases whose amount could be learnt"):
        load_study(tmp_path / "study.yaml")


def test_the_depths_and_the_fairness_table_follow_the_list_that_ranks_by_profit(valued):
    report, profit = read(valued, "report.json"), read(valued, "profit.json")
    capacity = profit["models"][profit["selected"]]["at_capacity"]
    (gender,) = report["fairness"]["attributes"]
    selected = sum(row["selection_rate"] * row["prospects"] for row in gender["table"])
    found = sum((row["recall"] or 0) * row["buyers"] for row in gender["table"])
    assert round(selected) == capacity["contacted"]
    assert found == pytest.approx(capacity["buyers"], abs=1.0)  # of equal profits one comes first
    at = next(row for row in report["depths"] if row["share"] >= report["fairness"]["share"])
    assert at["captured"] * profit["buyers"] == pytest.approx(capacity["buyers"], abs=1.5)


def test_what_test_held_at_each_depth_is_counted_in_the_order_of_profit(make_study, valued_text):
    study = load_study(make_study(valued_text))
    keys = pd.DataFrame({"customer_id": ["a", "b", "c", "d"]})
    test = Frame(X=pd.DataFrame({"income": [1.0, 2.0, 3.0, 4.0]}), keys=keys, y=np.array([0, 1, 1, 0], dtype=np.int8))
    log_odds = np.array([2.0, 1.0, 0.0, -1.0])
    training = SimpleNamespace(
        samples=SimpleNamespace(test=test),
        evaluation=SimpleNamespace(
            selected="blend",
            ranked_by={"blend": log_odds},
            predictions=pd.DataFrame({"blend": [0.5, 0.4, 0.3, 0.2]}),
        ),
        amount=SimpleNamespace(predict=lambda X: X["income"].to_numpy() * 100),
    )
    # Profits are 0.3 x (50, 80, 90, 80) less the cost: c first, then b before d for it is the more probable, then a.
    assert captured_by_share(study, training).tolist() == [0, 0.5, 1, 1, 1]
    by_probability = study.model_copy(update={"listing": study.listing.model_copy(update={"rank_by": "probability"})})
    assert captured_by_share(by_probability, training).tolist() == [0, 0, 0.5, 1, 1]
