"""`propensity explain`: the listed score, the scorecard, the timeline, who is alike, and what would move it."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

import propensity as pp
from propensity.results import CustomerExplanation

AS_OF = "2025-08-29"
EARLIER = "2025-07-30"


@pytest.fixture(scope="module")
def listed(trained) -> pd.Series:
    return pd.read_parquet(trained.folder / "prospects.parquet").iloc[3]


@pytest.fixture(scope="module")
def told(trained, listed) -> CustomerExplanation:
    return pp.explain(trained.study, listed["customer_id"], runs=trained.runs)


def test_json_takes_the_listed_score_apart(propensity, trained, listed):
    answer = propensity("explain", trained.study, listed["customer_id"], "--runs", trained.runs, "--json")
    assert answer.code == 0, answer.err
    told = answer.json
    assert (told["as_of"], told["rank"]) == (AS_OF, 4)
    for name in ("probability", "probability_low", "probability_high", "points", "base_points", "scorecard_points"):
        assert told[name] == pytest.approx(listed[name], rel=1e-9), name
    parts = sum(row["points"] for row in told["contributions"])
    assert told["base_points"] + parts == pytest.approx(told["points"], rel=1e-9)
    # The list tells what is usual behind a reason.
    reasons = [listed[f"reason_{i}"].rpartition(" (")[0] for i in range(1, 6)]
    assert told["contributions"][0]["reason"] in reasons
    assert sum(row["weighted"] for row in told["scorecard"]) == pytest.approx(listed["scorecard_points"])


def test_timeline_is_all_that_was_known_before_the_cutoff(trained, market, told):
    cutoff = pd.Timestamp(AS_OF, tz=told.timeline["at"].dt.tz)
    expected = []
    for table, time, what in (("events", "occurred_at", "event_type"), ("purchases", "ordered_at", "category")):
        rows = pd.read_parquet(market / f"{table}.parquet")
        rows = rows[rows["customer_id"] == told.customer_id]
        for row in rows.to_dict("records"):
            happened, known = (pd.Timestamp(row[name], tz="UTC") for name in (time, "available_at"))
            if max(happened, known) < cutoff:
                expected.append((happened, row[what]))
    found = zip(told.timeline["at"].dt.tz_convert("UTC"), told.timeline["what"], strict=True)
    assert len(expected) > 5
    assert sorted(found) == sorted(expected)
    assert told.timeline["at"].is_monotonic_increasing


def test_those_who_are_alike_did_what_is_said(trained, market, told):
    alike = told.neighbours
    assert alike["bought"].tolist() == [True] * 3 + [False] * 3
    assert (alike["as_of"] == EARLIER).all()
    assert told.customer_id not in set(alike["customer_id"])
    for _, rows in alike.groupby("bought"):
        assert rows["distance"].is_monotonic_increasing
    bought = pd.read_parquet(market / "purchases.parquet")
    since = pd.Timestamp(EARLIER)
    window = bought["ordered_at"].between(since, since + pd.Timedelta(days=30), inclusive="left")
    buyers = set(bought.loc[window & (bought["category"] == "home_insurance"), "customer_id"])
    assert [customer in buyers for customer in alike["customer_id"]] == alike["bought"].tolist()


def test_moves_are_about_behaviour_and_end_at_the_told_probability(trained, told):
    moves = told.moves
    assert len(moves) > 1
    assert (np.sign(moves["points"]).diff().dropna() <= 0).all()  # rises first
    catalogue = pp.load_bundle(trained.folder / "bundle").plan.catalogue()
    groups = {entry["name"]: entry["group"] for entry in catalogue}
    assert {groups[name] for name in moves["feature"]} == {"behaviour"}
    assert (moves["now"] != moves["then"]).all()
    rises = moves["points"] > 0
    assert (moves.loc[rises, "probability"] > told.probability).all()
    assert (moves.loc[~rises, "probability"] < told.probability).all()


def test_a_study_says_what_is_actionable(propensity, trained, make_study, study_text, listed):
    study = make_study(study_text + "\nactionable: [events_quote_*, gender]\n")
    answer = propensity("explain", study, listed["customer_id"], "--runs", trained.runs, "--json")
    assert answer.code == 0, answer.err
    assert {row["feature"] for row in answer.json["moves"]} <= {"events_quote_30d", "events_quote_ever"}
    study = make_study(study_text + "\nactionable: [qoutes]\n")
    answer = propensity("explain", study, listed["customer_id"], "--runs", trained.runs)
    assert answer.code == 2
    assert "actionable: no feature is called 'qoutes'" in answer.err


def test_what_is_declared_and_cannot_move_alone_is_named(trained, make_study, study_text, told, listed):
    families = {}
    for entry in pp.load_bundle(trained.folder / "bundle").plan.catalogue():
        families.setdefault(entry["family"], []).append(entry["name"])
    family = next(names for names in families.values() if len(names) > 1)
    study = make_study(f"{study_text}\nactionable: [{family[0]}]\n")
    again = pp.explain(study, listed["customer_id"], runs=trained.runs)
    assert again.untried == [family[0]]
    assert again.moves.empty
    assert told.untried == []


def test_a_purchase_that_became_known_later_does_not_make_a_buyer(trained, market, told, tmp_path):
    tables = tmp_path / "tables"
    shutil.copytree(market, tables)
    bought = pd.read_parquet(tables / "purchases.parquet")
    nearest = told.neighbours["customer_id"].iloc[0]
    assert told.neighbours["bought"].iloc[0]
    late = bought["customer_id"] == nearest
    bought.loc[late, "available_at"] = bought["available_at"].max()
    assert (bought.loc[late, "available_at"] >= pd.Timestamp(AS_OF)).all()
    bought.to_parquet(tables / "purchases.parquet")
    study = pp.load_study(trained.study).with_source(tables)
    again = pp.explain(study, told.customer_id, runs=trained.runs).neighbours
    assert nearest not in set(again.loc[again["bought"], "customer_id"])


def test_page_is_whole_and_free_of_markup_from_data(propensity, trained, listed, tmp_path):
    page = tmp_path / "one.html"
    answer = propensity("explain", trained.study, listed["customer_id"], "--runs", trained.runs, "--html", page)
    assert answer.code == 0, answer.err
    assert f"Page  {page}" in answer.out
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert html.rstrip().endswith("</html>")
    assert "<script" not in html
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", html)
    assert "What would move it" in html
    assert "Simulated data." in html
    wrong = propensity("explain", trained.study, listed["customer_id"], "--runs", trained.runs, "--html", "one.txt")
    assert wrong.code == 2
    assert "--html: one.txt does not end in .html" in wrong.err


def test_explain_refuses_who_is_no_prospect_and_says_why(propensity, trained, market):
    answer = propensity("explain", trained.study, "C9999999", "--runs", trained.runs)
    assert answer.code == 2
    assert "'C9999999' is not a prospect as of 2025-08-29: there is no such customer in the data" in answer.err
    bought = pd.read_parquet(market / "purchases.parquet")
    owner = bought.loc[bought["category"] == "home_insurance", "customer_id"].iloc[0]
    answer = propensity("explain", trained.study, owner, "--runs", trained.runs)
    assert answer.code == 2
    assert "outside the target, a buyer, or suppressed" in answer.err
