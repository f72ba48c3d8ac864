"""The buying stage: where a prospect stands on the way to a purchase, by rules over its features.

Stages are tried from the one nearest to a decision: **with a competitor**, **comparing**, **searching**;
a prospect that meets no rule is **unaware**.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from propensity.errors import ConfigError
from propensity.rules.expressions import Expression, parse_expression
from propensity.temporal import Duration
from propensity.yaml_spec import Spec

UNAWARE, SEARCHING, COMPARING, WITH_A_COMPETITOR = STAGES = (
    "unaware",
    "searching",
    "comparing",
    "with a competitor",
)
_RULED = (WITH_A_COMPETITOR, COMPARING, SEARCHING)
# Beginnings of words in the names of event kinds, in the order in which stages are tried.
_KEYWORDS = {
    WITH_A_COMPETITOR: ("competitor", "competing", "rival"),
    COMPARING: (
        *("price", "pricing", "quote", "quotation", "compare", "comparison", "comparing"),
        *("basket", "cart", "checkout"),
    ),
    SEARCHING: ("visit", "search", "view", "read", "page", "browse", "click"),
}
_LONGEST_DAYS = 90


class StageRules(Spec):
    """One checked expression over features for each stage; a stage left out is never reached.

    Examples
    --------
    >>> rules = StageRules.model_validate({"comparing": "events_quote_90d >= 1"})
    >>> rules.comparing, rules.searching
    ('events_quote_90d >= 1', None)
    """

    with_a_competitor: str | None = Field(default=None, alias=WITH_A_COMPETITOR)
    comparing: str | None = None
    searching: str | None = None

    def texts(self) -> dict[str, str]:
        """The rules that are given, in the order in which they are tried."""
        texts = dict(zip(_RULED, (self.with_a_competitor, self.comparing, self.searching), strict=True))
        return {stage: text for stage, text in texts.items() if text is not None}

    def expressions(self, columns: Collection[str]) -> dict[str, Expression]:
        """The given rules, checked against the features that there are."""
        return {
            stage: parse_expression(text, columns=columns, where=f"stages: {stage}")
            for stage, text in self.texts().items()
        }


def stage_rules(stages: Mapping[str, str], *, where: str) -> StageRules:
    """The rules that a study declares under ``stages``; raises ConfigError where they cannot be.

    Parameters
    ----------
    stages : mapping of str to str
        From a stage's name to its checked expression.
    where : str
        Their place in the user's file, for messages.
    """
    for stage, text in stages.items():
        if stage not in _RULED:
            names = ", ".join(repr(name) for name in _RULED)
            raise ConfigError(f"{where}: {stage!r} is not a buying stage with a rule. Rules are for {names}.")
        if not parse_expression(text, columns=None, where=f"{where}: {stage}").is_condition:
            raise ConfigError(f"{where}: {stage}: {text!r} is never true or false. Write a condition.")
    return StageRules.model_validate(dict(stages))


def default_rules(event_kinds: Collection[str], catalogue: Sequence[Mapping[str, Any]]) -> StageRules:
    """Rules out of the names of the event kinds, for studies that declare none.

    Each kind goes to the first stage whose keywords its name holds (``price_page_view`` is comparing),
    and counts within 90 days, or the longest shorter window that there is. Being with a competitor lasts:
    there the longest look back counts, and an attribute named after a competitor (a number or a yes/no)
    counts as well.

    Parameters
    ----------
    event_kinds : collection of str
        The event kinds as the study's events name them.
    catalogue : sequence of mapping
        The features that there are; only those are used.

    Examples
    --------
    >>> catalogue = [{"name": f"events_{kind}_{window}", "window": window, "kind": "number", "source": "events"}
    ...              for kind in ("page_view", "quote") for window in ("30d", "90d", "365d")]
    >>> default_rules(["page_view", "quote"], catalogue).texts()
    {'comparing': '"events_quote_90d" > 0', 'searching': '"events_page_view_90d" > 0'}
    """
    conditions: dict[str, list[str]] = {stage: [] for stage in _RULED}
    for kind in sorted(event_kinds):
        stage = _stage_of(kind)
        feature = _count_of(kind, catalogue, lasting=stage == WITH_A_COMPETITOR)
        if stage and feature:
            conditions[stage].append(_positive(feature))
    conditions[WITH_A_COMPETITOR] += [
        _positive(str(entry["name"]))
        for entry in catalogue
        if entry.get("source") == "customers"
        and entry.get("kind") in ("number", "boolean")
        and _stage_of(str(entry["name"])) == WITH_A_COMPETITOR
    ]
    return StageRules.model_validate({stage: " OR ".join(parts) for stage, parts in conditions.items() if parts})


def buying_stage(frame: pd.DataFrame, rules: StageRules) -> pd.Series:
    """Each prospect's buying stage.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features as of the cutoff.
    rules : StageRules
        The study's rules, or the default ones.

    Returns
    -------
    Series of shape (n,)
        Named ``buying_stage``, with the frame's index: a stage's name; None throughout where there is no
        rule at all (a study without events cannot tell).

    Examples
    --------
    >>> rules = StageRules.model_validate({"searching": "views > 0", "comparing": "quotes > 0"})
    >>> buying_stage(pd.DataFrame({"views": [3.0, 1.0, 0.0], "quotes": [0.0, 1.0, 0.0]}), rules).tolist()
    ['searching', 'comparing', 'unaware']
    """
    expressions = rules.expressions([str(name) for name in frame.columns])
    stages = np.full(len(frame), UNAWARE if expressions else None, dtype=object)
    undecided = np.full(len(frame), fill_value=True)
    for stage, expression in expressions.items():
        reached = expression.mask(frame) & undecided
        stages[reached] = stage
        undecided &= ~reached
    return pd.Series(stages, index=frame.index, name="buying_stage", dtype=object)


NEW, BOUGHT, GONE = "new prospect", "bought", "no longer a prospect"


def stage_transitions(earlier: pd.Series, later: pd.Series, bought: Collection[Any]) -> pd.DataFrame:
    """Who moved from which stage to which between two cutoffs.

    Parameters
    ----------
    earlier, later : Series of str
        The buying stage of each prospect at either cutoff, by customer.
    bought : collection
        Customers of `earlier` who have bought since.

    Returns
    -------
    DataFrame, a row for each move that somebody made
        ``from`` (a stage, or ``new prospect``), ``to`` (a stage, ``bought`` or ``no longer a prospect``: outside the
        target or suppressed), ``customers`` and ``share`` of those with the same ``from``.

    Examples
    --------
    >>> before = pd.Series({"a": "unaware", "b": "searching", "c": "searching"})
    >>> after = pd.Series({"a": "unaware", "b": "comparing", "d": "unaware"})
    >>> stage_transitions(before, after, ["c"])
               from         to  customers  share
    0       unaware    unaware          1    1.0
    1     searching  comparing          1    0.5
    2     searching     bought          1    0.5
    3  new prospect    unaware          1    1.0
    """
    customers = earlier.index.union(later.index)
    gone = np.where(customers.isin(list(bought)), BOUGHT, GONE)
    moves = pd.DataFrame({"from": earlier.reindex(customers).fillna(NEW), "to": later.reindex(customers)})
    moves["to"] = moves["to"].where(moves["to"].notna(), gone)
    counted = moves.groupby(["from", "to"], observed=True).size().rename("customers").reset_index()
    rank = {name: place for place, name in enumerate((*STAGES, NEW, BOUGHT, GONE))}
    counted = counted.sort_values(["from", "to"], key=lambda column: column.map(rank), ignore_index=True)
    counted["share"] = counted["customers"] / counted.groupby("from")["customers"].transform("sum")
    return counted


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _stage_of(name: str) -> str | None:
    words = _words(name)
    return next((stage for stage, keywords in _KEYWORDS.items() if any(w.startswith(keywords) for w in words)), None)


def _count_of(kind: str, catalogue: Sequence[Mapping[str, Any]], *, lasting: bool) -> str | None:
    """The count of a kind that a rule reads, or None when there is none.

    What is `lasting` is looked for as far back as there is; anything else in the longest window up to
    90 days, or in the shortest where all are longer.
    """
    stems = {f"events_{kind}", f"events_{re.sub(r'[^a-z0-9]+', '_', kind.lower()).strip('_')}"}
    days_of = {
        str(entry["name"]): Duration.parse(str(entry["window"])).approximate_days if entry.get("window") else math.inf
        for entry in catalogue
        if str(entry["name"]) in {f"{stem}_{entry.get('window') or 'ever'}" for stem in stems}
    }
    if not days_of:
        return None
    short = {name: days for name, days in days_of.items() if days <= _LONGEST_DAYS}
    if lasting or short:
        return max(days_of if lasting else short, key=days_of.__getitem__)
    return min(days_of, key=days_of.__getitem__)


def _positive(feature: str) -> str:
    return '"{}" > 0'.format(feature.replace('"', '""'))
