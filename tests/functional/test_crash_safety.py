"""A crash leaves nothing half-written, and two trainings at once do not disturb each other."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from propensity import pipelines, run_folder
from propensity.bundle import load_bundle

COMMAND = [sys.executable, "-m", "propensity"]


class CrashError(Exception):
    """Something that nobody foresaw."""


def crash(*_: object, **__: object) -> None:
    raise CrashError


LATE = [
    (run_folder, "save_bundle"),
    (run_folder, "write_list"),
    (run_folder, "write_report"),
    (pipelines, "track_run"),
]


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the bytes of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("module", "step"), LATE)
def test_crash_while_writing_leaves_the_runs_as_they_were(quick, tmp_path, monkeypatch, module, step):
    study, runs = quick.study, quick.runs
    before = everything(runs)
    monkeypatch.setattr(module, step, crash)
    with pytest.raises(CrashError):
        train(study, runs, f"sqlite:///{tmp_path / 'mlflow.db'}" if step == "track_run" else None)
    assert everything(runs) == before
    assert load_bundle(runs / "latest" / "bundle")


def train(study: Path, runs: Path, uri: str | None = None) -> None:
    from propensity import api

    api.train(study, out=runs, track=uri is not None, tracking_uri=uri)


def test_crash_of_the_first_run_leaves_no_folder(quick, tmp_path, monkeypatch):
    study = quick.study
    monkeypatch.setattr(run_folder, "write_report", crash)
    with pytest.raises(CrashError):
        train(study, tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()


def test_crash_inside_mlflow_leaves_no_run_that_looks_finished(quick, tmp_path, monkeypatch):
    from propensity import tracking

    study, runs = quick.study, quick.runs
    before = everything(runs)
    monkeypatch.setattr(tracking, "_log_model", crash)
    with pytest.raises(CrashError):
        train(study, runs, f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert everything(runs) == before
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert {row[0] for row in store.execute("select status from runs where name like '2%'")} == {"FAILED"}
        assert store.execute("select count(*) from model_versions").fetchone() == (0,)
    store.close()


def test_crash_while_scoring_leaves_the_old_list(propensity, quick, tmp_path, monkeypatch):
    study, runs = quick.study, quick.runs
    out = tmp_path / "list.parquet"
    arguments = ("score", study, "--as-of", "2025-08-29", "--runs", runs, "--out", out)
    assert propensity(*arguments).code == 0
    before = everything(tmp_path)
    for broken in ("to_parquet", "to_csv"):
        monkeypatch.setattr(pd.DataFrame, broken, crash)
    with pytest.raises(CrashError):
        propensity(*arguments[:-1], tmp_path / "new" / "list.csv")
    with pytest.raises(CrashError):
        propensity(*arguments)
    assert everything(tmp_path) == before


def test_bundle_is_written_whole_or_not_at_all(quick, tmp_path, monkeypatch):
    from propensity.bundle import save_bundle

    bundle = load_bundle(quick.runs / "latest" / "bundle")
    written = []

    def full_disk(path: Path, *_: object, **__: object) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        path.touch()

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_bundle(bundle, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def start_training(study: Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "train", str(study), "--out", str(folder / "runs"), "--tracking-uri",
         f"sqlite:///{folder / 'mlflow.db'}", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip


def test_two_trainings_at_once_do_not_disturb_each_other(quick, tmp_path):
    """Same study, same out folder, same SQLite store that neither has laid out yet."""
    study, runs = quick.study, quick.runs
    both = [start_training(study, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], [err for _, err in said]
    folders = [Path(json.loads(out)["folder"]) for out, _ in said]
    names = {folder.name for folder in folders}
    assert len(names) == 2
    assert {path.name for path in (tmp_path / "runs").iterdir()} == names | {"latest"}
    assert (tmp_path / "runs" / "latest").resolve().name in names
    for folder in folders:
        assert (folder / "metrics.json").read_bytes() == (runs / "latest" / "metrics.json").read_bytes()
        assert load_bundle(folder / "bundle").about["run"] == folder.name
    versions = {json.loads((folder / "tracking.json").read_text())["model_version"] for folder in folders}
    assert versions == {"1", "2"}
    store = sqlite3.connect(tmp_path / "mlflow.db")
    statuses = [row[0] for row in store.execute("select status from runs")]
    store.close()
    assert statuses == ["FINISHED"] * 6  # two runs, each with a nested run for its two models


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_stopped_training_leaves_nothing(quick, tmp_path, name):
    study = quick.study
    process = start_training(study, tmp_path)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "runs").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, 1, 2)
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()
