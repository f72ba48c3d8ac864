"""A flat table's rows: labels, parts and positions, however the file writes its values."""

from collections.abc import Callable
from typing import Any

import pytest

from propensity.errors import ConfigError, DataError
from propensity.samples import read_snapshot_rows

Little = Callable[..., Any]
FLAT = {
    "data": {"customers": {"table": "rows", "key": None, "attributes": {"x": "number"}}, "purchases": None},
    "outcome": {"product": None, "horizon": None, "column": "bought"},
    "cutoffs": None,
    "split": {"column": "part"},
}


def flat(little_study: Little, rows: Any, **changes: Any) -> Any:
    study = {**FLAT, **{key: {**FLAT.get(key, {}), **value} for key, value in changes.items()}}  # type: ignore[dict-item]
    return read_snapshot_rows(little_study(study, rows=rows).load())


def rows(bought: list[Any], part: list[Any] | None = None) -> list[dict[str, Any]]:
    parts = part or ["train", "train", "test", "test"]
    return [{"x": float(i), "bought": b, "part": p} for i, (b, p) in enumerate(zip(bought, parts, strict=True))]


@pytest.mark.parametrize(
    ("bought", "positive"),
    [
        ([1, 0, 1, 0], None),
        ([1.0, 0.0, 1.0, 0.0], None),  # as pandas writes whole numbers where one was missing
        ([True, False, True, False], None),
        (["yes", "no", "yes", "no"], None),
        (["1", "0", " 1", "0 "], None),
        ([True, False, True, False], True),
        (["T", "F", "T", "F"], "T"),
        ([2, 0, 3, 0], [2, 3]),
        ([2.0, 0.0, 2.0, 0.0], 2),
    ],
)
def test_a_label_is_positive_however_it_is_written(bought: list[Any], positive: Any, little_study: Little) -> None:
    changes = {} if positive is None else {"outcome": {"positive": positive}}
    assert flat(little_study, rows(bought), **changes).y.tolist() == [1, 0, 1, 0]


def test_parts_may_be_named_by_numbers_and_flags(little_study: Little) -> None:
    for parts, split in (
        ([1.0, 1.0, 2.0, 3.0], {"train": 1, "validation": 2, "test": 3}),
        ([False, False, None, True], {"train": False, "test": True}),
    ):
        found = flat(little_study, rows([1, 0, 1, 0], parts), split=split).part.tolist()
        assert found == ["train", "train", "validation" if "validation" in split else "", "test"]


def test_rows_stand_as_in_the_file_and_are_their_own_keys(little_study: Little) -> None:
    many = "x,bought,part\n" + "".join(f"{n},{n % 2},{'train' if n < 4000 else 'test'}\n" for n in range(5000))
    found = flat(little_study, many)
    assert found.attributes["x"].tolist() == list(range(5000))
    assert found.keys["customer_id"].tolist() == list(range(1, 5001))
    assert found.keys["cutoff"].isna().all()


def test_an_order_goes_by_number_where_all_are_numbers_and_by_text_otherwise(little_study: Little) -> None:
    shares = {"column": None, "order": "part", "shares": [0.5, 0.25, 0.25]}
    numbered = flat(little_study, rows([1, 0, 1, 0], ["10", "9", "100", "1"]), split=shares)
    assert numbered.part.tolist() == ["validation", "train", "test", "train"]
    dated = flat(little_study, rows([1, 0, 1, 0], ["2025-03", "2025-01", "2025-04", "2025-02"]), split=shares)
    assert dated.part.tolist() == ["validation", "train", "test", "train"]
    with pytest.raises(DataError, match=r"split\.order: 1 rows have no 'part'\. Fill it, or order by rows"):
        flat(little_study, rows([1, 0, 1, 0], ["b", None, "c", "a"]), split=shares)


def test_what_a_snapshot_lacks_is_said(little_study: Little) -> None:
    with pytest.raises(DataError, match=r"outcome\.column: 1 rows have no 'bought'"):
        flat(little_study, rows([1, 0, None, 0]))
    with pytest.raises(DataError, match=r"outcome\.positive: no row is positive; 'bought' holds \['a', 'b'\]"):
        flat(little_study, rows(["a", "b", "a", "b"]))
    with pytest.raises(DataError, match=r"outcome\.positive: all rows are positive"):
        flat(little_study, rows([1, 1, 1, 1]))
    with pytest.raises(DataError, match=r"split: no row belongs to test"):
        flat(little_study, rows([1, 0, 1, 0], ["train"] * 4))
    with pytest.raises(DataError, match=r"outcome and split: there is no column 'parts'\. Did you mean 'part'\?"):
        flat(little_study, rows([1, 0, 1, 0]), split={"column": "parts"})


@pytest.mark.parametrize("column", ["carried_bought", "carried_part", "bought"])
def test_neither_label_nor_split_decides_who_is_a_prospect(column: str, little_study: Little) -> None:
    with pytest.raises(ConfigError, match=column):
        flat(little_study, rows([1, 0, 1, 0]), target={"where": f"{column} = '1'"})


def test_criteria_over_attributes_pick_the_prospects(little_study: Little) -> None:
    found = flat(little_study, rows([1, 0, 1, 0]), target={"where": "x >= 1", "suppress": {"where": "x = 3"}})
    assert found.is_target.tolist() == [False, True, True, True]
    assert found.is_suppressed.tolist() == [False, False, False, True]
