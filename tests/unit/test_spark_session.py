"""What Spark is asked for before it starts: addresses, settings, formats, and what is said where it is missing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from propensity.config import DataSpec
from propensity.data.connect import open_source
from propensity.errors import ConfigError, EnvironmentFailedError
from propensity.samples import express

pytest.importorskip("pyspark", reason="Spark is not installed: pip install propensity[spark]")

from propensity.data import spark_session
from propensity.data.spark_session import SparkAddress, parse_address, start_session
from propensity.data.spark_sql import strptime_pattern


def spec(source: str, **more: Any) -> DataSpec:
    return DataSpec.model_validate({"source": source, "customers": {"table": "customers"}, **more})


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("pyspark://", SparkAddress()),
        ("pyspark://local[2]", SparkAddress(master="local[2]")),
        ("pyspark://local[2]/?database=shop", SparkAddress(master="local[2]", database="shop")),
        ("pyspark://?database=hive.shop", SparkAddress(database="hive.shop")),
        ("pyspark://yarn?spark.executor.memory=4g", SparkAddress("yarn", settings={"spark.executor.memory": "4g"})),
        ("pyspark://spark://host:7077", SparkAddress(master="spark://host:7077")),
        ("data/shop", SparkAddress()),
    ],
)
def test_an_address_names_master_database_and_settings(source: str, address: SparkAddress) -> None:
    assert parse_address(source) == address


def test_an_address_names_nothing_else() -> None:
    with pytest.raises(
        ConfigError, match=r"data\.source: 'partitions' is no setting of Spark\. Write pyspark://MASTER"
    ):
        parse_address("pyspark://local[2]?partitions=8")


def test_settings_that_were_submitted_win_over_defaults() -> None:
    arguments = "--master yarn --conf spark.ui.enabled=true -c 'spark.x=a b' --driver-memory 3g --name n pyspark-shell"
    assert spark_session._submit_settings(arguments) == {
        "spark.master": "yarn",
        "spark.ui.enabled": "true",
        "spark.x": "a b",
        "spark.driver.memory": "3g",
    }
    assert spark_session._submit_settings("pyspark-shell") == {}


def test_defaults_of_one_machine_are_not_those_of_a_cluster(tmp_path: Path) -> None:
    local = spark_session._defaults("local[2]", tmp_path, "2GB")
    cluster = spark_session._defaults("yarn", tmp_path, None)
    assert local["spark.driver.memory"] == "2048m"
    assert cluster["spark.driver.memory"].endswith("m")
    assert set(local) - set(cluster) == {
        "spark.driver.host",
        "spark.driver.bindAddress",
        "spark.local.dir",
        "spark.sql.shuffle.partitions",
    }


@pytest.mark.parametrize(
    ("limit", "memory"), [("4GB", "4096m"), ("512 MiB", "512m"), ("1.5GB", "1536m"), ("2g", "2048m")]
)
def test_memory_is_written_in_sparks_way(limit: str, memory: str) -> None:
    assert spark_session._driver_memory(limit) == memory


def test_a_folder_or_the_catalogue_is_read_by_spark_and_nothing_else() -> None:
    assert not spec("tables").on_spark
    assert spec("tables", engine="spark").on_spark
    assert spec("pyspark://local[2]").on_spark
    for source in ("shop.duckdb", "postgres://host/shop", "duckdb://shop"):
        with pytest.raises(ValidationError, match="Spark reads a folder of Parquet or CSV files, or pyspark://"):
            spec(source, engine="spark")
    with pytest.raises(ValidationError, match="'duckdb' or 'spark'"):
        spec("tables", engine="polars")


def test_without_pyspark_it_is_said_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("propensity.data.spark")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("propensity.data.spark", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with (
        pytest.raises(EnvironmentFailedError, match=r"Spark is not installed .*pip install propensity\[spark\]"),
        open_source(spec(str(tmp_path), engine="spark"), tmp_path, express=express),
    ):
        pass


def test_without_java_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    with pytest.raises(EnvironmentFailedError, match=r"Spark needs Java.*propensity\[spark\]"):
        start_session(SparkAddress(master="local[1]"), folder=tmp_path)


def test_a_format_that_spark_cannot_read_is_refused() -> None:
    assert strptime_pattern("%d.%m.%Y")[1] == ["d", "m", "Y"]
    for form in ("%Y-%j", "%Y-%m-%d %z", "%s"):
        with pytest.raises(ConfigError, match=r"format: Spark cannot read '%[jzs]' of"):
            strptime_pattern(form)
