"""`propensity train` leaves a whole run behind: the design's files, with the columns and keys that others build on."""

import json
import math
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

MODELS = ["single_indicator", "scorecard", "logistic", "lightgbm", "blend"]
DESIGN = {
    "manifest.json",
    "funnel.json",
    "metrics.json",
    "predictions.parquet",
    "prospects.parquet",
    "report.json",
    "report.html",
    "bundle",
}
BESIDES = {
    "calibration_by_cutoff.json",
    "horizons.json",
    "leaks.json",
    "features.json",
    "study.yaml",
    "mlflow.json",
    "tracking.json",
    "figures",
} | {
    f"{name}.json"
    for name in ("segments", "stages", "qualification", "pyramid", "scorecard", "swap_sets", "avatars", "profit")
}
METRICS = {
    "n", "positives", "roc_auc", "average_precision", "brier", "log_loss", "calibration_slope",
    "calibration_intercept", "ties", "intervals",
    *(f"{name}_at_{share}" for name in ("lift", "capture") for share in ("1pct", "5pct", "10pct", "20pct", "capacity")),
}  # fmt: skip
REASONS = [f"reason_{i}" for i in range(1, 6)]
CONTRIBUTIONS = [*(f"contribution_{i}" for i in range(1, 6)), "contribution_other"]
LIST = [
    "rank", "customer_id", "as_of", "probability", "probability_low", "probability_high", "percentile", "decile",
    "grade", "points", "base_points", "scorecard_points", "buying_stage", "segment", *REASONS, *CONTRIBUTIONS,
    "control", "model_name", "model_version", "probability_30d", "probability_60d",  # too few bought within 7d
    "customer_reason", "qualification", "not_qualified_by",
    "barrier", "approach", "channel", "tier_profit", "tier_potential",
    "expected_value", "expected_profit", "contact",
]  # fmt: skip


@pytest.fixture(scope="module")
def prospects(trained) -> pd.DataFrame:
    return pd.read_parquet(trained.folder / "prospects.parquet")


@pytest.fixture(scope="module")
def predictions(trained) -> pd.DataFrame:
    return pd.read_parquet(trained.folder / "predictions.parquet")


def test_run_holds_the_files_of_the_design(trained):
    assert {path.name for path in trained.folder.iterdir()} == DESIGN | BESIDES
    assert (trained.folder / "bundle" / "bundle.json").is_file()


def test_runs_folder_holds_the_run_and_latest_only(trained):
    assert {path.name for path in trained.runs.iterdir()} == {trained.folder.name, "latest"}
    assert (trained.runs / "latest").resolve() == trained.folder.resolve()


def test_every_file_may_be_read_by_others(trained):
    for path in (trained.folder, *trained.folder.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_metrics_have_the_keys_of_the_contract(trained):
    metrics = trained.read("metrics.json")
    assert metrics["study"] == "demo"
    assert list(metrics["models"]) == MODELS
    assert metrics["selected"] in MODELS
    for model, splits in metrics["models"].items():
        assert set(splits) == {"validation", "test"}, model
        for split, values in splits.items():
            assert set(values) >= METRICS, (model, split)
            for name, interval in values["intervals"].items():
                assert interval is None or interval[0] <= interval[1], (model, split, name)


def test_metrics_agree_with_the_predictions(trained, predictions):
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    metrics = trained.read("metrics.json")["models"]
    y = predictions["label"].to_numpy()
    for model in MODELS:
        p = predictions[model].to_numpy()
        found = metrics[model]["test"]
        assert found["n"] == len(y)
        assert found["positives"] == y.sum()
        assert found["roc_auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
        assert found["brier"] == pytest.approx(brier_score_loss(y, p), abs=1e-12)
        if model == "lightgbm":  # without ties, where definitions agree
            assert found["average_precision"] == pytest.approx(average_precision_score(y, p), abs=1e-9)


def test_comparisons_are_paired_with_the_scorecard(trained):
    comparisons = trained.read("metrics.json")["comparisons"]
    assert {row["model"] for row in comparisons} == set(MODELS) - {"scorecard"}
    for row in comparisons:
        assert set(row) >= {"model", "baseline", "split", "metric", "difference", "interval"}
        assert (row["baseline"], row["split"]) == ("scorecard", "test")
        low, high = row["interval"]
        assert low <= high
    auc = {row["model"]: row["difference"] for row in comparisons if row["metric"] == "roc_auc"}
    test = {name: splits["test"]["roc_auc"] for name, splits in trained.read("metrics.json")["models"].items()}
    assert auc["logistic"] == pytest.approx(test["logistic"] - test["scorecard"], abs=1e-12)


def test_predictions_have_the_columns_of_the_design(predictions):
    assert list(predictions.columns) == ["customer_id", "cutoff", "label", *MODELS]
    assert predictions["customer_id"].is_unique
    assert set(predictions["label"]) == {0, 1}
    assert predictions["cutoff"].unique().tolist() == [pd.Timestamp("2025-07-30")]
    probabilities = predictions[MODELS].to_numpy()
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_list_has_the_columns_of_the_design(prospects):
    assert list(prospects.columns) == LIST


def test_contributions_add_up_to_the_points(prospects):
    total = prospects["base_points"] + prospects[CONTRIBUTIONS].sum(axis=1)
    np.testing.assert_allclose(total, prospects["points"], rtol=1e-9)


def test_points_say_the_same_as_the_probability(prospects):
    # 600 points are odds of 1 to 19, and 20 points more double the odds.
    odds = prospects["probability"] / (1 - prospects["probability"])
    np.testing.assert_allclose(prospects["points"], 600 + 20 * np.log2(odds * 19), rtol=1e-9)


def test_reasons_are_words_with_points(prospects):
    for i in range(1, 6):
        told, points = prospects[f"reason_{i}"], prospects[f"contribution_{i}"]
        assert (told.notna() == (points != 0)).all()
        assert not told.dropna().str.contains(r"[{}]|\bnan\b", regex=True).any()
        own_words = told.dropna().str.partition(": ")[0]  # a category's value, after the colon, is the data's own
        assert not own_words.str.contains("_").any()


def test_ranks_go_down_in_probability(prospects):
    assert prospects["rank"].tolist() == list(range(1, len(prospects) + 1))
    assert prospects["probability"].is_monotonic_decreasing
    assert prospects["customer_id"].is_unique
    assert prospects["percentile"].iloc[[0, -1]].tolist() == [100.0, 0.0]
    assert prospects["decile"].is_monotonic_increasing
    assert set(prospects["decile"]) == set(range(1, 11))
    assert (prospects["probability_low"] <= prospects["probability"]).all()
    assert (prospects["probability"] <= prospects["probability_high"]).all()


def test_ties_are_broken_by_a_hash_of_the_key(trained, prospects):
    from propensity.scoring import tie_breaker

    # Points are compared, not probabilities: the list is ordered by log-odds.
    tie = pd.Series(tie_breaker(prospects["customer_id"]))
    tied = prospects["points"].diff().eq(0)
    assert (tie[tied].to_numpy() > tie.shift()[tied].to_numpy()).all()


def test_profit_is_value_times_probability_less_cost(prospects):
    np.testing.assert_allclose(prospects["expected_value"], 60 * prospects["probability"], rtol=1e-12)
    np.testing.assert_allclose(prospects["expected_profit"], 60 * prospects["probability"] - 1.5, rtol=1e-12)


def test_contacts_are_the_first_of_whom_a_profit_is_expected_within_the_capacity(prospects):
    # ranked by probability, with one value for all: those above 1.5 / 60, at most 5 % of the list
    worth = int((prospects["probability"] > 1.5 / 60).sum())
    contacts = min(worth, math.ceil(0.05 * len(prospects)))
    assert prospects["contact"].tolist() == [True] * contacts + [False] * (len(prospects) - contacts)


def test_buying_stages_are_those_of_the_study(prospects):
    assert set(prospects["buying_stage"]) <= {"unaware", "searching", "comparing", "with a competitor"}
    assert len(set(prospects["buying_stage"])) > 1


def test_funnel_counts_every_step(trained, predictions, prospects):
    funnel = trained.read("funnel.json")
    assert [entry["split"] for entry in funnel] == ["train", "train", "validation", "test", "list"]
    for entry in funnel:
        counts = [step["count"] for step in entry["steps"]]
        removed = [step["removed"] for step in entry["steps"]]
        assert [step["name"] for step in entry["steps"]] == [
            "customers", "target customers", "never purchased", "prospects",
        ]  # fmt: skip
        assert removed == [0, *(a - b for a, b in pairwise(counts))]
    assert funnel[3]["steps"][-1]["count"] == len(predictions)
    assert funnel[3]["positives"] == predictions["label"].sum()
    assert funnel[4]["steps"][-1]["count"] == len(prospects)
    assert funnel[4]["positives"] is None


def test_manifest_says_what_was_run_and_how_the_list_came_about(trained, prospects):
    manifest = trained.read("manifest.json")
    assert manifest["run"] == trained.folder.name
    assert set(manifest) >= {"config_hash", "data_fingerprint", "versions", "cutoffs", "seed", "started", "seconds"}
    assert manifest["cutoffs"]["train"] == ["2025-05-01", "2025-05-31"]
    waterfall = {step["name"]: step["count"] for step in manifest["list"]["waterfall"]}
    names = ["customers", "target customers", "never purchased", "suppressed", "scored", "unqualified", "listed"]
    assert list(waterfall) == names
    assert waterfall["never purchased"] - waterfall["suppressed"] == waterfall["scored"]
    assert waterfall["listed"] == len(prospects)
    assert manifest["list"]["matures_on"] == "2025-09-28"
    assert manifest["list"]["expected_buyers"] == pytest.approx(prospects["probability"].sum())


def test_report_json_holds_what_the_other_files_say(trained, prospects):
    report = trained.read("report.json")
    metrics = trained.read("metrics.json")
    assert report["models"] == metrics["models"]
    assert report["comparisons"] == metrics["comparisons"]
    assert report["funnel"] == trained.read("funnel.json")
    assert report["study"]["simulated"] is True
    assert set(report["curves"]) == set(MODELS)
    first = report["prospects"][0]
    assert first["customer_id"] == prospects["customer_id"].iloc[0]
    assert first["probability"] == prospects["probability"].iloc[0]
    for shown in report["prospects"]:
        parts = shown["base_points"] + sum(r["points"] for r in shown["reasons"]) + shown["other_points"]
        assert parts == pytest.approx(shown["points"], rel=1e-9)
        if shown["scorecard"]:
            assert sum(line["points"] for line in shown["scorecard"]) == pytest.approx(shown["scorecard_points"])


def test_report_html_shows_the_numbers_of_report_json(trained):
    page = (trained.folder / "report.html").read_text(encoding="utf-8")
    report = trained.read("report.json")
    best = report["models"][report["run"]["selected"]]["test"]
    assert f"{best['roc_auc']:.3f}" in page
    assert report["prospects"][0]["customer_id"] in page
    assert report["study"]["question"] in page
    # The one script is a library's, with its licences and names in it; the page's policy lets it load nothing.
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in page
    outside = re.sub(r'<script type="module">.*?</script>', "", page, flags=re.DOTALL)
    assert "http://" not in outside.replace("http://www.w3.org", "")
    assert "https://" not in outside


def test_answer_for_machines_has_the_same_facts(trained):
    answer = trained.answer
    metrics = trained.read("metrics.json")
    assert answer["selected"] == metrics["selected"]
    rows = {(row["model"], row["split"]): row for row in answer["metrics"]}
    assert rows["blend", "test"]["roc_auc"] == pytest.approx(metrics["models"]["blend"]["test"]["roc_auc"])
    assert len(answer["funnel"]) == 5


def test_study_is_kept_beside_its_results(trained):
    assert (trained.folder / "study.yaml").read_bytes() == trained.study.read_bytes()


def test_answer_for_people_says_where_to_look(quick):
    told = quick.answer.out
    for text in ("Funnel", "Models on test", "never purchased", "scorecard", "Selected", "report.html"):
        assert text in told
    assert "mlflow" not in told
    listed = pd.read_parquet(quick.folder / "prospects.parquet")
    assert all(customer in told for customer in listed["customer_id"].head(10))
    assert not (quick.folder / "tracking.json").exists()


def test_report_can_be_written_again_and_shows_an_audit_made_since(propensity, trained, tmp_path):
    page, run = tmp_path / "again.html", tmp_path / "run"
    run.mkdir()
    shutil.copyfile(trained.folder / "report.json", run / "report.json")
    answer = propensity("report", run, "--out", page)
    assert answer.code == 0, answer.err
    assert page.read_bytes() == (trained.folder / "report.html").read_bytes()
    assert trained.read("report.json")["leaks"]["findings"][0]["level"] == "not tested"
    finding = {"level": "proven", "test": "scramble", "subject": "<b>income</b>", "text": "it moves", "advice": ""}
    trial = {"cutoff": "2025-07-30", "change": "deleted", "rows": 1_234, "left": 1, "entered": 2, "features": 4}
    audit = {"sentence": "Leak proven: income.", "findings": [finding], "trials": [{**trial, "scores": 5}]}
    (run / "leaks.json").write_text(json.dumps(audit))
    assert propensity("report", run, "--out", page).code == 0
    told = page.read_text(encoding="utf-8")
    assert "Leak proven: income." in told
    assert "<bdi>&lt;b&gt;income&lt;/b&gt;</bdi>" in told
    assert (
        '<td>deleted</td><td class="n">1,234</td><td class="n">3</td><td class="n">4</td><td class="n">5</td>' in told
    )


def test_json_files_hold_no_nan(trained):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in Path(trained.folder).rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
