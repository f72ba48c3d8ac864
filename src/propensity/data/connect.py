"""Source tables through Ibis: a folder of Parquet or CSV, a DuckDB file, or a warehouse that Ibis reaches.

The only place that knows an engine's own functions. Text files are read without guessing types (leading
zeros of a key survive); the study's roles give every column its type.
"""

import difflib
import os
import re
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from propensity.config import CsvSpec, DataSpec, JoinSpec, TableSpec
from propensity.data.values import read_number, read_text, read_text_number
from propensity.errors import DataError, EnvironmentFailedError

MICROSECONDS_PER_DAY = 86_400_000_000
_MAP_ROWS = 1_000_000
_TEXT = (".csv", ".txt", ".tsv")
_INSTANT = dt.Timestamp(scale=6)
_ZONED = dt.Timestamp("UTC", scale=6)


Alter = Callable[[str, ir.Table], ir.Table]
"""Gives another table in place of a raw one (its name, its rows as the source has them): what an audit changes."""


BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""Turns the batches of a partition into others: what `Source.map_sorted` runs."""


class Express(Protocol):
    """Turns a checked expression's text into a column of a table; handed in, for the rules stand above the data."""

    def __call__(self, text: str, table: ir.Table, place: str, *, condition: bool = True) -> ir.Value:
        """The expression `text` over `table`: a boolean to filter by, or any value where not `condition`."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), _INSTANT))  # type: ignore[untyped-decorator]
def _try_strptime(text: Any, form: Any) -> Any: ...


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, _INSTANT), _ZONED))  # type: ignore[untyped-decorator]
def _at_zone(zone: Any, local: Any) -> Any: ...


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, _ZONED), _INSTANT))  # type: ignore[untyped-decorator]
def _in_zone(zone: Any, instant: Any) -> Any: ...


@ibis.udf.scalar.builtin(name="epoch_us", signature=((_INSTANT,), dt.int64))  # type: ignore[untyped-decorator]
def _epoch_us(instant: Any) -> Any: ...


def utc_to_local(instant: ir.TimestampValue, zone: ZoneInfo) -> ir.TimestampValue:
    """A naive UTC timestamp as a naive local one."""
    return instant if zone.key == "UTC" else _in_zone(zone.key, instant.cast(_ZONED))


def parse_text_time(text: ir.StringValue, form: str | None) -> ir.TimestampValue:
    """Text as a naive timestamp: by a strptime format, or ISO 8601 without one; unreadable text is NULL."""
    return _try_strptime(text, form) if form else text.try_cast(_INSTANT)


def local_to_utc(local: ir.TimestampValue, zone: ZoneInfo) -> ir.TimestampValue:
    """A naive local timestamp as a naive UTC timestamp."""
    return local.cast(_INSTANT) if zone.key == "UTC" else _at_zone(zone.key, local.cast(_INSTANT)).cast(_INSTANT)


def epoch_microseconds(instant: ir.TimestampValue) -> ir.IntegerValue:
    """Microseconds since 1970-01-01 of a naive UTC timestamp."""
    return _epoch_us(instant)


class Source(ABC):
    """The source of a study: its tables by name, read when they are asked for. What an engine does is abstract.

    Parameters
    ----------
    spec : DataSpec
        Where the source is, and which tables are made out of others.
    path : Path
        The source as a path, for a folder or a DuckDB file.
    express : callable
        Turns a checked expression into a column: ``express(text, table, place)``.
    memory_limit : str, optional
        The most memory the engine may take before it spills to disk, such as ``2GB``.
    alter : callable, optional
        Changes each raw table before others are made out of it.
    """

    has_workers: ClassVar[bool] = False
    """Whether `map_sorted` runs on workers, which hold the rows."""

    def __init__(
        self,
        spec: DataSpec,
        path: Path,
        *,
        express: Express,
        memory_limit: str | None = None,
        alter: Alter | None = None,
    ) -> None:
        self._spec, self._path, self._express = spec, path, express
        self._alter: Alter = alter or _as_it_is
        self._made: dict[str, ir.Table] = {}
        self._as_text: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="propensity-")
        try:
            self.connection = self._connect(memory_limit)
        except BaseException:
            self._folder.cleanup()
            raise
        try:
            self._found = self._find_tables()
        except BaseException:
            self.close()
            raise

    def table(self, name: str, *, place: str) -> ir.Table:
        """The table `name`; `place` is the key of the study that asks for it, for the error message."""
        if name not in self._made:
            spec = self._spec.tables.get(name)
            if spec is None and name not in self._found:
                known = sorted({*self._spec.tables, *self._found})
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known) or 'none'}."
                raise DataError(f"{place}: there is no table '{name}' in {_without_secrets(self._spec.source)}. {hint}")
            self._made[name] = self._make(name, spec) if spec else self._alter(name, self._found[name]())
        return self._made[name]

    @abstractmethod
    def close(self) -> None:
        """Close the connection and remove what was kept on disk."""

    @abstractmethod
    def materialise(self, name: str, expression: ir.Table) -> ir.Table:
        """Keep an expression's rows (they spill to disk), so that it runs once."""

    @abstractmethod
    def memtable(self, **columns: Any) -> ir.Table:
        """A table out of arrays."""

    def is_columnar(self, name: str) -> bool:
        """Whether a table is read as it stands, by column: reading it again costs little."""
        return name not in self._spec.tables and name not in self._as_text and self._alter is _as_it_is

    @abstractmethod
    def batches(self, expression: ir.Table, *, rows: int) -> Iterator[pa.RecordBatch]:
        """An expression's rows as Arrow batches, streamed; `rows` is the size that is aimed at."""

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """A folder among the source's temporary files, for the time of the block."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            yield Path(folder)

    @abstractmethod
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
        """Run a function over sorted rows where the engine holds them, and write what it gives as Parquet files.

        Parameters
        ----------
        expression : ibis Table
            The rows.
        key : str
            The column whose rows stay together: all rows of one value go through one call, and into one file.
        order : sequence of str
            The columns that rows of one `key` are sorted by, ascending, missing last.
        function : callable
            Turns an iterator of record batches into one of batches of `schema`. Batches are cut anywhere, also
            between rows of one `key`; an iterator may be empty. Spark sends the function to its workers: a function
            of a module, or a `functools.partial` of one with plain values.
        schema : pyarrow Schema
            The columns of what `function` gives.
        folder : Path
            Where the files go; empty or not there yet. Spark's workers must reach it.
        """

    @abstractmethod
    def _connect(self, memory_limit: str | None) -> Any:
        """The Ibis connection."""

    @abstractmethod
    def _find_tables(self) -> dict[str, Callable[[], ir.Table]]:
        """The source's tables by name, and how each is read."""

    @abstractmethod
    def _read_parquet(self, path: str) -> ir.Table:
        """A Parquet file, or the files that a pattern names."""

    @abstractmethod
    def _read_text(self, path: Path, csv: CsvSpec, columns: tuple[str, ...]) -> ir.Table:
        """A file of delimited text, all columns as text, named `columns` where these are given."""

    def _find_files(self, folder: Path) -> dict[str, Callable[[], ir.Table]]:
        found: dict[str, Callable[[], ir.Table]] = {}
        origins: dict[str, Path] = {}
        for entry in sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            name, reader = self._file_reader(entry)
            if reader is None:
                continue
            if name in found:
                reader = self._reader(self._refuse_ambiguous, name, origins[name], entry)
            found[name], origins[name] = reader, entry
        return found

    def _file_reader(self, entry: Path) -> tuple[str, Callable[[], ir.Table] | None]:
        """The name of the table that a file or folder holds, and how it is read (None: not at all)."""
        if entry.is_dir():
            holds = any(entry.glob("*.parquet"))
            return entry.name, self._reader(self._read_parquet, str(entry / "*.parquet")) if holds else None
        if entry.suffix.lower() == ".parquet":
            return entry.stem, self._reader(self._read_parquet, str(entry))
        if entry.suffix.lower() in _TEXT:
            self._as_text.add(entry.stem)
            return entry.stem, self._reader(self._read_text, entry, self._spec.csv, ())
        return entry.stem, None

    @staticmethod
    def _refuse_ambiguous(name: str, one: Path, other: Path) -> ir.Table:
        raise DataError(
            f"data.source: the table '{name}' could be {one.name} or {other.name}. Remove one, or name the file under "
            "data.tables."
        )

    @staticmethod
    def _reader(function: Callable[..., ir.Table], *args: Any, **kwargs: Any) -> Callable[[], ir.Table]:
        return lambda: function(*args, **kwargs)

    def _make(self, name: str, spec: TableSpec) -> ir.Table:
        place = f"data.tables.{name}"
        table = self._origin(name, spec)
        if spec.row_number:
            table = table.mutate(**{spec.row_number: ibis.row_number() + 1})
        for join in spec.join:
            table = self._join(table, join, place)
        if spec.types:
            require_columns(table, spec.types, place=f"{place}.types")
            table = table.mutate(**{column: READERS[kind](table[column]) for column, kind in spec.types.items()})
        for column, text in spec.compute.items():
            table = table.mutate(**{column: self._express(text, table, f"{place}.compute.{column}", condition=False)})
        if spec.where:
            table = table.filter(self._express(spec.where, table, f"{place}.where"))
        if spec.first:
            require_columns(table, [spec.first.key, spec.first.order], place=f"{place}.first")
            table = with_all(table, [spec.first.key])
            # All columns break ties, so that the row kept does not depend on the order of rows.
            order = [spec.first.order, *[column for column in table.columns if column != spec.first.order]]
            table = first_of_each(table, spec.first.key, order=order)
        if spec.drop:
            require_columns(table, spec.drop, place=f"{place}.drop")
            table = table.drop(*spec.drop)
        return table

    def _origin(self, name: str, spec: TableSpec) -> ir.Table:
        place = f"data.tables.{name}"
        if spec.union:
            parts = [self.table(part, place=f"{place}.union") for part in spec.union]
            for other, part in zip(spec.union[1:], parts[1:], strict=True):
                if set(part.columns) != set(parts[0].columns):
                    different = sorted(set(part.columns) ^ set(parts[0].columns))
                    raise DataError(f"{place}.union: {other} and {spec.union[0]} differ in columns {different}.")
            return _stack(parts, place=f"{place}.union")
        file = self._path / str(spec.file)
        if not file.exists():
            raise DataError(f"{place}.file: {file} does not exist. Put the file there, or change its name.")
        if file.suffix == ".parquet":
            return self._alter(name, self._read_parquet(str(file)))
        return self._alter(name, self._read_text(file, spec.csv or self._spec.csv, spec.columns))

    def _join(self, table: ir.Table, join: JoinSpec, place: str) -> ir.Table:
        other = self.table(join.table, place=f"{place}.join")
        pairs = join.on if isinstance(join.on, dict) else {join.on: join.on}
        require_columns(table, pairs.keys(), place=f"{place}.join.on")
        require_columns(other, pairs.values(), place=f"{place}.join.on ({join.table})")
        keys = list(pairs.values())
        if count := count_repeated(with_all(other, keys), keys):
            raise DataError(
                f"{place}.join: {join.table} has {count:,} values of {', '.join(keys)} more than once, so that rows "
                "would be doubled. Join on a key that is unique there."
            )
        new = [column for column in other.columns if column not in table.columns]
        renamed = other.select(
            **{f"join_key_{i}": other[key] for i, key in enumerate(keys)}, **{name: other[name] for name in new}
        )
        matches = [_alike(table[mine], renamed[f"join_key_{i}"]) for i, mine in enumerate(pairs)]
        return table.join(renamed, matches, how=join.how).select(*table.columns, *new)


def memory_bytes(limit: str | None) -> int:
    """A limit of memory such as ``2GB`` or ``512 MiB`` in bytes; None: four fifths of the machine's, as DuckDB has it.

    Examples
    --------
    >>> memory_bytes("1.5GB"), memory_bytes("512 MiB")
    (1500000000, 536870912)
    """
    if limit is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 4 // 5
    number, unit = re.fullmatch(r"([\d.]+)\s*(\w+)", limit).groups()  # type: ignore[union-attr] # the study's own check
    return int(float(number) * (1024 if "i" in unit else 1000) ** (" MGT".index(unit[0]) + 1))


def connect_duckdb(folder: Path, *, memory_limit: str | None) -> Any:
    """A database in a temporary folder, where it spills too; it fetches no extensions, and its clock is UTC."""
    options: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    if memory_limit:
        options["memory_limit"] = memory_limit
    connection = ibis.duckdb.connect(folder / "work.duckdb", temp_directory=str(folder / "spill"), **options)
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


class DuckSource(Source):
    """A source that DuckDB reads: a folder, a DuckDB file, or a warehouse whose tables it copies."""

    _remote: Any = None

    def close(self) -> None:
        """Close the connections and remove what was spilled to disk."""
        if self._remote is not None:
            self._remote.disconnect()
        self.connection.disconnect()
        self._folder.cleanup()

    def materialise(self, name: str, expression: ir.Table) -> ir.Table:
        """Keep an expression's rows in the temporary database (it spills to disk), so that it runs once."""
        return self.connection.create_table(name, expression)

    def memtable(self, **columns: Any) -> ir.Table:
        """A table out of arrays."""
        return ibis.memtable(pa.table(columns))

    def batches(self, expression: ir.Table, *, rows: int) -> Iterator[pa.RecordBatch]:
        """An expression's rows as Arrow batches, streamed; `rows` is the size that is aimed at."""
        # Ibis 12's own to_pyarrow_batches calls a method that DuckDB 2.0 no longer has.
        yield from self.connection._to_duckdb_relation(expression).to_arrow_reader(rows)

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
        """Run a function over sorted rows, and write what it gives as a Parquet file: see `Source.map_sorted`."""
        require_empty(folder)
        batches = self.batches(expression.order_by([key, *order]), rows=_MAP_ROWS)
        with pq.ParquetWriter(folder / "part-0.parquet", schema) as file:
            for batch in function(batches):
                file.write_batch(batch)

    def _connect(self, memory_limit: str | None) -> Any:
        return connect_duckdb(Path(self._folder.name), memory_limit=memory_limit)

    def _find_tables(self) -> dict[str, Callable[[], ir.Table]]:
        url = self._spec.source
        if "://" in url and not url.startswith("duckdb://"):
            return self._find_remote(url)
        path = self._path if not url.startswith("duckdb://") else Path(url.removeprefix("duckdb://"))
        if path.is_dir():
            return self._find_files(path)
        require_source(path)
        try:
            self.connection.attach(path, name="source", read_only=True)
        except Exception as error:
            raise DataError(f"data.source: {path} is not a DuckDB file ({type(error).__name__}).") from None
        # Ibis 12's own list_tables calls a method that DuckDB 2.0 no longer has.
        listed = self.connection.raw_sql(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_catalog = 'source' AND table_schema = 'main' ORDER BY table_name"
        )
        names = [name for (name,) in listed.fetchall()]
        return {name: self._reader(self.connection.table, name, database=("source", "main")) for name in names}

    def _find_remote(self, url: str) -> dict[str, Callable[[], ir.Table]]:
        """Tables of a warehouse: streamed into the temporary database when they are asked for."""
        try:
            self._remote = remote = ibis.connect(url)
            names = remote.list_tables()
        except Exception as error:  # the message of a driver may hold the password
            raise DataError(
                f"data.source: cannot connect to {_without_secrets(url)} ({type(error).__name__}). Check the address, "
                "and that Ibis's back end for it is installed."
            ) from None
        return {name: self._reader(self._copy, remote, name) for name in names}

    def _copy(self, remote: Any, name: str) -> ir.Table:
        with warnings.catch_warnings():
            # Some of Ibis 12's back ends read an option that pandas 3 deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            # Ibis 12's own create_table would hold all batches in memory.
            self.connection.con.register("incoming", remote.table(name).to_pyarrow_batches())
            copied = self.connection.create_table(f"remote_{name}", self.connection.table("incoming"))
            self.connection.con.unregister("incoming")
        return copied

    def _read_parquet(self, path: str) -> ir.Table:
        try:
            return self.connection.read_parquet(path)
        except Exception as error:
            raise DataError(f"{path}: not a readable Parquet file ({type(error).__name__}).") from None

    def _read_text(self, path: Path, csv: CsvSpec, columns: tuple[str, ...]) -> ir.Table:
        options: dict[str, Any] = {"names": list(columns)} if columns else {}
        try:
            table = self.connection.read_csv(
                str(path), all_varchar=True, delim=csv.separator, header=csv.header, **options
            )
        except Exception as error:
            raise DataError(f"{path}: cannot be read as delimited text: {_first_line(error)}") from None
        if columns and len(columns) != len(table.columns):
            raise DataError(
                f"{path}: {len(columns)} names under 'columns' for {len(table.columns)} columns. Name every column."
            )
        return table


def _alike(left: ir.Value, right: ir.Value) -> ir.BooleanValue:
    """Whether two keys are equal; as texts where only one of them is text."""
    if left.type().is_string() != right.type().is_string():
        return read_text(left) == read_text(right)
    return left == right


def _stack(parts: list[ir.Table], *, place: str) -> ir.Table:
    """Tables of the same columns below one another, in the order of the first; types are widened where they differ."""
    if len(parts) == 1:
        return parts[0]
    types = {}
    for name in parts[0].columns:
        found = [part[name].type() for part in parts]
        try:
            types[name] = dt.highest_precedence(found)
        except TypeError:
            kinds = " and ".join(sorted({str(kind) for kind in found}))
            raise DataError(
                f"{place}: the column '{name}' is {kinds}. Give it one type in all of them (data.tables.….types)."
            ) from None
    return ibis.union(*[part.select(**{n: part[n].cast(kind) for n, kind in types.items()}) for part in parts])


def _without_secrets(url: str) -> str:
    """A source as it may be shown: of an address only the scheme, for the rest may hold a password."""
    return f"{url.split('://', maxsplit=1)[0]}://…" if "://" in url else url


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]


def _as_it_is(_: str, table: ir.Table) -> ir.Table:
    return table


def require_source(path: Path) -> None:
    """Raise DataError unless a study's source is there."""
    if not path.exists():
        raise DataError(
            f"data.source: {path} does not exist. Put the tables there, or change 'source' (a folder of Parquet or CSV "
            "files, a .duckdb file, or an Ibis URL)."
        )


def require_empty(folder: Path) -> None:
    """Make the folder if need be; raise FileExistsError when something is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder}: not empty")


def _source_class(spec: DataSpec) -> type[Source]:
    if not spec.on_spark:
        return DuckSource
    try:
        from propensity.data.spark import SparkSource
    except ImportError as error:
        raise EnvironmentFailedError(
            f"data.engine: Spark is not installed ({error}). Install it with: pip install propensity[spark]"
        ) from None
    return SparkSource


@contextmanager
def open_source(
    spec: DataSpec, path: Path, *, express: Express, memory_limit: str | None = None, alter: Alter | None = None
) -> Iterator[Source]:
    """A `Source` that is closed at the end."""
    source = _source_class(spec)(spec, path, express=express, memory_limit=memory_limit, alter=alter)
    try:
        yield source
    finally:
        source.close()


def to_frame(table: ir.Table) -> pd.DataFrame:
    """A table's rows as a DataFrame."""
    frame: pd.DataFrame = table.to_pyarrow().to_pandas()  # Ibis's own reads an option that pandas 3 deprecates
    return frame


def to_count(number: ir.Value) -> int:
    """A count as an int; no rows count 0."""
    return int(number.to_pyarrow().as_py() or 0)


def first_of_each(table: ir.Table, key: str, *, order: Sequence[Any]) -> ir.Table:
    """The first row by `order` of each value of `key`."""
    return table.filter(ibis.row_number().over(group_by=key, order_by=order) == 0)


def with_all(table: ir.Table, keys: Sequence[str]) -> ir.Table:
    """The rows that have all `keys`."""
    return table.drop_null(list(keys))


def count_repeated(table: ir.Table, keys: Sequence[str]) -> int:
    """How many combinations of `keys` occur more than once."""
    counted = table.select(**{f"key_{i}": table[key] for i, key in enumerate(keys)})
    counted = counted.group_by(counted.columns).agg(rows=ibis._.count())
    return to_count(counted.filter(counted.rows > 1).count())


def table_digest(table: ir.Table) -> int:
    """A digest of a table's rows that does not depend on their order: the sum of the rows' hashes."""
    row = ibis.struct({column: table[column].cast("string") for column in table.columns})
    return int(table.select(h=row.hash()).h.cast("decimal(38, 0)").sum().to_pyarrow().as_py() or 0)


def require_columns(table: ir.Table, columns: Any, *, place: str) -> None:
    """Raise DataError unless all `columns` are in `table`; the message names close matches."""
    for column in columns:
        if column not in table.columns:
            near = difflib.get_close_matches(column, table.columns, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Found: {', '.join(table.columns)}."
            raise DataError(f"{place}: there is no column '{column}'. {hint}")


READERS: dict[str, Callable[[ir.Value], ir.Value]] = {
    "number": read_number,
    "text_number": read_text_number,
    "text": read_text,
}
"""How a type that `data.tables` gives a column reads it."""
