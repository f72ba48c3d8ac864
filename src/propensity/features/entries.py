"""Swept columns with their catalogue entries: what each measures, and of what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from propensity.features.catalogue import Feature
from propensity.features.sweep import Column
from propensity.temporal import Duration
from propensity.wording import english

Entry = tuple[Column, Feature]
Words = Mapping[str, str]
Span = Duration | None
"""A window, or all time before the cutoff."""


@dataclass(frozen=True)
class Entries:
    """Makes entries of one role; `words` say of what: see `catalogue.Feature`.

    Attributes
    ----------
    group : str
        The group that the catalogue lists them under.
    source : str
        The role.
    windows : sequence of Duration
        From the shortest to the longest.
    """

    group: str
    source: str
    windows: Sequence[Duration]

    @property
    def spans(self) -> list[Span]:
        """The windows, then all time."""
        return [*self.windows, None]

    def entry(self, column: Column, measure: str, words: Words, *, unit: str) -> Entry:
        """A column with its entry."""
        window = str(column.window) if column.window else None
        return column, Feature(
            name=column.name,
            description=english().text(measure, words, window),
            kind="number",
            group=self.group,
            unit=unit,
            source=self.source,
            measure=measure,
            words=dict(words),
            window=window,
        )

    def count(self, name: str, slot: int, words: Words, span: Span) -> Entry:
        """How many records."""
        return self.entry(Column(f"{name}_{_end(span)}", "count", slot, span), "count", words, unit="count")

    def days(self, name: str, slot: int, words: Words, span: Span) -> Entry:
        """On how many days."""
        return self.entry(Column(f"{name}_{_end(span)}", "days", slot, span), "days", words, unit="count")

    def trend(self, name: str, slot: int, words: Words, window: Duration) -> Entry:
        """How many more than in the window before."""
        return self.entry(Column(f"trend_{name}_{window}", "trend", slot, window), "trend", words, unit="change")

    def recency(self, name: str, slot: int, words: Words) -> Entry:
        """How long ago the last was; what is older than the longest window counts as never.

        How long ago something still older was would depend on how far the records go back.
        """
        column = Column(f"recency_days_{name}", "recency", slot, self.windows[-1])
        return self.entry(column, "recency", words, unit="days")

    def since_first(self, name: str, slot: int, words: Words) -> Entry:
        """How long ago the first was."""
        return self.entry(Column(f"tenure_days_{name}", "since_first", slot), "since_first", words, unit="days")

    def gaps(self, name: str, slot: int, words: Words) -> list[Entry]:
        """The rhythm: mean, spread and last of the days between active days."""
        return [
            self.entry(Column(f"gap_days_{what}_{name}", f"gap_{what}", slot), f"gap_{what}", words, unit="days")
            for what in ("mean", "sd", "last")
        ]

    def streak(self, name: str, slot: int, words: Words) -> list[Entry]:
        """Active days in a row: up to the last active day, and at most."""
        return [
            self.entry(Column(f"{measure}_days_{name}", measure, slot), measure, words, unit="count")
            for measure in ("streak", "streak_longest")
        ]

    def share(self, name: str, slot: int, words: Words, *, of: int, span: Span) -> Entry:
        """What part of all records they are."""
        column = Column(f"share_{name}_{_end(span)}", "share", slot, span, of=of)
        return self.entry(column, "share", {**words, "whole": self.source}, unit="share")

    def distinct(self, name: str, slot: int, of: str, *, key: int, span: Span) -> Entry:
        """How many different values of the column `of`."""
        column = Column(f"distinct_{name}_{_end(span)}", "distinct", slot, span, key=key)
        if of in ("kind", "product"):
            return self.entry(column, f"distinct_{of}", {}, unit="count")
        return self.entry(column, "distinct", {"column": of, "whole": self.source}, unit="count")

    def amount(self, name: str, sum_of: str, slot: int, measure: str, words: Words, *, unit: str, span: Span) -> Entry:
        """A sum, mean, minimum or maximum (`sum_of`) of amounts."""
        return self.entry(Column(f"{name}_{_end(span)}", sum_of, slot, span), measure, words, unit=unit)


def value_words(what: str, columns: Sequence[str], values: Sequence[str], labels: Mapping[str, str]) -> Words:
    """Of what a value of a column, or of two together, is: a kind or product, or all narrowed to an attribute's value.

    Parameters
    ----------
    what : str
        ``kind``, ``product`` or ``by``: the first of two columns.
    columns, values : sequence of str
        One value of two columns: what is rarer than all that are told apart.
    """
    role = {"kind": "events", "product": "purchases", "by": "contacts"}[what]
    if len(values) < len(columns):
        return {"what": f"other_{role}", "column": columns[-1]}
    words = {"what": role}
    if columns[0] == what:
        words = {"what": what, "of": values[0]} | ({"label": labels[values[0]]} if values[0] in labels else {})
        if len(columns) == 1:
            return words
    return {**words, "column": columns[-1], "at": values[-1]}


def _end(span: Span) -> str:
    return str(span) if span else "ever"
