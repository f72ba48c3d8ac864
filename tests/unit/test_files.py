"""Output appears whole or not at all."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from propensity.errors import InputError
from propensity.files import escape_formulas, point_latest, require_link, to_json, whole_file, whole_folder, write_list


def fail(error: type[BaseException], *, after: Path) -> None:
    """Write something, and fail."""
    after.write_text("half")
    raise error


def test_folder_appears_at_the_end_of_the_block(tmp_path):
    place = tmp_path / "a" / "b" / "run"
    with whole_folder(place) as work:
        (work / "file").write_text("x")
        assert not place.exists()
        assert work.parent == place.parent  # on the same disk, so that it can be moved at once
    assert (place / "file").read_text() == "x"
    assert [path.name for path in place.parent.iterdir()] == ["run"]
    assert place.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_folder_of_a_failed_block_vanishes_with_its_parents(tmp_path, error):
    with pytest.raises(error), whole_folder(tmp_path / "a" / "b" / "run") as work:
        fail(error, after=work / "file")
    assert list(tmp_path.iterdir()) == []


def test_parents_that_were_there_stay(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "a" / "b" / "run"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert list((tmp_path / "a").iterdir()) == []


def test_parents_that_another_run_uses_stay(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "runs" / "mine"):
        fail(RuntimeError, after=tmp_path / "runs" / "another")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["another"]


def test_folder_that_is_taken_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("x")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "run") as work:
        (work / "new").write_text("y")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "old"]


def test_file_replaces_the_old_one_at_the_end_of_the_block(tmp_path):
    place = tmp_path / "list.csv"
    place.write_text("old")
    with whole_file(place) as work:
        assert work.suffix == ".csv"
        work.write_text("new")
        assert place.read_text() == "old"
    assert place.read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]


def test_file_of_a_failed_block_vanishes_and_the_old_one_stays(tmp_path):
    place = tmp_path / "list.csv"
    place.write_text("old")
    with pytest.raises(RuntimeError), whole_file(place) as work:
        fail(RuntimeError, after=work)
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_latest_is_switched(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_latest(tmp_path, to=name)
        assert (tmp_path / "latest").resolve() == tmp_path / name
    assert (tmp_path / "latest").readlink() == Path("two")  # relative: the runs folder can be moved
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "latest"}


def test_latest_may_point_to_a_run_that_is_gone(tmp_path):
    point_latest(tmp_path, to="gone")
    require_link(tmp_path)
    point_latest(tmp_path, to="new")
    assert (tmp_path / "latest").readlink() == Path("new")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_stands_where_latest_goes_is_not_lost(tmp_path, kind):
    place = tmp_path / "latest"
    place.mkdir() if kind == "folder" else place.write_text("mine")
    with pytest.raises(InputError, match="is not a link"):
        require_link(tmp_path)


def test_json_has_no_nan_and_is_stable():
    values = {
        "nan": math.nan,
        "inf": -math.inf,
        "array": np.array([1.5, np.nan]),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "count": np.int64(3),
        "nested": {"deep": (np.nan, None, "ü")},
        7: True,
    }
    text = to_json(values)
    assert json.loads(text) == {
        "nan": None, "inf": None, "array": [1.5, None], "scalar": 0.5, "flag": True, "count": 3,
        "nested": {"deep": [None, None, "ü"]}, "7": True,
    }  # fmt: skip
    assert text == to_json(values)
    assert text.endswith("}\n")


def test_json_keeps_every_digit():
    value = 0.1 + 0.2
    assert json.loads(to_json([value, np.float64(value)])) == [value, value]


def test_what_is_no_plain_value_is_an_error():
    with pytest.raises(TypeError, match="object is not a plain value"):
        to_json({"x": object()})


@pytest.mark.parametrize("name", ["list.txt", "list", ".parquet"])
def test_list_needs_an_ending(tmp_path, name):
    with pytest.raises(InputError, match=r"neither \.parquet nor \.csv"):
        write_list(pd.DataFrame({"a": [1]}), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_list_is_written_twice_the_same(tmp_path, name):
    frame = pd.DataFrame({"id": ["a", None], "p": [0.1, 1 / 3], "t": pd.to_datetime(["2025-01-01", None])})
    one = write_list(frame, tmp_path / name).read_bytes()
    assert write_list(frame, tmp_path / name).read_bytes() == one


def test_formulas_are_escaped_in_texts_of_every_kind_of_column():
    frame = pd.DataFrame({"object": pd.Series(["=x", 1, None], dtype=object), "text": ["-x", "y", None]})
    frame["category"] = pd.Categorical(["@x", "y", None])
    safe = escape_formulas(frame)
    assert safe["object"].tolist() == ["'=x", 1, None]
    assert safe["text"].tolist()[:2] == ["'-x", "y"]
    assert safe["category"].tolist()[:2] == ["'@x", "y"]
    assert frame["object"].tolist() == ["=x", 1, None]  # the frame given is as it was
