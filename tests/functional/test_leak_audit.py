"""`check --leaks`: planted leaks are found and named, and honest studies are left in peace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity import api, cohort
from propensity.config import Study
from propensity.data.connect import to_frame
from propensity.errors import DataError
from propensity.results import AuditResult

CUTOFFS = ("2025-01-01", "2025-03-01", "2025-05-01")
CUSTOMERS = 400
ATTRIBUTES = {"region": "category", "income": "number"}


def shop() -> dict[str, pd.DataFrame]:
    """A shop whose customers visit and buy as they please; some of it happens exactly at the cutoffs."""
    draw = np.random.default_rng(3)
    ids = np.array([f"c{i:03d}" for i in range(CUSTOMERS)])
    begin, days = pd.Timestamp("2024-10-01"), 260
    customers = pd.DataFrame(
        {
            "customer_id": ids,
            "registered_at": begin - pd.to_timedelta(draw.integers(1, 200, CUSTOMERS), unit="D"),
            "region": draw.choice(["north", "south"], CUSTOMERS),
            "income": draw.normal(3000, 500, CUSTOMERS).round(),
        }
    )
    customers.loc[:20, "registered_at"] = pd.Timestamp("2025-03-01")

    def records(count: int, *, at_cutoffs: int) -> pd.DataFrame:
        at = begin + pd.to_timedelta(draw.integers(0, days * 1440, count), unit="min")
        exactly = pd.to_datetime(np.repeat(CUTOFFS, at_cutoffs))
        return pd.DataFrame({"customer_id": draw.choice(ids, count + len(exactly)), "at": [*at, *exactly]})

    events = records(4_000, at_cutoffs=30)
    events["kind"] = draw.choice(["visit", "quote"], len(events), p=[0.8, 0.2])
    events["known_at"] = events["at"] + pd.to_timedelta(draw.choice([0, 0, 0, 5], len(events)), unit="D")
    # The number of a record grows with time, as a source's own numbers do.
    events = events.sort_values("at", ignore_index=True).reset_index(names="number")
    purchases = records(700, at_cutoffs=12)
    purchases["product"] = draw.choice(["tea", "coffee"], len(purchases), p=[0.4, 0.6])
    purchases["amount"] = draw.gamma(2.0, 20.0, len(purchases)).round(2)
    return {"customers": customers, "events": events, "purchases": purchases}


def study_changes(**changes: Any) -> dict[str, Any]:
    return {
        "data": {
            "customers": {"known_from": "registered_at", "attributes": ATTRIBUTES, **changes.pop("customers", {})},
            "events": {"available_at": "known_at", **changes.pop("events", {})},
            **changes,
        },
        "models": ["logistic"],
    }


@pytest.fixture
def audited(little_study: Callable[..., Any]) -> Callable[..., AuditResult]:
    """Audit the shop with changes: to the data section of its study, and to its tables."""

    def audit(rows: dict[str, pd.DataFrame] | None = None, **changes: Any) -> AuditResult:
        study = little_study(study_changes(**changes), **{**shop(), **(rows or {})})
        return api.audit(study.path)

    return audit


def found(result: AuditResult, level: str) -> dict[str, str]:
    """Subject → text of the findings of a level."""
    rows = result.findings[result.findings["level"] == level]
    return dict(zip(rows["subject"], rows["text"], strict=True))


def joined(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """Customers with the columns of a table of one row each joined to them."""
    return {name: table, "people": {"union": "customers", "join": [{"table": name, "on": "customer_id"}]}}


class TestHonest:
    def test_an_honest_shop_is_left_in_peace(self, audited):
        result = audited()
        assert result.verdict == "no leak found", result.findings[["level", "subject", "text"]].to_dict("records")
        assert not result.is_proven
        assert set(result.findings["level"]) == {"note"}
        assert len(result.trials) == 3 * 4
        assert result.trials["identical"].all()
        assert (result.trials["rows"][result.trials["change"] != "trained"] > 900).all()

    @pytest.mark.slow
    def test_late_records_are_told_apart(self, audited):
        """A quarter of the events, ten in 260 days, become known five days late: 4.8 % of the rows miss one."""
        changed = audited().availability.set_index("feature")["share"]
        assert 0.01 < changed["events_30d"] < 0.1
        assert not [name for name in changed.index if name.startswith("purchase")]

    @pytest.mark.slow
    def test_the_simulated_market_is_left_in_peace(self, propensity, make_study, study_text):
        answer = propensity("check", make_study(study_text), "--leaks", "--json")
        assert answer.code == 0, answer.err
        said = answer.json
        assert said["verdict"] == "no leak found", said["findings"]
        assert all(trial["identical"] for trial in said["trials"])
        assert 0 < said["business"]["share"] < 0.25
        assert said["business"]["kinds"] == ["email_sent"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "data"), [("online_retail_baking", "online_retail"), ("starbucks_bogo", "starbucks")]
    )
    def test_real_studies_are_left_in_peace(self, real_study, name, data, tmp_path, monkeypatch):
        study = real_study(name, data)
        monkeypatch.chdir(tmp_path)
        result = api.audit(study)
        assert result.verdict == "no leak found", result.findings[["level", "subject", "text"]].to_dict("records")
        assert result.trials["identical"].all()


class TestJoinedInTheStudy:
    """What an author joins out of later rows: proven, and named with the table that it comes from."""

    def test_the_last_activity_of_a_customer(self, audited):
        last = {
            "union": "events",
            "where": "kind = 'quote'",
            "compute": {"backwards": "0 - number"},
            "first": {"key": "customer_id", "order": "backwards"},
        }
        result = audited(
            tables=joined("last_quotes", last),
            customers={
                "table": "people",
                "attributes": {**ATTRIBUTES, "last_activity": {"type": "date", "column": "at"}},
            },
        )
        proven = found(result, "proven")
        assert result.verdict == "leak proven"
        assert list(proven) == ["last_activity"]
        assert "days_since_last_activity" in proven["last_activity"]
        assert "an attribute out of events" in proven["last_activity"]
        assert "last_activity" in result.sentence

    @pytest.mark.slow
    def test_whether_a_customer_ever_bought(self, audited):
        ever = {
            "union": "purchases",
            "where": "product = 'tea'",
            "compute": {"ever": "'yes'"},
            "first": {"key": "customer_id", "order": "at"},
        }
        attributes = {**ATTRIBUTES, "bought": {"type": "date", "column": "at", "feature": "days_since"}}
        result = audited(tables=joined("buyers", ever), customers={"table": "people", "attributes": attributes})
        # As a date it is missing until it has happened, and nothing leaks.
        assert result.verdict == "no leak found", result.findings[["level", "subject", "text"]].to_dict("records")
        attributes = {**ATTRIBUTES, "ever_bought": {"type": "category", "column": "ever"}}
        result = audited(tables=joined("buyers", ever), customers={"table": "people", "attributes": attributes})
        assert list(found(result, "proven")) == ["ever_bought"]
        assert "out of purchases" in found(result, "proven")["ever_bought"]

    @pytest.mark.slow
    def test_customers_who_exist_because_they_will_buy(self, audited):
        first = {"union": "purchases", "first": {"key": "customer_id", "order": "at"}}
        customers = {"table": "buyers", "known_from": None, "attributes": {}}
        result = audited(tables={"buyers": first}, customers=customers)
        assert "'customers'" in found(result, "proven")["cohort"]
        told = result.findings.set_index("subject")["advice"]["cohort"]
        assert "known_from" in told
        honest = audited(tables={"buyers": first}, customers={**customers, "known_from": "first_purchase"})
        assert honest.verdict == "no leak found"


class TestInTheEngine:
    """Errors put into the product itself: the audit looks at what comes out, whatever the reason."""

    def test_an_off_by_one_at_the_boundary(self, audited, monkeypatch):
        def at_the_cutoff_too(records, cutoff):
            return cohort_as_of(records, cutoff + pd.Timedelta(microseconds=1))

        cohort_as_of = cohort.as_of
        monkeypatch.setattr(cohort, "as_of", at_the_cutoff_too)
        result = audited()
        assert result.verdict == "leak proven"
        assert "'never purchased'" in found(result, "proven")["cohort"]
        assert set(result.trials["cutoff"][~result.trials["identical"]]) == set(CUTOFFS)

    @pytest.mark.slow
    def test_never_purchased_over_all_time(self, audited, monkeypatch):
        """Nobody is left who will buy: the study cannot be trained, and the audit says why."""
        monkeypatch.setattr(cohort, "as_of", lambda records, _: records)
        result = audited()
        assert result.verdict == "leak proven"
        assert "'never purchased'" in found(result, "proven")["cohort"]
        assert "no positives" in found(result, "not tested")["single features"]

    @pytest.mark.slow
    def test_a_study_without_buyers_is_the_users_mistake(self, audited):
        tables = shop()
        tables["purchases"] = tables["purchases"][lambda t: ~((t["product"] == "tea") & (t["at"] >= CUTOFFS[0]))]
        with pytest.raises(DataError, match="no positives"):
            audited(rows=tables)

    @pytest.mark.slow
    def test_features_that_see_later_rows(self, audited, monkeypatch):
        from propensity.audit import scramble

        def with_all_events(tables, plan, **named):
            frame = build_frame(tables, plan, **named)
            count = to_frame(tables.events.group_by("customer_id").agg(n=tables.events.count()))
            counts = count.set_index("customer_id")["n"].reindex(frame.keys["customer_id"])
            frame.X["events_ever"] = counts.to_numpy(dtype=np.float32)
            return frame

        build_frame = scramble.build_frame
        monkeypatch.setattr(scramble, "build_frame", with_all_events)
        result = audited()
        proven = found(result, "proven")
        assert list(proven) == ["features of events"]
        assert proven["features of events"].startswith("events_ever")
        assert "training and scoring" not in proven["features of events"]
        trained = result.trials[result.trials["change"] == "trained"]
        assert not trained["identical"].any()  # training built these rows with another engine


class TestReadyColumns:
    """Columns that are in the customers table already: nothing can prove what they were, but signs name them."""

    def later(self) -> pd.DataFrame:
        tables = shop()
        at = pd.concat([tables["events"][["customer_id", "at"]], tables["purchases"][["customer_id", "at"]]])
        bought = tables["purchases"][lambda t: (t["product"] == "tea") & (t["at"] >= CUTOFFS[0])]
        customers = tables["customers"].set_index("customer_id")
        customers["last_activity"] = at.groupby("customer_id")["at"].max()
        customers["satisfaction"] = bought.groupby("customer_id")["amount"].mean()
        customers["contract_end"] = pd.Timestamp("2024-06-01") + pd.to_timedelta(np.arange(CUSTOMERS) * 3, unit="D")
        return customers.reset_index()

    def test_a_last_activity_that_is_updated(self, audited):
        attributes = {**ATTRIBUTES, "last_activity": "date", "contract_end": "date"}
        result = audited(rows={"customers": self.later()}, customers={"attributes": attributes})
        assert result.verdict == "suspicious"
        assert not result.is_proven
        assert "updated as things happen" in found(result, "suspicious")["last_activity"]
        assert "planned ahead" in found(result, "note")["contract_end"]
        listed = result.findings.set_index("subject").loc["attributes", "facts"]["attributes"]
        assert listed == [*attributes]

    @pytest.mark.slow
    def test_a_value_that_exists_for_buyers_only(self, audited):
        attributes = {**ATTRIBUTES, "satisfaction": "number"}
        result = audited(rows={"customers": self.later()}, customers={"attributes": attributes})
        assert "satisfaction_missing" in found(result, "suspicious")
        row = result.features.set_index("feature").loc["satisfaction_missing"]
        assert row["auc"] > 0.85
        assert row["others"] < 0.7

    @pytest.mark.slow
    def test_the_duration_of_a_call(self, real_study, tmp_path):
        study: Study = real_study("bank_marketing", "bank_marketing")
        attributes = study.data.customers.attributes
        with_duration = {**attributes, "duration": attributes["campaign"].model_copy(update={"label": "duration"})}
        customers = study.data.customers.model_copy(update={"attributes": with_duration})
        leaky = study.model_copy(update={"data": study.data.model_copy(update={"customers": customers})})
        result = api.audit(leaky)
        assert result.verdict == "suspicious"
        assert list(found(result, "suspicious")) == ["duration"]
        assert "0.96" in found(result, "suspicious")["duration"]
        assert api.audit(study).verdict == "no leak found"


class TestCommandLine:
    def test_a_proof_ends_with_exit_code_1(self, propensity, little_study, monkeypatch):
        study = little_study(study_changes(), **shop())
        monkeypatch.setattr(cohort, "as_of", lambda records, _: records)
        answer = propensity("check", study.path, "--leaks")
        assert answer.code == 1
        assert "Leak proven" in answer.out
        assert "MOVED" in answer.out

    @pytest.mark.slow
    def test_what_is_printed_and_what_machines_get_are_the_same_facts(self, propensity, little_study):
        study = little_study(study_changes(), **shop())
        printed, answer = (
            propensity("check", study.path, "--leaks"),
            propensity("check", study.path, "--leaks", "--json"),
        )
        assert (printed.code, answer.code) == (0, 0)
        said = answer.json
        assert said["verdict"] == "no leak found"
        assert said["sentence"] in " ".join(printed.out.split())
        assert said["model"].startswith("a quick model fitted on train")
        for trial in said["trials"]:
            assert trial["cutoff"] in printed.out
        assert max(map(len, printed.out.splitlines())) <= 100
        for finding in said["findings"]:
            assert finding["subject"] in printed.out

    @pytest.mark.slow
    def test_scores_are_asked_of_the_latest_run(self, propensity, trained):
        answer = propensity("check", trained.study, "--leaks", "--json", "--runs", trained.runs)
        assert answer.code == 0, answer.err
        assert answer.json["model"] == f"the model of {trained.runs / 'latest'}"
        kept = trained.read("leaks.json")  # for the run's report
        assert kept["verdict"] == answer.json["verdict"]
        assert kept["trials"] == answer.json["trials"]

    @pytest.mark.slow
    def test_what_was_found_is_told_where_the_run_cannot_keep_it(self, propensity, trained, monkeypatch, caplog):
        def full(_: object) -> None:
            raise OSError("read-only file system")

        monkeypatch.setattr("propensity.pipelines.whole_file", full)
        answer = propensity("check", trained.study, "--leaks", "--json", "--runs", trained.runs)
        assert answer.code == 0, answer.err
        assert answer.json["verdict"] == "no leak found"
        assert "leaks.json cannot be written (read-only file system)" in caplog.text

    @pytest.mark.slow
    def test_a_model_that_does_not_fit_is_refused(self, propensity, trained, little_study):
        study = little_study(study_changes(), **shop())
        answer = propensity("check", study.path, "--leaks", "--model", trained.folder)
        assert answer.code == 2
        assert "was trained with other tables" in answer.err
