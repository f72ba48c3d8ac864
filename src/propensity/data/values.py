"""Values as sources write them, read as numbers and texts; what cannot be read is NULL."""

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

_EXACT = 2.0**53  # float64 holds every whole number below


def read_number(column: ir.Value) -> ir.FloatingValue:
    """A column as float64; text that is not a number, NaN and infinity are NULL."""
    number = read_text(column).try_cast("float64") if column.type().is_string() else column.cast("float64")
    return ibis.ifelse(number.isnan() | number.isinf(), None, number)


def read_text_number(column: ir.Value) -> ir.FloatingValue:
    """A number out of text such as ``"$90,000 "``, ``"EUR 12.50"`` or ``"(1,200)"`` (a minus).

    Currency signs and codes, spaces and thousands separators are left out. NULL where no number is left: what
    other letters would mean (``"90k"``) is not guessed.
    """
    if not column.type().is_string():
        return read_number(column)
    text = column.strip()
    bare = text.re_replace(r"[^0-9A-Za-z.+\-]", "").re_replace(r"^[A-Za-z]+|[A-Z]{3}$", "")
    number = read_number(bare)
    return ibis.ifelse(text.startswith("(") & text.endswith(")"), -number, number)


def read_text(column: ir.Value) -> ir.StringValue:
    """A column as trimmed text; empty text and NaN are NULL.

    A whole number is written without a point: missing values turn a source's integers into floats.
    """
    kind = column.type()
    if kind.is_decimal() and kind.scale:
        return read_text(column.cast("float64"))
    if not kind.is_floating():
        return column.cast("string").strip().nullif("")
    whole = column.try_cast("int64")
    is_whole = (whole.cast("float64") == column) & (column.abs() < _EXACT)
    text = ibis.ifelse(is_whole, whole.cast("string"), column.cast("string"))
    return ibis.ifelse(column.isnan(), None, text)


def is_given(column: ir.Value) -> ir.BooleanValue:
    """Whether a value is given: not NULL, NaN, or blank text; nothing but texts is turned into text for it."""
    kind = column.type()
    return read_text(column).notnull() if kind.is_string() or kind.is_floating() else column.notnull()


def read_key(column: ir.Value, *, like: dt.DataType | None = None) -> ir.Value:
    """A key as it stands, text trimmed (leading zeros survive); in the type `like` where another table's key has it."""
    kind = column.type()
    if kind.is_string() or kind.is_floating():
        text = read_text(column)
        return text if kind.is_string() and like is None else text.try_cast(like or kind)
    if like is None or like == kind:
        return column
    return column.cast(like) if kind.is_integer() and like.is_integer() else read_text(column).try_cast(like)


def scalar_text(value: object) -> str:
    """A value of the study's file as `read_text` writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_missing(raw: ir.Value, special: tuple[object, ...]) -> ir.BooleanValue:
    """Whether a raw value is one of the special values that mean "not given"."""
    texts = [scalar_text(value) for value in special]
    return read_text(raw).isin(texts).fill_null(False) if texts else ibis.literal(value=False)
