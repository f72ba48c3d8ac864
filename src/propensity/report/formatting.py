"""Numbers and names as a reader expects them: the filters of the report's templates.

Every function takes what JSON can hold and returns text; null and NaN become an en dash, so that a figure that
could not be computed is seen to be missing. Signs are true minus signs (U+2212).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "–"
MINUS = "\N{MINUS SIGN}"

_MODEL_NAMES = {
    "lightgbm": "LightGBM",
    "selected": "Selected anew",
    "truth": "True probability",
    "random": "By lot",
}
_PERIODS = {"h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


@dataclass(frozen=True)
class Metric:
    """How one key of ``metrics.json`` is named, explained and written."""

    label: str
    meaning: str
    write: Callable[[Any], str]
    write_difference: Callable[[Any], str]
    lower_is_better: bool = False


def is_missing(value: object) -> bool:
    """Whether a value is null or not a finite number.

    Examples
    --------
    >>> is_missing(None), is_missing(float("nan")), is_missing(0)
    (True, True, False)
    """
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def decimal(value: Any, places: int = 2, *, significant: int = 1) -> str:
    """Write a number with `places` decimals, or as many more as show its first `significant` digits.

    Examples
    --------
    >>> decimal(0.7312, 3), decimal(0.00042, 3, significant=2), decimal(-1.5), decimal(None)
    ('0.731', '0.00042', '−1.50', '–')
    """
    if is_missing(value):
        return MISSING
    size = abs(value)
    if 0 < size < 10.0 ** (significant - 1 - places):
        # Nine digits are more than any figure here carries; what is smaller still reads as zero.
        places = min(9, significant - 1 - math.floor(math.log10(size)))
    return _true_minus(f"{value:,.{places}f}")


def signed(value: Any, places: int = 1, *, significant: int = 1) -> str:
    """Write a number with its sign, plus included; what rounds to zero has none.

    Examples
    --------
    >>> signed(12.34), signed(-3), signed(0.0), signed(0.0004, 3, significant=2)
    ('+12.3', '−3.0', '0.0', '+0.00040')
    """
    text = decimal(value, places, significant=significant)
    return f"+{text}" if not is_missing(value) and value > 0 and text.strip("0.") else text


def thousands(value: Any) -> str:
    """Write a count with thousands separated.

    Examples
    --------
    >>> thousands(1204331), thousands(None)
    ('1,204,331', '–')
    """
    return MISSING if is_missing(value) else _true_minus(f"{value:,.0f}")


def money(value: Any, *, decimals: bool | None = None) -> str:
    """Write an amount of the study's money: with two decimals below 100, else whole, or as `decimals` says.

    Examples
    --------
    >>> money(1234.5), money(1.5), money(-20), money(None)
    ('1,234', '1.50', '−20', '–')
    """
    if is_missing(value):
        return MISSING
    whole = abs(value) >= 100 or value == int(value) if decimals is None else not decimals
    return _true_minus(f"{value:,.0f}" if whole else f"{value:,.2f}")


def money_interval(bounds: Any, signs: bool = False) -> str:
    """Write an interval of money, both ends with the same digits, and with a plus where `signs`.

    Examples
    --------
    >>> money_interval([-42.8, 477.1]), money_interval([1.5, 20], True), money_interval(None)
    ('−43 to 477', '+1.50 to +20.00', '–')
    """
    if not has_interval(bounds):
        return MISSING
    decimals = all(abs(bound) < 100 for bound in bounds)
    return " to ".join("+" * (signs and bound > 0) + money(bound, decimals=decimals) for bound in bounds)


def money_difference(value: Any) -> str:
    """Write a difference of money, with its sign.

    Examples
    --------
    >>> money_difference(1234.5), money_difference(-2.5), money_difference(0)
    ('+1,234', '−2.50', '0')
    """
    return f"+{money(value)}" if not is_missing(value) and value > 0 else money(value)


def percent(value: Any) -> str:
    """Write a share as a percentage with enough digits to tell it from 0 and from 1.

    Examples
    --------
    >>> percent(0.2134), percent(0.0421), percent(0.00042), percent(0.99962), percent(0.0), percent(1.0)
    ('21.3%', '4.2%', '0.042%', '99.962%', '0%', '100%')
    """
    return MISSING if is_missing(value) else _percent(value, _percent_places(value))


def percent_interval(interval: Any) -> str:
    """Write an interval of shares with the same digits at both ends.

    Examples
    --------
    >>> percent_interval([0.0009, 0.012]), percent_interval(None)
    ('0.090% to 1.200%', '–')
    """
    if not has_interval(interval):
        return MISSING
    places = max(_percent_places(bound) for bound in interval)
    return " to ".join(_percent(bound, places, strip="no") for bound in interval)


def share(value: Any) -> str:
    """Write a share that somebody chose, such as a capacity, without digits that it does not have.

    Examples
    --------
    >>> share(0.05), share(0.125), share(1.0)
    ('5%', '12.5%', '100%')
    """
    return MISSING if is_missing(value) else f"{value * 100:.4g}%"


def percent_points(value: Any) -> str:
    """Write a difference of two shares in percentage points.

    Examples
    --------
    >>> percent_points(0.0312)
    '+3.1 pp'
    """
    return MISSING if is_missing(value) else f"{signed(value * 100)} pp"


def lift(value: Any) -> str:
    """Write a lift: how many times as many buyers as among as many prospects taken at random.

    Examples
    --------
    >>> lift(4.512)
    '4.51×'
    """
    return MISSING if is_missing(value) else f"{decimal(value)}×"


def interval(bounds: Any, write: Callable[[Any], str]) -> str:
    """Write an interval, both ends by `write`.

    Examples
    --------
    >>> interval([0.7, 0.78], lambda value: decimal(value, 3))
    '0.700 to 0.780'
    """
    return " to ".join(write(bound) for bound in bounds) if has_interval(bounds) else MISSING


def has_interval(bounds: Any) -> bool:
    """Whether both ends of an interval are known.

    Examples
    --------
    >>> has_interval([0.1, 0.2]), has_interval([0.1, None]), has_interval(None)
    (True, False, False)
    """
    return bounds is not None and len(bounds) == 2 and not any(is_missing(bound) for bound in bounds)


def plain(value: Any) -> str:
    """Write whatever a study may hold in one place (a name, a list, a mapping, null) as text.

    Examples
    --------
    >>> plain(["bread", "cake"]), plain({"matches": "BAKING"}), plain(None)
    ('bread, cake', 'matches: BAKING', '–')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(plain(inner) for inner in value) or MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not is_missing(value):
        return _true_minus(f"{value:,.6g}")
    return MISSING if is_missing(value) else str(value)


def duration(value: Any) -> str:
    """Write a duration of the study file in words.

    Examples
    --------
    >>> duration("30d"), duration("1mo"), duration(None)
    ('30 days', '1 month', '–')
    """
    match = re.fullmatch(r"(\d+)(h|d|w|mo|y)", str(value))
    if match is None:
        return plain(value)
    count, period = match[1], _PERIODS[match[2]]
    return f"{count} {period}" + ("" if count == "1" else "s")


def words(value: Any) -> str:
    """Write an identifier as words, its first letter large.

    Examples
    --------
    >>> words("single_indicator"), words("purchase history")
    ('Single indicator', 'Purchase history')
    """
    text = plain(value).replace("_", " ")
    return text[:1].upper() + text[1:]


def model_name(value: Any) -> str:
    """Write a model's name.

    Examples
    --------
    >>> model_name("lightgbm"), model_name("scorecard")
    ('LightGBM', 'Scorecard')
    """
    return _MODEL_NAMES.get(value) or words(value)


def metric(key: str) -> Metric:
    """Find how a key of ``metrics.json`` is shown; a key that is not known is shown as it stands.

    Examples
    --------
    >>> metric("lift_at_10pct").label, metric("lift_at_10pct").write(3.2)
    ('lift at 10%', '3.20×')
    >>> metric("profit_at_2pct").label
    'profit at 2pct'
    """
    if key in _METRICS:
        return _METRICS[key]
    match = re.fullmatch(r"(lift|capture)_at_(?:(\d+)pct|(capacity))", key)
    if match is None:
        return Metric(key.replace("_", " "), "", plain, lambda value: signed(value, 3))
    where = f"{match[2]}%" if match[2] else "capacity"
    if match[1] == "lift":
        meaning = f"buyers in the top {where} against as many prospects taken at random"
        return Metric(f"lift at {where}", meaning, lift, lambda value: signed(value, 2))
    meaning = f"share of all buyers who are in the top {where}"
    return Metric(f"capture at {where}", meaning, percent, percent_points)


def _places(places: int) -> Callable[[Any], str]:
    return lambda value: decimal(value, places, significant=2 if places > 2 else 1)


def _signed(places: int) -> Callable[[Any], str]:
    return lambda value: signed(value, places)


_METRICS = {
    "n": Metric("prospects", "rows that the figures rest on", thousands, _signed(0)),
    "positives": Metric("buyers", "prospects who bought within the horizon", thousands, _signed(0)),
    "roc_auc": Metric(
        "ROC AUC", "chance that a buyer ranks above a prospect who did not buy; 0.5 is random", _places(3), _signed(3)
    ),
    "average_precision": Metric(
        "average precision",
        "precision averaged over all buyers; random ranking gives the base rate",
        _places(3),
        _signed(3),
    ),
    "brier": Metric(
        "Brier score", "mean squared error of the probability; lower is better", _places(4), _signed(4), True
    ),
    "log_loss": Metric("log loss", "mean surprise at what happened; lower is better", _places(4), _signed(4), True),
    "mean_probability": Metric("mean probability", "share of buyers that the model promised", percent, percent_points),
    "base_rate": Metric("base rate", "share of buyers that there were", percent, percent_points),
    "calibration_slope": Metric(
        "calibration slope", "1 is ideal; below 1 too extreme, above 1 too cautious", _places(2), _signed(2)
    ),
    "calibration_intercept": Metric(
        "calibration intercept", "0 is ideal; above 0 too low on the whole, below 0 too high", _signed(2), _signed(2)
    ),
}


def _true_minus(text: str) -> str:
    # A rounded zero carries no sign: "-0.0" would read as a direction that is not there.
    return text.replace("-", MINUS if text.strip("-0.,") else "")


def _percent_places(value: float) -> int:
    distance = min(abs(value), abs(1 - value)) * 100
    return max(1, min(7, 1 - math.floor(math.log10(distance)))) if distance > 1e-9 else 1


def _percent(value: float, places: int, strip: str = "whole") -> str:
    text = f"{value * 100:.{places}f}"
    return _true_minus(text.removesuffix(".0") if strip == "whole" and value in (0, 1) else text) + "%"
