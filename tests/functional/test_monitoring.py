"""`propensity monitor`: is the model still what it was?"""

import json

import mlflow
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def watched(propensity, trained, tmp_path_factory):
    place = tmp_path_factory.mktemp("monitoring")
    uri = f"sqlite:///{place / 'mlflow.db'}"
    given = ("--runs", trained.runs, "--out", place, "--tracking-uri", uri)
    answer = propensity("monitor", trained.study, *given, "--json")
    assert answer.code == 0, answer.err
    return place, answer.json


def test_it_looks_at_what_has_matured_since_and_at_today(watched, trained, market):
    place, told = watched
    assert (told["as_of"], told["verdict"]) == ("2025-09-28", "ok")
    (month,) = told["months"]
    assert month["as_of"] == "2025-08-29"
    # against the purchases themselves, and the list that the run made on that day
    listed = pd.read_parquet(trained.folder / "prospects.parquet")
    assert trained.read("manifest.json")["list"]["as_of"] == "2025-08-29"
    bought = pd.read_parquet(market / "purchases.parquet")
    when = pd.to_datetime(bought["ordered_at"], utc=True)
    window = (when >= "2025-08-29") & (when < "2025-09-28") & (bought["category"] == "home_insurance")
    assert month["prospects"] == len(listed)
    assert month["buyers"] == listed["customer_id"].isin(bought.loc[window, "customer_id"]).sum()
    assert month["expected"] == pytest.approx(listed["probability"].sum())
    assert {check["name"] for check in told["checks"]} >= {"buyers, as promised", "score", "missing values"}
    weights = sum(row["weight"] for row in told["features"])
    assert weights == pytest.approx(1)
    kept = json.loads((place / "2025-09-28.json").read_text(encoding="utf-8"))
    assert kept["checks"] == told["checks"]
    assert "The model is what it was." in (place / "2025-09-28.html").read_text(encoding="utf-8")


def test_mlflow_has_the_figures_by_date(watched):
    place, told = watched
    client = mlflow.MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    runs = client.search_runs(
        [client.get_experiment_by_name("demo").experiment_id], "tags.`propensity.kind` = 'monitoring'"
    )
    assert runs[0].data.metrics["ratio"] == pytest.approx(told["months"][0]["ratio"])
    assert runs[0].data.metrics["level"] == 0


def test_a_verdict_from_which_it_fails(propensity, trained, tmp_path):
    text = trained.study.read_text(encoding="utf-8")
    strict = trained.study.with_name("strict.yaml")
    strict.write_text(text + "monitoring: {watch_drift: 1.0e-9, max_drift: 100}\n", encoding="utf-8")
    given = ("--runs", trained.runs, "--out", tmp_path, "--no-track")
    watch = propensity("monitor", strict, *given)
    assert watch.code == 0, watch.err
    assert "2025-09-28: watch" in watch.out
    assert propensity("monitor", strict, *given, "--fail-on", "watch").code == 1
    strict.write_text(text + "monitoring: {watch_drift: 1.0e-9, max_drift: 1.0e-9}\n", encoding="utf-8")
    again = propensity("monitor", strict, *given)
    assert again.code == 1
    assert "Train the model anew." in (tmp_path / "2025-09-28.html").read_text(encoding="utf-8")
    strict.write_text(text + "monitoring: {watch_drift: 0.3}\n", encoding="utf-8")
    wrong = propensity("monitor", strict, *given)
    assert wrong.code == 2
    assert "'watch_drift' lies above 'max_drift'" in wrong.err


def test_without_a_model_there_is_nothing_to_look_after(propensity, trained, tmp_path):
    answer = propensity("monitor", trained.study, "--runs", tmp_path / "none", "--no-track")
    assert answer.code == 2
    assert "Train first" in " ".join(answer.err.split())
