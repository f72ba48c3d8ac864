"""A small simulated market, a small study of it, and one training that all functional tests look at."""

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from propensity import cli
from propensity.data.simulate import simulate

CUSTOMERS = 1_500
SHIPPED = resources.files("propensity") / "data" / "demo"


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=_not_json)


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


Command = Callable[..., Answer]


@dataclass(frozen=True)
class Trained:
    """The one training: its study, its run, and what the command answered."""

    study: Path
    runs: Path
    folder: Path
    uri: str
    answer: dict[str, Any]

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def run(*arguments: object) -> Answer:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["propensity", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    return Answer(code=int(end.value.code or 0), out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="session")
def propensity() -> Command:
    """The command line, run in this process: ``propensity("train", study, "--no-track")``."""
    return run


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated market of 1,500 customers."""
    return simulate(tmp_path_factory.mktemp("market") / "tables", customers=CUSTOMERS, seed=7).folder


def small_study(market: Path) -> str:
    """The demo's study with fewer cutoffs and windows, on `market`."""
    text = (SHIPPED / "demo.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("source: ../data/demo ", f"source: {market} "),
        ("train: {first: 2025-01-01, last: 2025-05-31, every: 30d}", "train: [2025-05-01, 2025-05-31]"),
        ("windows: [7d, 30d, 90d, 365d]", "windows: [30d]"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return re.sub(r"_(90|365)d\b", "_30d", text)


def write_study(folder: Path, text: str) -> Path:
    """A study file with the demo's scorecards and wordings beside it."""
    for name in ("scorecards", "wording"):
        shutil.copytree(str(SHIPPED / name), folder / name, dirs_exist_ok=True)
    study = folder / "study.yaml"
    study.write_text(text, encoding="utf-8")
    return study


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[[str], Path]:
    """Write a study file, its scorecard beside it, in a folder of the test's own."""
    return lambda text: write_study(tmp_path / "configs", text)


def only(text: str, *models: str) -> str:
    """The study with these models only: quick to train."""
    return text.replace("models: [single_indicator, scorecard, logistic, lightgbm, blend]", f"models: {list(models)}")


@pytest.fixture(scope="session")
def study_text(market: Path) -> str:
    return small_study(market)


@pytest.fixture(scope="session")
def quick_text(study_text: str) -> str:
    """The small study with the two models that need no tuning."""
    return only(study_text, "single_indicator", "scorecard")


@pytest.fixture(scope="session")
def trained(study_text: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The small study, trained once by the command line, logged to MLflow on SQLite."""
    folder = tmp_path_factory.mktemp("trained")
    study = write_study(folder / "configs", study_text)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    answer = run("train", study, "--out", folder / "runs", "--tracking-uri", uri, "--json")
    assert answer.code == 0, answer.err
    said = answer.json
    return Trained(study=study, runs=folder / "runs", folder=Path(said["folder"]), uri=uri, answer=said)


@dataclass(frozen=True)
class Quick:
    """A run of the two models that need no tuning, not logged to MLflow, and what was printed."""

    study: Path
    runs: Path
    answer: Answer

    @property
    def folder(self) -> Path:
        return (self.runs / "latest").resolve()


@pytest.fixture(scope="session")
def quick(quick_text: str, tmp_path_factory: pytest.TempPathFactory) -> Quick:
    """The small study with the two models that need no tuning, trained once without MLflow."""
    folder = tmp_path_factory.mktemp("quick")
    study = write_study(folder / "configs", quick_text)
    answer = run("train", study, "--out", folder / "runs", "--no-track")
    assert answer.code == 0, answer.err
    return Quick(study=study, runs=folder / "runs", answer=answer)
