"""Buying stages: which rule comes first, and rules made out of the names of event kinds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.errors import ConfigError
from propensity.rules.stages import StageRules, buying_stage, default_rules, stage_rules


def counts(kinds: Sequence[str], windows: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"name": f"events_{kind}_{window}", "window": window, "kind": "number", "source": "events"}
        for kind in kinds
        for window in windows
    ]


def test_the_stage_nearest_to_a_decision_wins_and_missing_values_decide_nothing() -> None:
    rules = stage_rules(
        {"searching": "views > 0", "comparing": "quotes > 0", "with a competitor": "contract = TRUE"}, where="stages"
    )
    frame = pd.DataFrame(
        {
            "views": [5.0, 5.0, 5.0, 0.0, np.nan],
            "quotes": [1.0, 1.0, 0.0, 0.0, np.nan],
            "contract": [1.0, 0.0, np.nan, 0.0, np.nan],
        },
        index=list("abcde"),
    )
    stages = buying_stage(frame, rules)
    assert stages.to_dict() == {
        "a": "with a competitor",
        "b": "comparing",
        "c": "searching",
        "d": "unaware",
        "e": "unaware",
    }
    assert stages.name == "buying_stage"


def test_kinds_go_to_the_first_stage_that_their_name_speaks_of() -> None:
    kinds = ["competitor_quote", "price_page_view", "AddToCart", "offer viewed", "review", "search", "purchase"]
    names = ["competitor_quote", "price_page_view", "AddToCart", "offer_viewed", "review", "search", "purchase"]
    rules = default_rules(kinds, counts(names, ["90d"]))
    assert rules.texts() == {
        "with a competitor": '"events_competitor_quote_90d" > 0',
        "comparing": '"events_AddToCart_90d" > 0 OR "events_price_page_view_90d" > 0',
        "searching": '"events_offer_viewed_90d" > 0 OR "events_search_90d" > 0',
    }


@pytest.mark.parametrize(
    ("windows", "chosen"),
    [
        (["7d", "30d", "90d", "365d"], "90d"),
        (["7d", "30d", "365d"], "30d"),
        (["48h", "160h"], "160h"),
        (["12mo", "180d"], "180d"),
        (["1mo", "3mo", "20d"], "1mo"),
    ],
)
def test_the_window_is_90_days_or_the_nearest_there_is(windows: list[str], chosen: str) -> None:
    assert default_rules(["view"], counts(["view"], windows)).searching == f'"events_view_{chosen}" > 0'


def test_being_with_a_competitor_is_looked_for_as_far_back_as_there_is() -> None:
    catalogue = counts(["competitor_contract", "view"], ["30d", "365d"])
    assert default_rules(["competitor_contract"], catalogue).with_a_competitor == (
        '"events_competitor_contract_365d" > 0'
    )
    catalogue += [{"name": "events_competitor_contract_ever", "window": None, "kind": "number", "source": "events"}]
    assert default_rules(["competitor_contract"], catalogue).with_a_competitor == (
        '"events_competitor_contract_ever" > 0'
    )


def test_an_attribute_about_a_competitor_counts() -> None:
    catalogue = [
        {"name": "competitor_contract", "window": None, "kind": "boolean", "source": "customers"},
        {"name": "competitor_name", "window": None, "kind": "category", "source": "customers"},
    ]
    rules = default_rules([], catalogue)
    assert rules.texts() == {"with a competitor": '"competitor_contract" > 0'}
    frame = pd.DataFrame({"competitor_contract": [1.0, 0.0, np.nan]})
    assert buying_stage(frame, rules).tolist() == ["with a competitor", "unaware", "unaware"]


def test_without_events_nobody_has_a_stage() -> None:
    rules = default_rules([], [{"name": "age", "window": None, "kind": "number", "source": "customers"}])
    assert rules == StageRules()
    assert buying_stage(pd.DataFrame({"age": [1.0, 2.0]}), rules).tolist() == [None, None]


def test_rules_use_only_features_that_exist() -> None:
    assert default_rules(["view", "quote"], counts(["view"], ["30d"])).texts() == {"searching": '"events_view_30d" > 0'}
    rules = stage_rules({"searching": "events_veiw_30d > 0"}, where="stages")
    with pytest.raises(ConfigError, match=r"stages: searching: no column 'events_veiw_30d'.*'events_view_30d'"):
        buying_stage(pd.DataFrame({"events_view_30d": [1.0]}), rules)


def test_declared_rules_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"home.yaml: stages: 'serching' is not a buying stage with a rule"):
        stage_rules({"serching": "views > 0"}, where="home.yaml: stages")
    with pytest.raises(ConfigError, match=r"home.yaml: stages: searching: the function call"):
        stage_rules({"searching": "abs(views) > 0"}, where="home.yaml: stages")
    with pytest.raises(ConfigError, match=r"never true or false"):
        stage_rules({"searching": "views + 1"}, where="home.yaml: stages")
