"""Who is qualified, worked by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propensity.errors import ConfigError
from propensity.rules.qualification import check_qualification, open_questions, qualification_counts, qualify

RULES = {"interest": "visits >= 2", "authority": "role = 'owner'", "financial capacity": "income >= 20"}


def prospects() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "visits": np.array([2, 1, 3, np.nan, 5], np.float32),
            "role": pd.Series(["owner", "owner", None, "clerk", "owner"], dtype=object),
            "income": np.array([20, 50, 19.99, 30, np.nan], np.float32),
        }
    ).set_index(pd.Index(["a", "b", "c", "d", "e"]))


def test_one_no_decides_and_what_is_not_known_is_no_no() -> None:
    answers = qualify(prospects(), RULES)
    assert answers["interest"].tolist() == ["pass", "fail", "pass", "unknown", "pass"]
    assert answers["authority"].tolist() == ["pass", "pass", "unknown", "fail", "pass"]
    assert answers["financial capacity"].tolist() == ["pass", "pass", "fail", "pass", "unknown"]
    # a passes all; b, c and d fail one, whatever else is unknown; e fails nothing, and one thing is not known
    assert answers["qualification"].tolist() == ["pass", "fail", "fail", "fail", "unknown"]
    assert open_questions(answers) == [
        None,
        "interest (fail)",
        "authority (unknown), financial capacity (fail)",
        "interest (unknown), authority (fail)",
        "financial capacity (unknown)",
    ]


def test_counts_by_question_and_together_with_what_became_of_them() -> None:
    counts = qualification_counts(qualify(prospects(), RULES), pd.Series([1, 0, 0, 1, 0]))
    table = counts.set_index(["question", "answer"])
    assert table.loc["interest", "prospects"].tolist() == [3, 1, 1]
    assert table.loc[("interest", "pass"), "conversion"] == pytest.approx(1 / 3)
    assert table.loc[("qualification", "fail"), "prospects"] == 3
    assert table.loc[("qualification", "fail"), "conversion"] == pytest.approx(1 / 3)
    assert table.loc[("qualification", "unknown"), "conversion"] == 0


def test_the_order_of_questions_is_that_of_the_glossary() -> None:
    shuffled = {name: RULES[name] for name in ("financial capacity", "interest", "authority")}
    assert list(qualify(prospects(), shuffled)) == ["interest", "authority", "financial capacity", "qualification"]


@given(st.lists(st.tuples(st.sampled_from([0.0, 2.0, None]), st.sampled_from(["owner", "clerk", None])), min_size=1))
def test_answers_partition_the_prospects(rows: list[tuple[float | None, str | None]]) -> None:
    visits, roles = zip(*rows, strict=True)
    frame = pd.DataFrame(
        {
            "visits": np.array([np.nan if v is None else v for v in visits], np.float32),
            "role": pd.Series(list(roles), dtype=object),
        }
    )
    rules = {name: RULES[name] for name in ("interest", "authority")}
    answers = qualify(frame, rules)
    counts = qualification_counts(answers)
    assert (counts.groupby("question")["prospects"].sum() == len(frame)).all()
    together = (answers[list(rules)] == "pass").all(axis=1)
    assert ((answers["qualification"] == "pass") == together).all()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"intrest": "visits > 1"}, "Did you mean 'interest'"),
        ({"interest": "visits + 1"}, "never true or false"),
        ({"interest": "visit > 1"}, "no column 'visit'"),
    ],
)
def test_a_wrong_rule_is_told(rules: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_qualification(rules, columns=["visits", "role"], where="qualification")
