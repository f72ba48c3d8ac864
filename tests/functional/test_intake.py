"""`propensity score` refuses an input that is shorter or older than usual, or changed; never silently other."""

import json
import shutil

import pandas as pd
import pytest

LATER = "2025-09-14"


@pytest.fixture
def market_copy(market, tmp_path):
    return shutil.copytree(market, tmp_path / "tables")


@pytest.fixture
def score(propensity, trained, market, market_copy, tmp_path):
    """Score the run's model on changed tables."""

    def run(*more, name="list.parquet"):
        study = trained.study.with_name("changed.yaml")
        text = trained.study.read_text(encoding="utf-8")
        study.write_text(text.replace(f"source: {market} ", f"source: {market_copy} "), encoding="utf-8")
        return propensity("score", study, "--as-of", LATER, "--model", trained.folder / "bundle",
                          "--out", tmp_path / name, *more)  # fmt: skip

    return run


def change(folder, table, how):
    path = folder / f"{table}.parquet"
    how(pd.read_parquet(path)).to_parquet(path, index=False)


def refused(answer, tmp_path, code):
    assert answer.code == code, answer.err or answer.out
    assert not list(tmp_path.glob("list*"))
    return " ".join(answer.err.split())


def test_half_of_the_customers_absent(score, market_copy, tmp_path):
    change(market_copy, "customers", lambda rows: rows.iloc[::2])
    for table in ("events", "purchases"):
        kept = pd.read_parquet(market_copy / "customers.parquet")["customer_id"]
        change(market_copy, table, lambda rows, kept=kept: rows[rows["customer_id"].isin(kept)])
    said = refused(score(), tmp_path, 1)
    assert "prospects," in said
    assert "or more when the model learnt last (limit 70%)" in said
    assert score("--anyway").code == 0
    assert len(pd.read_parquet(tmp_path / "list.parquet")) > 0


def test_events_that_stopped_coming(score, market_copy, tmp_path):
    change(market_copy, "events", lambda rows: rows[pd.to_datetime(rows["occurred_at"]) < "2025-09-05"])
    said = refused(score(), tmp_path, 1)
    assert "the newest of the events is" in said
    change(market_copy, "events", lambda rows: rows[pd.to_datetime(rows["occurred_at"]) < "2025-08-20"])
    assert "events in the last 30 days" in refused(score(), tmp_path, 1)


def test_a_column_gone_or_of_another_type_is_refused(score, market_copy, tmp_path):
    change(market_copy, "customers", lambda rows: rows.drop(columns="income"))
    said = refused(score(), tmp_path, 1)
    assert "the source is not what it was when the model learnt" in said
    assert "income" in said
    change(market_copy, "customers", lambda rows: rows.assign(income="a lot"))
    assert "income" in refused(score(), tmp_path, 1)


def test_columns_and_rows_in_another_order_give_the_same_list(score, market_copy, tmp_path):
    assert score(name="list.parquet").code == 0
    for table in ("customers", "events", "purchases"):
        change(market_copy, table, lambda rows: rows[rows.columns[::-1]].sample(frac=1, random_state=3))
    assert score(name="again.parquet").code == 0
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "list.parquet").read_bytes()
    manifests = [json.loads((tmp_path / f"{name}.parquet.manifest.json").read_text()) for name in ("list", "again")]
    assert manifests[0] == manifests[1]
    assert len(manifests[0]["data"].split("-")) == 3


def test_another_record_is_another_fingerprint(score, market_copy, tmp_path):
    assert score(name="list.parquet").code == 0
    change(market_copy, "purchases", lambda rows: rows.iloc[1:])
    assert score(name="again.parquet").code == 0
    first, second = (json.loads((tmp_path / f"{name}.parquet.manifest.json").read_text())["data"]
                     for name in ("list", "again"))  # fmt: skip
    assert first != second
