"""Single values checked against a declared type, the plain and exact way.

For values that the columnar ways cannot take, and to say what is wrong with those that do not fit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa

from schemas.types import Field
from transforms.encodings.decoded import Column
from transforms.encodings.ranges import INTEGERS, expected
from transforms.encodings.times import FIRST, LAST, UNIT_MICROSECONDS

Convert = Callable[[Any], Any]
_EXACT = Context(prec=1_000, traps=[InvalidOperation, Inexact])
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Unfit(Exception):
    """A value does not fit the type that was declared; its text is the reason."""


@dataclass(frozen=True)
class Dialect:
    """How one kind of input writes values: JSON, or Python objects.

    Attributes:
        scalars: by the `kind` of a type, field and value -> what pyarrow makes that type of; a ValueError says that
            the value does not fit, and its text, if any, why.
        members: names and values of an object (a map or struct), or None if the value is none.
        items: items of a list, or None if the value is none.
        absent: whether a value is null.
        show: text of a value for reasons, short.
    """

    scalars: Mapping[str, Callable[[Field, Any], Any]]
    members: Callable[[Any], Mapping[Any, Any] | None]
    items: Callable[[Any], Iterable[Any] | None]
    absent: Callable[[Any], bool]
    show: Callable[[Any], str]

    def converter(self, field: Field, path: str | None = None) -> Convert:
        """Function from a value to what pyarrow makes the field's type of; null becomes None.

        The function raises `Unfit`, naming the field, the value and the type.

        Args:
            field: name and declared type.
            path: of the field, where it lies in another.
        """
        at = field.name if path is None else path
        convert = self._converter(field, at)
        return lambda value: None if self.absent(value) else convert(value)

    def column(self, field: Field, values: Iterable[Any]) -> Column:
        """Column of n values, each converted on its own."""
        convert = self.converter(field)
        read: list[Any] = []
        bad: dict[int, str] = {}
        for index, value in enumerate(values):
            try:
                read.append(convert(value))
            except Unfit as unfit:
                bad[index] = str(unfit)
                read.append(None)
        return Column(pa.array(read, field.type), bad)

    def unfit(self, path: str, value: Any, wanted: str, hint: str = "") -> Unfit:
        """The exception for a value."""
        return Unfit(f"{path}: {self.show(value)} is no {wanted}" + (f": {hint}" if hint else ""))

    def _converter(self, field: Field, path: str) -> Convert:
        name = kind(field.type)
        if name == "list":
            return self._list(field, path)
        if name == "map":
            return self._map(field, path)
        if name == "struct":
            return self._struct(field, path)
        read, wanted = self.scalars[name], expected(field)

        def convert(value: Any) -> Any:
            try:
                return read(field, value)
            except (ValueError, OverflowError, InvalidOperation, Inexact) as error:
                hint = str(error) if type(error) is ValueError else ""
                raise self.unfit(path, value, wanted, hint) from None

        return convert

    def _list(self, field: Field, path: str) -> Convert:
        inner = self.converter(field.children[0], f"{path}[]")

        def convert(value: Any) -> Any:
            items = self.items(value)
            if items is None:
                raise self.unfit(path, value, field.text)
            return [inner(item) for item in items]

        return convert

    def _map(self, field: Field, path: str) -> Convert:
        inner = self.converter(field.children[0], f"{path}{{}}")
        name = self.converter(Field("key", "string", pa.string(), None), f"{path}{{}} key")

        def convert(value: Any) -> Any:
            members = self.members(value)
            if members is None or any(self.absent(key) for key in members):
                raise self.unfit(path, value, field.text)
            return [(name(key), inner(item)) for key, item in members.items()]

        return convert

    def _struct(self, field: Field, path: str) -> Convert:
        inner = {child.name: self.converter(child, f"{path}.{child.name}") for child in field.children}

        def convert(value: Any) -> Any:
            members = self.members(value)
            if members is None:
                raise self.unfit(path, value, field.text)
            return {name: read(members.get(name)) for name, read in inner.items()}

        return convert


def kind(dtype: pa.DataType) -> str:
    """Family of a column's type: bool, int, float, string, bytes, timestamp, date, decimal, list, map or struct."""
    tests = {
        "bool": pa.types.is_boolean,
        "int": pa.types.is_integer,
        "float": pa.types.is_floating,
        "string": pa.types.is_string,
        "bytes": pa.types.is_binary,
        "timestamp": pa.types.is_timestamp,
        "date": pa.types.is_date32,
        "decimal": pa.types.is_decimal128,
        "list": pa.types.is_list,
        "map": pa.types.is_map,
        "struct": pa.types.is_struct,
    }
    return next(name for name, test in tests.items() if test(dtype))


def whole_number(field: Field, value: int) -> int:
    """The integer, if it is within the declared bounds."""
    low, high = INTEGERS[field.text]
    if not low <= value <= high:
        raise ValueError
    return value


def floating(field: Field, value: float) -> float:
    """The number, if it is not too great for the declared width."""
    if pa.types.is_float32(field.type):
        struct.pack("<f", value)  # OverflowError: rounded to float32 it would be infinite
    return value


def text(field: Field, value: str) -> str:
    """The text, if UTF-8 can carry it."""
    value.encode()
    return value


def counted(field: Field, count: int) -> int:
    """µs of an integer that counts the declared unit of a timestamp."""
    if field.unit is None:
        raise ValueError("an integer needs a declared unit, timestamp(s), timestamp(ms) or timestamp(us)")
    value = count * UNIT_MICROSECONDS[field.unit]
    if not FIRST <= value <= LAST:
        raise ValueError("legal are the years 1 to 9999")
    return value


def exact_decimal(field: Field, value: Decimal) -> Decimal:
    """The number at the declared scale, if it loses no digit."""
    dtype: Any = field.type
    scaled = value.quantize(Decimal(1).scaleb(-dtype.scale), context=_EXACT)
    if not scaled.is_finite() or (scaled.adjusted() >= dtype.precision - dtype.scale and scaled):
        raise ValueError
    return scaled


def decimal_of_text(field: Field, value: str) -> Decimal:
    """The number that a text writes, at the declared scale."""
    if not _DECIMAL.fullmatch(value):
        raise ValueError
    return exact_decimal(field, Decimal(value))
