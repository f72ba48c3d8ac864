"""Several horizons from end to end: list, bundle, run's files and report; the main horizon stays as it is."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from propensity.bundle import load_bundle
from propensity.config import Study, load_study
from propensity.data import simulate
from propensity.learning import Recipe, learn, refit
from propensity.pipelines import labelled_samples
from propensity.training import hazard_of

HORIZONS = ["7d", "90d"]
DEMO = Path(simulate.__file__).parent / "demo" / "demo.yaml"


@pytest.fixture(scope="module")
def runs(propensity, simulated_market, tmp_path_factory) -> dict[str, Path]:
    """The demo's study trained with one horizon, and with three."""
    found = {}
    for name, horizons in (("one", []), ("three", HORIZONS)):
        folder = tmp_path_factory.mktemp(name)
        study = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
        study["data"]["source"] = str(simulated_market)
        study["outcome"]["horizons"] = horizons
        study["models"] = ["logistic"]
        for key in ("scorecard", "wording"):  # files of their own
            study.pop(key)
        (folder / "study.yaml").write_text(json.dumps(study, default=str), encoding="utf-8")  # JSON is YAML
        answer = propensity("train", folder / "study.yaml", "--out", folder / "runs", "--no-track", "--json")
        assert answer.code == 0, answer.err
        found[name] = Path(answer.json["folder"])
    return found


def test_the_list_has_a_probability_for_each_horizon_that_never_falls(runs):
    one, three = (pd.read_parquet(runs[name] / "prospects.parquet") for name in ("one", "three"))
    columns = ["probability_7d", "probability_30d", "probability_90d"]
    assert not set(columns) & set(one.columns)
    assert (np.diff(three[columns].to_numpy(), axis=1) >= 0).all()
    assert (three["probability_7d"] < three["probability_90d"]).all()
    assert three["probability_30d"].tolist() == three["probability"].tolist()
    # The main horizon is what it would be without the others, to the bit.
    pd.testing.assert_frame_equal(
        one.drop(columns="model_version"), three.drop(columns=["model_version", *columns]), check_exact=True
    )
    bundle = load_bundle(runs["three"] / "bundle")
    assert bundle.hazard is not None
    assert bundle.hazard.horizons == ("7d", "30d", "90d")


def test_the_run_tells_how_each_horizon_came_out(runs):
    told = json.loads((runs["three"] / "horizons.json").read_text(encoding="utf-8"))
    rows = {row["horizon"]: row for row in told["table"]}
    predictions = pd.read_parquet(runs["three"] / "predictions.parquet")
    main = rows["30d"]
    assert main["buyers"] == predictions["label"].sum()
    assert main["expected_buyers"] == pytest.approx(predictions["logistic"].sum(), rel=1e-9)
    assert rows["7d"]["buyers"] <= main["buyers"]
    assert rows["90d"]["why"] == "not matured yet" or rows["90d"]["buyers"] >= main["buyers"]
    page = (runs["three"] / "report.html").read_text(encoding="utf-8")
    assert "Sooner or later" in page
    assert "Sooner or later" not in (runs["one"] / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((runs["three"] / "manifest.json").read_text(encoding="utf-8"))
    matures = manifest["list"]["horizons_mature_on"]
    assert list(matures) == ["7d", "30d", "90d"]
    assert matures["30d"] == manifest["list"]["matures_on"]


def judged_hazard(study: Study, until: datetime) -> dict[str, str]:
    """The files of what is learnt of the horizons on train and validation, as of an instant."""
    samples = labelled_samples(study, always=[], now=datetime(2025, 10, 1, tzinfo=UTC), progress=quiet)
    recipe = Recipe(study=study, plan=samples.plan, scorecard=None)
    assert samples.validation is not None
    learnt = learn(recipe, samples.train, samples.validation, progress=quiet)
    model = refit(recipe, ["logistic"], learnt, [samples.train, samples.validation], progress=quiet)["logistic"]
    hazard = hazard_of(study, samples.plan, model, until=until, progress=quiet)
    assert hazard is not None
    return hazard.to_files()


def quiet(text: str) -> None:
    """Nobody is told."""


def test_what_is_judged_on_test_knows_of_no_purchase_from_the_test_cutoff_on(simulated_market, tmp_path):
    # Purchases from the test cutoff on fall to other customers: who bought within 60 days of validation changes.
    spec = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
    spec["outcome"]["horizons"], spec["models"] = ["15d", "60d"], ["logistic"]
    for key in ("scorecard", "wording"):  # files of their own
        spec.pop(key)
    spec["data"]["source"] = str(tmp_path / "market")
    shutil.copytree(simulated_market, tmp_path / "market")
    (tmp_path / "study.yaml").write_text(json.dumps(spec, default=str), encoding="utf-8")
    study = load_study(tmp_path / "study.yaml")
    (test,) = study.cutoff_instants()["test"]
    late = datetime(2025, 9, 28, tzinfo=UTC)
    before, knowing = judged_hazard(study, test), judged_hazard(study, late)
    assert json.loads(before["hazard.json"])["horizons"] == ["15d", "30d", "60d"]

    file = tmp_path / "market" / "purchases.parquet"
    purchases = pd.read_parquet(file)
    later = (pd.to_datetime(purchases["ordered_at"], utc=True) >= test).to_numpy()
    purchases.loc[later, "customer_id"] = np.roll(purchases.loc[later, "customer_id"].to_numpy(), 7)
    purchases.to_parquet(file, index=False)

    assert judged_hazard(study, test) == before
    assert judged_hazard(study, late) != knowing  # the change would be seen by who looked


def test_the_list_says_which_horizon_it_has_no_probability_for(propensity, runs, simulated_market, tmp_path):
    # Hardly anybody buys within the first hour after a cutoff.
    spec = YAML(typ="safe").load((runs["one"] / "study.yaml").read_text(encoding="utf-8"))
    spec["outcome"]["horizons"] = ["1h", "15d"]
    (tmp_path / "study.yaml").write_text(json.dumps(spec, default=str), encoding="utf-8")
    answer = propensity("train", tmp_path / "study.yaml", "--out", tmp_path / "runs", "--no-track", "--json")
    assert answer.code == 0, answer.err
    listing = json.loads((Path(answer.json["folder"]) / "manifest.json").read_text(encoding="utf-8"))["list"]
    assert "No probability within 1h: too few buyers were known since the horizon before." in listing["notes"]
    assert [c for c in listing["columns"] if c.startswith("probability_") and c[12].isdigit()] == [
        "probability_15d",
        "probability_30d",
    ]
