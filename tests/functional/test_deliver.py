"""A list goes into a table of a database, DuckDB's or a real PostgreSQL's: whole or not at all."""

import os
import shutil
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import pandas as pd
import psycopg
import pytest
import yaml

from propensity.data.connect import to_frame
from propensity.data.deliver import replace_rows
from propensity.errors import EnvironmentFailedError, InputError

AS_OF, LATER = "2025-08-29", "2025-09-14"
SECRET = "secret-of-the-database"  # noqa: S105


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """The address of a PostgreSQL server on loopback, started for these tests."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("none"))
    program = shutil.which("initdb") or shutil.which("initdb", path=programs)
    if program is None and not os.environ.get("CI"):
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    with as_server(folder) as how, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (folder / "password").write_text(SECRET)
        shutil.chown(folder / "password", how.get("user"))

        def run(command, *arguments):
            subprocess.run(
                [Path(program).with_name(command), *arguments], check=True, capture_output=True, cwd=folder, **how
            )

        run("initdb", "-D", folder / "data", "-U", "writer", "--auth=scram-sha-256", "--no-sync",
            f"--pwfile={folder / 'password'}")  # fmt: skip
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        run("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://writer:{SECRET}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")


@contextmanager
def as_server(folder):
    """Who runs the server: it refuses to be root, so that there Debian's own account does, in a folder it reaches."""
    if os.geteuid() != 0:
        yield {}
        return
    for place in (folder, *folder.parents):
        if place.is_relative_to(tempfile.gettempdir()) and place != Path(tempfile.gettempdir()):
            place.chmod(place.stat().st_mode | 0o011)
    shutil.chown(folder, "postgres")
    yield {"user": "postgres"}


@pytest.fixture(params=["duckdb", "postgres"])
def database(request, tmp_path):
    if request.param == "duckdb":
        return f"duckdb://{tmp_path / 'lists.duckdb'}"
    url = request.getfixturevalue("postgres")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS prospects")
    return url


def stored(url, name="prospects"):
    connection = ibis.connect(url)
    try:
        table = connection.table(name)
        return to_frame(table.order_by("study", "as_of", "rank")), table.schema()
    finally:
        connection.disconnect()


def send(propensity, trained, out, database, *more, as_of=AS_OF):
    return propensity("score", trained.study, "--as-of", as_of, "--model", trained.folder / "bundle", "--out", out,
                      "--database", database, "--table", "prospects", *more)  # fmt: skip


def test_a_list_is_in_the_table_as_in_its_file_once_for_each_date(propensity, trained, tmp_path, database):
    for as_of in (AS_OF, LATER, AS_OF):  # the first date a second time: in place of what was there
        answer = send(propensity, trained, tmp_path / f"{as_of}.parquet", database, as_of=as_of)
        assert answer.code == 0, answer.err
        assert SECRET not in answer.out + answer.err
    rows, schema = stored(database)
    assert (rows["study"] == "demo").all()
    expected = pd.concat([pd.read_parquet(tmp_path / f"{as_of}.parquet") for as_of in (AS_OF, LATER)])
    pd.testing.assert_frame_equal(
        rows.drop(columns="study"), expected.reset_index(drop=True), check_dtype=False, check_exact=True
    )
    kinds = {name: str(schema[name]) for name in ("rank", "probability", "control", "as_of", "reason_5")}
    assert kinds == {"rank": "int64", "probability": "float64", "control": "boolean", "as_of": "timestamp(6)",
                     "reason_5": "string"}  # fmt: skip


def test_a_table_without_a_place_for_a_column_is_left_as_it_was(propensity, trained, tmp_path, database):
    connection = ibis.connect(database)
    connection.create_table("prospects", schema=ibis.schema({"study": "string", "as_of": "timestamp", "rank": "int64"}))
    connection.disconnect()
    answer = send(propensity, trained, tmp_path / "list.parquet", database)
    assert answer.code == 2
    assert "has no column" in answer.err
    assert "customer_id" in answer.err
    assert stored(database)[0].empty
    assert (tmp_path / "list.parquet").exists()


def made(url, columns):
    """A table of the user's own, made by the database's own words."""
    if url.startswith("duckdb"):
        with duckdb.connect(url.removeprefix("duckdb://")) as connection:
            connection.execute(f"CREATE TABLE prospects ({columns})")
        return
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE prospects ({columns})")


def test_what_fails_half_way_leaves_the_rows_that_were_there(database, monkeypatch):
    made(database, "study text, as_of timestamp, rank bigint, name text, CHECK (name <> 'Erika Mustermann')")
    rows = pd.DataFrame({"study": "tea", "as_of": pd.Timestamp("2025-01-01"), "rank": [1, 2, 3], "name": "'; DROP --"})
    same = {"study": "tea", "as_of": pd.Timestamp("2025-01-01").to_pydatetime()}
    replace_rows(database, "prospects", rows, replaced=same)
    monkeypatch.setattr("propensity.data.deliver.CHUNK", 1)
    broken = rows.assign(rank=[7, 8, 9], name=["a", "b", "Erika Mustermann"])
    with pytest.raises(EnvironmentFailedError, match="left as it was") as error:
        replace_rows(database, "prospects", broken, replaced=same)
    assert "Erika" not in str(error.value)
    kept, _ = stored(database)
    pd.testing.assert_frame_equal(kept, rows, check_dtype=False)


def test_a_key_of_the_user_s_own_is_kept_and_its_breach_tells_nobody_s_name(database):
    made(database, "study text, as_of timestamp, rank bigint, name text UNIQUE")
    rows = pd.DataFrame(
        {"study": "tea", "as_of": pd.Timestamp("2025-01-01"), "rank": [1, 2], "name": "Erika Mustermann"}
    )
    with pytest.raises(EnvironmentFailedError, match="left as it was") as error:
        replace_rows(database, "prospects", rows, replaced={"study": "tea", "as_of": rows["as_of"][0].to_pydatetime()})
    assert "Erika" not in str(error.value)
    assert stored(database)[0].empty


@pytest.mark.parametrize("columns", ["study text, as_of date, rank bigint", "study text, as_of timestamp, rank text"])
def test_a_column_of_another_type_is_refused(database, columns):
    made(database, columns)
    rows = pd.DataFrame({"study": "tea", "as_of": pd.Timestamp("2025-01-01 22:00"), "rank": [1, 2]})
    with pytest.raises(InputError, match="another type"):
        replace_rows(database, "prospects", rows, replaced={"study": "tea", "as_of": rows["as_of"][0].to_pydatetime()})


def test_any_name_of_a_column_is_taken(database):
    rows = pd.DataFrame({"study": ["tea"], "rank": [1], "tier_a (100%)": ["gold"], 'tier_"b"': ["none"]})
    replace_rows(database, "prospects", rows, replaced={"study": "tea"})
    connection = ibis.connect(database)
    found = to_frame(connection.table("prospects"))
    connection.disconnect()
    pd.testing.assert_frame_equal(found, rows, check_dtype=False)


def test_rows_of_another_study_or_date_stay(database):
    day = pd.Timestamp("2025-01-01").to_pydatetime()
    one = pd.DataFrame({"study": ["it's"], "as_of": pd.Timestamp(day), "rank": [1]})
    for rows in (one, one.assign(study="other"), one.assign(as_of=pd.Timestamp("2025-02-01"))):
        first = rows.iloc[0]
        replace_rows(database, "prospects", rows,
                     replaced={"study": first["study"], "as_of": first["as_of"].to_pydatetime()})  # fmt: skip
    replace_rows(database, "prospects", one.assign(rank=5), replaced={"study": "it's", "as_of": day})
    assert stored(database)[0]["rank"].tolist() == [5, 1, 1]


def test_rows_without_a_date_are_replaced_too(database):
    rows = pd.DataFrame(
        {"study": ["flat"] * 2, "as_of": pd.Series([pd.NaT] * 2, dtype="datetime64[us]"), "rank": [1, 2]}
    )
    for _ in range(2):
        replace_rows(database, "prospects", rows, replaced={"study": "flat", "as_of": None})
    assert len(stored(database)[0]) == 2


def test_two_at_a_time_do_not_double_the_rows(postgres):
    rows = pd.DataFrame({"study": "twice", "as_of": pd.Timestamp("2025-01-01"), "rank": range(2_000)})
    same = {"study": "twice", "as_of": pd.Timestamp("2025-01-01").to_pydatetime()}
    with ThreadPoolExecutor(4) as pool:
        names = ("raced", "public.raced")  # the same table
        for done in [pool.submit(replace_rows, postgres, names[i % 2], rows, replaced=same) for i in range(4)]:
            done.result()
    assert len(stored(postgres, "raced")[0].query("study == 'twice'")) == 2_000


def test_the_address_may_stand_in_the_environment_and_is_never_told(propensity, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("PROPENSITY_DATABASE", f"postgresql://writer:{SECRET}@127.0.0.1:1/none")
    answer = propensity("score", trained.study, "--as-of", AS_OF, "--model", trained.folder / "bundle",
                        "--out", tmp_path / "list.parquet", "--table", "prospects")  # fmt: skip
    assert answer.code == 3
    assert "cannot connect to postgresql://…" in answer.err
    assert SECRET not in answer.err
    assert (tmp_path / "list.parquet").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--database", "mysql://somewhere", "--table", "prospects"), "duckdb://FILE or postgresql://…"),
        (("--database", "duckdb://", "--table", "prospects"), "duckdb://FILE or postgresql://…"),
        (("--database", "duckdb://:memory:", "--table", "prospects"), "duckdb://FILE or postgresql://…"),
        (("--database", "duckdb://x.duckdb", "--table", "a.b.c"), "'a.b.c' names no table"),
        (("--table", "prospects"), "Name both"),
    ],
)
def test_a_wrong_place_is_told(propensity, trained, tmp_path, monkeypatch, more, told):
    monkeypatch.chdir(tmp_path)
    answer = propensity("score", trained.study, "--as-of", AS_OF, "--model", trained.folder / "bundle", "--out",
                        tmp_path / "list.parquet", *more)  # fmt: skip
    assert answer.code == 2
    assert told in " ".join(answer.err.split())
    assert not list(tmp_path.iterdir())  # told before there is a list


def test_a_study_reads_its_tables_from_a_real_postgresql(propensity, trained, market, postgres, tmp_path, monkeypatch):
    connection = ibis.connect(postgres)
    for file in market.glob("*.parquet"):
        connection.create_table(file.stem, duckdb.read_parquet(str(file)).to_arrow_table())
    connection.disconnect()
    monkeypatch.setenv("SOURCE_OF_TEST", postgres)
    study = yaml.safe_load(trained.study.read_text())
    study["data"]["source"] = "${SOURCE_OF_TEST}"
    own = trained.study.with_name("from_postgres.yaml")
    own.write_text(yaml.safe_dump(study, sort_keys=False))
    answers = [propensity("check", path, "--json") for path in (trained.study, own)]
    assert [answer.code for answer in answers] == [0, 0], answers[1].err
    assert answers[0].json["funnel"] == answers[1].json["funnel"]
    assert SECRET not in answers[1].out + answers[1].err
