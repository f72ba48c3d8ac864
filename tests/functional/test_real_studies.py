"""The studies on real sets, end to end: trained, scored, and held against floors that a crude model reached.

The floors are those of the data sets' own notes, about one standard error wide: an AUC on test that a hand-made
gradient boosting reached with one earlier cutoff. A miss means a bug.
"""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import propensity as pp

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PROPENSITY_SHARED_DATA", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not at {DATA} (PROPENSITY_SHARED_DATA)"),
]

STUDIES = [
    # study, prospects and positives at test, floor of the selected model's AUC, standard error
    ("adventureworks_helmets", 9_812, 616, 0.77, 0.011),
    ("adventureworks_clothing", 9_182, 666, 0.76, 0.011),
    ("starbucks_bogo", 9_985, 2_043, 0.75, 0.006),
    ("online_retail_baking", 1_901, 210, 0.64, 0.02),
    ("coil2000", 4_000, 238, 0.735, 0.016),
]


@pytest.mark.parametrize(("name", "prospects", "positives", "floor", "error"), STUDIES)
def test_a_study_on_real_data_reaches_its_floor(name, prospects, positives, floor, error, tmp_path, monkeypatch):
    monkeypatch.setenv("PROPENSITY_SHARED_DATA", str(DATA))
    study = pp.load_study(ROOT / "configs" / f"{name}.yaml")
    run = pp.train(study, out=tmp_path / "runs", track=False)
    test = run.predictions
    assert (len(test), int(test["label"].sum())) == (prospects, positives)
    assert roc_auc_score(test["label"], test[run.selected]) >= floor - error
    _check_marketing(run.folder, prospects, positives)
    if name == "coil2000":
        top = test.sort_values(run.selected, ascending=False, kind="stable").head(800)
        assert top["label"].sum() >= 118
        scored = pp.score(study, data=DATA / "coil2000" / "ticeval2000.txt", runs=tmp_path / "runs")
    else:
        scored = pp.score(study, as_of=study.cutoffs.test, runs=tmp_path / "runs", out=tmp_path / "list.csv")
        manifest = json.loads((tmp_path / "list.csv.manifest.json").read_text())
        assert manifest["rows"] == prospects
    assert len(scored.prospects) == prospects
    parts = ["base_points", *[f"contribution_{i}" for i in range(1, 6)], "contribution_other"]
    total = scored.prospects[parts].fillna(0).sum(axis=1)
    pd.testing.assert_series_equal(total, scored.prospects["points"], rtol=1e-9, check_names=False)


def _check_marketing(folder: Path, prospects: int, positives: int) -> None:
    """The prospects of test, divided in every way of marketing's, are the prospects of test."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    sets = pd.DataFrame(report["swap_sets"]["sets"])
    assert (sets["prospects"].sum(), sets["buyers"].sum()) == pytest.approx((prospects, positives))
    segments = pd.DataFrame(report["segments"])
    for columns in (segments.groupby("dimension"), pd.DataFrame(report["swap_sets"]["groups"]).groupby("dimension")):
        assert len(columns) >= 1
    assert (segments.groupby("dimension")["test_prospects"].sum() == prospects).all()
    assert (segments.groupby("dimension")["test_buyers"].sum() == positives).all()
    for pyramid in report["pyramid"].values():
        assert sum(tier["test_prospects"] for tier in pyramid["tiers"]) == prospects
    assert not any(limit.startswith("Only") for limit in report["limits"])  # there are buyers enough
    assert {"all prospects", "bought", "ranked highest"} <= {told["avatar"] for told in report["avatars"]["texts"]}


def test_where_every_model_fails_under_drift_the_scorecard_is_selected(tmp_path, monkeypatch):
    monkeypatch.setenv("PROPENSITY_SHARED_DATA", str(DATA))
    study = pp.load_study(ROOT / "configs" / "bank_marketing.yaml")
    run = pp.train(study, out=tmp_path / "runs", track=False)
    # Base rates double from part to part; macro-economic attributes rank backwards on the later ones.
    assert run.selected == "scorecard"
    scored = pp.score(study, data=DATA / "bank_marketing" / "bank-additional-full.csv", runs=tmp_path / "runs")
    assert len(scored.prospects) == 35_563
    features = {entry["name"] for entry in json.loads((run.folder / "features.json").read_text())}
    assert "duration" not in features
