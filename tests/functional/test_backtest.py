"""`propensity backtest`: a study walked through its past."""

import json
import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

import propensity as pp

LOGISTIC = "single_indicator, scorecard, logistic"


@pytest.fixture(scope="module")
def study(study_text, tmp_path_factory):
    from tests.functional.conftest import only, write_study

    text = only(study_text, *LOGISTIC.split(", "))
    return write_study(tmp_path_factory.mktemp("backtest") / "configs", text)


@pytest.fixture(scope="module")
def walked(propensity, study):
    """Two steps, one process each."""
    place = study.parent.parent
    answer = propensity("backtest", study, "--steps", "2", "--every", "30d", "--workers", "2", "--out", place / "walk",
                        "--tracking-uri", f"sqlite:///{place / 'mlflow.db'}", "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    return place, answer.json


def test_every_method_is_counted_at_every_step(walked, study):
    place, told = walked
    steps = pd.DataFrame(told["steps"])
    methods = ["single_indicator", "scorecard", "logistic", "selected", "never_retrained", "truth", "random"]
    assert steps["as_of"].unique().tolist() == ["2025-07-30", "2025-08-29"]
    assert steps.loc[steps["as_of"] == "2025-07-30", "method"].tolist() == methods
    table = steps.pivot_table(index="as_of", columns="method", values="captured")
    assert table.loc["2025-07-30", "selected"] == table.loc["2025-07-30", "never_retrained"]
    selected = [row["selected"] for row in told["chosen"]]
    for as_of, name in zip(table.index, selected, strict=True):
        assert table.loc[as_of, "selected"] == table.loc[as_of, name]
    capacity = pp.load_study(study).contact.capacity
    assert (steps["contacted"] == np.ceil(capacity * steps["prospects"])).all()
    totals = pd.DataFrame(told["totals"]).set_index("method")
    assert totals.loc["truth", "captured"] > totals.loc["random", "captured"]
    assert totals["captured"].to_dict() == pytest.approx(steps.groupby("method")["captured"].sum().to_dict())
    kept = json.loads((place / "walk" / "backtest.json").read_text(encoding="utf-8"))
    pd.testing.assert_frame_equal(pd.DataFrame(kept["totals"]), pd.DataFrame(told["totals"]))


def test_a_step_sees_what_was_known_then_alone(walked, study, market, propensity):
    """The same step from tables that end when its outcome was known gives the same ranking."""
    place, _ = walked
    text = study.read_text(encoding="utf-8").replace("data:\n", "data:\n  recorded_until: 2025-08-29\n", 1)
    early = study.with_name("early.yaml")
    early.write_text(text, encoding="utf-8")
    answer = propensity("backtest", early, "--steps", "1", "--every", "30d", "--out", place / "early", "--no-track")
    assert answer.code == 0, answer.err
    then = [pd.read_parquet(next((place / folder / "steps").glob("2025-07-30-*")) / "ranked.parquet")
            for folder in ("walk", "early")]  # fmt: skip
    pd.testing.assert_frame_equal(*then)


def test_steps_that_stand_are_not_done_again(walked, study, propensity):
    place, told = walked
    before = {path: path.stat().st_mtime_ns for path in (place / "walk" / "steps").rglob("*")}
    again = propensity("backtest", study, "--steps", "2", "--every", "30d", "--out", place / "walk", "--no-track")
    assert again.code == 0, again.err
    assert "2 of 2 steps have been done before" in again.err
    assert {path: path.stat().st_mtime_ns for path in (place / "walk" / "steps").rglob("*")} == before
    row = next(row for row in told["totals"] if row["method"] == "logistic")
    assert re.search(rf"Logistic +{row['captured']:,.1f}", again.out)


def test_mlflow_has_a_run_for_the_walk_and_one_a_step(walked):
    place, told = walked
    client = mlflow.MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    (parent,) = [run for run in runs if run.data.tags["propensity.kind"] == "backtest"]
    steps = [run for run in runs if run.data.tags["propensity.kind"] == "backtest step"]
    assert {run.data.tags["propensity.as_of"] for run in steps} == {"2025-07-30", "2025-08-29"}
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in steps)
    total = next(row for row in told["totals"] if row["method"] == "scorecard")
    assert parent.data.metrics["scorecard_captured"] == total["captured"]
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"backtest.json", "backtest.parquet", "backtest.html", "backtest.png"}


def test_what_could_not_have_been_is_left_out_and_said(walked, study, market, propensity, tmp_path):
    place, _ = walked
    page = (place / "walk" / "backtest.html").read_text(encoding="utf-8")
    assert "Left out" not in page
    far = propensity("backtest", study, "--steps", "40", "--no-track", "--out", tmp_path / "far")
    assert far.code == 2
    assert re.search(r"would have nothing to learn from: the records begin on 2023-\d\d-\d\d", far.err)
    assert not (tmp_path / "far").exists()
    wrong = propensity("backtest", study, "--every", "soon", "--no-track", "--out", tmp_path / "far")
    assert wrong.code == 2
    assert "'soon' is not a duration" in " ".join(wrong.err.split())


def test_a_snapshot_has_no_past(make_study, propensity):
    snapshot = Path(__file__).resolve().parents[2] / "configs" / "coil2000.yaml"
    answer = propensity("backtest", snapshot, "--no-track")
    assert answer.code == 2
    assert "a snapshot has no past" in answer.err
