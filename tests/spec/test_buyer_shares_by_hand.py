"""Shares of buyers among customers alike: worked out by hand, as of the cutoff, for categories of any number."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from propensity.errors import ConfigError
from propensity.samples import scoring_frame, temporal_samples
from propensity.temporal import to_instant

Little = Callable[..., Any]
CUTOFFS = {"train": "2025-03-01", "validation": "2025-05-01", "test": "2025-07-01"}


def bought(key: str, when: str, product: str = "tea") -> dict[str, Any]:
    return {"customer_id": key, "at": when, "product": product, "amount": 1.0}


def shares(little_study: Little, *more: dict[str, Any], cutoff: str = "2025-07-01") -> dict[str, float]:
    """The feature of each prospect at a cutoff; north has a and b, south c, d and e, and f says nothing."""
    towns = {"a": "north", "b": "north", "c": "south", "d": "south", "e": "south", "f": None}
    little = little_study(
        {
            "data": {"customers": {"attributes": {"town": "category"}}, "recorded_until": "2025-09-01"},
            "features": {"buyer_shares": ["town"]},
            "cutoffs": CUTOFFS,
        },
        customers=[{"customer_id": key, "town": town} for key, town in towns.items()],
        purchases=[
            bought("a", "2025-02-01"),
            bought("b", "2025-03-10"),  # train's positive
            bought("c", "2025-05-10"),  # validation's
            bought("d", "2025-07-10"),  # test's
            bought("e", "2025-01-05", product="soap"),
            *more,
        ],
    )
    study = little.load()
    with little.open() as tables:
        plan = temporal_samples(tables, study, always=["town_buyer_share"]).plan
        frame, _ = scoring_frame(tables, study, plan, to_instant(cutoff, zone=study.zone))
    return dict(zip(frame.keys["customer_id"], frame.X["town_buyer_share"], strict=True))


def test_the_share_is_of_all_known_customers_alike_drawn_towards_the_overall_share(little_study: Little) -> None:
    # Before 1 July a, b and c have bought tea, of six: 0.5. South has c, d and e, one of them a buyer: (1 + 20 x 0.5)
    # / (3 + 20). Nobody has a town like f's, who says nothing.
    found = shares(little_study)
    assert sorted(found) == ["d", "e", "f"]
    assert found["d"] == found["e"] == pytest.approx(11 / 23)
    assert np.isnan(found["f"])


def test_the_share_of_a_sensitive_attribute_is_never_named(little_study: Little) -> None:
    attributes = {"town": {"type": "category", "sensitive": True}, "street": "category"}
    little = little_study(
        {
            "data": {"customers": {"attributes": attributes}, "recorded_until": "2025-09-01"},
            "features": {"buyer_shares": ["town", "street"]},
            "cutoffs": CUTOFFS,
        },
        customers=[{"customer_id": key, "town": "x", "street": "y"} for key in "abcd"],
        purchases=[bought("a", "2025-03-10"), bought("b", "2025-05-10"), bought("c", "2025-07-10")],
    )
    with little.open() as tables:
        names = ["town_buyer_share", "street_buyer_share"]
        plan = temporal_samples(tables, little.load(), always=names).plan
    sensitive = {entry["name"]: entry["sensitive"] for entry in plan.catalogue()}
    assert [sensitive[name] for name in names] == [True, False]


def test_what_is_bought_from_the_cutoff_on_changes_nothing(little_study: Little) -> None:
    later = [bought("e", "2025-07-01 00:00:00"), bought("d", "2025-07-02"), bought("f", "2025-08-01")]
    plain, other = shares(little_study), shares(little_study, *later)
    assert plain["d"] == other["d"]
    # One microsecond earlier e has bought, and is no prospect any more: south has two buyers of three, 4 of 6 in all.
    early = shares(little_study, bought("e", "2025-06-30 23:59:59.999999"))
    assert "e" not in early
    assert early["d"] == pytest.approx((2 + 20 * 4 / 6) / 23)


def test_a_number_has_no_share_of_buyers(little_study: Little) -> None:
    little = little_study(
        {"data": {"customers": {"attributes": {"age": "number"}}}, "features": {"buyer_shares": ["age"]}},
        customers=[{"customer_id": "a", "age": 3}],
        purchases=[bought("a", "2025-02-01")],
    )
    with pytest.raises(ConfigError, match="'age' is no attribute of type category"):
        little.load()
