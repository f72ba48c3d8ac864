"""Features of a study's own: what the functions are given, what becomes of what they give, and what they may not."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.bundle import load_bundle
from propensity.data import past
from propensity.errors import ConfigError, DataError
from propensity.features.custom import load_functions
from propensity.pipelines import audit, score, train
from propensity.samples import scoring_frame, temporal_samples

Little = Callable[..., Any]

FEATURES = '''
"""Features of the study's own."""
import pandas as pd


def visits_at_night(past):
    """An ibis Table."""
    night = past.events.filter(past.events.occurred_at.hour() < 6)
    return night.group_by("customer_id").agg(nights=night.count())


visits_at_night.descriptions = {"nights": "visits at night"}


def everything_there_is(past):
    """Looks for later rows by every way: the connection that the tables come from holds none."""
    tables = past.events.get_backend().tables
    seen = sum(tables[name].count().to_pandas() for name in past.events.get_backend().con.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_name = 'events'").fetchnumpy()["table_name"])
    latest = past.events.occurred_at.max().to_pyarrow().as_py()
    assert latest < past.cutoff.replace(tzinfo=None)
    frame = past.customers.select("customer_id").to_pyarrow().to_pandas()
    return frame.assign(rows_to_be_seen=seen, purchases_known=past.purchases.count().to_pyarrow().as_py())


def one_customer_twice(past):
    return past.events.select("customer_id").to_pyarrow().to_pandas().assign(a=1.0)


def texts(past):
    return past.customers.select("customer_id").to_pyarrow().to_pandas().assign(a="x")


def not_a_table(past):
    return 5


def said_as_text(past):
    return past.customers.select("customer_id").to_pyarrow().to_pandas().assign(a=1.0)


said_as_text.sensitive = "a"


def misspelt(past):
    return said_as_text(past)


misspelt.sensitive = {"aa"}


def kept_back(past):
    return said_as_text(past).assign(b=2.0)


kept_back.sensitive = ["b"]


def fails(past):
    raise KeyError("no such thing")


def changes(past):
    frame = past.customers.select("customer_id").to_pyarrow().to_pandas()
    return frame.assign(**{f"of_{past.cutoff.month}": 1.0})


def nobody(past):
    return past.customers.select("customer_id").to_pyarrow().to_pandas().assign(a=1.0).iloc[:0]


def strangers_too(past):
    """Customers who are in no table are passed over."""
    frame = past.customers.select("customer_id").to_pyarrow().to_pandas().assign(known=1.0)
    return pd.concat([frame, pd.DataFrame({"customer_id": ["x1", "x2"], "known": [5.0, float("inf")]})])


def other_keys(past):
    return pd.DataFrame({"customer_id": [1, 2, 3], "a": [1.0, 2.0, 3.0]})


def a_label(past):
    return past.customers.select("customer_id").to_pyarrow().to_pandas().assign(label=1.0)


seven = 7
'''

CUSTOMERS = [{"customer_id": f"c{i}"} for i in range(8)]
AT = [f"2024-{month:02}-{day:02} {hour:02}:00:00" for month in (11, 12) for day in (3, 9, 20) for hour in (2, 12)]
EVENTS = [
    *[{"customer_id": f"c{i % 7}", "at": at, "kind": "visit", "known": at} for i, at in enumerate(AT * 3)],
    # At night before the cutoff, but told of after it.
    {"customer_id": "c0", "at": "2024-12-30 01:00:00", "kind": "visit", "known": "2025-01-02 00:00:00"},
    # Exactly at a cutoff: the future.
    {"customer_id": "c1", "at": "2025-01-01 00:00:00", "kind": "visit", "known": "2025-01-01 00:00:00"},
    *[{"customer_id": "c2", "at": f"2025-0{m}-15 03:00:00", "kind": "visit", "known": f"2025-0{m}-15"} for m in (2, 4)],
]
PURCHASES = [
    {"customer_id": f"c{i}", "at": at, "product": "tea", "amount": 1.0}
    for i, at in [(0, "2025-01-05"), (1, "2025-01-20"), (2, "2025-03-05"), (3, "2025-05-05")]
] + [{"customer_id": "c7", "at": "2024-12-15", "product": "cups", "amount": 3.0}]


def write(little_study: Little, *functions: str) -> Any:
    changes = {
        "data": {"events": {"available_at": "known"}, "recorded_until": "2025-07-01"},
        "features": {"custom": [f"own_features:{name}" for name in functions]},
    }
    written = little_study(changes, customers=CUSTOMERS, events=EVENTS, purchases=PURCHASES)
    (written.path.parent / "own_features.py").write_text(FEATURES, encoding="utf-8")
    return written


def test_a_function_gives_a_feature_as_of_each_cutoff(little_study: Little) -> None:
    study = write(little_study, "visits_at_night")
    with study.open() as tables:
        samples = temporal_samples(tables, study.load(), always=["nights"])
    train_rows = samples.train.keys.assign(nights=samples.train.X["nights"].to_numpy())
    found = dict(zip(train_rows["customer_id"], train_rows["nights"], strict=True))
    # 6 nights, thrice over, dealt out to c0..c6 in turn with the noons between: the event that is known late and the
    # one at the cutoff are not among them.
    night = [f"c{i % 7}" for i, at in enumerate(AT * 3) if " 02:" in at]
    assert {c: n for c, n in found.items() if not np.isnan(n)} == {c: night.count(c) for c in set(night)}
    assert np.isnan(found["c7"])
    assert samples.test is not None
    test_rows = dict(zip(samples.test.keys["customer_id"], samples.test.X["nights"], strict=True))
    assert test_rows["c3"] == night.count("c3")
    assert "c2" not in test_rows  # bought in March
    feature = next(f for f in samples.plan.features if f.name == "nights")
    assert (feature.description, feature.group, feature.source) == (
        "visits at night",
        "custom",
        "own_features:visits_at_night",
    )


def test_a_function_finds_no_later_row_by_any_way(little_study: Little) -> None:
    study = write(little_study, "everything_there_is")
    with study.open() as tables:
        samples = temporal_samples(tables, study.load(), always=["rows_to_be_seen", "purchases_known"])
    assert samples.validation is not None
    assert samples.test is not None
    seen = [set(part.X["rows_to_be_seen"]) for part in (samples.train, samples.validation, samples.test)]
    # 36 in 2024; by March also the late one, the one at the cutoff and that of February; by May that of April.
    assert seen == [{36.0}, {39.0}, {40.0}]
    bought = [set(part.X["purchases_known"]) for part in (samples.train, samples.validation, samples.test)]
    assert bought == [{1.0}, {3.0}, {4.0}]


def test_scoring_builds_the_same_rows_as_training(little_study: Little) -> None:
    study = write(little_study, "visits_at_night", "everything_there_is")
    with study.open() as tables:
        samples = temporal_samples(tables, study.load(), always=["nights"])
        assert samples.test is not None
        scored, _ = scoring_frame(tables, study.load(), samples.plan, datetime(2025, 5, 1, tzinfo=UTC))
    assert scored.X.to_numpy().tobytes() == samples.test.X.to_numpy().tobytes()
    assert scored.keys["customer_id"].tolist() == samples.test.keys["customer_id"].tolist()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("one_customer_twice", DataError, "rows repeat a customer"),
        ("texts", DataError, "'a' is .*, no number"),
        ("said_as_text", DataError, "own_features:said_as_text.sensitive is 'a', not a set of names"),
        ("misspelt", DataError, "own_features:misspelt.sensitive is {'aa'}, not a set of names"),
        ("not_a_table", DataError, "gave int, not a DataFrame or ibis Table with 'customer_id'"),
        ("fails", DataError, "fails as of 2025-01-01 00:00 UTC failed: KeyError: 'no such thing'"),
        ("changes", DataError, r"gave other columns than on train: \['of_1', 'of_3'\]"),
        ("other_keys", DataError, "none of the 3 customers that own_features:other_keys gave is known"),
        ("a_label", DataError, r"two columns would be called \['label'\]"),
        ("missing", ConfigError, "there is no function 'missing' in 'own_features'"),
        ("seven", ConfigError, "there is no function 'seven'"),
    ],
)
def test_what_a_function_must_not_do(function: str, error: type[Exception], message: str, little_study: Little) -> None:
    study = write(little_study, function)
    with study.open() as tables, pytest.raises(error, match=message):
        temporal_samples(tables, study.load())


def test_features_that_are_sensitive_are_kept_out_of_reasons(little_study: Little) -> None:
    study = write(little_study, "kept_back")
    with study.open() as tables:
        plan = temporal_samples(tables, study.load(), always=["a", "b"]).plan
    assert {entry["name"]: entry["sensitive"] for entry in plan.catalogue() if entry["name"] in "ab"} == {
        "a": False,
        "b": True,
    }


def test_nobody_and_strangers(little_study: Little) -> None:
    study = write(little_study, "nobody", "strangers_too")
    with study.open() as tables:
        samples = temporal_samples(tables, study.load(), always=["a", "known"])
    assert samples.train.X["a"].isna().all()
    assert (samples.train.X["known"] == 1).all()


def test_another_study_s_module_of_the_same_name_is_another(little_study: Little) -> None:
    one, other = write(little_study, "visits_at_night"), write(little_study, "visits_at_night")
    changed = FEATURES.replace("hour() < 6", "hour() < 1")
    (other.path.parent / "own_features.py").write_text(changed, encoding="utf-8")
    loaded = [load_functions(["own_features:visits_at_night"], beside=study.path) for study in (one, other)]
    codes = [functions["own_features:visits_at_night"].code for functions in loaded]
    assert codes[0] != codes[1]
    with other.open() as tables:
        samples = temporal_samples(tables, other.load(), always=["nights"])
    assert samples.train.X["nights"].isna().all()  # nobody before one o'clock


def test_the_audit_looks_at_features_of_the_study_s_own(little_study: Little, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write(little_study, "visits_at_night").load()
    honest = audit(study, today=datetime(2026, 1, 1, tzinfo=UTC))
    assert honest.verdict != "leak proven"
    assert len(honest.trials) > 0
    assert honest.trials["identical"].all()
    # The door left open: the function is given all rows at each cutoff.
    monkeypatch.setattr(past, "became_known", lambda records, *, since, before: records)
    leaking = audit(study, today=datetime(2026, 1, 1, tzinfo=UTC))
    assert leaking.verdict == "leak proven"
    proven = leaking.findings[leaking.findings["level"] == "proven"]
    assert proven["text"].str.contains("visits at night|nights").any()


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the module 'nowhere_to_be_found' cannot be imported"):
        load_functions(["nowhere_to_be_found:f"], beside=tmp_path / "study.yaml")


def test_a_model_with_features_of_its_own_is_trained_stored_and_scored(tmp_path: Path, little_study: Little) -> None:
    rng = np.random.default_rng(5)
    customers = [{"customer_id": f"c{i:03}"} for i in range(300)]
    nights = rng.integers(0, 4, 300)
    events = [
        {
            "customer_id": f"c{i:03}",
            "at": f"2024-12-{d + 1:02} 02:00:00",
            "kind": "visit",
            "known": f"2024-12-{d + 2:02}",
        }
        for i in range(300)
        for d in range(nights[i])
    ]
    purchases = [
        {"customer_id": f"c{i:03}", "at": at, "product": "tea", "amount": 1.0}
        for i in range(300)
        for at, chance in (("2025-01-09", 0.08), ("2025-03-09", 0.1), ("2025-05-09", 0.1))
        if rng.random() < chance * nights[i]
    ]
    changes = {
        "data": {"events": {"available_at": "known"}, "recorded_until": "2025-07-01"},
        "features": {"custom": "own_features:visits_at_night"},
    }
    study = little_study(changes, customers=customers, events=events, purchases=purchases)
    (study.path.parent / "own_features.py").write_text(FEATURES, encoding="utf-8")
    loaded = study.load()
    result = train(loaded, out=tmp_path / "runs", now=datetime(2026, 1, 1, tzinfo=UTC), track=False)
    assert "nights" in load_bundle(result.folder / "bundle").plan.names
    listed = score(loaded, as_of=datetime(2025, 6, 1, tzinfo=UTC), runs=tmp_path / "runs").prospects
    assert (
        listed["probability"].corr(
            pd.Series(nights, index=[c["customer_id"] for c in customers])[listed["customer_id"]].reset_index(drop=True)
        )
        > 0.5
    )
    module = study.path.parent / "own_features.py"
    module.write_text(FEATURES.replace("hour() < 6", "hour() < 5"), encoding="utf-8")
    with pytest.raises(DataError, match="the code of own_features:visits_at_night has changed since the model was tr"):
        score(loaded, as_of=datetime(2025, 6, 1, tzinfo=UTC), runs=tmp_path / "runs")
