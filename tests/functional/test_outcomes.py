"""`propensity outcomes`: lists of the past against what was bought since, and the slice that is left alone."""

import json

import pandas as pd
import pytest

SEEN, AS_OF, LATER = "2025-07-30", "2025-08-29", "2025-09-14"
"""Whose outcome the model had learnt from; the day it had learnt until; whose outcome is not known yet."""


@pytest.fixture(scope="module")
def lists(propensity, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    for as_of, ending in ((SEEN, "csv"), (AS_OF, "parquet"), (LATER, "parquet")):
        answer = propensity(
            "score", trained.study, "--as-of", as_of, "--runs", trained.runs, "--out", folder / f"{as_of}.{ending}",
            "--random-control", "20%",
        )  # fmt: skip
        assert answer.code == 0, answer.err
    return folder


@pytest.fixture(scope="module")
def told(propensity, trained, lists):
    answer = propensity("outcomes", trained.study, "--lists", lists, "--tracking-uri", trained.uri, "--json")
    assert answer.code == 0, answer.err
    return answer.json


def bought_since(market, as_of) -> set[str]:
    """Customers who bought the product in the 30 days from `as_of` on, from the raw table."""
    purchases = pd.read_parquet(market / "purchases.parquet")
    at, start = purchases["ordered_at"], pd.Timestamp(as_of)  # the market's clock is UTC
    within = (at >= start) & (at < start + pd.Timedelta(days=30))
    return set(purchases.loc[within & (purchases["category"] == "home_insurance"), "customer_id"])


def test_lists_are_held_against_the_raw_purchases(told, market, lists):
    rows = pd.read_parquet(lists / "outcomes.parquet")
    by_list = {row["as_of"]: row for row in told["lists"]}
    assert list(by_list) == [SEEN, AS_OF, LATER]
    for as_of in (SEEN, AS_OF):
        own = rows[rows["as_of"] == as_of]
        assert set(own.loc[own["bought"] == 1, "customer_id"]) == bought_since(market, as_of) & set(own["customer_id"])
        assert by_list[as_of]["buyers"] == own["bought"].sum() > 0
        assert by_list[as_of]["ratio"] == pytest.approx(own["bought"].sum() / own["probability"].sum())
    assert own["bought_at"].notna().tolist() == (own["bought"] == 1).tolist()


def test_before_it_has_matured_a_list_has_expected_figures_only(told, lists):
    later = told["lists"][-1]
    assert later["is_mature"] is False
    assert later["expected"] > 0
    assert later["buyers"] is None
    assert {band["as_of"] for band in told["bands"]} == {SEEN, AS_OF}
    rows = pd.read_parquet(lists / "outcomes.parquet")
    undecided = rows.loc[rows["as_of"] == LATER, "bought"]
    assert not (undecided == 0).any()
    assert undecided.isna().any()


def test_a_list_whose_outcome_was_learnt_from_is_marked(told, propensity, trained, lists):
    assert [row["is_seen"] for row in told["lists"]] == [True, False, False]
    answer = propensity("outcomes", trained.study, "--lists", lists, "--no-track")
    assert answer.code == 0, answer.err
    assert f"{SEEN} *" in answer.out
    assert f"{AS_OF} *" not in answer.out
    assert "prove nothing" in " ".join(answer.out.split())


def test_the_figures_of_matured_lists_are_in_mlflow(told, trained):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=trained.uri)
    experiment = client.get_experiment_by_name("demo")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`propensity.kind` = 'outcomes'")
    history = client.get_metric_history(run.info.run_id, "buyers")
    assert [point.value for point in history] == [row["buyers"] for row in told["lists"][:2]]
    assert [pd.Timestamp.fromordinal(point.step).strftime("%Y-%m-%d") for point in history] == [SEEN, AS_OF]


def test_a_control_slice_changes_nothing_but_whom_to_contact(propensity, trained, lists, tmp_path):
    answer = propensity(
        "score", trained.study, "--as-of", AS_OF, "--runs", trained.runs, "--out", tmp_path / "plain.parquet"
    )
    assert answer.code == 0, answer.err
    plain, drawn = pd.read_parquet(tmp_path / "plain.parquet"), pd.read_parquet(lists / f"{AS_OF}.parquet")
    pd.testing.assert_frame_equal(
        plain.drop(columns=["control", "contact"]), drawn.drop(columns=["control", "contact"])
    )
    assert not plain["control"].any()
    assert drawn["control"].any()
    assert not (drawn["control"] & drawn["contact"]).any()
    # others take the places of those who are left alone
    assert drawn["contact"].sum() == plain["contact"].sum()
    manifest = json.loads((lists / f"{AS_OF}.parquet.manifest.json").read_text())
    assert manifest["control"]["prospects"] == drawn["control"].sum() == sum(manifest["control"]["by_decile"].values())


def test_the_same_customers_are_left_alone_on_another_night(lists):
    early, late = (pd.read_parquet(lists / f"{as_of}.parquet").set_index("customer_id") for as_of in (AS_OF, LATER))
    both = early.index.intersection(late.index)
    assert early.loc[both, "control"].tolist() == late.loc[both, "control"].tolist()
    assert early.loc[both, "rank"].tolist() != late.loc[both, "rank"].tolist()


def test_what_cannot_be_followed_is_said(propensity, trained, quick, lists, tmp_path):
    def said(*arguments):
        answer = propensity("outcomes", *arguments, "--no-track")
        assert answer.code == 2, answer.out
        assert "Traceback" not in answer.err
        return answer.err

    assert "holds no list of demo" in said(trained.study, "--lists", tmp_path)
    assert "does not end in .parquet" in said(trained.study, "--lists", lists, "--out", tmp_path / "rows.csv")
    gone = tmp_path / "gone"
    gone.mkdir()
    name = f"{AS_OF}.parquet.manifest.json"
    (gone / name).write_bytes((lists / name).read_bytes())
    assert "the list is gone" in said(trained.study, "--lists", gone)
    (gone / name).write_text("[]")
    assert "is no list's manifest" in said(trained.study, "--lists", gone)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / name).write_bytes((lists / name).read_bytes())
    listed = pd.read_parquet(lists / f"{AS_OF}.parquet")
    listed.assign(customer_id="X" + listed["customer_id"]).to_parquet(foreign / f"{AS_OF}.parquet")
    assert "are not among the study's customers" in said(trained.study, "--lists", foreign)
    listed.drop(columns="control").to_parquet(foreign / f"{AS_OF}.parquet")
    assert "a list has the columns" in said(trained.study, "--lists", foreign)
    (foreign / f"{AS_OF}.parquet").write_text("no list")
    assert "cannot be read as a list" in said(trained.study, "--lists", foreign)
    answer = propensity("score", trained.study, "--as-of", AS_OF, "--runs", trained.runs, "--out",
                        tmp_path / "x.parquet", "--random-control", "2")  # fmt: skip
    assert answer.code == 2
    assert "is no share" in answer.err
