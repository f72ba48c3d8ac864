"""What an audit finds, how sure it is, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PROVEN, SUSPICIOUS, UNTESTED, NOTE = "proven", "suspicious", "not tested", "note"
LEVELS = (PROVEN, SUSPICIOUS, UNTESTED, NOTE)
"""How sure a finding is: proof of a leak, a sign of one, something that no test could look at, a known risk."""

SCRAMBLE, TOO_GOOD, AVAILABILITY, BUSINESS, UNDATED = "scramble", "too good", "availability", "business", "undated"
TESTS = (SCRAMBLE, TOO_GOOD, AVAILABILITY, BUSINESS, UNDATED)
"""The audit's five tests, in the order of their proof."""

NO_LEAK, SUSPECT, LEAK = "no leak found", "suspicious", "leak proven"


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Attributes
    ----------
    test : str
        One of `TESTS`.
    level : str
        One of `LEVELS`.
    subject : str
        What it is about: a feature, a table, an attribute.
    text : str
        What was found, in plain words.
    advice : str
        What to do; empty where there is nothing to do.
    facts : mapping
        The numbers behind it.
    """

    test: str
    level: str
    subject: str
    text: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {**vars(self), "facts": dict(self.facts)}


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The surest first; equally sure ones in the order of the tests."""
    return sorted(findings, key=lambda finding: (LEVELS.index(finding.level), TESTS.index(finding.test)))


def verdict(findings: Sequence[Finding]) -> tuple[str, str]:
    """The verdict, and a sentence that says what it means and what to do.

    Examples
    --------
    >>> verdict([Finding(TOO_GOOD, SUSPICIOUS, "duration", "its AUC is 0.96")])[0]
    'suspicious'
    """
    named = {level: _named([f.subject for f in findings if f.level == level]) for level in LEVELS}
    if named[PROVEN]:
        return LEAK, (
            f"Leak proven: what counts as known as of a cutoff depends on later rows ({named[PROVEN]}). Figures of "
            "this study are not to be trusted: mend what is named, then train again."
        )
    if named[SUSPICIOUS]:
        return SUSPECT, (
            f"Suspicious: nothing is proven, but there are signs of a leak ({named[SUSPICIOUS]}). Ask of each: was "
            "this value known, in this form, at the cutoff? Where not, leave it out; where yes, go on."
        )
    untested = f" Not tested: {named[UNTESTED]}." if named[UNTESTED] else ""
    risk = " What no test can see is listed as a note." if named[NOTE] else ""
    return NO_LEAK, f"No leak found.{untested}{risk}"


def _named(subjects: Sequence[str], *, most: int = 6) -> str:
    distinct = list(dict.fromkeys(subjects))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")
