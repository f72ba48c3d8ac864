"""`propensity scorecard`: show, explain, fit, sql; and the fitted scorecard as a model among the others."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from propensity import load_bundle
from propensity.rules.scorecard import Scorecard, load_scorecard, total_points


@pytest.fixture(scope="module")
def fitted(propensity, quick, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("fitted") / "fitted.yaml"
    answer = propensity("scorecard", "fit", quick.study, "--out", file)
    assert answer.code == 0, answer.err
    assert "Scorecard" in answer.out
    return file


def own_card(quick) -> Scorecard:
    return load_scorecard(quick.study.parent / "scorecards" / "demo.yaml")


def test_show_tells_what_became_of_the_prospects_in_each_line(propensity, quick, monkeypatch):
    answer = propensity("scorecard", "show", quick.study, "--json")
    assert answer.code == 0, answer.err
    table = pd.DataFrame(answer.json["table"])
    card = own_card(quick)
    assert list(dict.fromkeys(table["indicator"])) == [indicator.name for indicator in card.indicators]
    assert (table.groupby("indicator")["prospects"].sum() == answer.json["prospects"]).all()
    assert table["psi"].notna().all()
    funnel = pd.read_json(quick.folder / "funnel.json")
    bought = sum(entry["positives"] for entry in funnel.to_dict("records") if entry["split"] == "train")
    first = table[table["indicator"] == card.indicators[0].name]
    assert round((first["prospects"] * first["conversion"].fillna(0)).sum()) == bought
    monkeypatch.setenv("COLUMNS", "100")
    shown = propensity("scorecard", "show", quick.study)
    assert card.indicators[0].name in shown.out
    assert "weight of evidence" in shown.out
    assert all(len(line) <= 100 for line in shown.out.splitlines())


def test_explain_adds_up_to_the_points_of_the_list(propensity, quick):
    listed = pd.read_parquet(quick.folder / "prospects.parquet")
    for row in listed.iloc[[0, len(listed) // 2, -1]].to_dict("records"):
        answer = propensity("scorecard", "explain", quick.study, row["customer_id"], "--json")
        assert answer.code == 0, answer.err
        assert answer.json["points"] == row["scorecard_points"]
        assert sum(line["weighted"] for line in answer.json["table"]) == pytest.approx(
            row["scorecard_points"], abs=1e-9
        )
        assert all(line["weighted"] == line["points"] * line["weight"] for line in answer.json["table"])
    shown = propensity("scorecard", "explain", quick.study, listed["customer_id"][0])
    assert f"Together {listed['scorecard_points'][0]:g} points" in shown.out


def test_sql_over_the_matrix_gives_the_same_points(propensity, quick, fitted, tmp_path):
    matrix = tmp_path / "matrix.parquet"
    assert propensity("features", quick.study, "--out", matrix).code == 0
    frame = pd.read_parquet(matrix)
    for card, options in ((own_card(quick), []), (load_scorecard(fitted), ["--card", fitted])):
        answer = propensity("scorecard", "sql", quick.study, "--table", "matrix", *options)
        assert answer.code == 0, answer.err
        with duckdb.connect() as connection:
            connection.register("matrix", frame.assign(customer_id=range(len(frame))))
            found = connection.sql(answer.out).to_arrow_table().to_pandas().sort_values("customer_id")
        texts = frame.select_dtypes("category").columns
        plain = frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), None) for name in texts})
        assert found["points"].tolist() == total_points(card, plain).tolist()
        assert found["points"].nunique() > 3


def test_a_marketer_can_take_a_fitted_scorecard_over(propensity, quick_text, fitted, make_study, tmp_path):
    card = load_scorecard(fitted)
    text = fitted.read_text(encoding="utf-8")
    assert "of prospects" in text
    first = card.indicators[0]
    assert first.name != first.feature  # in words
    changed = text.replace("about: ", "about: 'Changed by hand.' # ", 1)
    study = make_study(quick_text)
    (study.parent / "scorecards" / "demo.yaml").write_text(changed, encoding="utf-8")
    answer = propensity("train", study, "--out", tmp_path / "runs", "--no-track", "--json")
    assert answer.code == 0, answer.err
    taken = load_bundle(Path(answer.json["folder"]) / "bundle").scorecard
    assert taken.about == "Changed by hand."
    assert taken.indicators == card.indicators


def test_the_fitted_scorecard_is_a_model_of_its_own(propensity, study_text, make_study, tmp_path):
    text = study_text.replace(
        "models: [single_indicator, scorecard, logistic, lightgbm, blend]",
        "models: [fitted_scorecard]\npoints: {pdo: 40}\nfitted_scorecard: {directions: {age: falling}}",
    )
    study = make_study(text)
    answer = propensity("train", study, "--out", tmp_path / "runs", "--no-track", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["selected"] == "fitted_scorecard"
    folder = Path(answer.json["folder"])
    bundle = load_bundle(folder / "bundle")
    card = bundle.model.card_
    assert 1 <= len(card.indicators) <= 20
    for indicator in card.indicators:
        if indicator.feature == "age":
            points = [bucket.points for bucket in indicator.buckets]
            assert points == sorted(points, reverse=True)
    listed = pd.read_parquet(folder / "prospects.parquet")
    parts = listed[[f"contribution_{i}" for i in range(1, 6)]].fillna(0).sum(axis=1) + listed["contribution_other"]
    pd.testing.assert_series_equal(listed["base_points"] + parts, listed["points"], check_names=False)
    assert "Fitted scorecard" in (folder / "report.html").read_text(encoding="utf-8")


def test_mistakes_get_a_message(propensity, quick, quick_text, fitted, make_study, tmp_path):
    again = propensity("scorecard", "fit", quick.study, "--out", fitted)
    assert (again.code, "exists already" in again.err) == (2, True)
    other = propensity("scorecard", "fit", quick.study, "--out", tmp_path / "card.json")
    assert (other.code, "no .yaml file" in other.err) == (2, True)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "scorecard: x\nindicators:\n- name: A\n  feature: events_viist_30d\n  buckets: [{points: 1}]\n",
        encoding="utf-8",
    )
    unknown = propensity("scorecard", "show", quick.study, "--card", wrong)
    assert unknown.code == 2
    assert "events_visit_30d" in unknown.err
    wrong.write_text(
        "scorecard: x\nindicators:\n- name: A\n  feature: age\n  buckets: [{point: 1}]\n", encoding="utf-8"
    )
    line = propensity("scorecard", "sql", quick.study, "--card", wrong)
    assert (line.code, "wrong.yaml:5" in line.err) == (2, True)
    without = make_study(quick_text.replace("scorecard: scorecards/demo.yaml", "").replace(", 'scorecard'", ""))
    none = propensity("scorecard", "show", without)
    assert (none.code, "--card" in none.err) == (2, True)
    nobody = propensity("scorecard", "explain", quick.study, "nobody")
    assert (nobody.code, "is not a prospect" in nobody.err) == (2, True)
