"""The project's Ibis expressions as Spark SQL that means what DuckDB makes of them.

A naive timestamp is Spark's TIMESTAMP_NTZ and one with a zone its TIMESTAMP; text is read by DuckDB's rules; what
DuckDB rounds is rounded. Needs pyspark.
"""
# ruff: noqa: N802, D102 - Ibis calls its compilers' methods by these names

import re
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
import pyspark.sql.types as pt
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.pyspark.datatypes import PySparkType
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.backends.sql.datatypes import PySparkType as SqlType
from pyspark.sql import DataFrame, functions

from propensity.data.spark_session import spark_errors
from propensity.errors import ConfigError

_DIGITS = r"\d+(?:_\d+)*"
_NUMBER = rf"^\s*[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?\s*$"
# Year, month and day between equal separators, then a time; what stands behind it (a zone) is not looked at.
_ISO = (
    r"^\s*(\d{4,6})([-/ \\])(\d{1,2})\2(\d{1,2})"
    r"(?:[ T] *(\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d+)?)?)\.?"
    r"(?: ?(?:[+-]\d\d(?::?\d\d(?::\d\d)?)?|[A-Za-z][\w/+-]*))?)?\s*$"
)
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Possessive, as strptime reads: digits once taken are not given back.
_DIRECTIVES = {
    "Y": r"(\d{1,4}+)", "y": r"(\d\d)", "m": r"(\d{1,2}+)", "d": r"(\d{1,2}+)", "H": r"(\d{1,2}+)",
    "I": r"(0?[1-9]|1[0-2])", "M": r"(\d{1,2}+)", "S": r"(\d{1,2}+)", "f": r"(\d{1,6}+)", "p": r"([ap]m)",
    "b": f"({'|'.join(name[:3] for name in _MONTHS)})", "B": f"({'|'.join(_MONTHS)})",
    "a": f"({'|'.join(name[:3] for name in _DAYS)})", "A": f"({'|'.join(_DAYS)})",
}  # fmt: skip
_OVERLAP_MICROSECONDS = 3 * 3_600_000_000  # longer than any clock was ever set back


class _SqlTypes(SqlType):  # type: ignore[misc]
    @classmethod
    def _from_ibis_Timestamp(cls, dtype: dt.Timestamp) -> sge.DataType:
        kind = sge.DataType.Type.TIMESTAMPNTZ if dtype.timezone is None else sge.DataType.Type.TIMESTAMPTZ
        return sge.DataType(this=kind)


def strptime_pattern(form: str) -> tuple[str, list[str]]:
    """A strptime format as a regular expression (Java's), and the directives of its groups in order."""
    pattern, fields = "", []
    for part in re.findall(r"%-?.|\s+|.", form, flags=re.DOTALL):
        letter = part[-1]
        if part.isspace():
            pattern += r"\s+"
        elif not part.startswith("%") or part == "%%":
            pattern += re.escape(letter)
        elif letter in _DIRECTIVES:
            pattern += _DIRECTIVES[letter]
            fields.append(letter)
        else:
            raise ConfigError(
                f"format: Spark cannot read {part!r} of {form!r}. Readable are %{', %'.join(_DIRECTIVES)} and %%; or "
                "compute a time in UTC beforehand."
            )
    return f"(?i)^\\s*{pattern}\\s*$", fields


class Compiler(PySparkCompiler):  # type: ignore[misc]
    """Ibis's compiler for Spark, where DuckDB's meaning differs from Spark's."""

    __slots__ = ()
    type_mapper = _SqlTypes
    SIMPLE_OPS: dict[Any, str] = {}  # those of the parent are methods already; named again, they would hide these here

    def visit_ScalarUDF(self, op: ops.ScalarUDF, **values: Any) -> sge.Expression:
        name, given = self.__sql_name__(op), [*values.values()]
        if name == "epoch_us":
            return self._microseconds(given[0])
        if name == "timezone":
            zoned = op.args[1].dtype.timezone is not None
            return self._to_local(*given) if zoned else self._to_utc(*given)
        if name == "try_strptime":
            return self._parse_time(given[0], op.args[1].value)
        return super().visit_ScalarUDF(op, **values)

    def _microseconds(self, instant: sge.Expression) -> sge.Expression:
        return self.f.anon.unix_micros(self.cast(instant, dt.Timestamp("UTC")))

    def _to_local(self, zone: sge.Expression, instant: sge.Expression) -> sge.Expression:
        return self.cast(self.f.anon.from_utc_timestamp(instant, zone), dt.Timestamp())

    def _to_utc(self, zone: sge.Expression, local: sge.Expression) -> sge.Expression:
        """Local time as an instant; of two (the clock was set back) the later one, as DuckDB has it."""
        wall = self.cast(local, dt.Timestamp("UTC"))
        early = self.f.anon.to_utc_timestamp(wall, zone)
        afterwards = self._microseconds(early) + sge.convert(_OVERLAP_MICROSECONDS)
        shown = self.f.anon.from_utc_timestamp(self.f.anon.timestamp_micros(afterwards), zone)
        offset = sge.paren(self._microseconds(shown) - afterwards)
        late = self.f.anon.timestamp_micros(self._microseconds(wall) - offset)
        is_late = self.f.anon.from_utc_timestamp(late, zone).eq(wall)
        return self.if_(is_late, late, early)

    def _parse_time(self, text: sge.Expression, form: str) -> sge.Expression:
        pattern, fields = strptime_pattern(form)
        found = {
            field: self.f.anon.regexp_extract(text, sge.convert(pattern), sge.convert(i))
            for i, field in enumerate(fields, start=1)
        }
        parts = [self._year(found), "-", self._month(found), "-", found.get("d", "1"), " ", self._hour(found), ":"]
        parts += [found.get("M", "0"), ":", found.get("S", "0"), ".", found.get("f", "0")]
        written = self.f.anon.concat(*[sge.convert(part) if isinstance(part, str) else part for part in parts])
        matches = self.f.anon.rlike(text, sge.convert(pattern))
        return self.if_(matches, self._try(written, dt.Timestamp()), sge.Null())

    def _year(self, found: dict[str, Any]) -> sge.Expression | str:
        if "Y" in found:
            return self.f.anon.lpad(found["Y"], sge.convert(4), sge.convert("0"))
        if "y" not in found:
            return "1900"
        year = self._try(found["y"], dt.int32)
        return self.cast(self.if_(year < 69, year + 2000, year + 1900), dt.string)

    def _month(self, found: dict[str, Any]) -> sge.Expression | str:
        name = found.get("b", found.get("B"))
        if name is None:
            return found.get("m", "1")
        names = sge.convert("".join(month[:3] for month in _MONTHS))
        position = self.f.anon.locate(self.f.anon.lower(self.f.anon.left(name, sge.convert(3))), names)
        return self.cast(self.cast((position + 2) / 3, dt.int32), dt.string)

    def _hour(self, found: dict[str, Any]) -> sge.Expression | str:
        hour = found.get("H", found.get("I", "0"))
        if "p" not in found or isinstance(hour, str):
            return hour
        of_twelve = self.f.anon.pmod(self._try(hour, dt.int32), sge.convert(12))
        after_noon = self.if_(self.f.anon.lower(found["p"]).eq("pm"), sge.convert(12), sge.convert(0))
        return self.cast(of_twelve + after_noon, dt.string)

    def _try(self, arg: sge.Expression, to: dt.DataType) -> sge.Expression:
        return sge.TryCast(this=arg, to=self.type_mapper.from_ibis(to), safe=True)

    def visit_TryCast(self, op: ops.TryCast, *, arg: sge.Expression, to: dt.DataType) -> sge.Expression:
        source = op.arg.dtype
        if source.is_string() and to.is_numeric():
            plain = self.f.anon.replace(arg, sge.convert("_"), sge.convert(""))
            if to.is_integer():
                plain = self.f.anon.round(self._try(plain, dt.Decimal(38, 18)))
            return self.if_(self.f.anon.rlike(arg, sge.convert(_NUMBER)), self._try(plain, to), sge.Null())
        if source.is_string() and to.is_timestamp() and to.timezone is None:
            plain = self.f.anon.regexp_replace(arg, sge.convert(_ISO), sge.convert("$1-$3-$4 $5"))
            return self.if_(self.f.anon.rlike(arg, sge.convert(_ISO)), self._try(plain, to), sge.Null())
        return self._try(self._rounded(arg, source, to), to)

    def visit_Cast(self, op: ops.Cast, *, arg: sge.Expression, to: dt.DataType) -> sge.Expression:
        source = op.arg.dtype
        if to.is_string() and source.is_floating():
            return self._float_text(arg)
        if to.is_string() and source.is_timestamp() and source.timezone is not None:
            return self.f.anon.concat(self.cast(arg, to), sge.convert("+00"))
        return super().visit_Cast(op, arg=self._rounded(arg, source, to), to=to)

    def _rounded(self, arg: sge.Expression, source: dt.DataType, to: dt.DataType) -> sge.Expression:
        """What is to become an integer, to the nearest: Spark would cut it off."""
        if to.is_integer() and source.is_floating():
            return self.f.anon.rint(arg)
        return self.f.anon.round(arg) if to.is_integer() and source.is_decimal() else arg

    def _float_text(self, arg: sge.Expression) -> sge.Expression:
        """A number as DuckDB and Python write it: Java has an exponent below 0.001 and from ten million on."""
        java = self.cast(arg, dt.string)
        size = self.f.anon.abs(arg)
        exact = self.cast(self.cast(java, dt.Decimal(38, 21)), dt.string)
        plain = self._replaced(exact, r"(\.\d+?)0*$", "$1")
        short = self._replaced(self._replaced(java, r"\.0E", "E"), r"E(-?)(\d)$", "E$10$2")
        scientific = self._replaced(self._replaced(short, "E-", "e-"), r"E", "e+")
        endless = self._replaced(java, "Infinity", "inf")
        cases = [(self.f.anon.instr(java, sge.convert("E")).eq(0), endless), ((size >= 1e-4) & (size < 1e16), plain)]
        return sge.Case(ifs=[self.if_(condition, text) for condition, text in cases], default=scientific)

    def _replaced(self, text: sge.Expression, pattern: str, by: str) -> sge.Expression:
        return self.f.anon.regexp_replace(text, sge.convert(pattern), sge.convert(by))

    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: dt.DataType) -> sge.Expression | None:
        # 0.5 alone would be a decimal, and what is calculated with it cut to a few places.
        literal: sge.Expression | None = super().visit_NonNullLiteral(op, value=value, dtype=dtype)
        return self.cast(literal, dtype) if dtype.is_floating() else literal

    def visit_IsNull(self, op: ops.IsNull, *, arg: sge.Expression) -> sge.Expression:
        return arg.is_(sge.Null())

    def visit_NotNull(self, op: ops.NotNull, *, arg: sge.Expression) -> sge.Expression:
        return arg.is_(sg.not_(sge.Null()))

    def visit_IsInf(self, op: ops.IsInf, *, arg: sge.Expression) -> sge.Expression:
        return self.f.anon.abs(arg).eq(self.cast(sge.convert("Infinity"), dt.float64))

    def visit_FloorDivide(self, op: ops.FloorDivide, *, left: sge.Expression, right: sge.Expression) -> sge.Expression:
        if not (op.left.dtype.is_integer() and op.right.dtype.is_integer()):
            return super().visit_FloorDivide(op, left=left, right=right)
        left, right = sge.paren(left), sge.paren(right)
        return self.cast(sge.IntDiv(this=sge.paren(left - self.f.anon.pmod(left, right)), expression=right), op.dtype)

    def visit_Hash(self, op: ops.Hash, *, arg: sge.Expression) -> sge.Expression:
        # Spark's hashes leave NULL out; in JSON its column is missing, so that ('x', NULL) is not (NULL, 'x').
        return self.f.anon.xxhash64(self.f.anon.to_json(arg) if op.arg.dtype.is_struct() else arg)

    def visit_StringSQLLike(self, op: Any, *, arg: Any, pattern: Any, escape: Any) -> sge.Expression:
        return arg.like(self._without_escapes(op, pattern))

    def visit_StringSQLILike(self, op: Any, *, arg: Any, pattern: Any, escape: Any) -> sge.Expression:
        return arg.ilike(self._without_escapes(op, pattern))

    def _without_escapes(self, op: Any, pattern: sge.Expression) -> sge.Expression:
        """A backslash in a pattern is one: Spark would take it as an escape."""
        literal = isinstance(op.pattern, ops.Literal)
        return sge.convert(op.pattern.value.replace("\\", "\\\\")) if literal else pattern

    def visit_WindowFunction(self, op: Any, *, func: Any, group_by: Any, order_by: Any, **kwargs: Any) -> Any:
        if isinstance(op.func, ops.RowNumber) and not order_by:  # as the rows stand
            order = sge.Order(expressions=[self.f.anon.monotonically_increasing_id()])
            return sge.Window(this=func, partition_by=group_by, order=order)
        return super().visit_WindowFunction(op, func=func, group_by=group_by, order_by=order_by, **kwargs)


def _ibis_type(kind: pt.DataType) -> dt.DataType:
    if isinstance(kind, pt.TimestampType):
        return dt.Timestamp("UTC", scale=6)
    if isinstance(kind, pt.TimestampNTZType):
        return dt.Timestamp(scale=6)
    if isinstance(kind, pt.CharType | pt.VarcharType):
        return dt.string
    try:
        return PySparkType.to_ibis(kind)
    except Exception:  # Ibis has no word for intervals and the like; a study may leave such a column alone
        return dt.unknown


def spark_type(dtype: dt.DataType) -> pt.DataType:
    """The type that Spark has for an Ibis type."""
    if dtype.is_timestamp():
        return pt.TimestampNTZType() if dtype.timezone is None else pt.TimestampType()
    return PySparkType.from_ibis(dtype)


def quoted(name: str) -> str:
    """A name as Spark's SQL takes it whatever it holds."""
    return f"`{name.replace('`', '``')}`"


class SparkBackend(Backend):  # type: ignore[misc]
    """Ibis's back end for Spark with DuckDB's meaning, and Arrow in place of pandas on the way in and out."""

    compiler = Compiler()

    def get_schema(self, table_name: str, *, catalog: str | None = None, database: str | None = None) -> sch.Schema:
        """The columns of a temporary view or table."""
        fields = self._session.table(quoted(table_name)).schema
        return sch.Schema({field.name: _ibis_type(field.dataType) for field in fields})

    def dataframe(self, expression: ir.Table) -> DataFrame:
        """An expression as Spark's DataFrame, its columns of the types that Ibis says."""
        self._run_pre_execute_hooks(expression)
        frame = self._session.sql(self.compile(expression))
        wanted = {name: spark_type(dtype) for name, dtype in expression.schema().items() if not dtype.is_unknown()}
        columns = [
            functions.col(quoted(field.name)).cast(wanted.get(field.name, field.dataType)).alias(field.name)
            for field in frame.schema
        ]
        return frame.select(*columns)

    def to_pyarrow(self, expr: ir.Expr, /, **kwargs: Any) -> Any:
        """An expression's rows, column or value in Arrow."""
        with spark_errors():
            return expr.__pyarrow_result__(self.dataframe(expr.as_table()).toArrow())

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        schema = pt.StructType([pt.StructField(name, spark_type(dtype)) for name, dtype in op.schema.items()])
        self._session.createDataFrame(op.data.to_pyarrow(op.schema), schema).createOrReplaceTempView(op.name)


SparkBackend.register_options()  # the compiler looks them up; Ibis does this where it finds a back end itself
