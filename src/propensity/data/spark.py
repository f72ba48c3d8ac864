"""Sources that Spark reads: a folder of Parquet or CSV, or the tables of its catalogue. Needs pyspark and Java."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from csv import Error as CsvError
from csv import reader
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.util import gen_name
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from propensity.config import CsvSpec
from propensity.data.connect import BatchFunction, Source, require_empty, require_source
from propensity.data.spark_session import (
    configure,
    first_line,
    is_running,
    parse_address,
    restore,
    spark_errors,
    start_session,
)
from propensity.data.spark_sql import SparkBackend, quoted
from propensity.errors import ConfigError, DataError


class SparkSource(Source):
    """A source that Spark reads: a folder, or ``pyspark://``, its catalogue.

    A session that runs already is used as it is, and left running; else one is started and stopped at the end.
    """

    has_workers = True

    def close(self) -> None:
        """Stop the session if it is ours; else leave it as it was found."""
        if self._is_ours:
            self.connection.disconnect()
        else:
            for kept in self._kept:
                kept.unpersist()
            for view in self._views:
                self._session.catalog.dropTempView(view)
            restore(self._session, self._before)
        self._folder.cleanup()

    def materialise(self, name: str, expression: ir.Table) -> ir.Table:
        """Keep an expression's rows on the workers' disks, so that it runs once."""
        frame = self.connection.dataframe(expression).persist(StorageLevel.DISK_ONLY)
        self._kept.append(frame)
        return self._table_of(frame, name)

    def memtable(self, **columns: Any) -> ir.Table:
        """A table out of arrays."""
        return ibis.memtable(pa.table(columns))

    def batches(self, expression: ir.Table, *, rows: int) -> Iterator[pa.RecordBatch]:
        """An expression's rows as Arrow batches; the driver holds one of Spark's partitions at a time."""
        with spark_errors():
            packed = self.connection.dataframe(expression).mapInArrow(_pack, "batch binary")
            waiting: list[pa.RecordBatch] = []
            for row in packed.toLocalIterator(prefetchPartitions=False):
                waiting += pa.ipc.open_stream(bytes(row["batch"]))
                if sum(batch.num_rows for batch in waiting) >= rows:
                    yield from _joined(waiting)
                    waiting = []
            yield from _joined(waiting)

    def map_sorted(
        self,
        expression: ir.Table,
        *,
        key: str,
        order: Sequence[str],
        function: BatchFunction,
        schema: pa.Schema,
        folder: Path,
    ) -> None:
        """Run a function over sorted partitions on the workers, which write Parquet files: see `Source.map_sorted`."""
        require_empty(folder)
        columns = [functions.col(quoted(name)) for name in (key, *order)]
        with spark_errors():
            frame = self.connection.dataframe(expression).repartition(columns[0])
            frame = frame.sortWithinPartitions(*[column.asc_nulls_last() for column in columns])
            made = frame.mapInArrow(
                functools.partial(_run, function, schema), from_arrow_schema(schema, prefer_timestamp_ntz=True)
            )
            # One file a partition: were it cut, a customer's rows could lie in two.
            made.write.option("maxRecordsPerFile", 0).mode("append").parquet(f"file://{folder.absolute()}")
        for leftover in [*folder.glob("_SUCCESS"), *folder.glob(".*.crc")]:
            leftover.unlink()

    def _connect(self, memory_limit: str | None) -> SparkBackend:
        self._address = parse_address(self._spec.source)
        self._is_ours = not is_running()
        self._kept: list[DataFrame] = []
        self._views: list[str] = []
        folder = Path(self._folder.name)
        if self._is_ours:
            self._session = start_session(self._address, folder=folder, memory_limit=memory_limit)
        else:
            self._session = SparkSession.active()
        try:
            self._before = configure(self._session, self._address)
        except Exception as error:
            if self._is_ours:
                self._session.stop()
            raise ConfigError(f"data.source: Spark refuses a setting: {first_line(error)}") from None
        connection = SparkBackend()
        connection.do_connect(self._session)
        return connection

    def _find_tables(self) -> dict[str, Callable[[], ir.Table]]:
        if "://" not in self._spec.source:
            require_source(self._path)
            return self._find_files(self._path)
        database = self._address.database
        try:
            tables = self._session.catalog.listTables(database)
        except PySparkException as error:
            raise DataError(
                f"data.source: no database '{database}' in Spark's catalogue: {first_line(error)}"
            ) from None
        return {table.name: self._reader(self._read_catalogue, table) for table in tables}

    def _read_catalogue(self, table: Any) -> ir.Table:
        path = [*([] if table.isTemporary else [table.catalog, *(table.namespace or ())]), table.name]
        return self._table_of(self._session.table(".".join(quoted(part) for part in path if part)), table.name)

    def _table_of(self, frame: DataFrame, name: str) -> ir.Table:
        view = gen_name(f"propensity_{re.sub(r'[^A-Za-z0-9_]', '_', name)}")
        frame.createOrReplaceTempView(view)
        self._views.append(view)
        return self.connection.table(view)

    def _read_parquet(self, path: str) -> ir.Table:
        try:
            files = [Path(path)] if Path(path).exists() else sorted(Path(path).parent.glob(Path(path).name))
            frame = self._session.read.parquet(*[_location(file) for file in files])
            nanoseconds = _nanosecond_columns(files[0])
        except Exception as error:
            raise DataError(f"{path}: not a readable Parquet file ({first_line(error)}).") from None
        for column, zoned in nanoseconds.items():
            count = quoted(column)
            # To the nearest microsecond, as DuckDB has it.
            instant = functions.expr(f"timestamp_micros(({count} + 500L - pmod({count} + 500L, 1000L)) div 1000L)")
            frame = frame.withColumn(column, instant if zoned else instant.cast("timestamp_ntz"))
        return self._table_of(frame, Path(path).stem)

    def _read_text(self, path: Path, csv: CsvSpec, columns: tuple[str, ...]) -> ir.Table:
        # Named here: where Spark finds the names out, it takes brackets in the path for a pattern.
        names = _first_line_values(path, csv)
        if columns and len(columns) != len(names):
            raise DataError(
                f"{path}: {len(columns)} names under 'columns' for {len(names)} columns. Name every column."
            )
        options = self._session.read.options(
            sep=csv.separator, header=csv.header, quote='"', escape='"', multiLine=True, mode="FAILFAST"
        )
        fields = [StructField(name, StringType()) for name in columns or names]
        return self._table_of(options.schema(StructType(fields)).csv(_location(path)), path.stem)


def _first_line_values(path: Path, csv: CsvSpec) -> list[str]:
    """The names of a text file's columns; made up where it has none, as DuckDB does."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            values = next(reader(lines, delimiter=csv.separator), [])
    except (OSError, UnicodeDecodeError, CsvError) as error:
        raise DataError(f"{path}: cannot be read as delimited text: {first_line(error)}") from None
    if not values:
        raise DataError(f"{path}: cannot be read as delimited text: the first line is empty.")
    names = [value.strip() if csv.header and value.strip() else f"column{i}" for i, value in enumerate(values)]
    before = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name}_{count}" if count else name for name, count in zip(names, before, strict=True)]


def _location(path: Path) -> str:
    """A file as Spark looks for it: it would take brackets for a pattern."""
    return "file://" + re.sub(r"([][{}*?\\])", r"\\\1", str(path.absolute()))


def _nanosecond_columns(file: Path) -> dict[str, bool]:
    """A Parquet file's columns of nanoseconds, which Spark reads as whole numbers, and whether they have a zone."""
    return {
        field.name: field.type.tz is not None
        for field in pq.read_schema(file)
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
    }


def _pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each batch as one value in Arrow's own format: rows one by one would be a hundred times slower."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield pa.record_batch({"batch": pa.array([sink.getvalue().to_pybytes()], pa.binary())})


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return list(pa.Table.from_batches(batches).combine_chunks().to_batches()) if batches else []


def _run(function: BatchFunction, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a worker runs: the function, its batches cast to the schema that Spark was told."""
    for batch in function(batches):
        yield batch.select(schema.names).cast(schema)
