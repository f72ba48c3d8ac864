"""What the values of a study are: durations, shares, days, and how a YAML file may write them."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from propensity.temporal import Duration


def _read_duration(value: Any) -> Any:
    return value if isinstance(value, Duration) else Duration.parse(value)


def _read_share_or_count(value: Any) -> Any:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


def _read_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _read_day(value: Any) -> date:
    if isinstance(value, date):
        return value
    # A number is no date, though pydantic would read one as seconds since 1970.
    for read in (date.fromisoformat, datetime.fromisoformat):
        with suppress(TypeError, ValueError):
            return read(value)
    raise ValueError("not a date: write it as 2025-07-01")


def read_days(value: Any) -> Any:
    """One day, or several, as several."""
    return [value] if isinstance(value, date | str) else value


# Where the YAML may say more than the spec holds, the JSON Schema says what may be written.
Percent = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*%\s*$")]
_DURATION_SCHEMA = {"type": "string", "pattern": r"^\d+(h|d|w|mo|y)$", "examples": ["30d", "1mo", "160h"]}
Span = Annotated[
    Duration,
    BeforeValidator(_read_duration, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
    Field(json_schema_extra=_DURATION_SCHEMA),
]
Recency = Annotated[
    Literal["auto", "none"] | Duration,
    BeforeValidator(
        lambda value: value if value in ("auto", "none") else _read_duration(value), json_schema_input_type=str
    ),
    PlainSerializer(str, return_type=str),
    Field(json_schema_extra={"type": "string", "pattern": r"^(auto|none|\d+(h|d|w|mo|y))$"}),
]
"""How older rows count: chosen on validation, all alike, or half as much for each such duration."""
Share = Annotated[
    float, BeforeValidator(_read_share_or_count, json_schema_input_type=float | Percent), Field(ge=0, le=1)
]
PositiveShare = Annotated[
    float, BeforeValidator(_read_share_or_count, json_schema_input_type=float | Percent), Field(gt=0, le=1)
]
Capacity = Annotated[float, BeforeValidator(_read_share_or_count, json_schema_input_type=float | Percent), Field(gt=0)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_read_list, json_schema_input_type=tuple[str, ...] | str)]
Scalar = str | int | float | bool
Scalars = Annotated[tuple[Scalar, ...], BeforeValidator(_read_list, json_schema_input_type=tuple[Scalar, ...] | Scalar)]
Day = Annotated[datetime | date, BeforeValidator(_read_day)]


def require_free(names: Iterable[str], taken: tuple[str, ...]) -> None:
    """Inside a validator: raise when a user's name is one that the canonical tables use."""
    for name in names:
        if name in taken:
            raise ValueError(f"the name '{name}' is in use by the canonical tables: give the column another name")
