"""A scorecard written as the YAML that a marketer reads and changes."""

import io
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from propensity.rules.scorecard import Indicator, Scorecard, lines


def scorecard_yaml(scorecard: Scorecard, table: pd.DataFrame | None = None) -> str:
    """A scorecard as the text of its file: `load_scorecard` reads it back.

    Parameters
    ----------
    scorecard : Scorecard
    table : DataFrame, optional
        From `propensity.rules.evidence.scorecard_table`: each line gets the share of prospects and their conversion as
        a comment, each indicator its information value.

    Examples
    --------
    >>> card = Scorecard.model_validate({"scorecard": "demo", "indicators": [{"name": "Visits", "feature": "visits",
    ...     "buckets": [{"below": 3, "points": 0}, {"points": 5}]}]})
    >>> print(scorecard_yaml(card))
    scorecard: demo
    indicators:
    - name: Visits
      feature: visits
      buckets:
      - {below: 3, points: 0}
      - {points: 5}
      missing: 0
    <BLANKLINE>
    """
    document = CommentedMap(scorecard=scorecard.scorecard)
    if scorecard.about:
        document["about"] = scorecard.about
    if scorecard.weights:
        document["weights"] = CommentedMap({k: _number(v) for k, v in scorecard.weights.model_dump().items()})
        document["weights"].fa.set_flow_style()
    indicators = CommentedSeq()
    for indicator in scorecard.indicators:
        told = None if table is None else table[table["indicator"] == indicator.name]
        indicators.append(_indicator(indicator, told))
    document["indicators"] = indicators
    yaml, out = YAML(typ="rt"), io.StringIO()
    yaml.width = 120
    yaml.dump(document, out)
    return out.getvalue()


def _indicator(indicator: Indicator, told: pd.DataFrame | None) -> CommentedMap:
    entry = CommentedMap(name=indicator.name, feature=indicator.feature)
    if indicator.weight != 1:
        entry["weight"] = _number(indicator.weight)
    if indicator.kind:
        entry["kind"] = indicator.kind
    comments = iter([""] * len(lines(indicator)) if told is None else [_comment(row) for _, row in told.iterrows()])
    if told is not None:
        entry.yaml_add_eol_comment(f"information value {told['information_value'].iloc[0]:.2f}", "name")
    if indicator.special:
        entry["special"] = _mapping({_number(k): v for k, v in indicator.special.items()}, comments)
    if indicator.categories:
        entry["categories"] = _mapping(indicator.categories, comments)
        _add(entry, "otherwise", indicator.otherwise, next(comments))
    else:
        buckets = CommentedSeq()
        for i, bucket in enumerate(indicator.buckets):
            line = CommentedMap({} if bucket.below is None else {"below": _number(bucket.below)})
            line["points"] = _number(bucket.points)
            line.fa.set_flow_style()
            buckets.append(line)
            if comment := next(comments):
                buckets.yaml_add_eol_comment(comment, i)
        entry["buckets"] = buckets
    _add(entry, "missing", indicator.missing, next(comments))
    return entry


def _mapping(points: Any, comments: Any) -> CommentedMap:
    own = CommentedMap()
    for key, value in points.items():
        _add(own, key, value, next(comments))
    return own


def _add(entry: CommentedMap, key: Any, points: float, comment: str) -> None:
    entry[key] = _number(points)
    if comment:
        entry.yaml_add_eol_comment(comment, key)


def _comment(row: pd.Series) -> str:
    if row["prospects"] == 0:
        return "nobody"
    return f"{row['share']:.1%} of prospects, {row['conversion']:.1%} of them bought"


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
