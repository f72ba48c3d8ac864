"""What tests share: little studies written from plain values, one small simulated market, and the real data sets."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from propensity.config import Study, load_study
from propensity.data.simulate import simulate
from propensity.data.tables import Tables, open_tables
from propensity.samples import express

ROOT = Path(__file__).parents[1]

# The same examples in every run: a test that fails now and then helps nobody.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.load_profile("same")

Table = pd.DataFrame | pa.Table | list[dict[str, Any]] | str
"""A table as a test states it; a text is the content of a CSV file."""

LITTLE: dict[str, Any] = {
    "study": "little",
    "data": {
        "source": "tables",
        "customers": {"table": "customers", "key": "customer_id"},
        "purchases": {
            "table": "purchases",
            "key": "customer_id",
            "occurred_at": "at",
            "product": "product",
            "amount": "amount",
        },
    },
    "outcome": {"product": "tea", "horizon": "30d"},
    "cutoffs": {"train": ["2025-01-01"], "validation": "2025-03-01", "test": "2025-05-01"},
    "features": {"windows": ["30d"]},
    "models": ["logistic"],
}
EVENTS = {"table": "events", "key": "customer_id", "occurred_at": "at", "kind": "kind"}
"""The role that `events` tables of little studies get when the test names no other."""


@dataclass(frozen=True)
class LittleStudy:
    """A study written to a folder of the test's own, its tables beside it."""

    path: Path

    @property
    def tables_folder(self) -> Path:
        return self.path.parent / "tables"

    def load(self) -> Study:
        return load_study(self.path)

    def open(self, *, today: datetime | None = None) -> AbstractContextManager[Tables]:
        """The study's canonical tables."""
        study = self.load()
        return open_tables(study.data, study.source_path, express=express, today=today)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, section by section; None takes a key away."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def write_table(folder: Path, name: str, table: Table) -> Path:
    """A table as a file: Parquet, or CSV where it is text."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(table, str):
        path = folder / f"{name}.csv"
        path.write_text(table, encoding="utf-8")
        return path
    path = folder / f"{name}.parquet"
    if isinstance(table, list):
        table = pa.Table.from_pylist(table)
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False), path)
    return path


def write_little_study(folder: Path, changes: Mapping[str, Any] | None = None, **tables: Table) -> LittleStudy:
    """The little study with `changes`, and its tables; an `events` table gets its role without being told."""
    spec = LITTLE if "events" not in tables else merged(LITTLE, {"data": {"events": EVENTS}})
    path = folder / "study.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    # JSON is YAML too.
    path.write_text(json.dumps(merged(spec, changes or {}), indent=1), encoding="utf-8")
    for name, table in tables.items():
        write_table(folder / "tables", name, table)
    return LittleStudy(path)


@pytest.fixture
def little_study(tmp_path: Path) -> Callable[..., LittleStudy]:
    """Write a little study: ``little_study({"outcome": {"gap": "7d"}}, customers=[...], purchases=[...])``."""
    count = iter(range(1_000_000))

    def write(changes: Mapping[str, Any] | None = None, **tables: Table) -> LittleStudy:
        return write_little_study(tmp_path / f"little-{next(count)}", changes, **tables)

    return write


@pytest.fixture(scope="session")
def simulated_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a simulated market of 1,000 customers."""
    return simulate(tmp_path_factory.mktemp("simulated") / "market", customers=1_000, seed=7).folder


def real_data(name: str) -> Path:
    """The folder of a real data set; skips the test where it is absent."""
    folder = Path(os.environ.get("PROPENSITY_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / name).is_dir():
        pytest.skip(f"the data set {name} is not here: put it under {folder}, or set PROPENSITY_SHARED_DATA")
    return folder / name


@pytest.fixture
def real_study(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Study]:
    """Load a study of ``configs/`` on its real data set: ``real_study("adventureworks_helmets", "adventureworks")``."""

    def load(study: str, data: str) -> Study:
        monkeypatch.setenv("PROPENSITY_SHARED_DATA", str(real_data(data).parent))
        return load_study(ROOT / "configs" / f"{study}.yaml")

    return load
