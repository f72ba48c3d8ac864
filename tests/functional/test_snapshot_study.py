"""Studies on one flat table with a ready label: split by a column, by an order, by folds; scored from a file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

STUDY = """
study: leads
about: Which leads will sign up?
seed: 3
data:
  source: {source}
  customers:
    table: leads
    key: lead
    attributes:
      region: category
      visits: number
      signed_newsletter: boolean
      size: {{type: ordinal, order: [small, medium, large]}}
  max_unseen: 0.1
target: {{where: "visits >= 1", suppress: {{where: "region = 'closed'"}}}}
outcome: {{column: signed_up, positive: [yes]}}
split: {split}
models: [single_indicator, logistic]
contact: {{capacity: 40}}
"""
ROWS = 900


@pytest.fixture(scope="module")
def leads() -> pd.DataFrame:
    """Made-up leads: visits and region raise the chance; ids keep their leading zeros."""
    rng = np.random.default_rng(11)
    region = rng.choice(["north", "south", "west", "closed"], ROWS, p=[0.4, 0.3, 0.25, 0.05])
    visits = rng.poisson(3, ROWS)
    chance = 1 / (1 + np.exp(3.2 - 0.4 * visits - (region == "north")))
    return pd.DataFrame(
        {
            "lead": [f"{i:06d}" for i in range(ROWS)],
            "region": region,
            "visits": visits,
            "signed_newsletter": rng.choice(["yes", "no", ""], ROWS),
            "size": rng.choice(["small", "medium", "large"], ROWS),
            "first_seen": pd.date_range("2024-01-01", periods=ROWS, freq="8h").strftime("%Y-%m-%d"),
            "part": np.repeat(["old", "newer", "newest"], ROWS // 3),
            "free_text": [f"note {i}" for i in range(ROWS)],
            "signed_up": np.where(rng.random(ROWS) < chance, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def source(leads, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("leads")
    leads.to_csv(folder / "leads.csv", index=False)
    return folder


SPLITS = {
    "column": "{column: part, train: [old], validation: [newer], test: [newest]}",
    "order": "{order: first_seen, shares: [0.5, 0.25, 0.25]}",
    "rows": "{order: rows}",
    "no validation": "{column: part, train: [old, newer], test: [newest]}",
    "folds": "{folds: 3}",
}


@pytest.fixture(scope="module")
def runs(propensity, source, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Study file and run folder for every way to split."""
    found = {}
    for name, split in SPLITS.items():
        folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
        study = folder / "leads.yaml"
        study.write_text(STUDY.format(source=source, split=split))
        answer = propensity("train", study, "--out", folder / "runs", "--no-track", "--json")
        assert answer.code == 0, answer.err
        found[name] = (study, Path(answer.json["folder"]))
    return found


def is_prospect(leads: pd.DataFrame) -> pd.Series:
    return (leads["visits"] >= 1) & (leads["region"] != "closed")


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("column", range(600, 900)),
        ("order", 0.75),
        ("rows", 0.8),
        ("no validation", range(600, 900)),
        ("folds", range(900)),
    ],
)
def test_test_rows_are_those_of_the_split(runs, leads, split, expected):
    _, run = runs[split]
    predictions = pd.read_parquet(run / "predictions.parquet")
    if isinstance(expected, float):  # shares are of the prospects, in their order
        prospects = leads[is_prospect(leads)]
        rows = prospects.iloc[round(expected * len(prospects)) :].set_index("lead")
    else:
        rows = leads.iloc[list(expected)]
        rows = rows[is_prospect(rows)].set_index("lead")
    assert set(predictions["customer_id"]) == set(rows.index)
    labels = (rows["signed_up"] == "yes").astype(int)[predictions["customer_id"]]
    assert predictions["label"].tolist() == labels.tolist()
    assert predictions["cutoff"].isna().all()
    assert predictions["logistic"].between(0, 1, inclusive="neither").all()


@pytest.mark.parametrize("split", SPLITS)
def test_list_is_of_the_test_rows(runs, split):
    _, run = runs[split]
    listed = pd.read_parquet(run / "prospects.parquet")
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert set(listed["customer_id"]) == set(predictions["customer_id"])
    assert listed["as_of"].isna().all()
    parts = listed["base_points"] + listed.filter(like="contribution_").sum(axis=1)
    np.testing.assert_allclose(parts, listed["points"], rtol=1e-9)


@pytest.mark.parametrize("split", SPLITS)
def test_learns_what_was_put_in(runs, split):
    import json

    _, run = runs[split]
    metrics = json.loads((run / "metrics.json").read_text())["models"]
    assert metrics["logistic"]["test"]["roc_auc"] > 0.65
    assert set(metrics["logistic"]) == {"validation", "test"}


def test_columns_that_are_not_declared_are_no_features(runs):
    import json

    _, run = runs["column"]
    names = {feature["name"] for feature in json.loads((run / "features.json").read_text())}
    assert not names & {"free_text", "part", "signed_up", "lead"}
    assert {"region", "visits", "size"} <= names


def score(propensity, runs, data, out, *, split="column"):
    study, run = runs[split]
    return propensity("score", study, "--data", data, "--model", run, "--out", out)


def test_score_of_the_test_rows_is_the_runs_list(propensity, runs, leads, tmp_path):
    leads.iloc[600:].to_csv(tmp_path / "new.csv", index=False)
    answer = score(propensity, runs, tmp_path / "new.csv", tmp_path / "list.parquet")
    assert answer.code == 0, answer.err
    listed = pd.read_parquet(tmp_path / "list.parquet")
    pd.testing.assert_frame_equal(listed, pd.read_parquet(runs["column"][1] / "prospects.parquet"), check_exact=True)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_need_neither_label_nor_split_nor_order(propensity, runs, leads, tmp_path, ending):
    new = leads.iloc[600:].drop(columns=["signed_up", "part", "free_text"])
    new = new.sample(frac=1.0, random_state=1)[new.columns[::-1]]
    place = tmp_path / f"new.{ending}"
    new.to_csv(place, index=False) if ending == "csv" else new.to_parquet(place, index=False)
    answer = score(propensity, runs, place, tmp_path / "list.parquet")
    assert answer.code == 0, answer.err
    listed = pd.read_parquet(tmp_path / "list.parquet")
    pd.testing.assert_frame_equal(listed, pd.read_parquet(runs["column"][1] / "prospects.parquet"), check_exact=True)


def test_unseen_categories_are_counted(propensity, runs, leads, tmp_path):
    import json

    new = leads.iloc[600:].copy()
    few = new.index[is_prospect(new)][:10]
    new.loc[few, "region"] = "atlantis"
    new.to_csv(tmp_path / "new.csv", index=False)
    answer = score(propensity, runs, tmp_path / "new.csv", tmp_path / "list.csv")
    assert answer.code == 0, answer.err
    manifest = json.loads((tmp_path / "list.csv.manifest.json").read_text())
    assert manifest["unseen_categories"] == {"region": 10}


def test_unseen_categories_above_the_limit_are_refused(propensity, runs, leads, tmp_path):
    new = leads.iloc[600:].assign(region="atlantis")
    new.to_csv(tmp_path / "new.csv", index=False)
    answer = score(propensity, runs, tmp_path / "new.csv", tmp_path / "list.csv")
    assert answer.code == 1
    assert "region: " in answer.err
    assert "have a category that training did not see (limit 10%)" in answer.err
    assert not (tmp_path / "list.csv").exists()


def missing_column(new: pd.DataFrame) -> pd.DataFrame:
    return new.drop(columns="visits")


def doubled_key(new: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([new, new.head(1)])


def no_rows(new: pd.DataFrame) -> pd.DataFrame:
    return new.head(0)


def nobody_in_the_target(new: pd.DataFrame) -> pd.DataFrame:
    return new.assign(visits=0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (missing_column, "no column 'visits'"),
        (doubled_key, "1 values of 'lead' occur more than once"),
        (no_rows, "is empty"),
        (nobody_in_the_target, "is a prospect"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(propensity, runs, leads, tmp_path, change, told):
    change(leads.iloc[600:]).to_csv(tmp_path / "new.csv", index=False)
    answer = score(propensity, runs, tmp_path / "new.csv", tmp_path / "out" / "list.csv")
    assert answer.code == 2, answer.err
    assert told in answer.err
    assert not (tmp_path / "out").exists()


def test_file_is_needed_and_must_exist(propensity, runs, tmp_path):
    study, run = runs["column"]
    answer = propensity("score", study, "--model", run, "--out", tmp_path / "list.csv")
    assert answer.code == 2
    assert "--data" in answer.err
    answer = score(propensity, runs, tmp_path / "nothing.csv", tmp_path / "list.csv")
    assert answer.code == 2
    assert "nothing.csv does not exist" in answer.err


def test_explain_and_check_work_on_a_snapshot(propensity, runs):
    study, run = runs["column"]
    lead = pd.read_parquet(run / "prospects.parquet")["customer_id"].iloc[0]
    answer = propensity("explain", study, lead, "--model", run, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["customer_id"] == lead
    assert answer.json["as_of"] is None
    answer = propensity("check", study, "--json")
    assert answer.code == 0, answer.err
    assert [row["split"] for row in answer.json["funnel"]] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("column: signed_up", "column: signed_on", "'signed_on'"),
        ("positive: [yes]", "positive: [maybe]", "no row is positive"),
        ("test: [newest]", "test: [tomorrow]", "no row belongs to test"),
        ("column: part", "column: parts", "'parts'"),
        ("visits >= 1", "visits >= 1000", "0 rows"),
        ("visits: number", "visits: number\n      first_seen: date", "the date 'first_seen' cannot become an age"),
    ],
)
def test_study_that_does_not_fit_the_table_is_refused(propensity, source, tmp_path, old, new, told):
    text = STUDY.format(source=source, split=SPLITS["column"])
    assert old in text
    study = tmp_path / "leads.yaml"
    study.write_text(text.replace(old, new))
    answer = propensity("train", study, "--out", tmp_path / "runs", "--no-track")
    assert answer.code == 2, answer.err
    assert told in answer.err
    assert not (tmp_path / "runs").exists()
