"""The contract of a prospect list for other systems: a JSON Schema of its rows."""

from typing import Any

_SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
_NUMBER: dict[str, Any] = {"type": "number"}
_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_FLAG: dict[str, Any] = {"type": "boolean"}
REASONS = 5

_ALWAYS: dict[str, tuple[dict[str, Any], str]] = {
    "rank": ({"type": "integer", "minimum": 1}, "place in the list, 1 is the first"),
    "customer_id": ({"type": ["string", "integer"]}, "the customer's key, as in the source"),
    "as_of": (
        {"type": ["string", "null"], "format": "date-time"},
        "the cutoff (UTC): nothing from then on was known; null for the rows of a snapshot",
    ),
    "probability": (_SHARE, "calibrated probability to buy within the study's horizon"),
    "probability_low": (_SHARE, "lower end of its 90 % interval"),
    "probability_high": (_SHARE, "upper end of its 90 % interval"),
    "percentile": ({"type": "number", "minimum": 0, "maximum": 100}, "share of the others below, in percent: a rank"),
    "decile": ({"type": "integer", "minimum": 1, "maximum": 10}, "tenth of the list, 1 is the best"),
    "grade": ({"type": "string", "enum": ["A", "B", "C", "D"]}, "A: first tenth, B: to the third, C: to the sixth"),
    "points": (_NUMBER, "the score in points: the study's `pdo` more double the odds"),
    "base_points": (_NUMBER, "where everybody starts"),
    "scorecard_points": (
        {"type": ["number", "null"]},
        "points of the study's scorecard; null where there are none",
    ),
    "buying_stage": (_MAYBE, "buying stage; null where the study has none"),
    "segment": (_MAYBE, "segment; null where the study has none"),
    **{f"reason_{i}": (_MAYBE, f"what moves the score most, in words: number {i}") for i in range(1, REASONS + 1)},
    **{
        f"contribution_{i}": ({"type": ["number", "null"]}, f"its points, signed: number {i}")
        for i in range(1, REASONS + 1)
    },
    "contribution_other": (_NUMBER, "points of everything else: base, contributions and this add up to `points`"),
    "control": (_FLAG, "left alone by lot: not to be contacted"),
    "model_name": (_TEXT, "study and model"),
    "model_version": (_TEXT, "the run that trained it"),
}
_DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "customer_reason": (_MAYBE, "what the customer may be told"),
    "qualification": ({"type": "string", "enum": ["pass", "fail", "unknown"]}, "by the study's questions"),
    "not_qualified_by": (_MAYBE, "the questions that are not passed"),
    "barrier": (_MAYBE, "what keeps from buying"),
    "approach": (_MAYBE, "how to approach"),
    "channel": (_MAYBE, "by which channel"),
    "expected_amount": (_NUMBER, "expected amount of a first purchase, given that there is one"),
    "expected_value": (_NUMBER, "probability times what a purchase brings"),
    "expected_profit": (_NUMBER, "expected value less the cost of a contact"),
    "contact": (_FLAG, "worth a contact, within the capacity"),
}
_PATTERNS: dict[str, tuple[dict[str, Any], str]] = {
    r"^probability_\d+(h|d|w|mo|y)$": (_SHARE, "probability to buy within that horizon; never falls with it"),
    r"^tier_.+$": (_MAYBE, "tier in that value pyramid"),
}


def list_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a row; columns that a study must declare are not required.

    Examples
    --------
    >>> schema = list_schema()
    >>> schema["required"][:4], schema["properties"]["decile"]["maximum"]
    (['rank', 'customer_id', 'as_of', 'probability'], 10)
    """

    def told(columns: dict[str, tuple[dict[str, Any], str]]) -> dict[str, Any]:
        return {name: {**kind, "description": words} for name, (kind, words) in columns.items()}

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A row of a prospect list",
        "type": "object",
        "properties": told({**_ALWAYS, **_DECLARED}),
        "patternProperties": told(_PATTERNS),
        "required": list(_ALWAYS),
        "additionalProperties": False,
    }
