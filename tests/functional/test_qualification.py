"""Qualification from the study to the list, its waterfall, the run's files and the report."""

import json
import math

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def listed(quick) -> pd.DataFrame:
    return pd.read_parquet(quick.folder / "prospects.parquet")


def waterfall(manifest: dict) -> dict[str, dict]:
    return {step["name"]: step for step in manifest["waterfall"]}


def test_the_list_tells_who_is_qualified_and_what_stands_against_the_others(quick, listed):
    assert set(listed["qualification"]) == {"pass", "fail", "unknown"}
    passes = listed["qualification"] == "pass"
    assert listed.loc[passes, "not_qualified_by"].isna().all()
    assert listed.loc[~passes, "not_qualified_by"].notna().all()
    assert listed.loc[listed["qualification"] == "unknown", "not_qualified_by"].str.fullmatch(r".*\(unknown\)").all()
    steps = waterfall(json.loads((quick.folder / "manifest.json").read_text())["list"])
    assert steps["unqualified"]["count"] == (~passes).sum()
    assert steps["unqualified"]["removed"] == 0
    assert "listed all the same" in steps["unqualified"]["reason"]
    assert steps["listed"]["count"] == len(listed) == steps["scored"]["count"]


def test_the_run_holds_the_counts_and_the_report_shows_them(quick, listed):
    table = pd.DataFrame(json.loads((quick.folder / "qualification.json").read_text()))
    together = table[table["question"] == "qualification"].set_index("answer")
    assert together["prospects"].to_dict() == listed["qualification"].value_counts().to_dict()
    tested = pd.read_parquet(quick.folder / "predictions.parquet")
    assert together["test_prospects"].sum() == len(tested)
    bought = (together["test_prospects"] * together["test_conversion"].fillna(0)).sum()
    assert round(bought) == tested["label"].sum()
    page = (quick.folder / "report.html").read_text(encoding="utf-8")
    assert "Who is qualified" in page
    assert "financial capacity" in page


def test_only_the_qualified_are_listed_where_the_study_says_so(
    propensity, quick, quick_text, listed, make_study, tmp_path
):
    study = make_study(quick_text.replace("qualified_only: false", "qualified_only: true"))
    out = tmp_path / "list.csv"
    answer = propensity("score", study, "--as-of", "2025-08-29", "--model", quick.folder, "--out", out, "--json")
    assert answer.code == 0, answer.err
    found = pd.read_csv(out)
    expected = listed[listed["qualification"] == "pass"]
    assert found["customer_id"].tolist() == expected["customer_id"].tolist()
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    steps = waterfall(answer.json)
    assert steps["unqualified"]["removed"] == steps["unqualified"]["count"] == len(listed) - len(expected)
    assert steps["scored"]["count"] - steps["unqualified"]["removed"] == steps["listed"]["count"] == len(found)


def test_mistakes_get_a_message(propensity, quick, quick_text, make_study, tmp_path):
    def score(text: str) -> tuple[int, str]:
        out = tmp_path / "list.csv"
        answer = propensity("score", make_study(text), "--as-of", "2025-08-29", "--model", quick.folder, "--out", out)
        assert not out.exists()
        return answer.code, answer.err

    only = quick_text.replace("qualified_only: false", "qualified_only: true")
    code, said = score(only.replace("income >= 20000", "income >= 20000000"))
    assert (code, "none of" in said, "financial capacity" in said) == (2, True, True)
    code, said = score(only.replace('interest: "', 'intrest: "'))
    assert (code, "'interest'" in said) == (2, True)
    code, said = score(only.replace("qualified_only: true", "qualified_onyl: true"))
    assert (code, "did you mean 'qualified_only'" in said) == (2, True)
    start, end = only.index("qualification:"), only.index("list: {")
    code, said = score(only[:start] + only[end:])
    assert (code, "add a qualification" in said) == (2, True)


def test_who_is_not_on_the_list_counts_as_not_selected(propensity, quick_text, make_study, tmp_path):
    study = make_study(quick_text.replace("qualified_only: false", "qualified_only: true"))
    answer = propensity("train", study, "--out", tmp_path / "runs", "--no-track", "--json")
    assert answer.code == 0, answer.err
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
    qualified = pd.DataFrame(report["qualification"]).query("question == 'qualification' and answer == 'pass'").iloc[0]
    for attribute in report["fairness"]["attributes"]:
        selected = sum(row["selection_rate"] * row["prospects"] for row in attribute["table"])
        prospects = sum(row["prospects"] for row in attribute["table"])
        assert round(selected) == math.ceil(0.05 * qualified["test_prospects"])
        assert report["fairness"]["share"] == pytest.approx(selected / prospects)
        assert prospects > qualified["test_prospects"]
    assert report["depths"][-1]["contacts"] == report["rows"]["of"] == qualified["prospects"]
    bought = round(qualified["test_prospects"] * qualified["test_conversion"])
    assert report["depths"][-1]["captured"] == (1.0 if bought else None)
