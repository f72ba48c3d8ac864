"""How older rows count: all alike where nothing changes, less where what holds has changed; chosen on validation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

STUDY = """
study: leads
data:
  source: {source}
  customers: {{table: leads, key: lead, attributes: {{a: number, b: number}}}}
outcome: {{column: signed_up}}
split: {{order: day}}
models: [{model}]
{more}
"""
ROWS = 6_000


def leads(*, changes_at: float) -> pd.DataFrame:
    """What `a` means turns round after a share of the days; rows stand in no order in the file."""
    rng = np.random.default_rng(4)
    day = np.arange(ROWS)
    a, b = rng.normal(size=(2, ROWS))
    sign = np.where(day < changes_at * ROWS, -1.0, 1.0)
    y = rng.random(ROWS) < 1 / (1 + np.exp(1.5 - 1.2 * sign * a - 0.3 * b))
    table = pd.DataFrame({"lead": day, "day": day, "a": a.round(4), "b": b.round(4), "signed_up": y.astype(int)})
    return table.sample(frac=1, random_state=1)


def trained(propensity, folder: Path, table: pd.DataFrame, *, model: str = "logistic", more: str = "") -> Path:
    folder.mkdir()
    table.to_csv(folder / "leads.csv", index=False)
    study = folder / "leads.yaml"
    study.write_text(STUDY.format(source=folder, model=model, more=more), encoding="utf-8")
    answer = propensity("train", study, "--out", folder / "runs", "--no-track", "--json")
    assert answer.code == 0, answer.err
    return Path(answer.json["folder"])


def recency(run: Path) -> dict[str, float]:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))["recency"]


def auc(run: Path, model: str) -> float:
    predictions = pd.read_parquet(run / "predictions.parquet")
    return float(roc_auc_score(predictions["label"], predictions[model]))


@pytest.mark.parametrize("model", ["logistic", "lightgbm"])
def test_where_what_holds_has_changed_recent_rows_count_more_and_the_ranking_gains(propensity, tmp_path, model):
    table = leads(changes_at=0.35)  # train is the first 60 %
    run = trained(propensity, tmp_path / "auto", table, model=model)
    alike = trained(propensity, tmp_path / "none", table, model=model, more="recency: none")
    # A sixth of train's length (3,600 rows in order, the first at 0): a change so late asks for the shorter one.
    assert recency(run) == {model: pytest.approx(3_599 / 6)}
    assert recency(alike) == {}
    assert auc(run, model) > auc(alike, model) + 0.1
    assert "half-life" in (run / "report.html").read_text(encoding="utf-8")


def test_where_nothing_changes_all_history_counts(propensity, tmp_path):
    assert recency(trained(propensity, tmp_path / "auto", leads(changes_at=0.0))) == {}


def test_a_snapshot_has_no_days_to_halve_weights_over(propensity, tmp_path):
    (tmp_path / "leads.yaml").write_text(
        STUDY.format(source=tmp_path, model="logistic", more="recency: 30d"), encoding="utf-8"
    )
    answer = propensity("train", tmp_path / "leads.yaml")
    assert answer.code == 2
    assert "recency: a snapshot knows no time to halve weights over" in answer.err
