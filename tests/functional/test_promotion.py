"""`propensity promote`: from challenger to champion and back, on MLflow's registry."""

import json
import re
import shutil

import mlflow
import pandas as pd
import pytest
import yaml
from tests.functional.conftest import only, write_study

AUDITED = "promotion: {allow: not_worse, margin: 100%, min_buyers: 1, calibration: [0.01, 100], max_drift: 100}\n"
GENEROUS = AUDITED.replace("}", ", audit: false}")  # the audit takes longest, and finds the same each time
STRICT = "promotion: {min_buyers: 100000, audit: false}\n"


@pytest.fixture(scope="module")
def registry(trained, tmp_path_factory):
    """The training's store, copied, with its model registered once more as the next version."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(trained.uri.removeprefix("sqlite:///"), folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)  # where the client looks up the files of a version
    yield uri, mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def aliases(client):
    return {alias: int(version) for alias, version in client.get_registered_model("demo").aliases.items()}


def challenge(client):
    """Register the challenger's files as a new version: another training with the same end."""
    old = client.get_model_version_by_alias("demo", "challenger")
    new = client.create_model_version("demo", old.source, old.run_id)
    client.set_registered_model_alias("demo", "challenger", new.version)
    return int(new.version)


def with_rules(trained, text):
    study = trained.study.with_name("gated.yaml")
    study.write_text(trained.study.read_text(encoding="utf-8") + text, encoding="utf-8")
    return study


def test_from_challenger_to_champion_and_back(propensity, trained, registry, tmp_path):
    uri, client = registry

    def promote(*more, rules=GENEROUS):
        return propensity("promote", with_rules(trained, rules), "--tracking-uri", uri, *more)

    def listed(name):
        place = tmp_path / name
        answer = propensity("score", trained.study, "--as-of", "2025-09-14", "--model", "models:/demo@champion",
                            "--tracking-uri", uri, "--out", place)  # fmt: skip
        assert answer.code == 0, answer.err
        return place.read_bytes()

    assert aliases(client) == {"challenger": 1}
    refused = promote(rules=STRICT)
    assert refused.code == 1
    assert "Refused: version 1 as the first champion (buyers" in refused.out
    assert aliases(client) == {"challenger": 1}

    said = promote("--json", rules=AUDITED)
    assert said.code == 0, said.err
    assert said.json["is_promoted"] is True
    assert said.json["as_of"] == "2025-08-29"
    assert {rule["name"] for rule in said.json["rules"]} == {
        "buyers", "champion", "scorecard", "calibration", "drift", "leaks",
    }  # fmt: skip
    assert aliases(client) == {"challenger": 1, "champion": 1}
    first = listed("first.parquet")

    again = promote()
    assert again.code == 1
    assert "is the champion already" in again.err
    nowhere = promote("--rollback")
    assert nowhere.code == 1
    assert "no earlier champion" in nowhere.err

    version = challenge(client)
    # the same model again is no better: refused by default, and nothing moves
    same = promote(rules="promotion: {min_buyers: 1, calibration: [0.01, 100], max_drift: 100, audit: false}\n")
    assert same.code == 1
    assert re.search(r"Refused: version \d+ against version 1 \(champion\)", same.out)
    assert aliases(client) == {"challenger": version, "champion": 1}
    answer = promote()
    assert answer.code == 0, answer.out
    assert aliases(client) == {"challenger": version, "champion": version, "previous": 1}

    back = promote("--rollback")
    assert back.code == 0, back.err
    assert aliases(client) == {"challenger": version, "champion": 1}
    assert listed("again.parquet") == first

    # a model trained beside a champion says what has changed since that one, whichever run came last
    beside = propensity("train", trained.study, "--tracking-uri", uri, "--out", tmp_path / "runs")
    assert beside.code == 0, beside.err
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text(encoding="utf-8"))
    assert report["since_last"]["what"] == "the champion"
    assert report["since_last"]["run"] == trained.read("report.json")["run"]["id"]
    assert aliases(client) == {"challenger": version + 1, "champion": 1}
    answer = promote("--json")
    assert answer.json["versions"] == {"challenger": str(version + 1), "champion": "1", "now": str(version + 1)}

    runs = client.search_runs(
        [client.get_experiment_by_name("demo").experiment_id], "tags.`propensity.kind` = 'promotion'"
    )
    decisions = [run.data.tags["propensity.decision"] for run in reversed(runs)]
    assert decisions == ["refused", "promoted", "refused", "promoted", "rolled back", "promoted"]
    assert all(run.data.tags["mlflow.user"] for run in runs)
    assert runs[2].data.metrics["challenger_roc_auc"] == runs[2].data.metrics["champion_roc_auc"]


def ever_bought(study):
    """An attribute joined out of purchases of all times: the scramble test proves it."""
    study["data"]["tables"] = {
        "won": {
            "union": ["purchases"],
            "where": "category = 'home_insurance'",
            "compute": {"status": "'customer'"},
            "first": {"key": "customer_id", "order": "ordered_at"},
        },
        "people": {"union": ["customers"], "join": [{"table": "won", "on": "customer_id", "how": "left"}]},
    }
    study["data"]["customers"]["table"] = "people"


def filled_in_when_bought(study, market, folder):
    """A column without a date that is filled in by the purchase: nothing proves it, it is too good to be true."""
    tables = folder / "tables"
    tables.mkdir()
    for file in market.glob("*.parquet"):
        (tables / file.name).symlink_to(file)
    purchases = pd.read_parquet(market / "purchases.parquet")
    buyers = purchases.loc[purchases["category"] == "home_insurance", "customer_id"]
    people = pd.read_parquet(market / "customers.parquet")
    (tables / "customers.parquet").unlink()
    people.assign(status=people["customer_id"].isin(buyers).map({True: "won", False: "open"})).to_parquet(
        tables / "customers.parquet"
    )
    study["data"]["source"] = str(tables)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["joined", "filled in"])
def test_a_challenger_that_was_trained_with_a_leak_is_refused(propensity, trained, market, study_text, tmp_path, kind):
    study = yaml.safe_load(only(study_text, "logistic") + AUDITED)
    if kind == "joined":
        ever_bought(study)
    else:
        filled_in_when_bought(study, market, tmp_path)
    study["data"]["customers"]["attributes"]["status"] = "category"
    place = write_study(tmp_path / "configs", yaml.safe_dump(study, sort_keys=False))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    leaky = propensity("train", place, "--out", tmp_path / "runs", "--tracking-uri", uri, "--json")
    assert leaky.code == 0, leaky.err
    honest = trained.read("metrics.json")["models"]["logistic"]["test"]["roc_auc"]
    assert max(row["roc_auc"] for row in leaky.json["metrics"] if row["split"] == "test") > honest + 0.05  # splendid
    answer = propensity("promote", place, "--tracking-uri", uri, "--json")
    assert answer.code == 1, answer.err
    assert [rule["name"] for rule in answer.json["rules"] if not rule["is_met"]] == ["leaks"]
    assert "status" in next(rule["found"] for rule in answer.json["rules"] if rule["name"] == "leaks")
    if kind == "filled in":  # no proof: whoever knows better may say so
        place.write_text(place.read_text().replace("promotion:\n", "promotion:\n  audit: proof\n"))
        answer = propensity("promote", place, "--tracking-uri", uri, "--json")
        assert answer.code == 0, answer.out


def test_what_cannot_be_judged_is_said(propensity, trained, tmp_path):
    empty = propensity("promote", trained.study, "--tracking-uri", f"sqlite:///{tmp_path / 'empty.db'}")
    assert empty.code == 2
    assert "registered as challenger" in empty.err
    # a day less on record: the outcome of those as of 2025-08-29 is not known yet
    text = trained.study.read_text(encoding="utf-8")
    early = trained.study.with_name("early.yaml")
    early.write_text(text.replace("data:\n", "data:\n  recorded_until: 2025-09-27\n", 1), encoding="utf-8")
    answer = propensity("promote", early, "--tracking-uri", trained.uri)
    assert answer.code == 1, answer.err
    assert "Wait until the outcome of those as of 2025-08-29 is recorded: from 2025-09-28 on" in answer.err
