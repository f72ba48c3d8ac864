"""A list in another language, and what customers may be told, from the study's file to the list."""

import json

import pandas as pd

import propensity as pp


def test_the_list_tells_what_a_customer_may_hear(trained):
    listed = pd.read_parquet(trained.folder / "prospects.parquet")
    told = listed["customer_reason"].dropna()
    allowed = {
        "You began a contract with us and did not finish it.",
        "You asked us for a quote.",
        "You looked at our prices.",
        "You compared insurers.",
        "You told us that you moved house.",
        "You are our customer already.",
    }
    assert 10 < len(told) < len(listed)
    assert set(told) <= allowed
    assert len(set(told)) > 1
    assert trained.read("manifest.json")["list"]["language"] == "en"


def test_a_list_and_an_explanation_in_german_hold_the_same_numbers(propensity, trained, tmp_path):
    german = trained.study.parent / "wording" / "demo_de.yaml"
    found = {}
    for language in ("en", german):
        out = tmp_path / f"{len(found)}.csv"
        answer = propensity(
            *("score", trained.study, "--as-of", "2025-08-29", "--runs", trained.runs, "--out", out),
            *("--wording", language, "--json"),
        )
        assert answer.code == 0, answer.err
        found[answer.json["language"]] = pd.read_csv(out)
    reasons = [f"reason_{i}" for i in range(1, 6)]
    numbers = [c for c in found["de"] if c not in (*reasons, "customer_reason")]
    pd.testing.assert_frame_equal(found["de"][numbers], found["en"][numbers])
    assert "customer_reason" not in found["en"]  # the language alone has no sentences for customers
    texts = " | ".join(found["de"][reasons].fillna("").to_numpy().ravel())
    assert "Angebot zuletzt vor" in texts
    assert "in den letzten 30 Tagen" in texts
    assert "Einkommen: " in texts
    assert not any(word in texts for word in (" last ", "usually", "not given", " days"))
    first = found["de"].iloc[0]
    explained = pp.explain(trained.study, first["customer_id"], runs=trained.runs, wording=str(german))
    assert explained.contributions["reason"].iloc[0] in {text.rpartition(" (")[0] for text in first[reasons]}


def test_a_wording_that_is_wrong_is_told_before_training_and_one_that_meets_nothing_is_warned_of(
    propensity, trained, study_text, make_study, tmp_path, caplog
):
    study = make_study(study_text.replace("wording: wording/demo.yaml", "wording: wording/none.yaml"))
    for command in (("check", study), ("train", study, "--out", tmp_path / "runs", "--no-track")):
        answer = propensity(*command)
        assert answer.code == 2
        assert "none.yaml: cannot be read" in answer.err
    own = tmp_path / "own.yaml"
    own.write_text("customer: {events_qoute_*: You asked.}\n")
    score = ("score", trained.study, "--as-of", "2025-08-29", "--runs", trained.runs, "--out", tmp_path / "list.csv")
    answer = propensity(*score, "--wording", own, "--json")
    assert answer.code == 0, answer.err
    assert "wording: nothing is called events_qoute_*: what is said of it is not used." in caplog.text
    assert pd.read_csv(tmp_path / "list.csv")["customer_reason"].isna().all()
    assert json.loads((tmp_path / "list.csv.manifest.json").read_text())["language"] == "en"
