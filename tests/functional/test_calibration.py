"""The calibrator that a study asks for: in the list, the bundle, the report, and never at the price of the ranking."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import propensity as pp
from propensity.bundle import BundlePredictor, load_bundle
from propensity.errors import ConfigError
from propensity.evaluation.metrics import compute_metrics

STUDY = """
study: leads
seed: 3
data:
  source: {source}
  customers: {{table: leads, key: lead, attributes: {{region: category, visits: number, age: number}}}}
outcome: {{column: signed_up}}
split: {{order: rows}}
models: [logistic]
contact: {{capacity: 10%}}
calibration: {calibration}
"""
POINTS = ["rank", "customer_id", "points", "base_points", *(f"contribution_{i}" for i in range(1, 4))]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    visits, age = rng.poisson(3, 3_000), rng.integers(18, 80, 3_000)
    chance = 1 / (1 + np.exp(3 - 0.6 * np.minimum(visits, 4)))
    leads = pd.DataFrame({"lead": [f"L{i}" for i in range(3_000)], "visits": visits, "age": age})
    leads["region"] = rng.choice(["north", "south"], 3_000)
    leads["signed_up"] = (rng.random(3_000) < chance).astype(int)
    folder = tmp_path_factory.mktemp("leads")
    leads.to_csv(folder / "leads.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def runs(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("calibrated")
    found = {}
    for calibration in ("platt", "isotonic", "beta", "venn_abers", "{method: auto}"):
        path = folder / "leads.yaml"
        path.write_text(STUDY.format(source=source, calibration=calibration), encoding="utf-8")
        found[calibration] = pp.train(path, out=folder / "runs", track=False)
    return found


@pytest.mark.parametrize("method", ["isotonic", "beta", "venn_abers"])
def test_the_calibrator_changes_probabilities_and_nothing_else(runs: Any, method: str) -> None:
    plain, bent = runs["platt"].prospects, runs[method].prospects
    pd.testing.assert_frame_equal(bent[POINTS], plain[POINTS])
    assert not np.allclose(bent["probability"], plain["probability"])
    assert (bent["probability"].diff().dropna() <= 0).all()
    ranking = [
        name for name in runs["platt"].metrics if name.startswith(("roc_auc", "average_precision", "lift", "cap"))
    ]
    pd.testing.assert_frame_equal(runs[method].metrics[ranking], runs["platt"].metrics[ranking])


@pytest.mark.parametrize("method", ["platt", "isotonic", "beta", "venn_abers"])
def test_the_interval_holds_the_probability_and_is_never_empty(runs: Any, method: str) -> None:
    listed = runs[method].prospects
    assert (listed["probability_low"] < listed["probability"]).all()
    assert (listed["probability"] < listed["probability_high"]).all()
    assert listed[["probability_low", "probability_high"]].gt(0).all(axis=None)


def test_ties_of_isotonic_regression_cost_no_auc(runs: Any) -> None:
    run = runs["isotonic"]
    predictions = run.predictions
    told = json.loads((run.folder / "metrics.json").read_text())["models"]["logistic"]["test"]
    tied = roc_auc_score(predictions["label"], predictions["logistic"])
    assert predictions["logistic"].nunique() < runs["platt"].predictions["logistic"].nunique()
    assert told["roc_auc"] == pytest.approx(
        roc_auc_score(runs["platt"].predictions["label"], runs["platt"].predictions["logistic"])
    )
    assert told["roc_auc"] != pytest.approx(tied, abs=1e-9)
    # what depends on the probabilities is of the probabilities that are told
    assert told["brier"] == pytest.approx(((predictions["logistic"] - predictions["label"]) ** 2).mean())


def test_the_bundle_the_manifest_and_the_report_say_which(runs: Any) -> None:
    run = runs["venn_abers"]
    assert json.loads((run.folder / "bundle" / "calibration.json").read_text())["step"]["method"] == "venn_abers"
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["list"]["calibration"] == manifest["list"]["model"]["calibration"] == "venn_abers"
    assert "Venn–Abers, as the study says" in (run.folder / "report.html").read_text(encoding="utf-8")
    chosen = json.loads((runs["{method: auto}"].folder / "report.json").read_text())["calibration"]
    assert [row["method"] for row in chosen["compared"]] == ["platt", "beta", "isotonic", "venn_abers"]


@pytest.mark.parametrize("method", ["isotonic", "beta", "venn_abers"])
def test_a_loaded_bundle_gives_the_lists_probabilities_to_the_bit(runs: Any, method: str, source: Path) -> None:
    run = runs[method]
    bundle = load_bundle(run.folder / "bundle")
    leads = pd.read_csv(source / "leads.csv").set_index("lead").loc[run.prospects["customer_id"]]
    found = BundlePredictor(bundle).predict(leads)
    np.testing.assert_array_equal(found["probability"], run.prospects["probability"])
    np.testing.assert_array_equal(found["points"], run.prospects["points"])


def test_an_unknown_calibrator_is_refused(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "leads.yaml"
    path.write_text(STUDY.format(source=source, calibration="spline"), encoding="utf-8")
    with pytest.raises(ConfigError, match="spline") as error:
        pp.load_study(path)
    assert "leads.yaml:11" in str(error.value)
    assert "'venn_abers'" in str(error.value)


def test_ranking_may_be_told_apart_from_probability() -> None:
    y, p, score = [0, 1, 0, 1], [0.2, 0.4, 0.4, 0.4], [1.0, 3.0, 2.0, 4.0]
    by_score, by_p = (compute_metrics(y, p, capacity=0.5, score=given) for given in (score, None))
    # By score the two buyers come first. By probability each outranks one of the two others and ties with one: 3/4.
    assert by_score["roc_auc"] == 1.0
    assert by_p["roc_auc"] == 0.75
    assert by_score["brier"] == by_p["brier"]


def test_em_moves_the_lists_base_rate_and_says_so(tmp_path: Path) -> None:
    # Label shift by construction: who buys looks alike in all parts, but their share rises: 8, 16, 30 %.
    rng = np.random.default_rng(8)
    bought = (rng.random(6_000) < np.repeat([0.08, 0.16, 0.3], [3_600, 1_200, 1_200])).astype(int)
    leads = pd.DataFrame({"lead": [f"L{i}" for i in range(6_000)], "region": "north", "age": rng.normal(40, 9, 6_000)})
    leads["visits"] = rng.normal(2.0 * bought, 1.0)
    leads["signed_up"] = bought
    leads.to_csv(tmp_path / "leads.csv", index=False)
    path = tmp_path / "leads.yaml"
    found = {}
    for prior in ("latest", "em"):
        text = STUDY.format(source=tmp_path, calibration=f"{{prior: {prior}}}")
        path.write_text(text, encoding="utf-8")
        found[prior] = pp.train(path, out=tmp_path / "runs", track=False)
    manifest = json.loads((found["em"].folder / "manifest.json").read_text())["list"]
    assert manifest["prior"]["method"] == "em"
    assert manifest["prior"]["reason"].startswith("EM: on validation EM takes the base rate from 0.0")
    told = manifest["prior"]["base_rate_after"]
    assert told == pytest.approx(found["em"].prospects["probability"].mean())
    assert told > manifest["prior"]["base_rate_before"]
    pd.testing.assert_frame_equal(found["em"].prospects[POINTS], found["latest"].prospects[POINTS])
    # The bundle that is saved knows how to find a base rate, but none of this list's.
    bundle = load_bundle(found["em"].folder / "bundle")
    assert (bundle.prior.method, bundle.shift) == ("em", 0.0)
    explained = pp.explain(path, found["em"].prospects["customer_id"].iloc[0], runs=tmp_path / "runs")
    assert explained.probability == pytest.approx(found["em"].prospects["probability"].iloc[0])


def test_em_is_not_used_where_it_does_not_help(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "leads.yaml"
    path.write_text(STUDY.format(source=source, calibration="{method: platt, prior: em}"), encoding="utf-8")
    run = pp.train(path, out=tmp_path / "runs", track=False)
    prior = json.loads((run.folder / "manifest.json").read_text())["list"]["prior"]
    assert prior["method"] == "latest"
    assert prior["reason"].startswith("the latest matured labels, not EM: on validation")


def test_buyers_are_held_against_what_was_expected(runs: Any) -> None:
    run = runs["platt"]
    rows = json.loads((run.folder / "calibration_by_cutoff.json").read_text())
    matured, test = rows
    assert (matured["split"], test["split"]) == ("matured", "test")
    assert (test["n"], test["buyers"]) == (len(run.predictions), int(run.predictions["label"].sum()))
    assert test["expected"] == pytest.approx(run.predictions["logistic"].sum())
    assert test["low"] < test["ratio"] < test["high"]
    assert "As many buyers as were promised?" in (run.folder / "report.html").read_text(encoding="utf-8")
