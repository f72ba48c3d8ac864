"""Features of a study's own: functions that are given the past at a cutoff, and give numbers for each customer.

A study names them as ``features.custom: [module:function]``; the module is looked for beside the study's file, and
among what is installed. A function takes `propensity.data.past.PastTables` and returns a DataFrame or an ibis Table
with ``customer_id`` and a column of numbers for each feature; ``function.descriptions`` may say in words what they are.
"""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib import import_module
from pathlib import Path
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

Floats = npt.NDArray[np.float32]
CustomFunction = Callable[[PastTables], Any]


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
        found = getattr(import_module(module), function, None)
    except Exception as error:  # whatever the study's own code raises
        raise ConfigError(
            f"{beside}: features.custom: the module '{module}' cannot be imported "
            f"({type(error).__name__}: {error}). Put {module}.py beside the study's file, or install it."
        ) from error
    if not callable(found):
        raise ConfigError(
            f"{beside}: features.custom: there is no function '{function}' in '{module}'. Correct the name."
        )
    return found  # type: ignore[no-any-return]


def plan_custom(tables: Tables, functions: Mapping[str, CustomFunction], *, cutoff: datetime) -> tuple[CustomPlan, ...]:
    """The features that the functions give, as seen at one cutoff."""
    plans = []
    for past in _past(tables, functions, [cutoff]):
        for name, function in functions.items():
            frame = _call(name, function, past)
            words = getattr(function, "descriptions", {})
            features = [_feature(column, words.get(column), name) for column in frame.columns]
            plans.append(CustomPlan(function=name, features=tuple(features), code=_code_of(function)))
    return tuple(plans)


def _code_of(function: CustomFunction) -> str:
    file = inspect.getsourcefile(inspect.unwrap(function))
    return sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""


def _feature(column: str, words: str | None, function: str) -> Feature:
    words = words or column.replace("_", " ")
    return Feature(
        name=column,
        description=words,
        phrase=f"{words}: {{value}}",
        kind="number",
        group="custom",
        unit="value",
        source=function,
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
        if plan.code != _code_of(functions[plan.function]):
            raise DataError(
                f"features.custom: the code of {plan.function} has changed since the model was trained. Train again."
            )
    names = [feature.name for plan in plans for feature in plan.features]
    out = np.full((len(code), len(names)), np.nan, dtype=np.float32)
    if not names:
        return pd.DataFrame(out, columns=names)
    codes = to_frame(tables.codes).set_index("customer_id")["code"]
    order = sorted(range(len(cutoffs)), key=lambda i: cutoffs[i])
    for i, past in zip(order, _past(tables, functions, [cutoffs[i] for i in order]), strict=True):
        at = np.flatnonzero(cutoff_of_row == i)
        first = 0
        for plan in plans:
            wanted = [feature.name for feature in plan.features]
            frame = _call(plan.function, functions[plan.function], past, wanted=wanted)
            place = pd.Index(codes.reindex(frame.index).to_numpy()).get_indexer(code[at])
            values = frame.to_numpy(dtype=np.float32, na_value=np.nan)
            out[at, first : first + len(wanted)] = np.where(place[:, None] >= 0, values[place], np.nan)
            first += len(wanted)
    return pd.DataFrame(out, columns=names)


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
            frame = function(past)
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
    return (frame if wanted is None else frame[list(wanted)]).astype("float64")
