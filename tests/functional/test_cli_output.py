"""What is printed: readable at any width for people, valid JSON with the same facts for machines."""

import html
import json

import pandas as pd
import pytest

WIDTHS = [80, 100, 160]


@pytest.fixture(params=WIDTHS)
def width(request, monkeypatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def lines_fit(text: str, width: int, *, but: tuple[str, ...] = ()) -> None:
    for line in text.splitlines():
        assert len(line) <= width or line.startswith(but), line


def test_training_fits_the_terminal(trained, width):
    from propensity.report import terminal

    metrics = pd.DataFrame(trained.answer["metrics"])
    prospects = pd.read_parquet(trained.folder / "prospects.parquet")
    with capture() as said:
        terminal.show_funnel(pd.DataFrame(trained.answer["funnel"]))
        terminal.show_prospects(prospects)
        if width >= 100:  # five figures with intervals need as much
            terminal.show_models(metrics, selected=trained.answer["selected"])
    text = said.getvalue()
    lines_fit(text, width)
    assert "2 cutoffs" in text
    for row in prospects.head(10).to_dict("records"):
        assert row["customer_id"] in text
    words = " ".join(text.split())
    assert prospects["reason_3"].iloc[9] in words
    assert "nan" not in text


def capture():
    import io
    from contextlib import redirect_stdout

    return redirect_stdout(io.StringIO())


@pytest.mark.parametrize("command", ["check", "explain", "score"])
def test_commands_fit_the_terminal(propensity, trained, tmp_path, width, command):
    listed = pd.read_parquet(trained.folder / "prospects.parquet")["customer_id"]
    arguments = {
        "check": [trained.study],
        "explain": [trained.study, listed.iloc[0], "--model", trained.folder],
        "score": [trained.study, "--as-of", "2025-08-29", "--model", trained.folder, "--out", tmp_path / "l.csv"],
    }
    answer = propensity(command, *arguments[command])
    assert answer.code == 0, answer.err
    if command != "check" or width > 80:
        lines_fit(answer.out, width, but=("List ",))
    assert "nan" not in answer.out.lower().split()


def test_funnel_tells_steps_by_split(quick):
    said = quick.answer.out
    steps = ["as of", "customers", "target customers", "never purchased", "prospects", "bought"]
    found = [line for line in said.splitlines() if line.startswith(tuple(steps))][: len(steps)]
    assert [line.split("  ")[0].strip() for line in found] == steps
    funnel = json.loads((quick.folder / "funnel.json").read_text())
    test = next(entry for entry in funnel if entry["split"] == "test")
    assert f"{test['positives']} (" in found[-1]
    assert f" {test['steps'][-1]['count']} " in found[-2]


def test_machines_get_json_from_every_command(propensity, trained, tmp_path):
    listed = pd.read_parquet(trained.folder / "prospects.parquet")["customer_id"]
    calls = [
        ["check", trained.study, "--json"],
        ["features", trained.study, "--json"],
        ["score", trained.study, "--as-of", "2025-08-29", "--model", trained.folder, "--out", tmp_path / "l.csv",
         "--json"],
        ["explain", trained.study, listed.iloc[0], "--model", trained.folder, "--json"],
        ["report", trained.folder, "--out", tmp_path / "page.html", "--json"],
        ["track", trained.folder, "--json"],
        ["schema"],
        ["simulate", "--customers", "1000", "--out", tmp_path / "market", "--json"],
    ]  # fmt: skip
    for call in calls:
        answer = propensity(*call)
        assert answer.code == 0, (call, answer.err)
        assert answer.json, call


def test_features_are_told_in_plain_words(propensity, trained):
    answer = propensity("features", trained.study)
    assert answer.code == 0, answer.err
    catalogue = trained.read("features.json")
    assert f"{len(catalogue)} features" in answer.out
    assert all(feature["name"] in answer.out for feature in catalogue)


def test_the_catalogue_is_in_the_report(trained):
    catalogue, report = trained.read("features.json"), trained.read("report.json")
    told = ("name", "description", "window", "source", "kind", "missing_share")
    assert [[row[key] for key in told] for row in report["features"]] == [
        [row[key] for key in told] for row in catalogue
    ]
    page = html.unescape((trained.folder / "report.html").read_text(encoding="utf-8"))
    table = page[page.index("Every feature that the models were given") :]
    for row in catalogue:
        assert f"<code>{row['name']}</code></th><td><bdi>{row['description']}</bdi></td>" in table


def test_the_labelled_matrix_is_written_whole(propensity, trained, tmp_path):
    answer = propensity("features", trained.study, "--out", tmp_path / "matrix.parquet", "--json")
    assert answer.code == 0, answer.err
    matrix = pd.read_parquet(tmp_path / "matrix.parquet")
    assert answer.json["rows"] == len(matrix)
    predicted = pd.read_parquet(trained.folder / "predictions.parquet")
    test_rows = matrix[matrix["split"] == "test"]
    assert sorted(test_rows["customer_id"]) == sorted(predicted["customer_id"])
    assert test_rows["label"].sum() == predicted["label"].sum()
    assert set(matrix.columns) >= {feature["name"] for feature in trained.read("features.json")}
    assert matrix["region"].dropna().isin(["north", "south", "east", "west"]).all()  # as texts, not as numbers
    wrong = propensity("features", trained.study, "--out", tmp_path / "matrix.csv")
    assert wrong.code == 2
    assert "does not end in .parquet" in wrong.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matrix.parquet"]


def test_progress_goes_to_the_error_stream(quick):
    assert "sweeping" in quick.answer.err
    assert "sweeping" not in quick.answer.out


def test_version_is_told(propensity):
    import propensity as package

    answer = propensity("--version")
    assert (answer.code, answer.out) == (0, f"propensity {package.__version__}\n")


@pytest.mark.slow
def test_demo_shows_where_to_look(propensity, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = propensity("demo", "--customers", "1000", "--out", "shown")
    assert answer.code == 0, answer.err
    for told in (
        "simulated",
        "Funnel",
        "Models on test",
        "First 10 of",
        "report.html",
        "mlflow ui --backend-store-uri",
    ):
        assert told in answer.out
    assert f"sqlite:///{tmp_path / 'shown' / 'mlflow.db'}" in answer.out  # good in any folder
    assert (tmp_path / "shown" / "runs" / "demo" / "latest" / "report.html").is_file()
    again = propensity("demo", "--customers", "1000", "--out", "shown", "--json")
    assert again.code == 0, again.err
    assert again.json["metrics"]
    assert len(list((tmp_path / "shown" / "runs" / "demo").iterdir())) == 3  # two runs and latest
