"""How to approach a prospect: the barrier that likely keeps it from buying, the aim, and the channel it responds to."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from propensity.errors import ConfigError
from propensity.rules.expressions import parse_expression
from propensity.rules.segments import first_match

TAGS = ("barrier", "approach", "channel")


def check_tags(tags: Mapping[str, Mapping[Any, str]], *, columns: Collection[str] | None) -> None:
    """Raise ConfigError unless every rule is a condition over features that there are.

    Parameters
    ----------
    tags : mapping
        From a section of the study to its rules.
    columns : collection of str or None
        The features; None leaves them unchecked.
    """
    for section, rules in tags.items():
        for name, text in rules.items():
            if not parse_expression(text, columns=columns, where=f"{section}.{name}").is_condition:
                raise ConfigError(f"{section}.{name}: {text!r} is never true or false. Write a condition.")


def tag(
    frame: pd.DataFrame, *, barriers: Mapping[Any, str], approach: Mapping[Any, str], channels: Mapping[Any, str]
) -> pd.DataFrame:
    """Each prospect's likely barrier, engagement aim and channel.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features as of the cutoff.
    barriers, approach, channels : mapping of str to str
        From a name to its checked expression; the first that holds counts. What is empty gives no column.

    Returns
    -------
    DataFrame, n rows
        Of ``barrier``, ``approach`` and ``channel`` those that are declared; None where no rule holds.

    Examples
    --------
    >>> frame = pd.DataFrame({"quotes": [2.0, 0.0], "opened": [0.0, 3.0]})
    >>> tag(frame, barriers={"cost": "quotes > 1"}, approach={}, channels={"email": "opened > 0", "web": "quotes > 0"})
      barrier channel
    0    cost     web
    1    None   email
    """
    given = zip(TAGS, (("barriers", barriers), ("approach", approach), ("channels", channels)), strict=True)
    columns = {
        name: first_match(frame, rules, otherwise=None, where=section) for name, (section, rules) in given if rules
    }
    return pd.DataFrame(columns, index=frame.index, dtype=object)
