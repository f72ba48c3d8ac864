"""A study with a table of contacts: features before the cutoff, what past contact shaped, outcomes split by it."""

import pandas as pd
import pytest
import yaml
from tests.functional.conftest import only, write_study

from propensity.evaluation.curves import wilson_interval

AS_OF = "2025-08-29"
TEST = "2025-07-30"


@pytest.fixture(scope="module")
def contacts(market):
    """Mails of the market as contacts by mail and phone, every tenth entered a week late, some in the last weeks."""
    events = pd.read_parquet(market / "events.parquet")
    sent = events[(events["event_type"] == "email_sent") & (events["customer_id"].str[-1] < "4")].reset_index(drop=True)
    at = sent["occurred_at"]
    return pd.DataFrame(
        {
            "customer_id": sent["customer_id"],
            "at": at,
            "known": at.where(sent.index % 10 > 0, at + pd.Timedelta(days=7)),
            "channel": pd.Series(["mail", "phone", "mail"] * len(sent))[: len(sent)],
        }
    )


@pytest.fixture(scope="module")
def study(market, contacts, study_text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("contacts")
    tables = folder / "tables"
    tables.mkdir()
    for file in market.glob("*.parquet"):
        (tables / file.name).symlink_to(file)
    contacts.to_parquet(tables / "contacts.parquet")
    text = yaml.safe_load(only(study_text, "logistic"))
    text["data"] |= {
        "source": str(tables),
        "contacts": {
            "table": "contacts", "key": "customer_id", "occurred_at": "at", "available_at": "known", "by": "channel",
        },
    }  # fmt: skip
    return write_study(folder / "configs", yaml.safe_dump(text, sort_keys=False))


@pytest.fixture(scope="module")
def run(propensity, study):
    answer = propensity("train", study, "--out", study.parent / "runs", "--no-track", "--json")
    assert answer.code == 0, answer.err
    return study.parent / "runs" / "latest"


def known_before(contacts, cutoff):
    cutoff = pd.Timestamp(cutoff)
    return contacts[(contacts["at"] < cutoff) & (contacts["known"] < cutoff)]


def test_features_count_what_was_known_before_the_cutoff(propensity, study, contacts, tmp_path):
    answer = propensity("features", study, "--out", tmp_path / "matrix.parquet")
    assert answer.code == 0, answer.err
    matrix = pd.read_parquet(tmp_path / "matrix.parquet")
    for cutoff, rows in matrix.groupby("cutoff"):
        day = cutoff.tz_localize(None)
        rows, before = rows.set_index("customer_id"), known_before(contacts, day)
        recent = before[before["at"] >= day - pd.Timedelta(days=30)]
        counted = {
            "contacts_ever": before.groupby("customer_id").size(),
            "contacts_30d": recent.groupby("customer_id").size(),
            "contacts_by_phone_30d": recent[recent["channel"] == "phone"].groupby("customer_id").size(),
        }
        for name, count in counted.items():
            expected = count.reindex(rows.index).fillna(0)
            assert expected.sum() > 0
            assert rows[name].tolist() == expected.tolist(), (name, day)
        last = (day - recent.groupby("customer_id")["at"].max()) / pd.Timedelta(days=1)
        pd.testing.assert_series_equal(
            rows["recency_days_contacted"].astype(float), last.reindex(rows.index), check_names=False, atol=1e-4
        )


def test_the_report_shows_how_past_contact_shaped_the_data(run, contacts):
    report = pd.read_json(run / "report.json", typ="series")
    predictions = pd.read_parquet(run / "predictions.parquet")
    was = predictions["customer_id"].isin(known_before(contacts, TEST)["customer_id"])
    told = {row["group"]: row for row in report["contacts"]["rows"] if row["split"] == "test"}
    for group, own in (("contacted", predictions[was]), ("not contacted", predictions[~was])):
        row = told[group]
        assert (row["prospects"], row["buyers"]) == (len(own), own["label"].sum())
        assert row["expected"] == pytest.approx(own["logistic"].sum())
        assert row["share"] == pytest.approx(len(own) / len(predictions))
        assert (row["low"], row["high"]) == pytest.approx(wilson_interval(own["label"].sum(), len(own)))
    listed = pd.read_parquet(run / "prospects.parquet")["customer_id"]
    assert report["contacts"]["listed"] == listed.isin(known_before(contacts, AS_OF)["customer_id"]).sum()
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "<h3>Past contacts</h3>" in html
    assert f"{told['contacted']['prospects']:,}" in html


def test_the_audit_counts_contacts_among_what_the_business_initiates(propensity, study, run):
    answer = propensity("check", study, "--leaks", "--runs", study.parent / "runs", "--json")
    assert answer.json["business"]["kinds"] == ["email_sent", "contacts"]
    assert any(name.startswith("contacts_") for name in answer.json["business"]["features"])
    assert answer.code == 0, answer.out


def test_outcomes_are_split_by_contact(propensity, study, run, contacts, market):
    lists = study.parent / "lists"
    answer = propensity("score", study, "--as-of", AS_OF, "--runs", study.parent / "runs",
                        "--random-control", "30%", "--out", lists / "list.parquet")  # fmt: skip
    assert answer.code == 0, answer.err
    answer = propensity("outcomes", study, "--lists", lists, "--no-track", "--json")
    assert answer.code == 0, answer.err
    rows = pd.read_parquet(lists / "outcomes.parquet")
    start = pd.Timestamp(AS_OF)
    window = contacts[(contacts["at"] >= start) & (contacts["at"] < start + pd.Timedelta(days=30))]
    first = rows["customer_id"].map(window.groupby("customer_id")["at"].min())
    bought_at = rows["bought_at"].dt.tz_localize(None)
    was = first.notna() & (bought_at.isna() | (first < bought_at))
    assert rows["contacted"].tolist() == was.tolist()
    assert was.any()
    assert answer.json["lists"][0]["contacts_until"] == f"{contacts['at'].max():%Y-%m-%d}"  # before the window ends
    told = {row["group"]: row for row in answer.json["contacted"]}
    assert told["contacted"]["prospects"] == was.sum()
    assert told["contacted"]["buyers"] == rows.loc[was, "bought"].sum()
    assert told["not contacted"]["expected"] == pytest.approx(rows.loc[~was, "probability"].sum())
    (effect,) = answer.json["effects"]
    assert effect["control_contacted"] > 0
    shown = " ".join(propensity("outcomes", study, "--lists", lists, "--no-track").out.split())
    assert f"{effect['control_contacted']} of the control group were contacted all the same" in shown
    assert "By contact" in shown


def test_the_timeline_of_a_prospect_has_the_contacts(propensity, study, run, contacts):
    listed = pd.read_parquet(run / "prospects.parquet")["customer_id"]
    customer = known_before(contacts, AS_OF).loc[lambda c: c["customer_id"].isin(listed), "customer_id"].iloc[0]
    page = study.parent / "page.html"
    answer = propensity("explain", study, customer, "--runs", study.parent / "runs", "--html", page)
    assert answer.code == 0, answer.err
    own = known_before(contacts, AS_OF).query("customer_id == @customer")
    text = page.read_text(encoding="utf-8")
    shown = [row for row in text.split("<tr>") if "(contact)" in row]  # the latest records
    times = {f"{at:%Y-%m-%d %H:%M}" for at in own["at"]}
    assert shown
    assert all(any(time in row for time in times) for row in shown)


def test_a_column_that_is_not_there_is_told(propensity, make_study, study):
    text = yaml.safe_load(study.read_text())
    text["data"]["contacts"]["by"] = "no_such_column"
    answer = propensity("check", make_study(yaml.safe_dump(text, sort_keys=False)))
    assert answer.code == 2
    assert "data.contacts" in answer.err
    assert "no_such_column" in answer.err


def test_contacts_that_begin_late_or_end_early_are_told(propensity, study, run, contacts, market, tmp_path):
    """Nobody is called never contacted, or left alone, for want of records; what is planned ahead is no mistake."""
    tables = tmp_path / "tables"
    tables.mkdir()
    for file in market.glob("*.parquet"):
        (tables / file.name).symlink_to(file)
    planned = contacts[contacts["at"] >= "2025-05-10"].copy()
    late = planned["at"] >= "2025-08-15"
    planned.loc[late, ["at", "known"]] = pd.Timestamp("2100-01-01")
    planned.to_parquet(tables / "contacts.parquet")
    text = yaml.safe_load(study.read_text())
    text["data"]["source"] = str(tables)
    own = write_study(tmp_path / "configs", yaml.safe_dump(text, sort_keys=False))
    found = propensity("check", own, "--json")
    assert found.code == 0, found.err
    table = next(row for row in found.json["tables"] if row["role"] == "contacts")
    assert table["findings"] == {"future": int(late.sum())}
    answer = propensity("features", own, "--out", tmp_path / "matrix.parquet", "--json")
    assert answer.code == 0, answer.err
    assert any("contacts: the first is of 2025-05-1" in warning for warning in answer.json["warnings"])
    lists = tmp_path / "lists"
    model = study.parent / "runs" / "latest" / "bundle"
    answer = propensity("score", own, "--as-of", AS_OF, "--model", model, "--random-control", "30%",
                        "--out", lists / "list.parquet")  # fmt: skip
    assert answer.code == 0, answer.err
    answer = propensity("outcomes", own, "--lists", lists, "--no-track", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["contacted"] == []
    assert [row["control_contacted"] for row in answer.json["effects"]] == [None]
    assert answer.json["lists"][0]["contacts_until"] == f"{planned.loc[~late, 'at'].max():%Y-%m-%d}"
