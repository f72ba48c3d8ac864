"""From a YAML file to a frozen, typed spec, with errors that point at the line.

Unknown keys, wrong types and impossible dates are errors that name the file, the line, what was found
and what would be right. Texts such as ``${NAME}`` or ``${NAME:-default}`` are
replaced from the environment.
"""

import difflib
import io
import os
import re
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from propensity.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")


class Spec(BaseModel):
    """Base of every section: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class _SectionError(PydanticCustomError):
    """A check over several sections, with the section that the message should point at."""


def require(condition: object, message: str, place: tuple[str | int, ...]) -> None:
    """Inside a validator: raise unless `condition` holds, pointing at the keys `place` of the file."""
    if not condition:
        raise _SectionError("section", "{message}", {"message": message, "place": place})


T = TypeVar("T", bound=BaseModel)


def read_yaml_spec(path: Path, spec: type[T], *, variables: bool = True) -> T:
    """Read a YAML file into `spec`.

    Parameters
    ----------
    path : Path
        The YAML file. ``${NAME}`` in its texts is replaced from the environment.
    spec : type
        The pydantic model that the file must fit.
    variables : bool
        Whether ``${NAME}`` is replaced; in sentences it may stand for a sum of money.

    Raises
    ------
    ConfigError
        When the file is missing, not YAML, or does not fit: every finding with file and line,
        what was found and what is expected.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Name an existing YAML file.") from None
    try:
        tree = YAML(typ="rt").load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {error.problem or error.context}.") from None
    except YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}.") from None
    except ValueError as error:  # a date such as 2025-13-01
        raise ConfigError(f"{path}:{_line_of_bad_date(text)}: not a date: {error}.") from None
    if not isinstance(tree, dict):
        found = "an empty file" if tree is None else "a list" if isinstance(tree, list) else "one value"
        raise ConfigError(f"{path}:1: found {found}, expected a mapping of keys such as 'study:'.")
    plain = _plain(tree, path if variables else None)
    try:
        return spec.model_validate(plain)
    except ValidationError as error:
        findings = [_finding(path, tree, detail, spec) for detail in _deepest(error.errors())]
        raise ConfigError("\n".join(dict.fromkeys(findings))) from None


def _plain(node: Any, path: Path | None) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value, path) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value, path) for value in node]
    if isinstance(node, datetime):
        return datetime.fromisoformat(node.isoformat())
    if isinstance(node, str):
        return str(node) if path is None else _expand(str(node), path)
    for kind in (bool, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node


def _expand(text: str, path: Path) -> str:
    def value(found: re.Match[str]) -> str:
        given: str | None = os.environ.get(found[1], found[2])
        if given is None:
            lines = path.read_text(encoding="utf-8").splitlines()
            line = next((n for n, line in enumerate(lines, start=1) if found[0] in line), 1)
            raise ConfigError(f"{path}:{line}: the environment variable {found[1]} is not set. Set it and run again.")
        return given

    return _VARIABLE.sub(value, text)


def _finding(path: Path, tree: Any, detail: ErrorDetails, spec: type[BaseModel]) -> str:
    place = [*detail["loc"], *(detail.get("ctx") or {}).get("place", ())]
    keys = _keys_in_file(tree, place)
    where = ".".join(str(key) for key in keys) or "the study"
    kind, message = detail["type"], detail["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        known = _known_keys(spec, keys[:-1])
        near = difflib.get_close_matches(str(keys[-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"expected one of: {', '.join(sorted(known))}."
        section = ".".join(map(str, keys[:-1])) or "the study"
        return f"{path}:{_line(tree, keys)}: unknown key '{keys[-1]}' in {section}; {hint}"
    if kind == "missing":
        missing = detail["loc"][-1]
        return f"{path}:{_line(tree, keys)}: {where}: the key '{missing}' is missing; add it."
    found = detail["input"]
    shown = "" if isinstance(found, dict | list | Spec) or detail.get("ctx", {}).get("place") else f" (found {found!r})"
    return f"{path}:{_line(tree, keys)}: {where}: {message}{shown}"


def _keys_in_file(tree: Any, loc: typing.Iterable[Any]) -> list[Any]:
    """The part of an error's place that exists in the file (pydantic adds names of union members)."""
    keys: list[Any] = []
    node = tree
    for key in loc:
        if isinstance(node, Mapping):
            # The spec sees keys as texts; in the file a key may be a number or a boolean.
            key = next((own for own in node if str(own) == str(key)), None)
        elif not (isinstance(node, list) and isinstance(key, int) and key < len(node)):
            key = None
        if key is not None:
            node = node[key]
            keys.append(key)
    return keys


def _line(tree: Any, keys: list[Any]) -> int:
    line: int = 0
    node: Any = tree
    for key in keys:
        try:
            position = node.lc  # where ruamel.yaml found the keys of a mapping, the items of a list
            line = position.key(key)[0] if isinstance(node, Mapping) else position.item(key)[0]
        except (AttributeError, KeyError, TypeError):
            break
        node = node[key]
    return line + 1


def _known_keys(spec: Any, keys: list[Any]) -> set[str]:
    """The keys allowed at a place in the file."""
    options = [spec]
    for key in keys:
        options = [inner for option in options for inner in _step(option, key)]
    return {
        field.alias or name
        for option in options
        if isinstance(option, type) and issubclass(option, BaseModel)
        for name, field in option.model_fields.items()
        if name != "path"
    }


def _step(option: Any, key: Any) -> list[Any]:
    if isinstance(option, type) and issubclass(option, BaseModel):
        fields = {field.alias or name: field for name, field in option.model_fields.items()}
        return _members(fields[key].annotation) if key in fields else []
    if typing.get_origin(option) in (dict, tuple):
        arguments = [argument for argument in typing.get_args(option) if argument is not Ellipsis]
        return _members(arguments[-1])
    return []


def _members(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):
        return [member for argument in typing.get_args(annotation) for member in _members(argument)]
    return [annotation]


def _deepest(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the "not a list" that a union adds to a finding inside the member that was meant."""
    shape = ("tuple_type", "list_type", "model_type", "dict_type")
    inner = [detail for detail in details if detail["type"] not in shape]
    return inner or details


def _line_of_bad_date(text: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        for found in _DATE.findall(line):
            try:
                date(*map(int, found))
            except ValueError:
                return number
    return 1
