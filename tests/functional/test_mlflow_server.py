"""MLflow on a server of its own: a run goes there, is scored from there, and waits on disk while it is away."""

import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import mlflow
import pandas as pd
import pytest
from tests.functional.conftest import write_study


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def server(folder, port):
    """`mlflow server` on loopback, its store and artifacts in `folder`."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    with (folder / "server.log").open("a") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            answers(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def answers(port, process):
    for _ in range(240):
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200
                return
        except OSError:
            assert process.poll() is None, "the server has ended"
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


@pytest.mark.slow
def test_a_run_goes_to_a_server_and_waits_on_disk_while_it_is_away(propensity, quick_text, tmp_path):
    study, port = write_study(tmp_path / "configs", quick_text), free_port()
    with server(tmp_path, port) as uri:
        first = propensity("train", study, "--out", tmp_path / "runs", "--tracking-uri", uri, "--json")
        assert first.code == 0, first.err
        assert first.json["tracking"]["uri"] == uri
        given = ("score", study, "--as-of", "2025-08-29", "--tracking-uri", uri, "--model")
        scored = propensity(*given, "models:/demo@challenger", "--out", tmp_path / "list.parquet")
        assert scored.code == 0, scored.err
    own = pd.read_parquet(tmp_path / "runs" / "latest" / "prospects.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "list.parquet"), own)

    away = propensity("train", study, "--out", tmp_path / "runs", "--tracking-uri", uri)
    assert away.code == 3
    assert "The run is kept" in " ".join(away.err.split())
    run = (tmp_path / "runs" / "latest").resolve()
    assert (run / "prospects.parquet").exists()
    assert not (run / "tracking.json").exists()
    still = propensity("track", run, "--tracking-uri", uri)
    assert still.code == 3
    assert not (run / "tracking.json").exists()

    with server(tmp_path, port) as uri:
        sent = propensity("track", run, "--tracking-uri", uri, "--json")
        assert sent.code == 0, sent.err
        again = propensity("track", run, "--tracking-uri", uri, "--json")
        assert again.json == sent.json
        client = mlflow.MlflowClient(uri)
        late, early = (client.get_run(facts["run_id"]) for facts in (sent.json, first.json["tracking"]))
        differ = {"propensity.run", "mlflow.runName", "mlflow.log-model.history"}
        of_model = [{k: v for k, v in one.data.metrics.items() if not k.startswith("system/")} for one in (late, early)]
        assert of_model[0] == of_model[1]
        assert late.data.params == early.data.params
        assert {k: v for k, v in late.data.tags.items() if k not in differ} == {
            k: v for k, v in early.data.tags.items() if k not in differ
        }
        names = [{file.path for file in client.list_artifacts(one.info.run_id)} for one in (late, early)]
        assert names[0] == names[1]
        assert late.inputs.dataset_inputs[0].dataset.name == "demo-train"
        challenger = client.get_model_version_by_alias("demo", "challenger")
        assert (str(challenger.version), challenger.run_id) == ("2", late.info.run_id)
