"""Prospects in marketing's terms: in the run's folder, the list, the report, and the command that divides customers."""

import json
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from propensity.data.simulate import simulate

SHIPPED = resources.files("propensity") / "data" / "demo"

TABLES = ("funnel", "segments", "stages", "qualification", "pyramid", "scorecard", "swap_sets", "avatars")


@pytest.fixture(scope="module")
def listed(quick) -> pd.DataFrame:
    return pd.read_parquet(quick.folder / "prospects.parquet")


@pytest.fixture(scope="module")
def tested(quick) -> pd.DataFrame:
    return pd.read_parquet(quick.folder / "predictions.parquet")


def read(quick, name):
    return json.loads((quick.folder / f"{name}.json").read_text(encoding="utf-8"))


def test_the_run_holds_each_table_and_the_report_the_same(quick):
    report = read(quick, "report")
    for name in TABLES:
        assert read(quick, name) == report[name], name
        assert report[name], name
    criteria = pd.DataFrame(report["criteria"])
    assert criteria["name"].tolist() == ["private persons", "of age", "where we sell"]
    train = [funnel for funnel in report["funnel"] if funnel["split"] == "train"]
    assert criteria["fails"].tolist() == [sum(f["criteria"][i]["fails"] for f in train) for i in range(3)]


def test_segments_and_tiers_divide_the_list_and_the_test_prospects(quick, listed, tested):
    segments = pd.DataFrame(read(quick, "segments"))
    for dimension, rows in segments.groupby("dimension"):
        assert rows["prospects"].sum() == len(listed), dimension
        assert (rows["test_prospects"].sum(), rows["test_buyers"].sum()) == (len(tested), tested["label"].sum())
    stages = segments[segments["dimension"] == "buying stage"].set_index("group")["prospects"]
    assert stages.to_dict() == listed["buying_stage"].value_counts().to_dict()
    named = segments[segments["dimension"] == "segment"].set_index("group")["prospects"]
    assert named.to_dict() == listed["segment"].value_counts().to_dict()
    for name, pyramid in read(quick, "pyramid").items():
        tiers = pd.DataFrame(pyramid["tiers"]).set_index("tier")
        found = listed[f"tier_{name}"].value_counts()
        assert tiers["prospects"].to_dict() == found.reindex(tiers.index, fill_value=0).to_dict()
        assert (tiers["test_prospects"].sum(), tiers["test_buyers"].sum()) == (len(tested), tested["label"].sum())


def test_moves_begin_with_the_test_prospects_and_end_with_the_list(quick, listed, tested):
    stages = read(quick, "stages")
    moves = pd.DataFrame(stages["transitions"])
    assert (stages["from"], stages["to"]) == ("2025-07-30", "2025-08-29")
    assert moves.loc[moves["from"] != "new prospect", "customers"].sum() == len(tested)
    assert moves.loc[~moves["to"].isin(["bought", "no longer a prospect"]), "customers"].sum() == len(listed)
    # Who buys within the 30 days between them is no prospect any more.
    assert moves.loc[moves["to"] == "bought", "customers"].sum() == tested["label"].sum()


def test_swap_sets_and_agreement_are_of_the_test_prospects(quick, tested):
    swap = read(quick, "swap_sets")
    sets = pd.DataFrame(swap["sets"])
    assert sets["prospects"].sum() == pytest.approx(len(tested))
    assert sets["buyers"].sum() == pytest.approx(tested["label"].sum())
    agreed = pd.DataFrame(swap["agreement"])
    assert agreed["prospects"].sum() == len(tested)
    assert swap["tiers"] == ["key customers", "large", "medium", "small"]


def test_the_list_says_how_to_approach_each_prospect(listed):
    assert set(listed["barrier"].dropna()) <= {"supplier", "cost", "time", "need"}
    assert set(listed["approach"].dropna()) <= {"immediate", "committed"}
    assert set(listed["channel"].dropna()) <= {"phone", "email", "app", "web"}
    for column in ("barrier", "approach", "channel"):
        assert len(set(listed[column].dropna())) > 1, column


def test_few_buyers_are_told_among_the_limits(quick, tested):
    assert 0 < tested["label"].sum() < 50
    said = read(quick, "report")["limits"][0]
    assert said.startswith(f"Only {tested['label'].sum()} of the test prospects bought")
    assert said in (quick.folder / "report.html").read_text(encoding="utf-8")


def test_all_parts_of_the_demos_avatars_have_data(quick):
    avatars = read(quick, "avatars")
    told = {entry["avatar"]: entry for entry in avatars["texts"]}
    assert {"all prospects", "ranked highest", "unaware", "searching", "comparing"} <= set(told)
    for entry in told.values():
        assert all(part["text"] != "no data" for part in entry["parts"]), entry["avatar"]
    page = (quick.folder / "report.html").read_text(encoding="utf-8")
    for heading in ("Who they are", "What each criterion does", "Value pyramids", "How they moved", "Avatars"):
        assert heading in page
    assert page.count('aria-labelledby="pyramid-') > 0
    assert (quick.folder / "figures" / "avatar_comparing.png").stat().st_size > 5_000


def test_customers_are_divided_as_of_any_date(propensity, quick, listed, tmp_path):
    out = tmp_path / "groups.csv"
    arguments = ("classify", quick.study, "--as-of", "2025-08-29", "--runs", quick.runs, "--since", "2025-07-30")
    answer = propensity(*arguments, "--out", out, "--json")
    assert answer.code == 0, answer.err
    customers = {row["group"]: row["customers"] for row in answer.json["customers"]}
    assert customers["prospects"] == len(listed) == customers["never-purchased"] - customers["suppressed"]
    each = pd.read_csv(out).set_index("customer_id").sort_index()
    same = listed.set_index("customer_id").sort_index()
    for column in ("segment", "buying_stage", "barrier", "channel", "tier_profit", "qualification"):
        assert each[column].fillna("").tolist() == same[column].fillna("").tolist(), column
    moves, kept = pd.DataFrame(answer.json["transitions"]), pd.DataFrame(read(quick, "stages")["transitions"])
    pd.testing.assert_frame_equal(moves, kept)
    shown = propensity(*arguments)
    assert "ever-purchased" in shown.out
    assert "Moves since 2025-07-30" in shown.out


def test_the_report_names_the_best_single_indicator_of_train(quick, tested):
    indicator = read(quick, "report")["single_indicator"]
    described = {feature["name"]: feature["description"] for feature in read(quick, "features")}
    assert indicator["description"] == described[indicator["feature"]]
    assert indicator["chosen"]
    assert indicator["train_auc"] > 0.6
    assert indicator["description"] in (quick.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{feature: purchases_ever}", "{feature: purchases_evre}", "pyramids.profit: no feature 'purchases_evre'"),
        ("shares: {key customers: 5%", "shares: {key customers: 15%", "add up to 110%"),
        ('time: "challenge IN', 'tmie: "challenge IN', "barriers.tmie"),
        ('phone: "events_channel_phone_30d > 0"', 'phone: "events_channel_phone_30d + 1"', "channels.phone"),
        (
            "goals and values: [goal, interest]",
            "goals and values: [gaol]",
            "avatar.goals and values: no feature 'gaol'",
        ),
        ("goals and values: [goal, interest]", "goals: [goal]", "avatar.goals"),
        ("market: consumer", "market: business", "target.market: the business market needs attributes"),
        ("of age: ", "of age: abs", "target.criteria.of age"),
    ],
)
def test_mistakes_get_one_message_and_no_run(propensity, quick_text, make_study, tmp_path, old, new, message):
    assert quick_text.count(old) == 1, old
    text = quick_text.replace(old, new) if "abs" not in new else quick_text.replace('of age: "', 'of age: "abs(1) + ')
    answer = propensity("train", make_study(text), "--out", tmp_path / "runs", "--no-track")
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_classify_tells_what_it_cannot_do(propensity, quick, tmp_path):
    late = propensity("classify", quick.study, "--as-of", "2025-08-29", "--since", "2025-09-01", "--runs", quick.runs)
    assert (late.code, "--since: it must lie before --as-of" in late.err) == (2, True)
    odd = propensity("classify", quick.study, "--as-of", "2025-08-29", "--out", "x.xlsx", "--runs", quick.runs)
    assert (odd.code, "ends in neither .parquet nor .csv" in odd.err) == (2, True)
    never = propensity("classify", quick.study, "--as-of", "2025-08-29", "--runs", tmp_path)
    assert (never.code, "Train first" in never.err) == (2, True)


@pytest.mark.slow
def test_the_business_study_knows_firms_and_who_decides(propensity, tmp_path):
    """End to end on a market of its own: firmographics, a criterion over behaviour, current and potential value."""
    simulate(tmp_path / "data" / "demo", customers=8_000, seed=7)
    configs = tmp_path / "configs"
    for name in ("demo_business.yaml", "scorecards/demo_business.yaml"):
        (configs / name).parent.mkdir(parents=True, exist_ok=True)
        (configs / name).write_text((SHIPPED / name).read_text(encoding="utf-8"), encoding="utf-8")
    study, runs = configs / "demo_business.yaml", tmp_path / "runs"
    answer = propensity("train", study, "--out", runs, "--no-track", "--json")
    assert answer.code == 0, answer.err
    folder = Path(answer.json["folder"])
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["study"]["market"] == "business"
    assert [row["name"] for row in report["criteria"]][-1] == "in touch this year"
    for told in report["avatars"]["texts"]:
        assert all(part["text"] != "no data" for part in told["parts"]), told["avatar"]
    questions = {row["question"] for row in report["qualification"]}
    assert questions == {
        "interest", "authority", "financial capacity", "willingness", "time frame", "qualification",
    }  # fmt: skip
    listed = pd.read_parquet(folder / "prospects.parquet")
    best = str(listed["customer_id"].iloc[0])
    said = propensity("scorecard", "explain", study, best, "--as-of", "2025-08-29", "--json").json
    kinds = pd.DataFrame(said["table"]).assign(own=lambda table: table["points"] * table["weight"])
    sums = kinds.groupby("kind")["own"].sum()
    assert said["points"] == pytest.approx(0.6 * sums["current"] + 0.4 * sums["potential"])
    assert said["points"] == listed["scorecard_points"].iloc[0]
    shown = propensity("scorecard", "explain", study, best, "--as-of", "2025-08-29").out
    assert "(current value) * 0.6 +" in shown
