"""A study's file: what it may say, and the message for what it may not, with file, line, found and expected."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from propensity.config import (
    ContactSpec,
    Study,
    fingerprint,
    load_study,
    meaning_fingerprint,
)
from propensity.errors import ConfigError
from propensity.temporal import Duration, to_instant

CONFIGS = Path(__file__).parents[2] / "configs"
STUDY = """\
study: tea
seed: 7
data:
  source: tables
  customers:
    table: customers
    key: customer_id
    attributes: {region: category, born: {type: date, feature: age}}
  events: {table: events, key: customer_id, occurred_at: at, kind: kind}
  purchases: {table: purchases, key: customer_id, occurred_at: at, product: product, amount: amount}
target:
  where: "region = 'north'"
outcome: {product: tea, horizon: 30d}
cutoffs:
  train: {first: 2025-01-01, last: 2025-03-01, every: 1mo}
  validation: 2025-04-01
  test: 2025-05-01
features: {windows: [90d, 7d]}
models: [logistic]
contact: {capacity: 5%}
"""
SNAPSHOT = """\
study: flat
data:
  source: tables
  customers: {table: rows, attributes: {age: number}}
outcome: {column: bought}
split: {column: part}
models: [logistic]
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def changed(*pairs: tuple[str, str], text: str = STUDY) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), start=1) if part in line)


def test_a_study_says_who_when_and_what(write: Write, tmp_path: Path) -> None:
    study = load_study(write(STUDY))
    assert study.study == "tea"
    assert study.source_path == tmp_path / "tables"
    assert not study.is_snapshot
    assert study.outcome.product == ("tea",)
    assert study.outcome.gap == Duration(0, "d")
    assert [str(window) for window in study.features.windows] == ["7d", "90d"]  # from short to long
    assert study.contact.capacity == 0.05
    cutoffs = {split: [f"{c:%Y-%m-%d}" for c in found] for split, found in study.cutoff_instants().items()}
    assert cutoffs == {
        "train": ["2025-01-01", "2025-02-01", "2025-03-01"],
        "validation": ["2025-04-01"],
        "test": ["2025-05-01"],
    }


def test_a_spec_cannot_be_changed(write: Write) -> None:
    study = load_study(write(STUDY))
    with pytest.raises(ValidationError, match="frozen"):
        study.seed = 8


def test_a_grid_of_month_ends_counts_from_its_first_day(write: Write) -> None:
    # Each step counts from 31 January, so that a short February shifts no later cutoff.
    text = changed(
        ("{first: 2025-01-01, last: 2025-03-01, every: 1mo}", "{first: 2024-08-31, last: 2024-11-30, every: 1mo}")
    )
    train = load_study(write(text)).cutoff_instants()["train"]
    assert [f"{c:%Y-%m-%d}" for c in train] == ["2024-08-31", "2024-09-30", "2024-10-31", "2024-11-30"]


def test_cutoffs_are_midnights_of_the_studys_time_zone(write: Write) -> None:
    text = changed(("  source: tables\n", "  source: tables\n  time_zone: Europe/Berlin\n"))
    train = load_study(write(text)).cutoff_instants()["train"]
    assert train[0] == to_instant("2024-12-31T23:00+00:00", zone=ZoneInfo("UTC"))


def test_train_cutoffs_may_be_one_date_or_a_list_in_any_order_or_quoted(write: Write) -> None:
    for given, first in (
        ("2025-03-01", "2025-03-01"),
        ("'2025-03-01'", "2025-03-01"),
        ("[2025-03-01, 2025-01-15]", "2025-01-15"),
        ("2025-03-01T06:00:00+02:00", "2025-03-01"),
    ):
        text = changed(("{first: 2025-01-01, last: 2025-03-01, every: 1mo}", given))
        assert f"{load_study(write(text)).cutoff_instants()['train'][0]:%Y-%m-%d}" == first


# Each case: what is changed in the study, the line that the message must point at, and what it must say.
WRONG: dict[str, tuple[tuple[str, str], str, str]] = {
    "unknown key": (
        ("features: {windows: [90d, 7d]}", "features: {windws: [90d, 7d]}"),
        "windws",
        "unknown key 'windws' in features; did you mean 'windows'?",
    ),
    "unknown key like no other": (
        ("seed: 7", "zebra: 7"),
        "zebra",
        "unknown key 'zebra' in the study; expected one of: about, actionable, approach, avatar, barriers,",
    ),
    "unknown key deep inside": (
        ("born: {type: date, feature: age}", "born: {type: date, feture: age}"),
        "feture",
        "unknown key 'feture' in data.customers.attributes.born; did you mean 'feature'?",
    ),
    "a key of the loaded study only": (
        ("seed: 7", "path: here.yaml"),
        "path:",
        "unknown key 'path' in the study; remove",
    ),
    "missing key": (
        ("    table: customers\n", ""),
        "customers:",
        "data.customers: the key 'table' is missing; add it.",
    ),
    "wrong type": (("seed: 7", "seed: seven"), "seed", "seed: Input should be a valid integer"),
    "negative seed": (("seed: 7", "seed: -7"), "seed", "seed: Input should be greater than or equal to 0 (found -7)"),
    "seed too large for a generator": (
        ("seed: 7", "seed: 2147483648"),
        "seed",
        "seed: Input should be less than 2147483648",
    ),
    "a list where one value belongs": (
        ("  source: tables", "  source: [a, b]"),
        "source:",
        "data.source: Input should be a valid string",
    ),
    "bad name": (("study: tea", "study: my tea!"), "study:", "study: String should match pattern"),
    "bad duration": (
        ("horizon: 30d", "horizon: 30 days"),
        "horizon",
        "outcome.horizon: '30 days' is not a duration: write a whole number and h, d, w, mo or y, such as 30d",
    ),
    "bad duration in a list": (
        ("[90d, 7d]", "[90d, 7]"),
        "windows",
        "features.windows.1: 7 is not a duration",
    ),
    "endless duration": (("[90d, 7d]", "[90d, 2000y]"), "windows", "'2000y' is longer than a century"),
    "no window": (
        ("[90d, 7d]", "[]"),
        "windows",
        "features.windows: name at least one window, each longer than nothing",
    ),
    "window of nothing": (("[90d, 7d]", "[0d]"), "windows", "name at least one window, each longer than nothing"),
    "impossible date": (("validation: 2025-04-01", "validation: 2025-02-30"), "validation", "not a date: day"),
    "impossible short date": (("validation: 2025-04-01", "validation: 2025-2-30"), "validation", "not a date"),
    "impossible quoted date": (
        ("validation: 2025-04-01", "validation: '2025-02-30'"),
        "validation",
        "cutoffs.validation: not a date: write it as 2025-07-01 (found '2025-02-30')",
    ),
    "a number for a date": (
        ("validation: 2025-04-01", "validation: 20250401"),
        "validation",
        "cutoffs.validation: not a date: write it as 2025-07-01 (found 20250401)",
    ),
    "an impossible date in the grid": (
        ("last: 2025-03-01", "last: March"),
        "last",
        "not a date: write it as 2025-07-01",
    ),
    "a grid that goes back": (
        ("last: 2025-03-01", "last: 2024-12-01"),
        "last",
        "cutoffs.train.last: the first train cutoff comes after the last",
    ),
    "a grid that stands still": (("every: 1mo", "every: 0d"), "every", "every must be longer than nothing"),
    "the same cutoff twice": (
        ("{first: 2025-01-01, last: 2025-03-01, every: 1mo}", "[2025-01-01, 2025-01-01T00:00:00Z]"),
        "train",
        "cutoffs.train: name each train cutoff once",
    ),
    "no train cutoff": (
        ("{first: 2025-01-01, last: 2025-03-01, every: 1mo}", "[]"),
        "train",
        "cutoffs.train: name at least one train cutoff",
    ),
    "embargo before validation": (
        ("validation: 2025-04-01", "validation: 2025-03-30"),
        "validation",
        "cutoffs.validation: embargo: the labels of the last train cutoff (2025-03-01) are known from 2025-03-31 00:00 "
        "(label window and reporting lag), after the validation cutoff (2025-03-30 00:00). "
        "Choose a validation cutoff of 2025-03-31 or later",
    ),
    "embargo before test, by the reporting lag": (
        ("horizon: 30d}", "horizon: 30d, reporting_lag: 24h}"),
        "test: 2025",
        "cutoffs.test: embargo: the labels of the last validation cutoff (2025-04-01) are known from 2025-05-02 00:00",
    ),
    "no horizon": (
        ("{product: tea, horizon: 30d}", "{product: tea}"),
        "outcome",
        "outcome: a horizon is needed, such as",
    ),
    "horizon of nothing": (("horizon: 30d", "horizon: 0d"), "outcome", "outcome: a horizon is needed, such as"),
    "two outcomes": (
        ("{product: tea, horizon", "{product: tea, event: {kind: buys}, horizon"),
        "outcome",
        "outcome: name exactly one of product, event, column (found product, event)",
    ),
    "no outcome": (
        ("{product: tea, horizon: 30d}", "{horizon: 30d}"),
        "outcome",
        "outcome: name exactly one of product, event, column (found none)",
    ),
    "a pattern that is none": (
        ("product: tea, horizon", "product: {matches: 'TEA('}, horizon"),
        "outcome",
        "outcome.product.matches: not a regular expression: missing ), unterminated subpattern",
    ),
    "outcome without its table": (
        ("  purchases: {table: purchases, key: customer_id, occurred_at: at, product: product, amount: amount}\n", ""),
        "outcome",
        "outcome: an outcome that is a product needs purchases",
    ),
    "no cutoffs": (
        ("cutoffs:\n", "features_of_cutoffs:\n"),
        "features_of_cutoffs",
        "unknown key 'features_of_cutoffs'",
    ),
    "a split beside cutoffs": (
        ("models: [logistic]", "models: [logistic]\nsplit: {folds: 5}"),
        "split",
        "split: split is for snapshots (outcome: column): remove it",
    ),
    "no key": (("    key: customer_id\n", ""), "customers:", "data.customers: the customers' key is needed"),
    "scorecard missing": (
        ("models: [logistic]", "models: [logistic, scorecard]"),
        "models",
        "models: the model 'scorecard' needs a scorecard file: add scorecard: PATH, or leave the model out",
    ),
    "a blend of nothing": (
        ("models: [logistic]", "models: [logistic, blend]"),
        "models",
        "models: a blend needs logistic and lightgbm beside it",
    ),
    "a model twice": (("models: [logistic]", "models: [logistic, logistic]"), "models", "models: name each model once"),
    "an unknown model": (
        ("models: [logistic]", "models: [catboost]"),
        "models",
        "models: there is no model 'catboost'",
    ),
    "a search without trials": (
        ("models: [logistic]", "models:\n  lightgbm: {tune: {trials: 1}}"),
        "tune",
        "models.lightgbm.tune.trials: Input should be greater than or equal to 2 (found 1)",
    ),
    "an option that a model has not": (
        ("models: [logistic]", "models:\n  lightgbm: {tunes: {trials: 9}}"),
        "tunes",
        "unknown key 'tunes' in models.lightgbm; did you mean 'tune'?",
    ),
    "options of a model that takes none": (
        ("models: [logistic]", "models:\n  logistic: {tune: {trials: 9}}"),
        "tune",
        "unknown key 'tune' in models.logistic",
    ),
    "a direction that is none": (
        ("models: [logistic]", "models:\n  lightgbm: {monotone: {age: up}}"),
        "monotone",
        "models.lightgbm.monotone.age: Input should be 'rising' or 'falling' (found 'up')",
    ),
    "an unknown time zone": (
        ("  source: tables", "  time_zone: Europe/Berln\n  source: tables"),
        "time_zone",
        "data.time_zone: unknown time zone; did you mean Europe/Berlin? (found 'Europe/Berln')",
    ),
    "an unknown type of attribute": (
        ("region: category", "region: text"),
        "region",
        "Input should be 'date', 'number', 'text_number', 'category', 'ordinal' or 'boolean' (found 'text')",
    ),
    "a share above one": (
        ("  source: tables", "  max_unreadable: 200%\n  source: tables"),
        "max_unreadable",
        "data.max_unreadable: Input should be less than or equal to 1",
    ),
    "a share that is none": (
        ("capacity: 5%", "capacity: some%"),
        "capacity",
        "contact.capacity: could not convert string",
    ),
    "no capacity": (("capacity: 5%", "capacity: 0"), "capacity", "contact.capacity: Input should be greater than 0"),
    "a table out of nowhere": (
        ("  source: tables", "  source: tables\n  tables: {more: {where: a > 1}}"),
        "more",
        "data.tables.more: a table comes from either 'file' or 'union'",
    ),
    "an attribute with a name in use": (
        ("region: category", "tenure_days: number"),
        "attributes",
        "the name 'tenure_days' is in use by the canonical tables: give the column another name",
    ),
    "an event's attribute with a name in use": (
        ("kind: kind}", "kind: kind, attributes: [occurred_at]}"),
        "attributes: [occurred_at]",
        "the name 'occurred_at' is in use by the canonical tables",
    ),
    "two attributes, one feature": (
        ("region: category", "age: number"),
        "attributes",
        "two attributes would be the feature 'age'",
    ),
}


@pytest.mark.parametrize(
    "written",
    [
        "models: [logistic, lightgbm]",
        "models: [logistic, lightgbm: {tune: {trials: 9}}]",
        "models:\n  lightgbm: {tune: {trials: 9}}\n  logistic:",
        "models: {lightgbm: {tune: {trials: 9}}, logistic: {}}",
    ],
)
def test_models_are_a_list_or_a_mapping_to_their_options(written: str, write: Write, schema: dict[str, Any]) -> None:
    path = write(changed(("models: [logistic]", written)))
    models = load_study(path).models
    assert models.names == ("logistic", "lightgbm")
    assert models.lightgbm is not None
    assert (models.lightgbm.tune is not None and models.lightgbm.tune.trials == 9) == ("tune" in written)
    assert findings(schema, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_file_line_found_and_expected(case: str, write: Write) -> None:
    change, place, message = WRONG[case]
    text = changed(change)
    path = write(text)
    with pytest.raises(ConfigError) as error:
        load_study(path)
    lines = str(error.value).splitlines()
    assert lines[0].startswith(f"{path}:{line_of(text, place)}: ")
    assert message in lines[0]
    assert len(lines) == 1, "one mistake, one message"


def test_the_boundary_of_the_embargo_belongs_to_the_allowed_side(write: Write) -> None:
    # The last train label window is [2025-03-01, 2025-03-31): a validation cutoff on the 31st sees only matured labels.
    study = load_study(write(changed(("validation: 2025-04-01", "validation: 2025-03-31"))))
    assert study.matures_at(study.cutoff_instants()["train"][-1]) == study.cutoff_instants()["validation"][0]


def test_several_mistakes_are_told_at_once(write: Write) -> None:
    text = changed(("seed: 7", "seed: seven"), ("horizon: 30d", "horizon: soon"), ("capacity: 5%", "capacty: 5%"))
    with pytest.raises(ConfigError) as error:
        load_study(write(text))
    assert [f"{line_of(text, part)}: " in line for part, line in zip(
        ("seed", "horizon", "capacty"), str(error.value).splitlines(), strict=True
    )] == [True] * 3  # fmt: skip


def test_first_purchase_as_the_beginning_needs_purchases(write: Write) -> None:
    text = changed(
        ("  purchases: {table: purchases, key: customer_id, occurred_at: at, product: product, amount: amount}\n", ""),
        ("{product: tea, horizon: 30d}", "{event: {kind: buys}, horizon: 30d}"),
        ("    key: customer_id\n", "    key: customer_id\n    known_from: first_purchase\n"),
    )
    path = write(text)
    line = line_of(text, "known_from")
    with pytest.raises(ConfigError, match=rf"study.yaml:{line}: data.customers.known_from: .* needs purchases"):
        load_study(path)


def test_an_attribute_may_bear_any_other_name(write: Write) -> None:
    text = changed(("kind: kind}", "kind: kind, attributes: [day, time, known, n, version, product]}"))
    assert load_study(write(text)).data.events is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [tea\n", "study.yaml:2: not valid YAML: expected ',' or ']'"),
        ("study: a\nseed: 1\nseed: 2\n", 'study.yaml:3: not valid YAML: found duplicate key "seed" with value "2"'),
        ("study: a\n\tseed: 1\n", "study.yaml:2: not valid YAML: found character"),
        ("", "study.yaml:1: found an empty file, expected a mapping of keys such as 'study:'."),
        ("# only a remark\n", "study.yaml:1: found an empty file, expected a mapping"),
        ("just words\n", "study.yaml:1: found one value, expected a mapping"),
        ("- a\n- b\n", "study.yaml:1: found a list, expected a mapping"),
        ("study: a\x00b\n", "study.yaml: not valid YAML"),
    ],
)
def test_what_is_no_yaml_mapping_is_said(text: str, message: str, write: Write) -> None:
    with pytest.raises(ConfigError) as error:
        load_study(write(text))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_or_unreadable_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read .* Name an existing YAML file\."):
        load_study(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("study: café\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: cannot be read \('utf-8' codec"):
        load_study(tmp_path / "latin.yaml")


def test_texts_take_environment_variables(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = changed(("source: tables", "source: ${TEA_DATA}/${TEA_SET:-plain}"))
    path = write(text)
    monkeypatch.delenv("TEA_DATA", raising=False)
    line = line_of(text, "TEA_DATA")
    with pytest.raises(ConfigError, match=rf"study.yaml:{line}: the environment variable TEA_DATA is not set"):
        load_study(path)
    monkeypatch.setenv("TEA_DATA", "/srv/tea")
    assert load_study(path).source_path == Path("/srv/tea/plain")
    monkeypatch.setenv("TEA_SET", "green")
    assert load_study(path).source_path == Path("/srv/tea/green")
    monkeypatch.setenv("TEA_DATA", "../up")
    assert load_study(path).source_path == tmp_path.parent / "up" / "green"


def test_a_snapshot_has_a_column_and_a_split_and_no_time(write: Write) -> None:
    study = load_study(write(SNAPSHOT))
    assert study.is_snapshot
    assert study.cutoff_instants() == {}
    assert study.data.customers.key is None


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        (("split: {column: part}\n", ""), "study:", "a snapshot study (outcome: column) needs a split"),
        (
            ("split: {column: part}", "split: {column: part, folds: 5}"),
            "split",
            "split by exactly one of column, order, folds",
        ),
        (("split: {column: part}", "split: {}"), "split", "split by exactly one of column, order, folds (found none)"),
        (
            ("split: {column: part}", "split: {folds: 1}"),
            "split",
            "split.folds: Input should be greater than or equal to 2",
        ),
        (
            ("split: {column: part}", "split: {order: rows, shares: [0.5, 0.5, 0.5]}"),
            "split",
            "split: shares are three numbers above 0 that add up to 1",
        ),
        (
            (
                "models: [logistic]",
                "models: [logistic]\ncutoffs: {train: 2025-01-01, validation: 2025-02-01, test: 2025-03-01}",
            ),
            "cutoffs",
            "cutoffs: a snapshot study has no cutoffs: remove them",
        ),
        (
            (
                "attributes: {age: number}}",
                "attributes: {age: number}}\n  events: {table: e, key: k, occurred_at: t, kind: k}",
            ),
            "data",
            "data: a snapshot study has no events, purchases or contacts: remove them",
        ),
    ],
)
def test_what_a_snapshot_may_not_say(change: tuple[str, str], place: str, message: str, write: Write) -> None:
    text = changed(change, text=SNAPSHOT)
    path = write(text)
    with pytest.raises(ConfigError) as error:
        load_study(path)
    assert str(error.value).startswith(f"{path}:{line_of(text, place)}: ")
    assert message in str(error.value)


def test_a_capacity_is_a_share_up_to_one_and_a_count_above() -> None:
    assert ContactSpec(capacity=0.05).share(10_000) == 0.05
    assert ContactSpec(capacity=250).share(10_000) == 0.025
    assert ContactSpec(capacity=250).share(100) == 1.0


def test_fingerprints_change_with_what_is_said(write: Write) -> None:
    study = load_study(write(STUDY))
    again = load_study(write(STUDY + "# a remark changes nothing\n"))
    seeded = load_study(write(changed(("seed: 7", "seed: 8"))))
    moved = load_study(write(changed(("source: tables", "source: elsewhere"))))
    wider = load_study(write(changed(("[90d, 7d]", "[90d, 1mo]"))))
    assert fingerprint(study) == fingerprint(again)
    assert len({fingerprint(s) for s in (study, seeded, moved, wider)}) == 4
    # A model means the same wherever its tables are, and whatever the seed was.
    assert meaning_fingerprint(study) == meaning_fingerprint(seeded) == meaning_fingerprint(moved)
    assert meaning_fingerprint(study) != meaning_fingerprint(wider)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return Study.model_json_schema()


def plain(node: Any) -> Any:
    """A YAML tree as JSON has it: dates as texts."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node.isoformat() if isinstance(node, dt.date) else node


def findings(schema: dict[str, Any], text: str) -> list[str]:
    tree = plain(YAML(typ="safe").load(text))
    validator = jsonschema.Draft202012Validator(schema)
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(tree)]


def test_the_json_schema_is_valid_and_needs_nothing_of_its_own(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert "path" not in schema["properties"]
    assert schema["$defs"]["OutcomeSpec"]["properties"]["gap"]["default"] == "0d"
    assert schema["$defs"]["FeaturesSpec"]["properties"]["windows"]["default"] == ["30d", "90d", "365d"]


def test_the_json_schema_takes_the_products_own_studies_and_their_short_forms(schema: dict[str, Any]) -> None:
    studies = sorted(CONFIGS.glob("*.yaml"))
    assert studies
    for path in studies:
        assert findings(schema, path.read_text(encoding="utf-8")) == [], path.name
    assert findings(schema, STUDY) == []
    assert findings(schema, SNAPSHOT) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("features: {windows: [90d, 7d]}", "features: {windws: [90d]}"), "features"),
        (("[90d, 7d]", "[90 days]"), "features.windows.0"),
        (("region: category", "region: text"), "data.customers.attributes.region"),
        (("capacity: 5%", "capacity: five"), "contact.capacity"),
        (("models: [logistic]", "models: [catboost]"), "models"),
    ],
)
def test_the_json_schema_refuses_what_the_study_does(
    change: tuple[str, str], place: str, schema: dict[str, Any]
) -> None:
    assert findings(schema, changed(change)) == [place]
