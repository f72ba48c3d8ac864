"""The list's contract: its JSON Schema, and the page that explains it."""

import re
from pathlib import Path

from jsonschema import Draft202012Validator

from propensity.list_schema import list_schema

PAGE = Path(__file__).resolve().parents[2] / "docs" / "list.md"


def test_it_is_a_schema_whose_every_column_is_explained() -> None:
    schema = list_schema()
    Draft202012Validator.check_schema(schema)
    named = set(re.findall(r"`([a-z_]+(?:_\d)?)`", PAGE.read_text(encoding="utf-8")))
    columns = set(schema["properties"]) - {f"{kind}_{i}" for kind in ("reason", "contribution") for i in (2, 3, 4)}
    assert columns - named == set()
    assert all(column["description"] for column in schema["properties"].values())


def test_unknown_columns_and_impossible_values_are_refused() -> None:
    validator = Draft202012Validator(list_schema())
    row = dict.fromkeys(list_schema()["required"])
    row |= {
        "rank": 1,
        "customer_id": "a",
        "probability": 0.2,
        "probability_low": 0.1,
        "probability_high": 1.2,
        "decile": 1,
    }
    row |= {"percentile": 99.0, "grade": "A", "points": 1.0, "base_points": 1.0, "contribution_other": 0.0}
    row |= {"control": False, "model_name": "tea/blend", "model_version": "r1"}
    (high,) = validator.iter_errors(row)
    assert list(high.path) == ["probability_high"]
    row["probability_high"] = 0.4
    assert validator.is_valid({**row, "probability_90d": 0.4, "tier_profit": None})
    assert not validator.is_valid({**row, "probability_soon": 0.4})
