"""Qualification: which prospects are worth a contact, by rules over their features.

Five questions (the glossary's): **interest** shown, **authority** to decide, **financial capacity**, **willingness**,
and a **time frame**. A study asks those that it has data for. An answer may be unknown: that is no "no".
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from propensity.errors import ConfigError
from propensity.rules.expressions import did_you_mean, parse_expression

QUESTIONS = ("interest", "authority", "financial capacity", "willingness", "time frame")
PASS, FAIL, UNKNOWN = ANSWERS = ("pass", "fail", "unknown")


def check_qualification(rules: Mapping[str, str], *, columns: Collection[str] | None, where: str) -> None:
    """Raise ConfigError unless every rule asks one of `QUESTIONS`, by a condition over features that there are.

    Parameters
    ----------
    rules : mapping of str to str
        From a question to its checked expression.
    columns : collection of str or None
        The features; None leaves them unchecked.
    where : str
        Their place in the user's file, for messages.
    """
    for question, text in rules.items():
        if question not in QUESTIONS:
            raise ConfigError(
                f"{where}: {question!r} is no question of qualification. {did_you_mean(question, QUESTIONS)}"
            )
        if not parse_expression(text, columns=columns, where=f"{where}: {question}").is_condition:
            raise ConfigError(f"{where}: {question}: {text!r} is never true or false. Write a condition.")


def qualify(frame: pd.DataFrame, rules: Mapping[str, str]) -> pd.DataFrame:
    """Each prospect's answers, and what follows from them.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features as of the cutoff.
    rules : mapping of str to str
        From a question to its checked expression: true passes, false fails, unknown is unknown.

    Returns
    -------
    DataFrame, n rows
        A column for each question asked, and ``qualification``: ``fail`` where one fails, else ``unknown`` where one is
        unknown, else ``pass``.

    Examples
    --------
    >>> frame = pd.DataFrame({"visits": [2.0, 0.0, 5.0], "income": [30.0, 40.0, None]})
    >>> qualify(frame, {"interest": "visits > 0", "financial capacity": "income >= 20"})
      interest financial capacity qualification
    0     pass               pass          pass
    1     fail               pass          fail
    2     pass            unknown       unknown
    """
    answers = pd.DataFrame(index=frame.index)
    for question in (question for question in QUESTIONS if question in rules):
        rule = parse_expression(
            rules[question], columns=[str(name) for name in frame.columns], where=f"qualification: {question}"
        )
        found = rule.evaluate(frame)
        known = np.array([value is not None and value == value for value in found], dtype=bool)
        true = np.zeros(len(frame), dtype=bool)
        true[known] = found[known].astype(bool)
        answers[question] = np.where(known, np.where(true, PASS, FAIL), UNKNOWN)
    fails, unknown = (answers == FAIL).any(axis=1), (answers == UNKNOWN).any(axis=1)
    answers["qualification"] = np.where(fails, FAIL, np.where(unknown, UNKNOWN, PASS))
    return answers


def open_questions(answers: pd.DataFrame) -> list[str | None]:
    """Each prospect's questions that it does not pass, in words; None where it passes all.

    Examples
    --------
    >>> frame = pd.DataFrame({"visits": [2.0, 0.0], "income": [30.0, None]})
    >>> open_questions(qualify(frame, {"interest": "visits > 0", "financial capacity": "income >= 20"}))
    [None, 'interest (fail), financial capacity (unknown)']
    """
    words = [""] * len(answers)
    for question in answers.columns.drop("qualification"):
        for i, answer in enumerate(answers[question]):
            if answer != PASS:
                words[i] += f", {question} ({answer})"
    return [text.removeprefix(", ") or None for text in words]


def qualification_counts(answers: pd.DataFrame, bought: pd.Series | None = None) -> pd.DataFrame:
    """How many prospects pass, fail, or cannot be told, by question and together.

    Parameters
    ----------
    answers : DataFrame, n rows
        From `qualify`.
    bought : Series of shape (n,), optional
        1 for prospects that bought within the horizon.

    Returns
    -------
    DataFrame, one row for each question and answer
        ``question``, ``answer``, ``prospects``, ``share``; with `bought` ``conversion`` (missing without prospects).
    """
    rows = []
    for question in answers.columns:
        for answer in ANSWERS:
            own = (answers[question] == answer).to_numpy()
            row = {"question": question, "answer": answer, "prospects": int(own.sum()), "share": float(own.mean())}
            if bought is not None:
                row["conversion"] = float(np.asarray(bought)[own].mean()) if own.any() else np.nan
            rows.append(row)
    return pd.DataFrame(rows)
