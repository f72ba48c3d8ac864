"""Sentences: every measure in every language that is shipped, and a study's own words."""

from pathlib import Path
from typing import Any

import pytest

from propensity.errors import ConfigError
from propensity.wording import Wording, WordingSpec, english, read_wording, shipped

NAN = float("nan")
VIEW = {"what": "kind", "of": "view", "label": "views"}
BUY = {"what": "purchases"}
CAKES = {"what": "product", "of": "cake", "label": "cakes"}


def entry(measure: str, words: dict[str, str], unit: str = "count", window: str | None = "30d", **more: Any) -> Any:
    return {"name": "x", "measure": measure, "words": words, "unit": unit, "window": window, "kind": "number", **more}


@pytest.mark.parametrize(
    ("of", "value", "told"),
    [
        (entry("count", VIEW), 1, "1 view in the last 30 days"),
        (entry("count", VIEW), 7, "7 views in the last 30 days"),
        (entry("count", VIEW, window=None), 12_345, "12,345 views so far"),
        (entry("count", {"what": "kind", "of": "add_to_cart"}, window="1d"), 1, "1 add to cart event in the last day"),
        (entry("count", {"what": "events", "column": "channel", "at": "shop visits"}), 1,
         "1 event (channel: shop visits) in the last 30 days"),
        (entry("count", {**VIEW, "column": "in_app", "at": "{value}"}), 2,
         "2 views (in app: {value}) in the last 30 days"),
        (entry("count", {"what": "other_events", "column": "channel"}, window="4w"), 3,
         "3 other events by channel in the last 4 weeks"),
        (entry("count", CAKES, window=None), 1, "1 purchase of cakes so far"),
        (entry("count", {"what": "product", "of": "tea_set"}, window=None), 2, "2 purchases of tea_set so far"),
        (entry("count", {"what": "returns"}), 0, "0 returns in the last 30 days"),
        (entry("count", {"what": "contacts"}), 1, "1 contact in the last 30 days"),
        (entry("count", {"what": "by", "of": "cold_call"}), 2, "2 contacts by cold call in the last 30 days"),
        (entry("count", {"what": "by", "of": "mail", "label": "letter"}), 1, "1 contact by letter in the last 30 days"),
        (entry("days", VIEW), 1, "1 day with views in the last 30 days"),
        (entry("days", BUY), 4, "4 days with purchases in the last 30 days"),
        (entry("trend", VIEW, "change"), 3, "3 more views in the last 30 days than in the 30 days before"),
        (entry("trend", VIEW, "change"), 1, "1 more view in the last 30 days than in the 30 days before"),
        (entry("trend", VIEW, "change"), -1, "1 fewer view in the last 30 days than in the 30 days before"),
        (entry("trend", VIEW, "change"), -2, "2 fewer views in the last 30 days than in the 30 days before"),
        (entry("trend", VIEW, "change"), 0, "as many views in the last 30 days as in the 30 days before"),
        (entry("recency", VIEW, "days", "90d"), 0.3, "last view less than a day ago"),
        (entry("recency", VIEW, "days", "90d"), 1.2, "last view 1 day ago"),
        (entry("recency", VIEW, "days", "90d"), 12, "last view 12 days ago"),
        (entry("recency", VIEW, "days", "90d"), NAN, "no view in the last 90 days"),
        (entry("since_first", BUY, "days", None), NAN, "no purchase so far"),
        (entry("since_first", BUY, "days", None), 5, "first purchase 5 days ago"),
        (entry("gap_mean", BUY, "days", None), 2.6, "3 days between purchases on average"),
        (entry("gap_mean", BUY, "days", None), NAN, "days between purchases on average: not known yet"),
        (entry("streak", VIEW, window=None), 1, "1 day in a row with views, up to the last"),
        (entry("share", {**VIEW, "whole": "events"}, "share"), 0.125,
         "share of views in all events in the last 30 days: 12%"),
        (entry("share", {**VIEW, "whole": "events"}, "share"), 0.0312,
         "share of views in all events in the last 30 days: 3.1%"),
        (entry("share", {**VIEW, "whole": "events"}, "share"), NAN, "no events in the last 30 days"),
        (entry("distinct_kind", {}), 1, "1 different kind of events in the last 30 days"),
        (entry("distinct", {"column": "place", "whole": "purchases"}), 3,
         "3 different values of place in purchases in the last 30 days"),
        (entry("value_mean", {**VIEW, "column": "minutes"}, "value"), 1.2345,
         "average minutes of views in the last 30 days: 1.23"),
        (entry("spend", {}, "money"), 12.5, "spent 12.50 in the last 30 days"),
        (entry("spend_max", {}, "money"), 1_234_567.4, "greatest amount of a purchase in the last 30 days: 1,234,567"),
        (entry("attribute", {"label": "age", "name": "age"}, "years"), 34.9, "age: 34"),
        (entry("attribute", {"label": "rate", "name": "rate"}, "value"), 2.0, "rate: 2"),
        (entry("attribute", {"label": "sum", "name": "sum"}, "value"), 12_345.6, "sum: 12,346"),
        (entry("attribute", {"label": "sum", "name": "sum"}, "value"), 999.7, "sum: 1,000"),
        (entry("attribute", {"label": "income", "name": "income"}, "money"), NAN, "income not given"),
        (entry("given", {"label": "income", "name": "income"}, "value", kind="boolean"), 1.0, "income not given"),
        (entry("given", {"label": "income", "name": "income"}, "value", kind="boolean"), 0.0, "income given"),
        (entry("attribute", {"label": "car", "name": "car"}, "value", kind="boolean"), 1.0, "car: yes"),
        (entry("tenure", {}, "days", None), 1, "1 day since first known"),
        (entry("custom", {"label": "risk", "name": "risk"}, "value", None), 0.5, "risk: 0.5"),
        (entry("custom", {"label": "risk", "name": "risk"}, "value", None), NAN, "risk: not known yet"),
        (entry("attribute", {"label": "region", "name": "region"}, kind="category", categories=["north"]), 0.0,
         "region: north"),
        (entry("attribute", {"label": "region", "name": "region"}, kind="category", categories=["north"]), 3.0,
         "region: a value not seen before"),
    ],
)  # fmt: skip
def test_values_are_told_in_english(of: Any, value: float, told: str) -> None:
    assert english().speaker(of).reason(value) == told


@pytest.mark.parametrize(
    ("of", "value", "told"),
    [
        (entry("count", {"what": "kind", "of": "quote"}), 1_234, "1.234 Ereignisse „quote“ in den letzten 30 Tagen"),
        (entry("count", BUY, window="1y"), 1, "1 Kauf im letzten Jahr"),
        (entry("recency", BUY, "days", "12mo"), 1, "Kauf zuletzt vor 1 Tag"),
        (entry("recency", BUY, "days", "12mo"), NAN, "ohne Kauf in den letzten 12 Monaten"),
        (entry("trend", BUY, "change"), -2, "2 Käufe weniger in den letzten 30 Tagen als in den 30 Tagen davor"),
        (entry("spend", {}, "money"), 12.5, "12,50 ausgegeben in den letzten 30 Tagen"),
        (entry("share", {**VIEW, "whole": "events"}, "share"), 0.5,
         "Anteil views an allen (Ereignisse) in den letzten 30 Tagen: 50\N{NO-BREAK SPACE}%"),
        (entry("attribute", {"label": "car", "name": "car"}, "value", kind="boolean"), 0.0, "car: nein"),
    ],
)  # fmt: skip
def test_values_are_told_in_german(of: Any, value: float, told: str) -> None:
    assert shipped("de").speaker(of).reason(value) == told


def test_each_language_has_every_sentence_and_leaves_no_place_open() -> None:
    words = {**VIEW, "whole": "events", "column": "channel", "label": "views", "name": "x"}
    for wording in (english(), shipped("de")):
        assert set(wording.base.measures) == set(english().base.measures)
        assert set(wording.base.said) == set(english().base.said)
        for measure in wording.base.measures:
            speaker = wording.speaker(entry(measure, words))
            values = (0.0, 1.0) if measure == "given" else (NAN, -2, -1, 0, 1, 2, 5)
            if measure == "given":
                speaker = wording.speaker(entry(measure, words, kind="boolean"))
            told = [speaker.text, *(speaker.reason(value) for value in values)]
            assert not any("{" in text or "\0" in text for text in told), told


def test_what_is_usual_stands_beside() -> None:
    region = entry("attribute", {"label": "region", "name": "region"}, kind="category", categories=["north", "south"])
    speaker = english().speaker({**region, "typical": "north", "source": "customers"})
    assert [speaker.beside(value) for value in (0.0, 1.0, NAN)] == [
        " (as usual)",
        " (usually north)",
        " (usually north)",
    ]
    flag = entry("attribute", {"label": "s", "name": "s"}, "value", kind="boolean", typical=0.0, source="customers")
    assert [english().speaker(flag).beside(value) for value in (0.0, 1.0)] == [" (as usual)", " (usually no)"]
    few = entry("attribute", {"label": "income", "name": "income"}, "money", typical=5.0, missing_share=0.9)
    assert english().speaker({**few, "source": "customers"}).beside(3.0) == " (usually not given)"
    assert english().speaker({**few, "source": "events"}).beside(NAN) == " (as usual)"
    assert english().speaker(entry("count", VIEW)).beside(3.0) == ""


def test_a_study_has_words_of_its_own() -> None:
    own = WordingSpec(
        language="de",
        labels={"view": ("Besuch", "Besuche")},
        products={"cake": "Kuchen"},
        attributes={"region": "Region", "channel": "Kanal"},
        values={"region": {"north": "Norden"}, "channel": {"app": "App"}},
        reasons={"events_view_*": {"other": "{value}-mal hier {when}"}, "x": {"missing": "nie"}},
    )
    say = Wording(shipped("de").base, own).speaker
    assert say(entry("recency", VIEW, "days")).reason(3.0) == "Besuch zuletzt vor 3 Tagen"
    assert say(entry("recency", VIEW, "days")).reason(NAN) == "nie"
    assert say(entry("count", CAKES)).reason(2) == "2 Käufe von Kuchen in den letzten 30 Tagen"
    region = entry("attribute", {"label": "region", "name": "region"}, kind="category", categories=["north", "south"])
    assert [say(region).reason(code) for code in (0.0, 1.0)] == ["Region: Norden", "Region: south"]
    assert say({**region, "typical": "north"}).usual() == "Norden"
    in_app = entry("count", {"what": "events", "column": "channel", "at": "app"})
    assert say(in_app).reason(2) == "2 Ereignisse (Kanal: App) in den letzten 30 Tagen"
    assert say({**entry("count", VIEW), "name": "events_view_30d"}).reason(5) == "5-mal hier in den letzten 30 Tagen"


def test_a_language_that_lacks_a_noun_takes_the_english_one() -> None:
    base = shipped("de").base
    older = base.model_copy(update={"nouns": {name: pair for name, pair in base.nouns.items() if name != "contacts"}})
    say = Wording(older, WordingSpec(language="de")).speaker
    assert say(entry("count", {"what": "contacts"})).reason(2) == "2 contacts in den letzten 30 Tagen"


def test_one_text_stands_for_all_values_and_of_a_flag_for_yes() -> None:
    own = WordingSpec(
        reasons={
            "recency_*": {"other": "quote {value} days back"},
            "trend_*": {"other": "{value} more"},
            "income_missing": {"other": "income is not known"},
            "car": {"other": "drives: {value}"},
        },
        values={"car": {"yes": "certainly"}},
    )
    say = Wording(english().base, own).speaker
    recency = say({**entry("recency", VIEW, "days"), "name": "recency_days_view"}).reason
    assert [recency(value) for value in (0.2, 1.0, 5.0)] == [f"quote {n} days back" for n in (0, 1, 5)]
    assert recency(NAN) == "no view in the last 30 days"
    trend = say({**entry("trend", VIEW, "change"), "name": "trend_view_30d"}).reason
    assert trend(3) == "3 more"
    assert trend(-3) == "3 fewer views in the last 30 days than in the 30 days before"
    income = {"label": "income", "name": "income"}
    given = say({**entry("given", income, "value", kind="boolean"), "name": "income_missing"}).reason
    assert [given(value) for value in (1.0, 0.0)] == ["income is not known", "income given"]
    car = say({**entry("attribute", {"label": "car", "name": "car"}, "value", kind="boolean"), "name": "car"}).reason
    assert [car(value) for value in (1.0, 0.0)] == ["drives: certainly", "drives: no"]


def test_a_sentence_that_a_feature_cannot_fill_is_not_used() -> None:
    own = WordingSpec(reasons={"*": {"other": "{label}: {value} {nouns}"}}, customer={"*": {"other": "of {whole}"}})
    speaker = Wording(english().base, own).speaker(entry("spend", {}, "money"))
    assert speaker.reason(3.0) == "spent 3 in the last 30 days"
    assert speaker.customer(3.0) is None


def test_attributes_are_named_by_their_feature_or_their_own_name(tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("attributes: {birth_date: Alter}\nreasons: {spend_*: 'spent ${value}'}\n")
    wording = read_wording("words.yaml", beside=tmp_path / "study.yaml")
    age = {**entry("attribute", {"label": "age", "name": "age", "attribute": "birth_date"}, "years"), "name": "age"}
    assert wording.speaker(age).reason(34.9) == "Alter: 34"
    assert wording.speaker({**entry("spend", {}, "money"), "name": "spend_30d"}).reason(12.0) == "spent $12"
    assert wording.unused([age]) == ["spend_*"]
    (tmp_path / "words.yaml").write_text("labels: {vew: [a, b]}\nvalues: {agee: {a: b}}\n")
    assert read_wording("words.yaml", beside=tmp_path / "study.yaml").unused([age]) == ["vew", "agee"]


def test_percent_signs_stand_where_the_language_puts_them(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "src/propensity/languages/en.yaml").read_text(encoding="utf-8")
    (tmp_path / "words.yaml").write_text("language: own.yaml\n")
    for language, told in (("en_IN", "50%"), ("tr", "%50"), ("fr", "50\N{NO-BREAK SPACE}%")):
        (tmp_path / "own.yaml").write_text(text.replace("language: en", f"language: {language}"))
        wording = read_wording("words.yaml", beside=tmp_path / "study.yaml")
        assert wording.speaker(entry("share", {**VIEW, "whole": "events"}, "share")).value(0.5) == told


def test_a_language_of_ones_own_is_a_file(tmp_path: Path) -> None:
    shipped_file = Path(str(Path(__file__).parents[2] / "src/propensity/languages/en.yaml"))
    text = shipped_file.read_text(encoding="utf-8").replace("language: en", "language: pl")
    (tmp_path / "pl.yaml").write_text(
        text.replace('other: "{value} {nouns} {when}"}', 'few: "{value} few", other: "{value} many"}')
    )
    (tmp_path / "study_pl.yaml").write_text("language: pl.yaml\n")
    say = read_wording("study_pl.yaml", beside=tmp_path / "study.yaml").speaker(entry("count", VIEW)).reason
    assert [say(n) for n in (1, 2, 5, 22)] == ["1 views in the last 30 days", "2 few", "5 many", "22 few"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("language: xx\n", "there is no language 'xx'. There are de, en"),
        ("reasons: {a: {othr: x}}\n", "'othr' is no form of a sentence"),
        ("reasons: {a: 'seen {times} times'}\n", "{times} is nothing that can be filled in"),
        ("customer: {a: '{who} is there'}\n", "{who} is nothing that can be filled in"),
        ("reasons: {a: '{n} of {usual}'}\n", "{n} is nothing that can be filled in"),
        ("reasons: {a: {text: 'views: {value}'}}\n", "{value} is nothing that can be filled in"),
        ("lables: {a: b}\n", "did you mean 'labels'"),
        ("language: own.yaml\n", "own.yaml: cannot be read"),
    ],
)
def test_mistakes_in_a_wording_are_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "words.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_wording("words.yaml", beside=tmp_path / "study.yaml")
    assert said in str(error.value)


def test_a_language_must_have_every_sentence_and_be_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "src/propensity/languages/en.yaml").read_text(encoding="utf-8")
    (tmp_path / "words.yaml").write_text("language: own.yaml\n")
    (tmp_path / "own.yaml").write_text("\n".join(line for line in text.splitlines() if "  tenure:" not in line))
    with pytest.raises(ConfigError, match="measures: there is nothing for tenure"):
        read_wording("words.yaml", beside=tmp_path / "study.yaml")
    (tmp_path / "own.yaml").write_text(text.replace("language: en", "language: klingon"))
    with pytest.raises(ConfigError, match="'klingon' is no language"):
        read_wording("words.yaml", beside=tmp_path / "study.yaml")
