"""What moves in a report: the searchable list and the slider, as one script that is part of the page.

The table is DataTables, in the build that the package itables carries for pages without a network.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from propensity.errors import EnvironmentFailedError

_EXPORT = re.compile(r"export\{[^}]*?(\w+) as default[^}]*\};?")


def page_script(report: Mapping[str, Any]) -> str | None:
    r"""The script of a report's page; None where it has neither a list nor depths.

    Examples
    --------
    >>> page_script({}) is None, page_script({"depths": [{}]}).endswith("showDepths();\n")
    (True, True)
    """
    has_list, has_depths = bool(report.get("rows")), bool(report.get("depths"))
    if not (has_list or has_depths):
        return None
    own = resources.files("propensity.report").joinpath("templates", "list.js").read_text(encoding="utf-8")
    calls = ("showDepths();\n" if has_depths else "") + (f"showList({_TABLE});\n" if has_list else "")
    return (_data_tables() if has_list else "") + own + calls


_TABLE = "PropensityDataTable"


@cache
def _data_tables() -> str:
    """DataTables as the first part of a script, under a name of ours."""
    bundle = resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    exported = _EXPORT.search(bundle)
    if exported is None or "</script" in bundle:
        raise EnvironmentFailedError(
            "itables: its build of DataTables has another form than expected. Install itables 2.9."
        )
    return f"{_EXPORT.sub('', bundle)}\nconst {_TABLE} = {exported[1]};\n"


def policy(script: str | None) -> str:
    """The page's policy: nothing is loaded, and no script runs but this one.

    Examples
    --------
    >>> policy(None)
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    """
    allowed = ""
    if script is not None:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        allowed = f" script-src 'sha256-{digest}';"
    return f"default-src 'none';{allowed} style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def embedded(value: Any) -> str:
    r"""JSON that may stand inside a script element: no markup can begin in it.

    Examples
    --------
    >>> embedded({"text": "</script><!--"})
    '{"text":"\\u003c/script\\u003e\\u003c!--"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
