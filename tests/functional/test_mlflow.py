"""What MLflow keeps of a run, and that its model can be used where nothing but MLflow and the package is at hand."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from time import time

import numpy as np
import pandas as pd
import pytest
from tests.functional.conftest import write_study

import propensity as pp
from propensity.run_folder import study_revision

MODELS = {"single_indicator", "scorecard", "logistic", "lightgbm", "blend"}


@pytest.fixture(scope="module")
def store(trained):
    """MLflow's client on the training's store, with a current run (parent) and its children."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside mlflow
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(trained.uri)
        yield mlflow.MlflowClient()
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def parent(store, trained):
    return store.get_run(trained.read("tracking.json")["run_id"])


@pytest.fixture(scope="module")
def children(store, parent):
    found = store.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    return {run.info.run_name: run for run in found}


@pytest.fixture(scope="module")
def model_info(store, trained):
    import mlflow

    return mlflow.models.get_model_info("models:/demo@challenger")


def test_one_run_with_a_nested_run_for_each_model(store, parent, children, trained):
    assert set(children) == MODELS
    everything = store.search_runs([parent.info.experiment_id])
    assert len(everything) == 1 + len(MODELS)
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert parent.info.run_name == trained.folder.name
    assert store.get_experiment(parent.info.experiment_id).name == "demo"


def test_parameters_say_what_was_asked_and_chosen(parent, trained):
    params = parent.data.params
    assert params["study"] == "demo"
    assert params["horizon"] == "30d"
    assert params["windows"] == "30d"
    assert params["selected"] == trained.read("metrics.json")["selected"]
    settings = trained.read("manifest.json")["settings"]
    assert params["lightgbm.rounds"] == str(settings["lightgbm"]["rounds"])
    assert params["blend.weight"] == str(settings["blend"]["weight"])


def test_metrics_are_those_of_metrics_json(parent, children, trained):
    metrics = trained.read("metrics.json")
    for name, splits in metrics["models"].items():
        logged = children[name].data.metrics
        for split, values in splits.items():
            assert logged[f"{split}_roc_auc"] == values["roc_auc"], (name, split)
            low, high = values["intervals"]["average_precision"]
            assert logged[f"{split}_average_precision_low"] == low
            assert logged[f"{split}_average_precision_high"] == high
    best = children[metrics["selected"]].data.metrics
    assert {name: value for name, value in parent.data.metrics.items() if not name.startswith("system/")} == best


def test_files_and_figures_are_artifacts(store, parent, trained):
    files = {artifact.path for artifact in store.list_artifacts(parent.info.run_id)}
    assert files >= {"metrics.json", "funnel.json", "manifest.json", "report.json", "report.html", "figures"}
    assert files >= {"prospects.parquet", "predictions.parquet"}
    marketing = ("segments", "stages", "qualification", "pyramid", "scorecard", "swap_sets", "avatars")
    assert files >= {f"{name}.json" for name in marketing}
    figures = {artifact.path for artifact in store.list_artifacts(parent.info.run_id, "figures")}
    assert figures >= {"figures/shap_summary.png", "figures/avatar_ranked_highest.png"}
    assert figures == {f"figures/{path.name}" for path in (trained.folder / "figures").iterdir()}


def test_data_set_is_an_input_with_its_digest(parent):
    (given,) = parent.inputs.dataset_inputs
    assert given.dataset.name == "demo-train"
    assert len(given.dataset.digest) >= 8
    assert {tag.value for tag in given.tags} == {"training"}
    assert json.loads(given.dataset.profile)["num_rows"] == int(parent.data.params["train_rows"])


def test_model_is_registered_as_challenger(store, parent, trained):
    version = store.get_model_version_by_alias("demo", "challenger")
    assert str(version.version) == trained.read("tracking.json")["model_version"]
    assert version.run_id == parent.info.run_id


def test_a_version_says_what_it_is(store, trained):
    version = store.get_model_version_by_alias("demo", "challenger")
    metrics = trained.read("metrics.json")
    test = metrics["models"][metrics["selected"]]["test"]
    assert version.description == (
        f"{metrics['selected']} of run {trained.folder.name}: AUC {test['roc_auc']:.3f}, "
        f"lift at 10 % {test['lift_at_10pct']:.2f} on test."
    )
    assert version.tags["propensity.test_cutoff"] == "2025-07-30"
    assert version.tags["propensity.run"] == trained.folder.name


def test_a_study_under_git_is_logged_with_its_revision(study_text, tmp_path):
    file = write_study(tmp_path / "configs", study_text)
    study = pp.load_study(file)
    assert study_revision(study) == {}
    git = ["git", "-C", str(file.parent), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "study.yaml"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    revision = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert study_revision(study) == {"mlflow.source.git.commit": revision, "propensity.study_changed": "false"}
    file.write_text(study_text + "\n", encoding="utf-8")
    assert study_revision(study)["propensity.study_changed"] == "true"


def test_signature_is_explicit_and_every_input_required(model_info, trained):
    catalogue = trained.read("features.json")
    inputs = model_info.signature.inputs
    assert inputs.input_names() == [feature["name"] for feature in catalogue]
    assert inputs.required_input_names() == inputs.input_names()
    kinds = {feature["name"]: "string" if feature["kind"] == "category" else "double" for feature in catalogue}
    assert {spec.name: str(spec.type).rpartition(".")[2].lower() for spec in inputs} == kinds
    assert model_info.signature.outputs.input_names() == ["probability", "log_odds", "points"]


def artifact_folder(store, parent) -> Path:
    root = store.get_experiment(parent.info.experiment_id).artifact_location
    return Path(root.removeprefix("file://"))


def model_folder(store, parent) -> Path:
    (found,) = artifact_folder(store, parent).rglob("MLmodel")
    return found.parent


def test_input_example_is_made_up_and_scored(store, parent, trained):
    example = json.loads((model_folder(store, parent) / "input_example.json").read_text())
    catalogue = trained.read("features.json")
    assert example["columns"] == [feature["name"] for feature in catalogue]
    assert len(example["data"]) == 1
    usual = {feature["name"]: feature["typical"] for feature in catalogue if feature["kind"] == "category"}
    given = dict(zip(example["columns"], example["data"][0], strict=True))
    assert {name: given[name] for name in usual} == usual


def test_requirements_are_pinned(store, parent):
    lines = (model_folder(store, parent) / "requirements.txt").read_text().split()
    assert all("==" in line for line in lines), lines
    assert {line.partition("==")[0] for line in lines} >= {"propensity", "lightgbm", "scikit-learn", "pandas", "numpy"}


def test_nothing_is_pickled(store, parent, trained):
    looked_at = 0
    for root in (trained.folder, artifact_folder(store, parent)):
        for path in root.rglob("*"):
            if path.is_file():
                looked_at += 1
                assert path.suffix not in {".pkl", ".pickle", ".joblib", ".skops", ".cloudpickle"}, path
                head = path.read_bytes()[:2]
                assert not (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"), f"{path} begins like a pickle"
    assert looked_at > 40


FRESH = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
uri, model, rows, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model(model)
rows = pd.read_parquet(rows)
model.predict(rows).assign(order="given").to_parquet(out + "/given.parquet")
model.predict(rows[rows.columns[::-1]]).to_parquet(out + "/reordered.parquet")
model.predict(rows.assign(more=1)).to_parquet(out + "/more.parquet")
for column in (rows.columns[0], rows.columns[-1]):
    try:
        model.predict(rows.drop(columns=column))
    except Exception as error:
        print("refused", column, column in str(error))
"""


@pytest.fixture(scope="module")
def rows(trained) -> pd.DataFrame:
    """The prospects' features in words, as a user of the model would have them, in the list's order."""
    from propensity.bundle import load_bundle
    from propensity.config import load_study
    from propensity.data.tables import open_tables
    from propensity.samples import express, scoring_frame
    from propensity.temporal import to_instant

    study, bundle = load_study(trained.study), load_bundle(trained.folder / "bundle")
    with open_tables(study.data, study.source_path, express=express) as tables:
        frame, _ = scoring_frame(tables, study, bundle.plan, to_instant("2025-08-29", zone=study.zone))
    decoded = bundle.decoded(frame.X)
    for name in bundle.plan.names:
        if name not in bundle.plan.categories:
            decoded[name] = decoded[name].astype("float64")
    return decoded.set_index(frame.keys["customer_id"].to_numpy())


def test_fresh_process_gives_the_same_probabilities(trained, rows, tmp_path):
    """Equal to the bit, also with columns in another order; missing columns are refused by name."""
    place = tmp_path / "rows.parquet"
    rows.to_parquet(place)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, trained.uri, "models:/demo@challenger", str(place), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = pd.read_parquet(trained.folder / "prospects.parquet").set_index("customer_id")
    for name in ("given", "reordered", "more"):
        answered = pd.read_parquet(tmp_path / f"{name}.parquet").loc[listed.index]
        np.testing.assert_array_equal(answered["probability"], listed["probability"], err_msg=name)
        np.testing.assert_array_equal(answered["points"], listed["points"], err_msg=name)
    first, last = rows.columns[0], rows.columns[-1]
    assert done.stdout.split("\n")[:2] == [f"refused {first} True", f"refused {last} True"]


SPARK = """
import os, sys, warnings
warnings.simplefilter("ignore")
os.environ["PYSPARK_PYTHON"] = sys.executable  # its workers would take the first python3 of the path
import mlflow
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct
uri, model, rows, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
score = mlflow.pyfunc.spark_udf(spark, model, env_manager="local", result_type="probability double, points double")
rows = spark.read.parquet(rows)
names = [column for column in rows.columns if column != "customer_id"]
scored = rows.select("customer_id", score(struct(*names)).alias("score"))
scored.select("customer_id", "score.*").toPandas().to_parquet(out)
"""


def other_way(command, trained, out):
    """What the list says, and what another way to the logged model says of the same rows."""
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "MLFLOW_TRACKING_URI": trained.uri})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert out.exists(), done.stderr
    return pd.read_parquet(trained.folder / "prospects.parquet").set_index("customer_id")


@pytest.mark.slow
def test_spark_gives_the_same_probabilities(trained, rows, tmp_path):
    pytest.importorskip("pyspark", reason="Spark is not installed: pip install propensity[spark]")
    place, out = tmp_path / "rows.parquet", tmp_path / "scored.parquet"
    rows.rename_axis("customer_id").reset_index().to_parquet(place)
    command = [sys.executable, "-c", SPARK, trained.uri, "models:/demo@challenger", str(place), str(out)]
    listed = other_way(command, trained, out)
    scored = pd.read_parquet(out).set_index("customer_id").loc[listed.index]
    np.testing.assert_array_equal(scored["probability"], listed["probability"])
    np.testing.assert_array_equal(scored["points"], listed["points"])


@pytest.mark.slow
def test_the_command_of_mlflow_gives_the_same_probabilities(trained, rows, tmp_path):
    place, out = tmp_path / "rows.json", tmp_path / "scored.json"
    place.write_text(json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split", double_precision=15))}))
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", "models:/demo@challenger", "-i", str(place),
               "-o", str(out), "-t", "json", "--env-manager", "local"]  # fmt: skip
    listed = other_way(command, trained, out)
    scored = pd.DataFrame(json.loads(out.read_text())["predictions"], index=rows.index).loc[listed.index]
    np.testing.assert_allclose(scored["probability"], listed["probability"], rtol=1e-9)  # numbers went through texts


def test_command_prints_how_to_open_the_run(propensity, trained):
    answer = propensity("track", trained.folder)
    assert answer.code == 0, answer.err
    tracking = trained.read("tracking.json")
    assert f"mlflow ui --backend-store-uri {trained.uri}" in answer.out
    assert tracking["run_id"] in answer.out


def test_registration_is_not_announced(propensity, make_study, quick_text, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    answer = propensity("train", make_study(quick_text), "--out", tmp_path / "runs", "--tracking-uri", uri)
    assert answer.code == 0, answer.err
    assert "registered" not in answer.err + answer.out
    assert "Created version" not in answer.err + answer.out
    assert f"mlflow ui --backend-store-uri {uri}" in answer.out


def test_a_run_has_the_load_of_the_machine_while_it_was_made(propensity, make_study, quick_text, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setattr("propensity.machine.INTERVAL", 0.2)
    uri, began = f"sqlite:///{tmp_path / 'mlflow.db'}", time()
    answer = propensity("train", make_study(quick_text), "--out", tmp_path / "runs", "--tracking-uri", uri)
    assert answer.code == 0, answer.err
    manifest, tracking = (
        json.loads((tmp_path / "runs" / "latest" / f"{name}.json").read_text()) for name in ("manifest", "tracking")
    )
    client = mlflow.MlflowClient(tracking_uri=uri)
    for name in ("system/cpu_utilization_percentage", "system/process_memory_megabytes"):
        history = client.get_metric_history(tracking["run_id"], name)
        assert [(point.timestamp, point.value) for point in history] == [
            (sample["timestamp"], sample[name]) for sample in manifest["machine"]
        ]
        assert len(history) > 2
        assert all(began <= point.timestamp / 1000 <= time() for point in history)
    assert 50 < history[-1].value < 64_000


@pytest.mark.parametrize("uri", ["sqlite:////proc/no/such/place/mlflow.db", "nonsense://host/store"])
def test_store_that_fails_is_the_environments_failure(propensity, make_study, quick_text, tmp_path, uri):
    answer = propensity("train", make_study(quick_text), "--out", tmp_path / "runs", "--tracking-uri", uri)
    assert answer.code == 3, answer.err
    assert "error: tracking: MLflow's store" in answer.err
    assert not (tmp_path / "runs").exists()
