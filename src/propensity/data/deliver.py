"""A prospect list as rows of a database's table, through Ibis: whole or not at all."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pandas as pd
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.common.exceptions import TableNotFound

from propensity.errors import EnvironmentFailedError, InputError

CHUNK = 20_000
"""Rows that are sent at a time: bounds the memory that a driver takes for them."""
_TYPES = {"b": dt.boolean, "i": dt.int64, "u": dt.int64, "f": dt.float64, "M": dt.Timestamp(scale=6)}
_SCHEMES = ("duckdb", "postgres", "postgresql")
_QUOTED = re.compile(r"""(["']).*\1""")


def replace_rows(url: str, table: str, rows: pd.DataFrame, *, replaced: Mapping[str, Any]) -> None:
    """Put rows into a table in place of those that were there for the same thing, in one transaction.

    A table that is not there yet is made. Two at a time wait for each other (PostgreSQL) or the second is refused
    (DuckDB, whose file has one writer).

    Parameters
    ----------
    url : str
        ``duckdb://FILE`` or ``postgresql://…``, as Ibis takes it.
    table : str
        Its name; before a point the schema that it is in.
    rows : DataFrame
        Columns of booleans, integers, floats, instants (naive, UTC) and texts.
    replaced : mapping of str to object
        Columns and values: rows that have all of them go. A value of None means null.

    Raises
    ------
    InputError
        When the address is of another kind, or the table has no place for a column's values.
    EnvironmentFailedError
        When the database cannot be reached, or refuses the rows. Then it is as it was.
    """
    place, name = _place(url, table)
    columns = ibis.schema({column: _TYPES.get(rows[column].dtype.kind, dt.string) for column in rows.columns})
    with _connected(url) as connection:
        try:
            with _transaction(connection, lock=(place.get("database", connection.current_database), name)) as run:
                _make_room(connection, run, name, place, columns, replaced)
                for start in range(0, len(rows), CHUNK):
                    connection.insert(name, _chunk(rows.iloc[start : start + CHUNK], columns), **place)
        except InputError:
            raise
        except Exception as error:  # each driver has errors of its own
            told = _QUOTED.sub("…", next(iter(str(error).strip().splitlines()), ""))  # values of rows stand in quotes
            raise EnvironmentFailedError(
                f"--table: {table} was left as it was, for the database refused the rows: {type(error).__name__} {told}"
            ) from error


def require_place(url: str, table: str) -> None:
    """Raise InputError unless the address is of a kind that lists are written to, and the table's name is one."""
    _place(url, table)


def _place(url: str, table: str) -> tuple[dict[str, str], str]:
    """The schema as Ibis's methods take it, if there is one, and the table's own name."""
    *schema, name = table.split(".")
    if len(schema) > 1 or not name or "" in schema:
        raise InputError(f"--table: '{table}' names no table. Write NAME, or SCHEMA.NAME.")
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or not rest or ":memory:" in rest:
        raise InputError("--database: a list is written to duckdb://FILE or postgresql://…. Name such an address.")
    return ({"database": schema[0]} if schema else {}), name


def _chunk(rows: pd.DataFrame, columns: ibis.Schema) -> ibis.Table:
    """Rows as a table in memory: under plain names on the way, which every driver takes."""
    plain = {f"column_{i}": (name, kind) for i, (name, kind) in enumerate(columns.items())}
    types = ibis.schema({own: kind for own, (_, kind) in plain.items()})
    table = ibis.memtable(rows.set_axis(list(plain), axis=1), schema=types)
    return table.rename({name: own for own, (name, _) in plain.items()})


def _make_room(
    connection: Any,
    run: Callable[[str], Any],
    name: str,
    place: Mapping[str, str],
    columns: ibis.Schema,
    replaced: Mapping[str, Any],
) -> None:
    """The table, with the columns that are needed and without the rows that are replaced."""
    try:
        there = connection.table(name, **place).schema()
    except TableNotFound:
        connection.create_table(name, schema=columns, **place)
        return
    if missing := [f"{column} ({kind})" for column, kind in columns.items() if not _holds(there.get(column), kind)]:
        raise InputError(
            f"--table: {name} has no column {', '.join(missing)}, or one of another type. Add them to the table, or "
            "name another one."
        )
    same = [
        sg.column(column, quoted=True).is_(sge.null())
        if value is None
        else sg.column(column, quoted=True).eq(sge.convert(value))
        for column, value in replaced.items()
    ]
    target = sg.table(name, db=place.get("database"), quoted=True)
    run(sge.delete(target, where=sge.and_(*same)).sql(connection.dialect))


def _holds(there: dt.DataType | None, wanted: dt.DataType) -> bool:
    """Whether a column of the type `there` keeps values of the type `wanted` as they are."""
    if there is None:
        return False
    if wanted.is_timestamp():
        return there.is_timestamp() and there.timezone is None
    if wanted.is_floating():
        return bool(there.is_floating() or there.is_decimal())
    if wanted.is_integer():
        return bool(there.is_integer() or there.is_decimal())
    return bool(there.is_boolean() if wanted.is_boolean() else there.is_string())


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    scheme = url.partition("://")[0]
    try:
        connection = ibis.connect(url)
    except ImportError as error:
        raise EnvironmentFailedError(
            f"--database: {scheme}:// needs a driver ({error}). Install it: pip install 'propensity[postgres]'."
        ) from error
    except Exception as error:  # the message of a driver may hold the password
        raise EnvironmentFailedError(
            f"--database: cannot connect to {scheme}://… ({type(error).__name__}). Check the address, that it is "
            "reachable, and that no other program holds the file."
        ) from None
    try:
        yield connection
    finally:
        connection.disconnect()


@contextmanager
def _transaction(connection: Any, *, lock: tuple[str, str]) -> Iterator[Callable[[str], Any]]:
    """All that is done in the block, or nothing; on PostgreSQL, blocks with the same `lock` wait for each other.

    What it gives runs a statement.
    """
    if connection.name == "postgres":
        with connection.begin() as cursor:
            key = int.from_bytes(sha256("\x1f".join(lock).encode()).digest()[:8], signed=True)
            cursor.execute(sg.select(sg.func("pg_advisory_xact_lock", sge.convert(key))).sql("postgres"))
            yield cursor.execute
        return
    connection.con.begin()
    try:
        yield connection.con.execute
    except BaseException:
        connection.con.rollback()
        raise
    connection.con.commit()
