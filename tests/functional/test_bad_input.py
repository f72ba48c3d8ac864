"""What a user can get wrong gives exit code 2 and one clear message, no traceback, and leaves nothing behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest


def refused(answer, *told: str) -> None:
    """The answer is a refusal: exit code 2, one error with all of `told`, no traceback."""
    assert answer.code == 2, (answer.code, answer.err[-2000:])
    assert "Traceback" not in answer.err + answer.out
    assert answer.err.count("error: ") == 1, answer.err
    for text in told:
        assert text in answer.err, answer.err
    assert answer.out == ""


def nothing_left(folder: Path) -> None:
    """Only the study's own files are in the test's folder."""
    assert {path.name for path in folder.iterdir()} <= {"configs", "market"}
    assert {path.name for path in folder.rglob(".*")} == set()


STUDIES: dict[str, tuple[str, str, list[str]]] = {
    "unknown key": ("seed: 7", "sead: 7", ["study.yaml:7", "unknown key 'sead'", "did you mean 'seed'?"]),
    "unknown key below": ("key: customer_id\n    known", "kee: customer_id\n    known", ["'kee'"]),
    "wrong type": ("seed: 7", "seed: many", ["study.yaml:7", "seed", "'many'"]),
    "bad date": ("validation: 2025-06-30", "validation: 2025-06-31", ["study.yaml:", "not a date"]),
    "date as text": ("validation: 2025-06-30", "validation: soon", ["study.yaml:", "validation"]),
    "bad duration": ("horizon: 30d", "horizon: a month", ["horizon", "30d"]),
    "no horizon": (", horizon: 30d", "", ["horizon"]),
    "embargo": ("validation: 2025-06-30", "validation: 2025-06-10", ["embargo", "2025-06-30"]),
    "cutoffs upside down": ("test: 2025-07-30", "test: 2025-01-01", ["embargo"]),
    "window has not passed": (
        "test: 2025-07-30",
        "test: 2025-09-20",
        ["the test cutoff 2025-09-20", "ends 2025-10-20", "Choose a cutoff up to 2025-08-29"],
    ),
    "missing source": ("source: /", "source: /no/such/place/", ["data.source", "does not exist"]),
    "unknown table": ("table: purchases", "table: purchasses", ["data.purchases.table", "Did you mean 'purchases'?"]),
    "unknown column": ("kind: event_type", "kind: event_typ", ["data.events", "Did you mean 'event_type'?"]),
    "unknown attribute": ("income: number", "incomme: number", ["'incomme'", "Did you mean 'income'?"]),
    "unknown column in target": ("age >= 18", "agee >= 18", ["target.criteria.of age", "no column 'agee'", "'age'"]),
    "expression with a call": ("age >= 18", "abs(age) >= 18", ["target.criteria.of age"]),
    "expression with a statement": ("age >= 18", "age >= 18; DROP TABLE customers", ["target.criteria.of age"]),
    "expression with a query": ("age >= 18", "age >= (SELECT 1)", ["target.criteria.of age"]),
    "expression of the wrong type": ("age >= 18", "age >= 'eighteen'", ["target.criteria.of age"]),
    "expression that is no condition": ("age >= 18", "age + 18", ["target.criteria.of age"]),
    "nobody is a target": ("age >= 18", "age >= 180", ["no prospects at the train cutoff", "target customers 0"]),
    "product that nobody bought": (
        "product: home_insurance",
        "product: home_insurence",
        ["nobody bought 'home_insurence'", "'home_insurance'"],
    ),
    "pattern that is none": ("product: home_insurance", "product: {matches: '('}", ["not a regular expression"]),
    "pattern the engine does not know": ("product: home_insurance", "product: {matches: '(?=x)home'}", ["(?="]),
    "pattern that matches nothing": ("product: home_insurance", "product: {matches: 'boat'}", ["nobody bought"]),
    "suppress by an event that is none": ("{event: opted_out}", "{where: 'agee > 1'}", ["target.suppress.where"]),
    "unknown time zone": ("  customers:\n", "  time_zone: Europe/Berlinn\n  customers:\n", ["Europe/Berlin"]),
    "unknown model": ("'single_indicator'", "'random_forest'", ["models"]),
    "no model": ("['single_indicator', 'scorecard']", "[]", ["models"]),
    "blend alone": ("['single_indicator', 'scorecard']", "[blend]", ["a blend needs logistic and lightgbm"]),
    "scorecard without a file": ("scorecard: scorecards/demo.yaml\n", "", ["needs a scorecard file"]),
    "scorecard file missing": ("scorecards/demo.yaml", "scorecards/none.yaml", ["none.yaml"]),
    "stage on a feature that is none": ("events_visit_30d > 0", "events_vizit_30d > 0", ["events_vizit_30d"]),
    "stage that is none": ("  searching:", "  daydreaming:", ["daydreaming"]),
    "environment variable": ("source: /", "source: ${NO_SUCH_PLACE_SET}/", ["NO_SUCH_PLACE_SET", "is not set"]),
    "list after the last record": ("list: 2025-08-29", "list: 2026-02-01", ["after the last record"]),
    "key that differs": ("key: customer_id\n    occurred_at: occurred_at", "key: channel\n    occurred_at: occurred_at",
                         ["data.events", "belongs to a known customer"]),
    "amount that is text": ("amount: amount ", "amount: category ", ["data.purchases"]),
    "time that is a number": ("occurred_at: ordered_at", "occurred_at: amount", ["data.purchases"]),
    "number that is a time": ("income: number", "registered_at: number", ["registered_at"]),
    "single indicator that is none": ("models:", "single_indicator: {feature: luck}\nmodels:", ["luck"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_wrong_study(propensity, make_study, quick_text, tmp_path, name):
    old, new, told = STUDIES[name]
    assert old in quick_text
    answer = propensity("train", make_study(quick_text.replace(old, new, 1)), "--out", tmp_path / "runs", "--no-track")
    refused(answer, *told)
    nothing_left(tmp_path)


@pytest.mark.parametrize("command", ["check", "features", "train"])
def test_study_that_is_not_there(propensity, tmp_path, command):
    refused(propensity(command, tmp_path / "none.yaml"), "none.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a mapping"),
        ("- a\n- b\n", "expected a mapping"),
        ("study: [\n", "not valid YAML"),
        ("\0", "YAML"),
    ],
)
def test_file_that_is_no_study(propensity, tmp_path, text, told):
    study = tmp_path / "study.yaml"
    study.write_text(text)
    refused(propensity("check", study), told)


def empty(table: pd.DataFrame) -> pd.DataFrame:
    return table.head(0)


def doubled(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.head(3)])


def no_key(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(customer_id=None)


def numbers_for_keys(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(customer_id=range(len(table)))


def unreadable_times(table: pd.DataFrame) -> pd.DataFrame:
    time = "occurred_at" if "occurred_at" in table else "ordered_at"
    return table.assign(**{time: "the day before"})


def in_the_future(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(occurred_at=table["occurred_at"] + pd.Timedelta(days=36_500))


def nobody_buys_before_validation(table: pd.DataFrame) -> pd.DataFrame:
    time = table["ordered_at"].dt.tz_localize(None) if table["ordered_at"].dt.tz is not None else table["ordered_at"]
    return table[(table["category"] != "home_insurance") | (time >= "2025-06-30")]


def nested(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(category=[{"a": 1}] * len(table))


TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    "no customers": ("customers", empty, ["data.customers", "'customers' is empty"]),
    "no events": ("events", empty, ["data.events", "'events' is empty"]),
    "no purchases": ("purchases", empty, ["data.purchases", "'purchases' is empty"]),
    "customers twice": ("customers", doubled, ["data.customers.key", "3 values of 'customer_id'"]),
    "customers without keys": ("customers", no_key, ["data.customers.key", "have no 'customer_id'"]),
    "keys of another type": ("customers", numbers_for_keys, ["belongs to a known customer"]),
    "unreadable times": ("purchases", unreadable_times, ["data.purchases", "unreadable"]),
    "all in the future": ("events", in_the_future, ["data.events", "future"]),
    "no positives in train": ("purchases", nobody_buys_before_validation, ["no positives in train"]),
    "a column that is no text": ("purchases", nested, ["'home_insurance'"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_wrong_table(propensity, make_study, quick_text, market, tmp_path, name):
    table, change, told = TABLES[name]
    shutil.copytree(market, tmp_path / "market")
    place = tmp_path / "market" / f"{table}.parquet"
    schema = pq.read_schema(place)  # an empty table keeps its types
    changed = change(pd.read_parquet(place))
    changed.to_parquet(place, index=False, schema=schema if changed.empty else None)
    study = make_study(quick_text.replace(str(market), str(tmp_path / "market")))
    answer = propensity("train", study, "--out", tmp_path / "runs", "--no-track")
    refused(answer, *told)
    nothing_left(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"\x00\xff" * 500])
def test_file_that_is_no_table(propensity, make_study, quick_text, market, tmp_path, content):
    shutil.copytree(market, tmp_path / "market")
    (tmp_path / "market" / "events.parquet").write_bytes(content)
    study = make_study(quick_text.replace(str(market), str(tmp_path / "market")))
    refused(propensity("check", study), "events")


def test_table_cut_short(propensity, make_study, quick_text, market, tmp_path):
    """The end of the file, where Parquet keeps its index, is whole; rows in the middle are not."""
    shutil.copytree(market, tmp_path / "market")
    place = tmp_path / "market" / "events.parquet"
    data = bytearray(place.read_bytes())
    data[1000:200_000] = b"\xff" * 199_000
    place.write_bytes(bytes(data))
    study = make_study(quick_text.replace(str(market), str(tmp_path / "market")))
    refused(propensity("check", study), "data")


SCORECARDS: dict[str, tuple[str, str, list[str]]] = {
    "feature that is none": ("feature: income", "feature: incomme", ["incomme", "income"]),
    "unknown key": ("indicators:", "indikators:", ["demo.yaml:", "indikators"]),
    "buckets out of order": (
        "{below: 7, points: 40}, {below: 30",
        "{below: 90, points: 40}, {below: 30",
        ["demo.yaml"],
    ),
    "points that are text": ("missing: 3", "missing: three", ["demo.yaml", "three"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORECARDS)
def test_wrong_scorecard(propensity, make_study, quick_text, tmp_path, name):
    old, new, told = SCORECARDS[name]
    study = make_study(quick_text)
    scorecard = study.parent / "scorecards" / "demo.yaml"
    text = scorecard.read_text()
    assert old in text
    scorecard.write_text(text.replace(old, new, 1))
    refused(propensity("train", study, "--out", tmp_path / "runs", "--no-track"), *told)
    nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train"], "STUDY"),
        (["trane"], "trane"),
        (["train", "a.yaml", "--fast"], "--fast"),
        (["simulate", "--customers", "many", "--out", "x"], "--customers"),
        (["simulate", "--customers", "10", "--out", "x"], "10"),
        (["score", "a.yaml"], "--out"),
        (["report", "nowhere"], "nowhere"),
        (["track", "nowhere"], "nowhere"),
    ],
)
def test_wrong_option(propensity, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    answer = propensity(*arguments)
    assert answer.code == 2
    assert told in answer.err
    assert "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []


def test_run_that_is_none(propensity, tmp_path):
    refused(propensity("track", tmp_path / "run"), "this is no run's folder")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"study": {}}'])
def test_report_of_what_is_no_run(propensity, tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    refused(propensity("report", tmp_path), "report.json")
    assert not (tmp_path / "report.html").exists()


def test_score_without_a_run(propensity, make_study, quick_text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = propensity("score", make_study(quick_text), "--as-of", "2025-08-29", "--out", "list.csv")
    refused(answer, "there is no model of demo", "Train first")
    nothing_left(tmp_path)


def test_runs_folder_is_a_file(propensity, make_study, quick_text, tmp_path):
    (tmp_path / "runs").write_text("in the way")
    answer = propensity("train", make_study(quick_text), "--out", tmp_path / "runs", "--no-track")
    assert answer.code == 3
    assert answer.err.count("error: ") == 1
    assert (tmp_path / "runs").read_text() == "in the way"


def test_latest_is_a_folder_of_the_users(propensity, make_study, quick_text, tmp_path):
    """What stands where `latest` goes is not removed, and the user is told before the training."""
    (tmp_path / "runs" / "latest").mkdir(parents=True)
    answer = propensity("train", make_study(quick_text), "--out", tmp_path / "runs", "--no-track")
    refused(answer, "latest is not a link")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["latest"]
