"""A Spark session for a study: the one that is there, or one of our own with quiet, local-friendly settings."""

import argparse
import atexit
import functools
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PySparkException, PythonException
from pyspark.sql import SparkSession

from propensity.errors import ConfigError, DataError, EnvironmentFailedError

SCHEME = "pyspark://"
# What the expressions count on; set on every session, and set back at the end on one that is not ours.
_MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
}
_LOG4J = """rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1}: %m%n
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
"""


@dataclass(frozen=True)
class SparkAddress:
    """What a source ``pyspark://MASTER?KEY=VALUE`` says.

    Attributes
    ----------
    master : str
        Spark's master; empty: the session that is active, spark-submit's, or all cores of this machine.
    database : str or None
        The database (or ``catalogue.database``) whose tables are meant.
    settings : dict
        Spark's own settings.
    """

    master: str = ""
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def parse_address(source: str) -> SparkAddress:
    """The parts of ``pyspark://MASTER?KEY=VALUE``; of a folder, which names none, empty ones.

    Examples
    --------
    >>> parse_address("pyspark://local[2]?database=shop&spark.driver.memory=4g")
    SparkAddress(master='local[2]', database='shop', settings={'spark.driver.memory': '4g'})
    >>> parse_address("data/shop")
    SparkAddress(master='', database=None, settings={})
    """
    if not source.startswith(SCHEME):
        return SparkAddress()
    master, _, query = source.removeprefix(SCHEME).partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    database = settings.pop("database", None)
    for key in settings:
        if not key.startswith("spark."):
            raise ConfigError(
                f"data.source: '{key}' is no setting of Spark. Write pyspark://MASTER?database=NAME&spark.KEY=VALUE, "
                "or pyspark:// for the session that is active."
            )
    return SparkAddress(master=master.rstrip("/"), database=database, settings=settings)


def is_running() -> bool:
    """Whether this process has a Spark context already: a notebook's, a test's."""
    return SparkContext._active_spark_context is not None


def start_session(address: SparkAddress, *, folder: Path, memory_limit: str | None = None) -> SparkSession:
    """Start Spark: defaults, then what ``PYSPARK_SUBMIT_ARGS`` says, then the address.

    Parameters
    ----------
    folder : Path
        Where Spark may keep its warehouse.
    memory_limit : str, optional
        The memory of the driver, such as ``4GB``; half of the machine's where it is not given.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers would take the first python3 of the path
    builder = SparkSession.builder
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        _require_java()
        asked = {**({"spark.master": address.master} if address.master else {}), **address.settings}
        wanted = {**_submit_settings(os.environ.get("PYSPARK_SUBMIT_ARGS", "")), **asked}
        defaults = _defaults(wanted.get("spark.master", "local[*]"), folder, memory_limit)
        for key, value in {**defaults, **wanted}.items():
            builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise EnvironmentFailedError(f"data.engine: Spark does not start: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of what Spark says went wrong; never a row."""
    if isinstance(error, Py4JJavaError):
        said = str(_root(error).getMessage() or _root(error).getClass().getName())
    else:
        said = str(error)
    if "MALFORMED" in said:
        return "a line of delimited text has more or fewer values than the first."
    return next(iter(said.strip().splitlines()), type(error).__name__)


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (home and (Path(home) / "bin" / "java").exists())):
        raise EnvironmentFailedError(
            "data.engine: Spark needs Java, which is not on the path. Install Java 17 or 21 (on Debian: "
            "default-jre-headless) beside propensity[spark], or set JAVA_HOME."
        )


@functools.cache
def _scratch() -> Path:
    """Where Spark spills, until the process ends: Java keeps to the folder of its first session."""
    folder = Path(tempfile.mkdtemp(prefix="propensity-spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _defaults(master: str, folder: Path, memory_limit: str | None) -> dict[str, str]:
    """Settings of a session of our own; the environment and the address may say otherwise."""
    log4j = _scratch() / "log4j2.properties"
    log4j.write_text(_LOG4J, encoding="utf-8")
    settings = {
        "spark.master": master,
        "spark.app.name": "propensity",
        "spark.driver.memory": _driver_memory(memory_limit),
        "spark.driver.maxResultSize": "0",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
        "spark.log.level": "FATAL",  # what goes wrong is told as an error, once
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if master.startswith("local"):
        settings["spark.driver.host"] = settings["spark.driver.bindAddress"] = "127.0.0.1"
        settings["spark.local.dir"] = str(_scratch())
        settings["spark.sql.shuffle.partitions"] = str(max(16, 4 * (os.cpu_count() or 4)))
    return settings


def _driver_memory(limit: str | None) -> str:
    """DuckDB's way of writing a memory limit as Spark's; without one, half of the machine's memory."""
    if limit and (given := re.fullmatch(r"\s*([\d.]+)\s*([mgt])i?b?\s*", limit.lower())):
        return f"{int(float(given[1]) * {'m': 1, 'g': 2**10, 't': 2**20}[given[2]])}m"  # Java takes no fractions
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{max(1024, total // 2**21)}m"


def _submit_settings(arguments: str) -> dict[str, str]:
    """The settings that ``PYSPARK_SUBMIT_ARGS`` names: they win over our defaults.

    Examples
    --------
    >>> _submit_settings("--master local[2] --conf spark.ui.enabled=true pyspark-shell")
    {'spark.ui.enabled': 'true', 'spark.master': 'local[2]'}
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--conf", "-c", action="append", default=[])
    parser.add_argument("--master")
    parser.add_argument("--driver-memory")
    given, _ = parser.parse_known_args(shlex.split(arguments))
    named = {"spark.master": given.master, "spark.driver.memory": given.driver_memory}
    settings = dict(pair.partition("=")[::2] for pair in given.conf)
    return {**settings, **{key: value for key, value in named.items() if value}}


def configure(session: SparkSession, address: SparkAddress) -> dict[str, str | None]:
    """Give a session the settings that expressions count on, and the address's; returns what was set before."""
    runtime = {key: value for key, value in address.settings.items() if session.conf.isModifiable(key)}
    before = {key: session.conf.get(key, None) for key in {**runtime, **_MEANING}}
    for key, value in {**runtime, **_MEANING}.items():
        session.conf.set(key, value)
    return before


def restore(session: SparkSession, before: Mapping[str, str | None]) -> None:
    """Set back what `configure` set."""
    for key, value in before.items():
        if value is None:
            session.conf.unset(key)
        else:
            session.conf.set(key, value)


@contextmanager
def spark_errors() -> Iterator[None]:
    """What Spark could not do, as an error that is told to the user."""
    try:
        yield
    except PythonException as error:
        raise EnvironmentFailedError(f"the engine failed: {str(error).strip().splitlines()[-1]}") from error
    except (PySparkException, Py4JJavaError) as error:
        if isinstance(error, Py4JJavaError) and not _root(error).getClass().getName().startswith("org.apache.spark"):
            raise EnvironmentFailedError(f"the engine failed: {first_line(error)}") from error
        raise DataError(
            f"data: the tables cannot be read as the study says: {first_line(error)}\n"
            "Compare the types of the columns that the study names (propensity check), or state their format."
        ) from error
    except Py4JError as error:  # Java is gone
        raise EnvironmentFailedError(f"the engine failed: {first_line(error)}") from error


def _root(error: Py4JJavaError) -> Any:
    """The Java exception that the others were caused by."""
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return cause
