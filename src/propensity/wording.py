"""What a feature and its value are called in a sentence, in a language and in a study's own words.

A language is a file of sentences (``languages/``), a study's wording another, with its labels and what differs. A
feature says what it measures of what (``measure`` and ``words``); the sentence is put together here alone, for the
catalogue as for the reasons.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self

from babel import Locale, UnknownLocaleError
from babel.numbers import get_decimal_symbol, get_group_symbol
from pydantic import field_validator, model_validator

from propensity.errors import ConfigError
from propensity.temporal import Duration
from propensity.yaml_spec import Spec, read_yaml_spec

Pair = tuple[str, str]
"""Singular and plural."""
Forms = dict[str, str]
_LANGUAGES = resources.files("propensity") / "languages"
_PLACE = re.compile(r"\{(\w+)\}")
_PLURALS = ("one", "two", "few", "many", "other")
_FEWER = tuple(f"fewer_{form}" for form in _PLURALS)
_FORMS = {"text", "missing", "zero", "yes", "no", *_PLURALS, *_FEWER}
_PLACES = {"value", "text", "noun", "nouns", "when", "before", "label", "whole", "column"}
_ALWAYS = {"value", "text", "when", "before"}
_SAID = {"usually": {"usual"}, "not_known": {"text"}}
_WHOLE_NUMBERS = ("count", "change", "days")
_MOSTLY = 0.5
_VALUE = "\0"
"""Stands for the value in a sentence that is filled but for it: no name in the data may be taken for it."""


def _check_places(text: str, allowed: set[str]) -> str:
    unknown = sorted(set(_PLACE.findall(text)) - allowed)
    if unknown:
        there = f"there are {', '.join(sorted(allowed))}" if allowed else "nothing can be filled in here"
        raise ValueError(f"{{{unknown[0]}}} is nothing that can be filled in; {there}")
    return text


def _check_forms(forms: Forms) -> Forms:
    unknown = sorted(set(forms) - _FORMS)
    if unknown:
        raise ValueError(f"'{unknown[0]}' is no form of a sentence; there are {', '.join(sorted(_FORMS))}")
    for form, text in forms.items():
        _check_places(text, _PLACES - ({"value", "text"} if form == "text" else set()))
    return forms


class Period(Spec):
    """How one length of time is told: one of it, and several (``{n}``)."""

    last: Pair
    before: Pair


class Language(Spec):
    """The sentences of a language. `measures`: for each its forms, by CLDR's plurals and a few of its own."""

    language: str
    nouns: dict[str, Pair]
    narrowed: str
    ever: str
    periods: dict[str, Period]
    said: dict[str, str]
    measures: dict[str, Forms]

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        for name, forms in self.measures.items():
            if "text" not in forms or not ("other" in forms or {"yes", "no"} <= set(forms)):
                raise ValueError(f"measures: {name}: needs 'text', and 'other' (or 'yes' and 'no')")
            _check_forms(forms)
        for period in self.periods.values():
            for text in (*period.last, *period.before):
                _check_places(text, {"n"})
        for pair in self.nouns.values():
            for text in pair:
                _check_places(text, {"of", "column"})
        for name, text in self.said.items():
            _check_places(text, _SAID.get(name, set()))
        _check_places(self.narrowed, {"noun", "column", "value"})
        return self


class WordingSpec(Spec):
    """A study's own words: labels of kinds, products and attributes, values, whole sentences, and what customers hear.

    `language` is one of those shipped, or a file of a language beside this one. `reasons` and `customer` name features
    or patterns of them; of several that fit, the first counts. One text stands for all values, of a flag for yes.
    """

    language: str = "en"
    labels: dict[str, str | Pair] = {}
    products: dict[str, str] = {}
    attributes: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    reasons: dict[str, Forms] = {}
    customer: dict[str, Forms] = {}

    @field_validator("reasons", "customer", mode="before")
    @classmethod
    def _one_sentence(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"other": forms} if isinstance(forms, str) else forms for name, forms in value.items()}

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        for forms in (*self.reasons.values(), *self.customer.values()):
            _check_forms(forms)
        return self


@dataclass(frozen=True)
class Wording:
    """A language with a study's own words."""

    base: Language
    own: WordingSpec

    @cached_property
    def locale(self) -> Locale:
        """CLDR's data: plurals and signs of numbers."""
        return Locale.parse(self.base.language)

    @cached_property
    def signs(self) -> dict[int, str]:
        """From the signs of a number in English to those of the language."""
        return str.maketrans({",": get_group_symbol(self.locale), ".": get_decimal_symbol(self.locale)})

    @cached_property
    def percent(self) -> str:
        """Where a percent sign stands: ``{}%``."""
        return re.sub(r"[#0][#0,.]*", "{}", str(self.locale.percent_formats[None].pattern).split(";")[0], count=1)

    def plural(self, n: int) -> str:
        """CLDR's plural form of a whole number."""
        return str(self.locale.plural_form(n))

    def speaker(self, entry: Mapping[str, Any]) -> "Speaker":
        """Who tells of a feature, by its entry in the catalogue."""
        return Speaker(self, entry)

    def text(self, measure: str, words: Mapping[str, str], window: str | None) -> str:
        """What a feature is, without a value: "views in the last 30 days".

        Examples
        --------
        >>> english().text("count", {"what": "kind", "of": "view", "label": "views"}, "30d")
        'views in the last 30 days'
        >>> shipped("de").text("count", {"what": "kind", "of": "view"}, None)
        'Ereignisse „view“ bisher'
        """
        return self.fill(self.base.measures[measure]["text"], words, window)

    def fill(self, template: str, words: Mapping[str, str], window: str | None, **more: str) -> str:
        """A sentence with all its places filled, but those that `more` or `words` do not know."""
        noun, nouns = self._nouns(words) if "what" in words else ("", "")
        when, before = self._period(window)
        known = {"noun": noun, "nouns": nouns, "when": when, "before": before, "value": _VALUE, **more}
        if "label" in words:
            known["label"] = self._of_attribute(self.own.attributes, words) or words["label"]
        if "whole" in words:
            known["whole"] = self._noun(words["whole"])[1]
        if "column" in words:
            known["column"] = self._column(words)
        return _filled(template, known)

    def can_fill(self, template: str, words: Mapping[str, str]) -> bool:
        """Whether a feature has what a sentence's places ask for."""
        nouns = {"noun", "nouns"} if "what" in words else set()
        return set(_PLACE.findall(template)) <= _ALWAYS | nouns | set(words)

    def named(self, category: str, words: Mapping[str, str]) -> str:
        """What a category, or yes or no, of an attribute is called."""
        names: Mapping[str, str] = self._of_attribute(self.own.values, words) or {}
        return names.get(category, category)

    def unused(self, features: Iterable[Mapping[str, Any]]) -> list[str]:
        """Names in the study's words that meet none of the features: a mistake, or what has not occurred yet."""
        entries = list(features)
        keys = ("of", "column", "name", "attribute")
        known = {entry["words"][key] for entry in entries for key in keys if key in entry["words"]}
        own = self.own
        names = [name for part in (own.labels, own.products, own.attributes, own.values) for name in part]
        patterns = [*own.reasons, *own.customer]
        return [
            *(name for name in dict.fromkeys(names) if name not in known),
            *(p for p in dict.fromkeys(patterns) if not any(fnmatchcase(entry["name"], p) for entry in entries)),
        ]

    @staticmethod
    def _of_attribute(said: Mapping[str, Any], words: Mapping[str, str]) -> Any:
        """What is said of an attribute, by the name of its feature or by its own."""
        return said.get(words.get("name", ""), said.get(words.get("attribute", "")))

    def _period(self, window: str | None) -> Pair:
        if window is None:
            return self.base.ever, ""
        length = Duration.parse(window)
        period, many = self.base.periods[length.unit], int(length.count != 1)
        return period.last[many].replace("{n}", str(length.count)), period.before[many].replace(
            "{n}", str(length.count)
        )

    def _column(self, words: Mapping[str, str]) -> str:
        return self.own.attributes.get(words["column"], words["column"].replace("_", " "))

    def _noun(self, what: str) -> Pair:
        """A noun of the language, in English where it lacks it: one of the study's own may be older than the noun."""
        return self.base.nouns.get(what) or english().base.nouns[what]

    def _nouns(self, words: Mapping[str, str]) -> Pair:
        """What is counted, in the singular and in the plural."""
        what, of = words["what"], words.get("of", "")
        label: str | Pair | None = self.own.labels.get(of) if what in ("kind", "by") else self.own.products.get(of)
        label = label or words.get("label") if what in ("kind", "product", "by") else None
        if what == "kind" and label is not None:
            one, many = label if isinstance(label, tuple) else (self._singular(label), label)
        else:
            called = label[-1] if isinstance(label, tuple) else label
            known = {"of": called or (of if what == "product" else of.replace("_", " "))}
            if "column" in words:
                known["column"] = self._column(words)
            one, many = (_filled(noun, known) for noun in self._noun(what))
        if "at" not in words:
            return one, many
        at = self.own.values.get(words["column"], {}).get(words["at"], words["at"])
        narrowed = {"column": self._column(words), "value": at}
        one, many = (_filled(self.base.narrowed, {**narrowed, "noun": noun}) for noun in (one, many))
        return one, many

    def _singular(self, label: str) -> str:
        return singular(label) if self.base.language == "en" else label


def _filled(template: str, known: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: known.get(place[1], place[0]), template)


class Speaker:
    """Tells one feature's values in sentences."""

    def __init__(self, wording: Wording, entry: Mapping[str, Any]) -> None:
        self.wording, self.entry = wording, entry
        base = wording.base.measures[entry["measure"]]
        own = self._own(wording.own.reasons)
        if set(own) == {"other"}:  # one text for all values: but missing ones, and changes below 0
            base = {form: text for form, text in base.items() if form in ("text", "missing", *_FEWER)}
        forms = {**base, **own}
        self.text = wording.fill(forms["text"], entry["words"], entry.get("window"))
        self.forms = self._filled(forms)
        self.for_customers = self._filled(self._own(wording.own.customer))

    def _own(self, patterns: Mapping[str, Forms]) -> Forms:
        """The study's sentence of the feature; none where it asks for what the feature has not."""
        found = next((forms for pattern, forms in patterns.items() if fnmatchcase(self.entry["name"], pattern)), {})
        if not all(self.wording.can_fill(text, self.entry["words"]) for text in found.values()):
            return {}
        if self.entry.get("kind") == "boolean" and set(found) == {"other"} and "{value}" not in found["other"]:
            return {"yes": found["other"]}
        return found

    def _filled(self, forms: Forms) -> Forms:
        words, window = self.entry["words"], self.entry.get("window")
        return {form: self.wording.fill(text, words, window, text=self.text) for form, text in forms.items()}

    def reason(self, value: float) -> str:
        """The value in words; NaN: missing.

        Examples
        --------
        >>> quote = {"name": "recency_days_quote", "measure": "recency", "window": "90d", "unit": "days",
        ...          "kind": "number", "words": {"what": "kind", "of": "quote", "label": "quotes"}}
        >>> speak = english().speaker(quote).reason
        >>> speak(1.0), speak(0.2), speak(float("nan"))
        ('last quote 1 day ago', 'last quote less than a day ago', 'no quote in the last 90 days')
        """
        missing = self.wording.base.said["not_known"].replace("{text}", self.text)
        return self._told(self.forms, value) or missing

    def customer(self, value: float) -> str | None:
        """What the customer may be told of a value, in the study's sentence; None: nothing.

        Examples
        --------
        >>> sentence = {"one": "You asked us for a quote.", "other": "You asked us for {value} {nouns}."}
        >>> own = Wording(english().base, WordingSpec(customer={"events_quote_*": sentence}))
        >>> quote = {"name": "events_quote_30d", "measure": "count", "window": "30d", "unit": "count",
        ...          "kind": "number", "words": {"what": "kind", "of": "quote", "label": "quotes"}}
        >>> own.speaker(quote).customer(1.0), own.speaker(quote).customer(3.0)
        ('You asked us for a quote.', 'You asked us for 3 quotes.')
        """
        return self._told(self.for_customers, value)

    def _told(self, forms: Forms, value: float) -> str | None:
        """The value in the form that fits it; None where there is none."""
        if value != value:
            return forms.get("missing")
        if self.entry.get("kind") == "boolean":
            answer = "yes" if value else "no"
            sentence = forms.get(answer, forms.get("other"))
            return None if sentence is None else _put(sentence, self._answer(value))
        form, told = "other", value
        if self.entry.get("unit") in _WHOLE_NUMBERS and not self.entry.get("categories"):
            n = round(value)
            if n == 0 and "zero" in forms:
                return forms["zero"]
            form = self.wording.plural(abs(n))
            if n < 0 and "fewer_other" in forms:
                form, told = f"fewer_{form}", -value
        sentence = forms.get(form, forms.get("fewer_other" if form.startswith("fewer_") else "other"))
        return None if sentence is None else _put(sentence, self.value(told))

    def value(self, value: float) -> str:
        """The value by itself, in its unit."""
        unit, value = self.entry.get("unit"), value + 0.0  # adding zero turns -0.0 into 0.0
        if self.entry.get("categories") or self.entry.get("kind") == "category":
            return self._category(value)
        if unit in _WHOLE_NUMBERS:
            return self._number(f"{round(value):,}")
        if unit == "money":
            return self._number(f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.2f}")
        if unit == "years":
            return str(int(value // 1))  # an age is told in years completed
        if unit == "share":
            decimals = 1 if 0 < abs(value) < 0.1 else 0
            return self.wording.percent.format(self._number(f"{100 * value:.{decimals}f}"))
        return self._number(f"{value:,.0f}" if abs(value) >= 99.95 or value == round(value) else f"{value:,.3g}")

    def usual(self) -> str | None:
        """What is usual on train: the middle value, the most frequent category, that most have none; None: not known.

        Examples
        --------
        >>> view = {"name": "recency_days_view", "measure": "recency", "window": "90d", "unit": "days",
        ...         "kind": "number", "source": "events", "typical": 12.4, "words": {"what": "kind", "of": "view"}}
        >>> english().speaker(view).usual(), english().speaker({**view, "missing_share": 0.75}).usual()
        ('12', 'none')
        """
        typical, said = self.entry.get("typical"), self.wording.base.said
        if typical is None:
            return None
        if self._is_mostly_missing():
            return said["not_given"] if self.entry.get("source", "customers") == "customers" else said["none"]
        if self.entry.get("kind") == "boolean":
            return self._answer(float(typical))
        return self._named(typical) if isinstance(typical, str) else self.value(float(typical))

    def beside(self, value: float) -> str:
        """What is usual on train, to stand behind a reason of `value`; empty where that is not known.

        Examples
        --------
        >>> view = {"name": "events_view_30d", "measure": "count", "window": "30d", "unit": "count", "kind": "number",
        ...         "source": "events", "typical": 1.0, "words": {"what": "kind", "of": "view"}}
        >>> english().speaker(view).beside(4.0), english().speaker(view).beside(1.0)
        (' (usually 1)', ' (as usual)')
        """
        words, said = self.usual(), self.wording.base.said
        if words is None:
            return ""
        if value != value:
            same = self._is_mostly_missing()
        elif self.entry.get("kind") == "boolean":
            same = self._answer(value) == words
        else:
            same = self.value(value) == words
        return said["as_usual"] if same else said["usually"].replace("{usual}", words)

    def _is_mostly_missing(self) -> bool:
        return float(self.entry.get("missing_share") or 0.0) > _MOSTLY

    def _number(self, text: str) -> str:
        return text.translate(self.wording.signs)

    def _category(self, code: float) -> str:
        categories: Sequence[str] = self.entry.get("categories") or []
        return (
            self._named(str(categories[int(code)])) if 0 <= code < len(categories) else self.wording.base.said["unseen"]
        )

    def _answer(self, value: float) -> str:
        answer = "yes" if value else "no"
        named = self.wording.named(answer, self.entry["words"])
        return self.wording.base.said[answer] if named == answer else named

    def _named(self, category: str) -> str:
        return self.wording.named(category, self.entry["words"])


def _put(sentence: str, value: str) -> str:
    return sentence.replace(_VALUE, value)


@cache
def shipped(language: str) -> Wording:
    """A language that comes with the product, without a study's words.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    known = sorted(file.name.removesuffix(".yaml") for file in _LANGUAGES.iterdir() if file.name.endswith(".yaml"))
    if language not in known:
        raise ConfigError(
            f"wording: there is no language '{language}'. There are {', '.join(known)}; or name a file (.yaml)."
        )
    base = read_yaml_spec(Path(str(_LANGUAGES / f"{language}.yaml")), Language, variables=False)
    return Wording(base, WordingSpec(language=language))


def english() -> Wording:
    """English: what the catalogue is written in."""
    return shipped("en")


def read_wording(text: str, *, beside: Path) -> Wording:
    """A wording: one of the languages shipped, or a study's own file.

    Parameters
    ----------
    text : str
        ``de``, or the path of a YAML file, absolute or relative to the folder of `beside`.
    beside : Path
        A file, such as the study's.

    Raises
    ------
    ConfigError
        When there is no such language or file, or the file does not fit: with its line.
    """
    if not is_file(text):
        return shipped(text)
    path = beside.parent / text
    own = read_yaml_spec(path, WordingSpec, variables=False)
    if not is_file(own.language):
        return Wording(shipped(own.language).base, own)
    return Wording(_read_language(path.parent / own.language), own)


def is_file(text: str) -> bool:
    """Whether a wording is named by its file, not by a language."""
    return text.endswith((".yaml", ".yml"))


def _read_language(path: Path) -> Language:
    found = read_yaml_spec(path, Language, variables=False)
    try:
        Locale.parse(found.language)
    except (ValueError, UnknownLocaleError):
        raise ConfigError(
            f"{path}: language: '{found.language}' is no language. Write its code, such as de or pt_BR."
        ) from None
    for part in ("nouns", "periods", "said", "measures"):
        if lacking := sorted(set(getattr(english().base, part)) - set(getattr(found, part))):
            raise ConfigError(f"{path}: {part}: there is nothing for {', '.join(lacking[:5])}. Add it.")
    return found


def singular(label: str) -> str:
    """An English plural in the singular, as far as a rule of thumb goes: "views" → "view".

    Examples
    --------
    >>> singular("visit events"), singular("enquiries"), singular("articles read"), singular("purchases of dress")
    ('visit event', 'enquiry', 'article read', 'purchase of dress')
    """
    words = label.split(" ")
    end = next((i for i, word in enumerate(words) if word in _PREPOSITIONS or word.startswith("(")), len(words))
    for i in reversed(range(end)):
        if words[i] in _IRREGULAR:
            words[i] = _IRREGULAR[words[i]]
            break
        if words[i].endswith("s") and not words[i].endswith(("ss", "us", "is")):
            words[i] = re.sub(r"ies$", "y", re.sub(r"(ss|x|ch|sh)es$", r"\1", words[i]))
            words[i] = words[i].removesuffix("s") if not words[i].endswith("ss") else words[i]
            break
    return " ".join(words)


_PREPOSITIONS = {"of", "with", "by", "from", "to", "in", "on", "at"}
_IRREGULAR = {"movies": "movie", "cookies": "cookie", "news": "news", "series": "series", "children": "child"}
