"""Swept columns with their catalogue entries: what each measure is called, and how it reads in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from propensity.features.catalogue import Feature, singular
from propensity.features.sweep import Column
from propensity.temporal import Duration

Entry = tuple[Column, Feature]
Span = Duration | None
"""A window, or all time before the cutoff."""


@dataclass(frozen=True)
class Entries:
    """Makes entries of one role.

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

    def entry(self, column: Column, words: str, *, unit: str, phrase: str | None = None) -> Entry:
        """A column, described as `words`."""
        return column, Feature(
            name=column.name,
            description=words,
            phrase=phrase or f"{{value}} {words}",
            kind="number",
            group=self.group,
            unit=unit,
            source=self.source,
            window=str(column.window) if column.window else None,
        )

    def count(self, name: str, slot: int, label: str, span: Span) -> Entry:
        """How many records."""
        suffix, when = _when(span)
        return self.entry(Column(f"{name}_{suffix}", "count", slot, span), f"{label} {when}", unit="count")

    def days(self, name: str, slot: int, label: str, span: Span) -> Entry:
        """On how many days."""
        suffix, when = _when(span)
        words = f"days with {label} {when}"
        return self.entry(Column(f"{name}_{suffix}", "days", slot, span), words, unit="count")

    def trend(self, name: str, slot: int, label: str, window: Duration) -> Entry:
        """How many more than in the window before."""
        words = f"more {label} in the last {window.words} than in the {window.words} before"
        return self.entry(Column(f"trend_{name}_{window}", "trend", slot, window), words, unit="change")

    def recency(self, name: str, slot: int, label: str) -> Entry:
        """How long ago the last was; what is older than the longest window counts as never.

        How long ago something still older was would depend on how far the records go back.
        """
        one, longest = singular(label), self.windows[-1]
        column, feature = self.entry(
            Column(f"recency_days_{name}", "recency", slot, longest),
            f"days since the last {one}",
            unit="days",
            phrase=f"last {one} {{value}} days ago",
        )
        return column, replace(feature, phrase_missing=f"no {one} in the last {longest.words}")

    def since_first(self, name: str, slot: int, label: str) -> Entry:
        """How long ago the first was."""
        column = Column(f"tenure_days_{name}", "since_first", slot)
        return self.entry(column, f"days since the first {singular(label)}", unit="days")

    def gaps(self, name: str, slot: int, label: str) -> list[Entry]:
        """The rhythm: mean, spread and last of the days between active days."""
        return [
            self.entry(Column(f"gap_days_{what}_{name}", f"gap_{what}", slot), words.format(label), unit="days")
            for what, words in (
                ("mean", "days between {} on average"),
                ("sd", "days of spread between {}"),
                ("last", "days between the last two {}"),
            )
        ]

    def streak(self, name: str, slot: int, label: str) -> list[Entry]:
        """Active days in a row: up to the last active day, and at most."""
        last, most = f"days in a row with {label}, up to the last", f"days in a row with {label} at most"
        return [
            self.entry(Column(f"streak_days_{name}", "streak", slot), last, unit="count"),
            self.entry(Column(f"streak_longest_days_{name}", "streak_longest", slot), most, unit="count"),
        ]

    def share(self, name: str, slot: int, label: str, *, of: int, whole: str, span: Span) -> Entry:
        """What part of all records they are."""
        suffix, when = _when(span)
        column = Column(f"share_{name}_{suffix}", "share", slot, span, of=of)
        words = f"share of {label} in all {whole} {when}"
        return self.entry(column, words, unit="share", phrase=f"{words}: {{value}}")

    def distinct(self, name: str, slot: int, label: str, *, key: int, span: Span) -> Entry:
        """How many different values of a category."""
        suffix, when = _when(span)
        column = Column(f"distinct_{name}_{suffix}", "distinct", slot, span, key=key)
        return self.entry(column, f"different {label} {when}", unit="count")

    def amount(self, name: str, measure: str, slot: int, words: str, *, unit: str, span: Span) -> Entry:
        """A sum, mean, minimum or maximum of amounts."""
        suffix, when = _when(span)
        column = Column(f"{name}_{suffix}", measure, slot, span)
        return self.entry(column, words.format(when=when), unit=unit, phrase=f"{words.format(when=when)}: {{value}}")


def _when(span: Span) -> tuple[str, str]:
    """A span as the end of a name, and in words."""
    return (str(span), f"in the last {span.words}") if span else ("ever", "so far")
