"""Output appears whole or not at all: folders and files are made beside their place and moved there at once."""

import json
import math
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propensity.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MANIFEST_SUFFIX = ".manifest.json"
"""What the manifest beside a list adds to the list's name."""
_FIGURES = ("probability", "points")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """A work folder that becomes `place` when the block ends well, and vanishes when it does not."""
    with _parent_of(place) as parent:
        work = parent / f".{place.name}-{secrets.token_hex(4)}"
        try:  # made inside, so that a signal finds nothing that is not cleared away
            work.mkdir(mode=0o700)
            yield work
            work.chmod(0o755)
            work.rename(place)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise


@contextmanager
def whole_file(place: Path) -> Iterator[Path]:
    """A work file that becomes `place` when the block ends well, and vanishes when it does not."""
    with _parent_of(place) as parent:
        work = parent / f".{place.stem}-{secrets.token_hex(4)}{place.suffix}"
        try:
            yield work
            work.replace(place)
        except BaseException:
            work.unlink(missing_ok=True)
            raise


@contextmanager
def _parent_of(place: Path) -> Iterator[Path]:
    """The folder that `place` goes into; folders that had to be made vanish again when the block fails."""
    missing = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield place.parent
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # another run has put something there meanwhile
                folder.rmdir()
        raise


def require_link(folder: Path) -> None:
    """Raise InputError when something of the user's own stands where ``folder/latest`` goes."""
    place = folder / "latest"
    if place.exists() and not place.is_symlink():
        raise InputError(f"{place} is not a link. Move it away: it points to the latest run.")


def point_latest(folder: Path, *, to: str) -> None:
    """Switch ``folder/latest`` to the run `to`, atomically."""
    link = folder / f".latest-{secrets.token_hex(4)}"
    link.symlink_to(to, target_is_directory=True)
    try:
        link.replace(folder / "latest")
    except OSError:
        link.unlink(missing_ok=True)
        require_link(folder)
        raise


def to_json(value: Any) -> str:
    """Values as JSON text, stable from run to run; numbers that are not finite become null.

    Examples
    --------
    >>> print(to_json({"lift": 2.5, "slope": float("nan")}), end="")
    {
     "lift": 2.5,
     "slope": null
    }
    """
    return json.dumps(_plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} is not a plain value")


def write_list(frame: "pd.DataFrame", place: Path) -> Path:
    """Write a prospect list as Parquet or CSV, by the ending of `place`.

    In CSV, texts that a spreadsheet would run as a formula begin with an apostrophe.

    Raises
    ------
    InputError
        When the ending is neither ``.parquet`` nor ``.csv``.
    """
    if place.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out: {place.name} ends in neither .parquet nor .csv. Choose one of them.")
    with whole_file(place) as work:
        if place.suffix == ".parquet":
            frame.to_parquet(work, index=False)
        else:
            escape_formulas(frame).to_csv(work, index=False)
    return place


def read_list(file: Path, *, needed: Sequence[str], kept: Sequence[str] = ()) -> "pd.DataFrame":
    """Some columns of a list that `write_list` wrote, keys as texts; those of `kept` where it has them.

    Raises
    ------
    InputError
        When it cannot be read, or a column that is needed is missing.
    """
    import pandas as pd

    try:
        if file.suffix == ".csv":
            gaps = {name: [""] for name in _FIGURES}
            rows = pd.read_csv(file, dtype={"customer_id": str}, keep_default_na=False, na_values=gaps)
            rows["customer_id"] = rows["customer_id"].map(_unescape)
        else:
            rows = pd.read_parquet(file)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{file}: cannot be read as a list ({str(error).splitlines()[0]}).") from None
    missing = [name for name in needed if name not in rows]
    if missing:
        raise InputError(f"{file}: a list has the columns {', '.join(missing)}. Write it again: propensity score.")
    return rows[[*needed, *(name for name in kept if name in rows)]].astype({"customer_id": str})


def _unescape(text: str) -> str:
    """A text as it was before `escape_formulas`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text


def write_row_groups(tables: Iterable["pa.Table"], place: Path, *, schema: "pa.Schema") -> None:
    """Write tables of one schema as the row groups of a Parquet file, as they come."""
    import pyarrow.parquet as pq

    with whole_file(place) as work, pq.ParquetWriter(work, schema) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(len(table), 1))


def escape_formulas(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with an apostrophe before texts (and column names) that begin like a formula.

    Examples
    --------
    >>> import pandas as pd
    >>> escape_formulas(pd.DataFrame({"name": ["=1+1", "plain"]}))["name"].tolist()
    ["'=1+1", 'plain']
    """
    safe = frame.copy()
    for column in safe.columns:
        if safe[column].dtype.kind not in "biufM":
            safe[column] = safe[column].map(_escape, na_action="ignore")
    return safe.rename(columns={column: _escape(str(column)) for column in safe.columns})


def _escape(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
