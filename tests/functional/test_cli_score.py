"""`propensity score` ranks the prospects as of a date, and refuses what it cannot rank honestly."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from jsonschema import Draft202012Validator

AS_OF = "2025-08-29"  # the date of the run's own list
LATER = "2025-09-14"


def score(propensity, trained, out, *, as_of=AS_OF, study=None, model=None):
    model = model or trained.folder / "bundle"
    return propensity("score", study or trained.study, "--as-of", as_of, "--model", model, "--out", out)


def copy_bundle(trained, tmp_path) -> Path:
    return shutil.copytree(trained.folder / "bundle", tmp_path / "bundle")


def test_list_at_the_runs_own_date_is_the_runs_own_list(propensity, trained, tmp_path):
    answer = score(propensity, trained, tmp_path / "list.parquet")
    assert answer.code == 0, answer.err
    assert (tmp_path / "list.parquet").read_bytes() == (trained.folder / "prospects.parquet").read_bytes()
    manifest = json.loads((tmp_path / "list.parquet.manifest.json").read_text())
    assert manifest == trained.read("manifest.json")["list"]
    assert {path.name for path in tmp_path.iterdir()} == {"list.parquet", "list.parquet.manifest.json"}


def test_twice_gives_the_same_bytes(propensity, trained, tmp_path):
    for name in ("one", "two"):
        for ending in ("parquet", "csv"):
            answer = score(propensity, trained, tmp_path / name / f"list.{ending}", as_of=LATER)
            assert answer.code == 0, answer.err
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_csv_holds_the_same_list(propensity, trained, tmp_path):
    assert score(propensity, trained, tmp_path / "list.csv").code == 0
    listed = pd.read_csv(tmp_path / "list.csv", parse_dates=["as_of"])
    expected = pd.read_parquet(trained.folder / "prospects.parquet")
    assert listed.columns.tolist() == expected.columns.tolist()
    for column in ("rank", "customer_id", "grade", "reason_1", "control"):
        assert listed[column].tolist() == expected[column].tolist(), column
    assert listed["probability"].tolist() == expected["probability"].tolist()  # written to the last digit
    assert (listed["as_of"] == expected["as_of"]).all()


def test_model_can_be_named_in_several_ways(propensity, trained, tmp_path):
    tracking = trained.read("tracking.json")
    ways = [
        str(trained.folder),
        str(trained.runs / "latest" / "bundle"),
        "models:/demo@challenger",
        "models:/demo/1",
        tracking["model_uri"],
        f"runs:/{tracking['run_id']}/model",
    ]
    for number, model in enumerate(ways):
        out = tmp_path / f"{number}.parquet"
        answer = propensity(
            "score", trained.study, "--as-of", AS_OF, "--model", model, "--out", out, "--tracking-uri", trained.uri
        )
        assert answer.code == 0, (model, answer.err)
        assert out.read_bytes() == (trained.folder / "prospects.parquet").read_bytes(), model


def test_latest_run_is_the_default_model(propensity, trained, tmp_path):
    out = tmp_path / "list.parquet"
    answer = propensity("score", trained.study, "--as-of", AS_OF, "--runs", trained.runs, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["file"] == str(out)
    assert answer.json["rows"] == len(pd.read_parquet(out))


def test_sqlite_uris_work_relative_to_the_working_folder(propensity, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained.runs.parent)
    out = tmp_path / "list.parquet"
    answer = propensity(
        "score", trained.study, "--as-of", AS_OF, "--out", out,
        "--model", "models:/demo@challenger", "--tracking-uri", "sqlite:///mlflow.db",
    )  # fmt: skip
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("models:/demo@champion", "champion"),
        ("models:/nobody@challenger", "nobody"),
        ("models:/demo/99", "99"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "0123456789abcdef"),
        ("models:/", "models:/"),
    ],
)
def test_model_that_is_not_there_is_refused(propensity, trained, tmp_path, model, told):
    out = tmp_path / "list.parquet"
    answer = propensity(
        "score", trained.study, "--as-of", AS_OF, "--model", model, "--out", out, "--tracking-uri", trained.uri
    )
    assert answer.code == 2, answer.err
    assert told in answer.err
    assert list(tmp_path.iterdir()) == []


def test_store_that_is_not_there_is_not_made(propensity, trained, tmp_path):
    uri = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    answer = propensity(
        "score", trained.study, "--as-of", AS_OF, "--model", "models:/demo@challenger",
        "--out", tmp_path / "list.parquet", "--tracking-uri", uri,
    )  # fmt: skip
    assert answer.code == 2
    assert "no MLflow store" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_cells_that_begin_like_a_formula_are_escaped(tmp_path):
    from propensity.files import write_list

    cells = ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "plain", "a=b", None]
    write_list(pd.DataFrame({"=name": cells, "points": [-1.5] * len(cells)}), tmp_path / "list.csv")
    listed = pd.read_csv(tmp_path / "list.csv", lineterminator="\n", keep_default_na=False)
    assert listed.columns.tolist() == ["'=name", "points"]
    assert listed["'=name"].tolist() == ["'=1+1", "'+1", "'-1", "'@sum", "'\tx", "'\rx", "plain", "a=b", ""]
    assert (listed["points"] == -1.5).all()  # a number is no formula


@pytest.mark.parametrize("name", ["list.xlsx", "list", "list.csv.gz", "list.PARQUET.txt"])
def test_wrong_ending_is_refused_before_anything_is_read(propensity, trained, tmp_path, name):
    answer = score(propensity, trained, tmp_path / name, model=tmp_path / "no bundle here")
    assert answer.code == 2
    assert "neither .parquet nor .csv" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("as_of", "told"),
    [
        ("2025-12-01", "after the last record"),
        ("2020-01-01", "before the first record"),
        ("2025-13-01", "is not a date"),
        ("tomorrow", "is not a date"),
    ],
)
def test_date_that_cannot_be_scored_is_refused(propensity, trained, tmp_path, as_of, told):
    answer = score(propensity, trained, tmp_path / "list.parquet", as_of=as_of)
    assert answer.code == 2
    assert told in answer.err
    assert list(tmp_path.iterdir()) == []


def test_date_is_needed(propensity, trained, tmp_path):
    answer = propensity("score", trained.study, "--runs", trained.runs, "--out", tmp_path / "list.csv")
    assert answer.code == 2
    assert "--as-of" in answer.err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("horizon: 30d", "horizon: 14d"),
        ("product: home_insurance", "product: car_insurance"),
        ("windows: [30d]", "windows: [60d]"),
        ("age >= 18", "age >= 30"),
    ],
)
def test_bundle_of_another_question_is_refused(propensity, trained, study_text, make_study, tmp_path, old, new):
    assert old in study_text
    study = make_study(study_text.replace(old, new))
    answer = score(propensity, trained, tmp_path / "list.parquet", study=study)
    assert answer.code == 2
    assert "trained with other" in answer.err
    assert not (tmp_path / "list.parquet").exists()


def test_source_may_move(propensity, trained, study_text, make_study, market, tmp_path):
    shutil.copytree(market, tmp_path / "moved")
    study = make_study(study_text.replace(str(market), str(tmp_path / "moved")))
    answer = score(propensity, trained, tmp_path / "list.parquet", study=study)
    assert answer.code == 0, answer.err
    assert (tmp_path / "list.parquet").read_bytes() == (trained.folder / "prospects.parquet").read_bytes()


def change_a_byte(bundle: Path) -> str:
    path = next((bundle / "model").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    return "was changed after it was written"


def remove_a_file(bundle: Path) -> str:
    (bundle / "calibration.json").unlink()
    return "calibration.json is missing"


def remove_the_head(bundle: Path) -> str:
    (bundle / "bundle.json").unlink()
    return "not a model bundle"


def cut_the_head(bundle: Path) -> str:
    path = bundle / "bundle.json"
    path.write_text(path.read_text()[:100])
    return "the bundle is damaged"


def make_it_too_new(bundle: Path) -> str:
    path = bundle / "bundle.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "format_version": head["format_version"] + 1}))
    return "Update propensity"


def point_outside(bundle: Path) -> str:
    path = bundle / "bundle.json"
    head = json.loads(path.read_text())
    head["sha256"]["../../etc/passwd"] = "0"
    path.write_text(json.dumps(head))
    return "the bundle is damaged"


def make_the_head_a_list(bundle: Path) -> str:
    (bundle / "bundle.json").write_text("[]")
    return "the bundle is damaged"


def lose_the_list_of_files(bundle: Path) -> str:
    path = bundle / "bundle.json"
    head = json.loads(path.read_text())
    del head["sha256"]
    path.write_text(json.dumps(head))
    return "the bundle is damaged"


DAMAGE = [
    change_a_byte, remove_a_file, remove_the_head, cut_the_head, make_it_too_new, point_outside,
    make_the_head_a_list, lose_the_list_of_files,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_bundle_is_refused(propensity, trained, tmp_path, damage):
    bundle = copy_bundle(trained, tmp_path)
    told = damage(bundle)
    answer = score(propensity, trained, tmp_path / "out" / "list.parquet", model=bundle)
    assert answer.code == 2
    assert told in answer.err
    assert str(bundle) in answer.err
    assert not (tmp_path / "out").exists()


def move_the_future(market: Path, folder: Path, *, as_of: str) -> None:
    """The market with everything at or after `as_of` changed, and one row exactly at it added."""
    folder.mkdir()
    at = pd.Timestamp(as_of)
    for name, time, kind in (("events", "occurred_at", "event_type"), ("purchases", "ordered_at", "category")):
        table = pd.read_parquet(market / f"{name}.parquet")
        column = table[time].dt.tz_localize(None) if table[time].dt.tz is not None else table[time]
        before = table[column < at]
        after = table[column >= at].copy()
        assert len(after) > 0
        after[kind] = after[kind].iloc[::-1].to_numpy()
        exactly = after.tail(50).copy()
        exactly[time] = at.tz_localize(table[time].dt.tz) if table[time].dt.tz is not None else at
        exactly["available_at"] = exactly[time]
        pd.concat([after, exactly, before]).to_parquet(folder / f"{name}.parquet", index=False)
    customers = pd.read_parquet(market / "customers.parquet")
    customers.iloc[::-1].to_parquet(folder / "customers.parquet", index=False)


def test_rows_at_or_after_the_date_change_no_score(propensity, trained, study_text, make_study, market, tmp_path):
    move_the_future(market, tmp_path / "future", as_of=AS_OF)
    study = make_study(study_text.replace(str(market), str(tmp_path / "future")))
    answer = score(propensity, trained, tmp_path / "list.parquet", study=study)
    assert answer.code == 0, answer.err
    expected = pd.read_parquet(trained.folder / "prospects.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "list.parquet"), expected, check_exact=True)


def test_records_from_the_far_future_are_left_out_as_in_training(
    propensity, trained, study_text, make_study, market, tmp_path
):
    """One mistyped year must not let a date pass that lies after the last record."""
    shutil.copytree(market, tmp_path / "typo")
    events = pd.read_parquet(market / "events.parquet")
    typo = events.tail(1).copy()
    typo["occurred_at"] = typo["available_at"] = typo["occurred_at"] + pd.Timedelta(days=365 * 70)
    pd.concat([events, typo]).to_parquet(tmp_path / "typo" / "events.parquet", index=False)
    study = make_study(study_text.replace(str(market), str(tmp_path / "typo")))
    answer = score(propensity, trained, tmp_path / "list.parquet", study=study, as_of="2026-01-01")
    assert answer.code == 2
    assert "after the last record" in answer.err


def test_list_that_cannot_be_written_is_the_environments_failure(propensity, trained, tmp_path):
    (tmp_path / "file").write_text("in the way")
    answer = score(propensity, trained, tmp_path / "file" / "list.parquet")
    assert answer.code == 3
    assert "error:" in answer.err


def test_installed_command_scores_in_a_process_of_its_own(trained, tmp_path):
    out = tmp_path / "list.csv"
    command = [sys.executable, "-m", "propensity", "score", str(trained.study), "--as-of", AS_OF]
    done = subprocess.run(
        [*command, "--model", str(trained.folder / "bundle"), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert out.exists()


def test_every_row_keeps_the_contract(propensity, trained):
    schema = propensity("schema", "--list")
    assert schema.code == 0
    validator = Draft202012Validator(schema.json)
    listed = pd.read_parquet(trained.folder / "prospects.parquet")
    rows = json.loads(listed.to_json(orient="records", date_format="iso"))
    errors = [error.message for row in rows for error in validator.iter_errors(row)]
    assert errors == []
    assert len(rows) > 500


def test_changes_since_an_earlier_list(propensity, trained, market, tmp_path):
    first, later = tmp_path / "first.csv", tmp_path / "later.parquet"
    assert score(propensity, trained, first).code == 0
    given = ("--as-of", LATER, "--model", trained.folder / "bundle", "--out")
    answer = propensity("score", trained.study, *given, later, "--since", first)
    assert answer.code == 0, answer.err
    assert f"Who rose and fell most since {AS_OF}" in answer.out
    changes = pd.read_parquet(tmp_path / "later.changes.parquet").set_index("customer_id")
    now = pd.read_parquet(later).set_index("customer_id")
    before = pd.read_parquet(trained.folder / "prospects.parquet").set_index("customer_id")
    both = now.index.intersection(before.index)
    assert set(changes.index) == set(now.index) | set(before.index)
    own = changes.loc[both]
    assert (own["status"] == "on both lists").all()
    assert own["by_model"].abs().max() < 1e-9  # the same model
    moved = now.loc[both, "points"] - before.loc[both, "points"]
    assert own["by_data"].to_numpy() == pytest.approx(moved.to_numpy(), abs=1e-9)
    assert (own["rank_now"] == now.loc[both, "rank"]).all()
    purchases = pd.read_parquet(market / "purchases.parquet").query("category == 'home_insurance'")
    when = pd.to_datetime(purchases["ordered_at"])
    bought = set(purchases.loc[(when >= AS_OF) & (when < LATER), "customer_id"])
    went = changes[changes["rank_now"].isna()]
    assert set(went.index[went["status"] == "bought since"]) == bought & set(went.index)
    assert bought & set(went.index)
    manifest = json.loads((tmp_path / "later.parquet.manifest.json").read_text())
    assert manifest["changes"]["since"] == AS_OF
    assert sum(manifest["changes"]["status"].values()) == len(changes)
    late = propensity("score", trained.study, *given, tmp_path / "again.csv", "--since", later)
    assert late.code == 2
    assert "before 2025-09-14" in " ".join(late.err.split())
    nothing = propensity("score", trained.study, *given, tmp_path / "again.csv", "--since", tmp_path / "none.csv")
    assert nothing.code == 2
    assert not list(tmp_path.glob("again*"))
