"""Features of a study's own: functions that are given the past at a cutoff, and give numbers for each customer.

A study names them as ``features.custom: [module:function]``; the module is looked for beside the study's file, and
among what is installed. A function takes `propensity.data.past.PastTables` and returns a DataFrame or an ibis Table
with ``customer_id`` and a column of numbers for each feature; ``function.descriptions`` may say in words what they
are, and ``function.sensitive`` which of them must not be named in a reason.
"""

import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.data.connect import to_frame
from propensity.data.past import PastTables, past_tables
from propensity.data.tables import Tables
from propensity.errors import ConfigError, DataError
from propensity.features.catalogue import Feature


@dataclass(frozen=True)
class CustomFunction:
    """A function of the study's own, and a hash of the file that it was read from ("" where there is none)."""

    call: Callable[[PastTables], Any]
    code: str


@dataclass(frozen=True)
class CustomPlan:
    """The features of one function.

    Attributes
    ----------
    function : str
        ``module:function``.
    features : tuple of Feature
        In column order.
    code : str
        A hash of the module's file: other code may mean other features.
    """

    function: str
    features: tuple[Feature, ...]
    code: str

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {**vars(self), "features": [feature.to_dict() for feature in self.features]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CustomPlan":
        """The inverse of `to_dict`."""
        return cls(**{**values, "features": tuple(Feature.from_dict(f) for f in values["features"])})


def load_functions(names: Sequence[str], *, beside: Path) -> dict[str, CustomFunction]:
    """The functions of ``features.custom`` by name.

    Parameters
    ----------
    names : sequence of str
        ``module:function``.
    beside : Path
        The study's file: its folder is looked through first.

    Raises
    ------
    ConfigError
        When a module or function is not there, or cannot be imported.
    """
    with _importable(beside.parent):
        return {name: _load(name, beside) for name in names}


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _load(name: str, beside: Path) -> CustomFunction:
    module, _, function = name.partition(":")
    try:
        found, code = _read_module(module, beside.parent)
    except Exception as error:  # whatever the study's own code raises
        raise ConfigError(
            f"{beside}: features.custom: the module '{module}' cannot be imported "
            f"({type(error).__name__}: {error}). Put {module}.py beside the study's file, or install it."
        ) from error
    call = getattr(found, function, None)
    if not callable(call):
        raise ConfigError(
            f"{beside}: features.custom: there is no function '{function}' in '{module}'. Correct the name."
        )
    return CustomFunction(call, code)


def _read_module(module: str, folder: Path) -> tuple[ModuleType, str]:
    """A module, and the hash of its file.

    One beside the study is read anew each time, under no name that others could find it by: another study may have
    a module of the same name, and what is hashed is what runs.
    """
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    if file.is_file():
        source = file.read_bytes()
        made = ModuleType(module)
        made.__file__ = str(file)
        exec(compile(source, str(file), "exec"), made.__dict__)  # noqa: S102 - the study's own code, as an import would
        return made, _hash(source)
    found = import_module(module)
    return found, _hash(Path(found.__file__).read_bytes()) if found.__file__ else ""


def _hash(source: bytes) -> str:
    return sha256(source).hexdigest()[:16]


def plan_custom(tables: Tables, functions: Mapping[str, CustomFunction], *, cutoff: datetime) -> tuple[CustomPlan, ...]:
    """The features that the functions give, as seen at one cutoff."""
    plans = []
    for past in _past(tables, functions, [cutoff]):
        for name, function in functions.items():
            frame = _call(name, function, past)
            words = getattr(function.call, "descriptions", {})
            kept_back = _sensitive(name, function, list(frame.columns))
            features = [
                _feature(column, words.get(column), name, sensitive=column in kept_back) for column in frame.columns
            ]
            plans.append(CustomPlan(function=name, features=tuple(features), code=function.code))
    return tuple(plans)


def _sensitive(name: str, function: CustomFunction, columns: Sequence[str]) -> set[str]:
    """The features that the function says are sensitive."""
    said = getattr(function.call, "sensitive", ())
    if isinstance(said, str) or not isinstance(said, Collection) or not set(said) <= set(columns):
        raise DataError(
            f"features.custom: {name}.sensitive is {said!r}, not a set of names of features that it gives "
            f"({', '.join(columns)})."
        )
    return set(said)


def _feature(column: str, words: str | None, function: str, *, sensitive: bool) -> Feature:
    words = words or column.replace("_", " ")
    return Feature(
        name=column,
        description=words,
        kind="number",
        group="custom",
        unit="value",
        source=function,
        measure="custom",
        words={"label": words, "name": column},
        sensitive=sensitive,
    )


def custom_columns(
    tables: Tables,
    plans: Sequence[CustomPlan],
    functions: Mapping[str, CustomFunction],
    *,
    code: npt.NDArray[np.int64],
    cutoff_of_row: npt.NDArray[np.int64],
    cutoffs: Sequence[datetime],
) -> pd.DataFrame:
    """The custom features of rows.

    Parameters
    ----------
    code, cutoff_of_row : ndarray of int64, shape (n,)
        Customer number, and position in `cutoffs`.

    Returns
    -------
    DataFrame of float32, n rows
        NaN for customers whom a function leaves out.

    Raises
    ------
    DataError
        When a function's code is not what it was on train, or what it gives is not what it should be.
    """
    for plan in plans:
        if plan.code != functions[plan.function].code:
            raise DataError(
                f"features.custom: the code of {plan.function} has changed since the model was trained. Train again."
            )
    names = [feature.name for plan in plans for feature in plan.features]
    out = np.full((len(code), len(names)), np.nan, dtype=np.float32)
    if not names:
        return pd.DataFrame(out, columns=names, copy=False)
    codes = to_frame(tables.codes).set_index("customer_id")["code"]
    order = sorted(range(len(cutoffs)), key=lambda i: cutoffs[i])
    for i, past in zip(order, _past(tables, functions, [cutoffs[i] for i in order]), strict=True):
        at = np.flatnonzero(cutoff_of_row == i)
        first = 0
        for plan in plans:
            wanted = [feature.name for feature in plan.features]
            frame = _call(plan.function, functions[plan.function], past, wanted=wanted)
            out[at, first : first + len(wanted)] = _of_rows(plan.function, frame, codes, code[at])
            first += len(wanted)
    return pd.DataFrame(out, columns=names, copy=False)


def _of_rows(name: str, frame: pd.DataFrame, codes: pd.Series, code: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The values of the customers numbered `code`, NaN for those who are left out, shape (n, columns)."""
    number = codes.reindex(frame.index)
    if len(frame) and number.isna().all():
        raise DataError(
            f"features.custom: none of the {len(frame):,} customers that {name} gave is known "
            f"(such as {frame.index.dtype} keys, where customers have {codes.index.dtype}). Return keys as they came."
        )
    known = frame[number.notna().to_numpy()]
    found = known.set_axis(pd.Index(number.dropna().astype("int64")), axis=0)
    values: npt.NDArray[np.float64] = found.reindex(code).to_numpy(dtype=np.float64)
    return values


def _past(tables: Tables, functions: Mapping[str, CustomFunction], cutoffs: Sequence[datetime]) -> Iterator[PastTables]:
    if functions:
        with past_tables(tables, cutoffs) as past:
            yield from past


def _call(
    name: str, function: CustomFunction, past: PastTables, *, wanted: Sequence[str] | None = None
) -> pd.DataFrame:
    """What a function gives, checked: a row per customer, numbers only, keyed by ``customer_id``."""
    place = f"features.custom: {name} as of {past.cutoff:%Y-%m-%d %H:%M} UTC"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Ibis 12's own to_pandas gives one under pandas 3
            frame = function.call(past)
        frame = to_frame(frame) if isinstance(frame, ir.Table) else frame
    except Exception as error:  # whatever the study's own code raises
        raise DataError(f"{place} failed: {type(error).__name__}: {error}") from error
    if not isinstance(frame, pd.DataFrame) or "customer_id" not in frame.columns:
        raise DataError(
            f"{place} gave {type(frame).__name__}, not a DataFrame or ibis Table with 'customer_id'. Return one."
        )
    frame = frame.set_index("customer_id")
    if repeated := int(frame.index.duplicated().sum()):
        raise DataError(f"{place}: {repeated:,} rows repeat a customer. Return one row for each customer.")
    if wanted is not None and sorted(frame.columns) != sorted(wanted):
        different = sorted(set(frame.columns) ^ set(wanted))
        raise DataError(f"{place} gave other columns than on train: {different}. Return the same at each cutoff.")
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]) and not frame[column].isna().all():
            raise DataError(f"{place}: '{column}' is {frame[column].dtype}, no number. Turn it into numbers.")
    numbers = (frame if wanted is None else frame[list(wanted)]).astype("float64")
    return numbers.replace([np.inf, -np.inf], np.nan)
