"""What each criterion of the target does: small tables, the answer worked out beside them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from propensity.errors import ConfigError
from propensity.marketing import criteria_table
from propensity.samples import criteria_plan, draw, draw_labelled, scoring_frame, temporal_samples

Little = Callable[..., Any]
AT = datetime(2025, 1, 1, tzinfo=UTC)
EVENTS = {"table": "events", "key": "customer_id", "occurred_at": "at", "kind": "kind"}


def customer(key: str, age: float | None, region: str) -> dict[str, Any]:
    return {"customer_id": key, "age": age, "region": region}


def did(key: str, when: str, kind: str = "visit") -> dict[str, Any]:
    return {"customer_id": key, "at": when, "kind": kind}


def bought(key: str, when: str) -> dict[str, Any]:
    return {"customer_id": key, "at": when, "product": "tea", "amount": 1.0}


@pytest.fixture
def little(little_study: Little) -> Any:
    """Six customers at 2025-01-01, windows of 30 days: the month of December."""
    return little_study(
        {
            "data": {"customers": {"attributes": {"age": "number", "region": "category"}}, "events": EVENTS},
            "target": {
                "criteria": {"of age": "age >= 18", "near": "region = 'north'", "in touch": "events_visit_30d > 0"}
            },
            "cutoffs": {"train": ["2025-01-01"], "validation": "2025-02-01", "test": "2025-03-05"},
        },
        customers=[
            customer("a", 30, "north"),  # meets all
            customer("b", 17, "north"),  # too young, and nothing else against it
            customer("c", 40, "south"),  # lives elsewhere, and nothing else against it
            customer("d", 50, "north"),  # no visit within 30 days, and nothing else against it
            customer("e", None, "south"),  # age unknown, and lives elsewhere
            customer("f", 60, "north"),  # meets all, but has bought
        ],
        events=[
            did("a", "2024-12-15"),
            did("b", "2024-12-02"),  # exactly 30 days before the cutoff: inside
            did("c", "2024-12-31T23:59:59.999999"),
            did("d", "2024-12-01T23:59:59.999999"),  # a microsecond too early
            did("d", "2025-01-01"),  # at the cutoff: that is future
            did("e", "2024-12-15"),
            did("f", "2024-12-15"),
        ],
        purchases=[
            bought("f", "2024-06-01"),
            bought("a", "2025-01-10"), bought("c", "2025-01-12"), bought("d", "2025-03-01"),
            bought("b", "2025-03-10"), bought("a", "2025-05-10"),
        ],
    )  # fmt: skip


def test_criteria_look_at_attributes_and_at_what_was_done_before_the_cutoff(little: Any) -> None:
    study = little.load()
    with little.open() as tables:
        cohort = draw(tables, study, AT, plan=criteria_plan(tables, study))
    assert cohort.keys["customer_id"].tolist() == ["a"]
    assert [step.count for step in cohort.funnel] == [6, 2, 1, 1]
    told = {c.name: (c.fails, c.kept_out["customer_id"].tolist()) for c in cohort.criteria}
    assert told == {"of age": (2, ["b"]), "near": (2, ["c"]), "in touch": (1, ["d"])}
    assert cohort.funnel[1].reason == "meet: of age; near; in touch"


def test_the_table_tells_what_would_be_without_each_criterion(little: Any) -> None:
    with little.open() as tables:
        _, labels, funnels = draw_labelled_of_train(tables, little.load())
    assert labels["train"][0]["y"].tolist() == [1]
    rows = {row["name"]: row for row in criteria_table(funnels)}
    assert (rows["near"]["kept_out"], rows["near"]["kept_out_conversion"]) == (1, 1.0)  # c buys within 30 days
    assert rows["of age"]["kept_out_conversion"] == 0.0
    # One prospect, who bought; with b besides, one of two.
    assert (rows["of age"]["conversion"], rows["of age"]["conversion_without"]) == (1.0, 0.5)
    assert rows["near"]["conversion_without"] == 1.0


def draw_labelled_of_train(tables: Any, study: Any) -> Any:
    """Only the train cutoff: the others have no buyers in so small a market."""

    class OneCutoff:
        def __getattr__(self, name: str) -> Any:
            return getattr(study, name)

        def cutoff_instants(self) -> dict[str, list[datetime]]:
            return {"train": [AT]}

    return draw_labelled(tables, OneCutoff(), progress=lambda _: None)  # type: ignore[arg-type]


def test_scoring_asks_the_same_of_prospects_as_training(little_study: Little) -> None:
    """Ten pairs, one of each in touch: training and scoring draw the same prospects at the same cutoff."""
    keys = [f"{i:02d}" for i in range(40)]
    little = little_study(
        {
            "data": {"customers": {"attributes": {"age": "number", "region": "category"}}, "events": EVENTS},
            "target": {"criteria": {"in touch": "events_30d > 0 AND age < 50"}},
        },
        customers=[customer(key, 20 + i, "north") for i, key in enumerate(keys)],
        events=[did(key, when) for key in keys[::2] for when in ("2024-12-20", "2025-02-20", "2025-04-20")],
        purchases=[bought(keys[i], when) for i, when in ((0, "2025-01-05"), (2, "2025-03-05"), (4, "2025-05-05"))]
        + [bought(keys[1], "2025-06-06")],
    )
    study, test = little.load(), datetime(2025, 5, 1, tzinfo=UTC)
    with little.open() as tables:
        samples = temporal_samples(tables, study, always=["events_30d"], progress=lambda _: None)
        scored, steps = scoring_frame(tables, study, samples.plan, test)
    expected = [key for i, key in enumerate(keys) if i % 2 == 0 and 20 + i < 50 and i not in (0, 2)]
    assert scored.keys["customer_id"].tolist() == expected
    assert samples.test is not None
    assert samples.test.keys["customer_id"].tolist() == expected
    assert [step.count for step in steps] == [40, 15, 13, 13]


def test_a_criterion_over_nothing_that_exists_is_told(little: Any) -> None:
    text = little.path.read_text(encoding="utf-8").replace("events_visit_30d", "events_visti_30d")
    little.path.write_text(text, encoding="utf-8")
    with little.open() as tables, pytest.raises(ConfigError) as error:
        draw(tables, little.load(), AT, plan=criteria_plan(tables, little.load()))
    assert "target.criteria.in touch" in str(error.value)
    assert "Did you mean 'events_visit_30d'" in str(error.value)


@pytest.mark.parametrize(
    ("market", "attributes", "lacking"),
    [
        ("consumer", {"shoe_size": "number"}, "age or gender or income"),
        ("business", {"industry": "category", "employees": "number"}, "job title or ownership"),
        ("business", {"employees": "number", "job_title": "category"}, "industry or services"),
        ("international", {"age": "number"}, "location"),
        ("government", {"region": "category"}, "ownership or services"),
        ("intermediary", {"age": "number"}, "industry or services or turnover or employees or location"),
    ],
)
def test_a_market_asks_for_attributes_that_describe_it(
    little_study: Little, market: str, attributes: dict[str, str], lacking: str
) -> None:
    little = little_study(
        {"data": {"customers": {"attributes": attributes}}, "target": {"market": market}},
        customers=[{"customer_id": "a"}],
        purchases=[bought("a", "2025-01-10")],
    )
    with pytest.raises(ConfigError) as error:
        little.load()
    line = str(error.value).splitlines()[0]
    assert re.match(rf"{re.escape(str(little.path))}:\d+: target.market: the {market} market needs", line)
    assert lacking in line


@pytest.mark.parametrize(
    ("market", "attributes"),
    [
        ("consumer", {"birth_date": "date"}),
        ("consumer", {"x1": {"type": "number", "describes": "income"}}),
        ("business", {"sector": "category", "headcount": "number", "legal_form": "category"}),
        ("international", {"Country": "category"}),
    ],
)
def test_names_or_a_word_of_the_study_describe_a_market(
    little_study: Little, market: str, attributes: dict[str, Any]
) -> None:
    little = little_study(
        {"data": {"customers": {"attributes": attributes}}, "target": {"market": market}},
        customers=[{"customer_id": "a"}],
        purchases=[bought("a", "2025-01-10")],
    )
    assert little.load().target.market == market
