"""The same seed gives the same bytes: metrics, predictions and every file of the bundle."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest


def train(propensity, study: Path, out: Path) -> Path:
    answer = propensity("train", study, "--out", out, "--no-track", "--json")
    assert answer.code == 0, answer.err
    return Path(answer.json["folder"])


def bundle_files(run: Path) -> dict[str, bytes]:
    """The bundle's files but its head, which names the run."""
    folder = run / "bundle"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files["bundle.json"]
    return files


def assert_same(one: Path, other: Path) -> None:
    for name in ("metrics.json", "funnel.json", "predictions.parquet", "features.json", "study.yaml"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert bundle_files(one) == bundle_files(other)
    lists = [pd.read_parquet(run / "prospects.parquet").drop(columns="model_version") for run in (one, other)]
    pd.testing.assert_frame_equal(*lists, check_exact=True)
    heads = [json.loads((run / "bundle" / "bundle.json").read_text()) for run in (one, other)]
    for head in heads:
        del head["about"]["run"]
    assert heads[0] == heads[1]
    for figure in (one / "figures").iterdir():
        assert figure.read_bytes() == (other / "figures" / figure.name).read_bytes(), figure.name


@pytest.fixture
def boosted_text(study_text) -> str:
    """The small study with LightGBM alone, so that it is the one deployed."""
    return study_text.replace("models: [single_indicator, scorecard, logistic, lightgbm, blend]", "models: [lightgbm]")


def test_same_seed_gives_the_same_bytes(propensity, quick, tmp_path):
    assert_same(quick.folder, train(propensity, quick.study, tmp_path / "runs"))


@pytest.mark.slow
def test_boosted_trees_give_the_same_bytes_again(propensity, make_study, boosted_text, tmp_path):
    study = make_study(boosted_text)
    one = train(propensity, study, tmp_path / "one")
    other = train(propensity, study, tmp_path / "other")
    assert json.loads((one / "metrics.json").read_text())["selected"] == "lightgbm"
    assert_same(one, other)


def test_metrics_hold_no_times(trained):
    assert trained.folder.name not in (trained.folder / "metrics.json").read_text()
    assert "seconds" not in (trained.folder / "metrics.json").read_text()


@pytest.mark.slow
def test_all_models_give_the_same_bytes_again(propensity, trained, tmp_path):
    assert_same(trained.folder, train(propensity, trained.study, tmp_path / "runs"))


def test_row_order_changes_nothing(propensity, quick, make_study, quick_text, market, tmp_path):
    one = quick.folder
    shutil.copytree(market, tmp_path / "shuffled")
    for name in ("customers", "events", "purchases"):
        place = tmp_path / "shuffled" / f"{name}.parquet"
        pd.read_parquet(place).sample(frac=1.0, random_state=5).to_parquet(place, index=False)
    study = make_study(quick_text.replace(str(market), str(tmp_path / "shuffled")))
    other = train(propensity, study, tmp_path / "other")
    for name in ("metrics.json", "funnel.json", "predictions.parquet", "features.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert bundle_files(one) == bundle_files(other)


def test_another_seed_gives_other_folds_but_the_same_cohorts(propensity, quick, make_study, quick_text, tmp_path):
    other = train(propensity, make_study(quick_text.replace("seed: 7", "seed: 8")), tmp_path / "runs")
    assert (quick.folder / "funnel.json").read_bytes() == (other / "funnel.json").read_bytes()
    assert (quick.folder / "predictions.parquet").read_bytes() != (other / "predictions.parquet").read_bytes()
