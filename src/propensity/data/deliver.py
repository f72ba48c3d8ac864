"""A prospect list as rows of a database's table, through Ibis: whole or not at all."""

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
_POSTGRES = ("postgres", "postgresql")
_SCHEMES = ("duckdb", *_POSTGRES)


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
        When the address is of another kind, or the table has no place for a column.
    EnvironmentFailedError
        When the database cannot be reached, or refuses the rows. Then it is as it was.
    """
    *schema, name = table.split(".")
    if len(schema) > 1 or not name or "" in schema:
        raise InputError(f"--table: '{table}' names no table. Write NAME, or SCHEMA.NAME.")
    place = {"database": schema[0]} if schema else {}
    columns = ibis.schema({column: _TYPES.get(rows[column].dtype.kind, dt.string) for column in rows.columns})
    with _connected(url) as connection:
        try:
            with _transaction(connection, lock=table) as run:
                _make_room(connection, run, name, place, columns, replaced)
                for start in range(0, len(rows), CHUNK):
                    chunk = ibis.memtable(rows.iloc[start : start + CHUNK], schema=columns)
                    connection.insert(name, chunk, **place)
        except InputError:
            raise
        except Exception as error:  # each driver has errors of its own
            told = str(error).strip().splitlines()
            raise EnvironmentFailedError(
                f"--table: {table} was left as it was, for the database refused the rows: "
                f"{told[0] if told else type(error).__name__}"
            ) from error


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
    if missing := [f"{column} ({kind})" for column, kind in columns.items() if column not in there]:
        raise InputError(
            f"--table: {name} has no column {', '.join(missing)}. Add them to the table, or name another one."
        )
    same = [
        sg.column(column, quoted=True).is_(sge.null())
        if value is None
        else sg.column(column, quoted=True).eq(sge.convert(value))
        for column, value in replaced.items()
    ]
    target = sg.table(name, db=place.get("database"), quoted=True)
    run(sge.delete(target, where=sge.and_(*same)).sql(connection.dialect))


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    scheme = url.split("://", maxsplit=1)[0]
    if scheme not in _SCHEMES or "://" not in url:
        raise InputError(
            f"--database: a list is written to {' or '.join(f'{known}://…' for known in _SCHEMES[:2])}. Name such an "
            "address."
        )
    try:
        connection = ibis.connect(url)
    except ImportError as error:
        raise EnvironmentFailedError(
            f"--database: {scheme}:// needs a driver ({error}). Install it: pip install 'propensity[postgres]'."
        ) from error
    except Exception as error:  # the message of a driver may hold the password
        raise EnvironmentFailedError(
            f"--database: cannot connect to {scheme}://… ({type(error).__name__}). Check the address, and that it is "
            "reachable."
        ) from None
    try:
        yield connection
    finally:
        connection.disconnect()


@contextmanager
def _transaction(connection: Any, *, lock: str) -> Iterator[Callable[[str], Any]]:
    """All that is done in the block, or nothing; on PostgreSQL, blocks with the same `lock` wait for each other.

    What it gives runs a statement.
    """
    if connection.name == "postgres":
        with connection.begin() as cursor:
            key = int.from_bytes(sha256(lock.encode()).digest()[:8], signed=True)
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
