"""Row-local SQL: values against DuckDB and plain Python, rows that fail, and independence of neighbours."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.types import TIME, type_text
from transforms.sql import Expression, compile_sql
from transforms.sql_types import polars_type

INT64_MAX = 2**63 - 1
SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("j", pa.int32()),
        ("f", pa.float64()),
        ("g", pa.float32()),
        ("s", pa.string()),
        ("b", pa.bool_()),
        ("d", pa.date32()),
        ("ts", TIME),
        ("m", pa.decimal128(10, 2)),
        ("l", pa.list_(pa.int64())),
        ("mp", pa.map_(pa.string(), pa.float64())),
        ("st", pa.struct([("a", pa.int64()), ("t", pa.struct([("u", pa.string())]))])),
        ("raw", pa.binary()),
    ]
)
LEAP = datetime(2024, 2, 29, 10, 11, 12, 345678, UTC)
ROWS: list[dict[str, Any]] = [
    {"i": 7, "j": -2, "f": 1.5, "g": 0.5, "s": " Abc,d ", "b": True, "d": date(2024, 2, 29), "ts": LEAP, "m": "12.25"},
    {"i": -7, "j": 2, "f": math.nan, "g": 2.5, "s": "12", "b": False, "d": date(1969, 12, 31), "m": "-0.05"},
    {"i": 3, "j": 5, "f": -0.0, "g": -1.25, "s": "", "b": None, "d": None, "ts": LEAP - timedelta(days=60), "m": None},
    {"i": None, "j": None, "f": None, "g": None, "s": None, "b": True, "d": date(2000, 1, 1), "m": "3.00"},
    {"i": 100, "j": 3, "f": math.inf, "g": 8.0, "s": "aé日🙂", "b": False, "d": date(2023, 7, 8), "m": "99999999.99"},
    {"i": 9, "j": -3, "f": -2.5, "g": 3.0, "s": "a.b", "b": True, "d": date(2024, 12, 30), "m": "-7.77"},
]
NESTED: list[dict[str, Any]] = [
    {"l": [1, 2, 3], "mp": [("a", 1.5)], "st": {"a": 5, "t": {"u": "x"}}, "raw": b"xy"},
    {"l": [], "mp": [], "st": None, "raw": b""},
    {"l": None, "mp": None, "st": {"a": None, "t": None}, "raw": None},
]
TABLE = pa.Table.from_pylist(
    [
        row | NESTED[number % 3] | {"m": None if row["m"] is None else Decimal(row["m"])}
        for number, row in enumerate(ROWS)
    ],
    SCHEMA,
)
FRAME = pl.DataFrame(pl.from_arrow(TABLE))


def compiled(text: str, schema: pa.Schema = SCHEMA) -> Expression:
    return compile_sql(text, schema, "v: select x", "features.py:1")


def values(text: str, frame: pl.DataFrame = FRAME, schema: pa.Schema = SCHEMA) -> list[Any]:
    series = compiled(text, schema).evaluate(frame)
    assert series.dtype == polars_type(compiled(text, schema).dtype)
    return list(series.to_list())


def reasons(text: str, frame: pl.DataFrame = FRAME) -> list[str | None]:
    return compiled(text).reasons(frame)


def alike(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        return mine == theirs or (mine != mine and theirs != theirs)
    if isinstance(theirs, datetime) and isinstance(mine, datetime):
        return mine.astimezone(UTC) == theirs.replace(tzinfo=theirs.tzinfo or UTC)
    return bool(mine == theirs)


# Everything here means the same in DuckDB; `//` of its integers is ours, division by zero is not (see below).
AS_DUCKDB = """
i + j | i - j | i * 3 - 1 | -j | i / j | i // j | i % j | f + 1 | f * g | m + 1 | m - m | i = 7 | j <> 2 | f = f
f > 1e300 | f < 0 | f >= 0.0 | f = 0 | i > 1.5 | m > 12.2 | m = 12.25 | s < 'b' | b = TRUE | b < TRUE
d > DATE '2000-01-01' | i IN (7, 9) | i IN (7, NULL) | i NOT IN (7) | s IN ('12', 'a.b') | i BETWEEN 3 AND 9
i NOT BETWEEN 3 AND 9 | s LIKE '%b%' | s LIKE '_2' | s NOT LIKE '1%' | s ILIKE '%ABC%'
s LIKE 'a~.b' ESCAPE '~' | s LIKE 'a.b' | s || 'x' | b AND NULL | b OR i > 5 | NOT b | b IS NULL | b IS NOT NULL
b IS TRUE | b IS NOT FALSE | i IS DISTINCT FROM j | i IS NOT DISTINCT FROM NULL
CASE WHEN i > 5 THEN 'big' WHEN i > 0 THEN 'small' END | CASE j WHEN 2 THEN 1 ELSE 0 END | IF(b, 1, 2)
COALESCE(i, j, 0) | IFNULL(s, '-') | NULLIF(i, 7) | GREATEST(i, j) | LEAST(i, j, 4) | GREATEST(f, g)
LEAST(f, g) | ABS(j) | SIGN(i) | ROUND(f) | FLOOR(f) | CEIL(f) | ROUND(CAST(g AS DOUBLE), 1) | SQRT(i * i)
EXP(g) | LN(i * i) | POW(g, 3) | POW(g, j) | MOD(i, 4) | ISNAN(f) | ISINF(f) | ISFINITE(f) | RADIANS(g)
LOWER(s) | UPPER(s) | TRIM(s) | LTRIM(s) | RTRIM(s) | TRIM(s, ' A') | LENGTH(s) | LENGTH(l) | CARDINALITY(mp)
SUBSTR(s, 2, 3) | SUBSTR(s, 2) | SUBSTR(s, -2) | SUBSTR(s, -9, 8) | SUBSTR(s, 0, 2) | SUBSTR(s, 3, -2)
SUBSTR(s, j, 2) | SUBSTRING(s FROM 2 FOR 2) | LEFT(s, 2) | RIGHT(s, 2) | REPLACE(s, 'b', 'XX')
REPLACE(s, '', 'x') | CONCAT(s, NULL, '!') | STARTS_WITH(s, 'a') | ENDS_WITH(s, 'b') | CONTAINS(s, 'b')
STRPOS(s, 'b') | STRPOS(s, '日') | STRPOS(s, '') | POSITION('b' IN s) | SPLIT_PART(s, ',', 2)
SPLIT_PART(s, ',', -1) | SPLIT_PART(s, ',', 5) | REGEXP_MATCHES(s, '[0-9]+')
REGEXP_EXTRACT(s, '([A-Z])(b)', 2) | REGEXP_EXTRACT(s, '[0-9]') | EXTRACT(YEAR FROM d) | EXTRACT(hour FROM ts)
EXTRACT(microsecond FROM ts) | EXTRACT(millisecond FROM ts) | EXTRACT(week FROM d) | EXTRACT(dow FROM d)
EXTRACT(isodow FROM d) | EXTRACT(doy FROM d) | EXTRACT(quarter FROM d) | EXTRACT(second FROM ts)
EXTRACT(epoch FROM ts) | DATE_PART('month', d) | YEAR(d) | HOUR(ts) | DATE_TRUNC('hour', ts)
DATE_TRUNC('month', ts) | DATE_TRUNC('week', ts) | DATE_TRUNC('quarter', ts) | DATE_TRUNC('year', ts)
DATE_DIFF('day', ts, TIMESTAMP '2024-03-01') | ts + INTERVAL '1 day'
DATE_DIFF('month', ts, TIMESTAMP '2025-01-01') | DATE_DIFF('hour', ts, TIMESTAMP '2024-03-01')
ts - INTERVAL 2 HOUR | d + INTERVAL '1 month' | d - INTERVAL 3 DAY | d + 1 | d - 10 | d - DATE '2024-01-01'
EPOCH(ts) | EPOCH_US(ts) | TO_TIMESTAMP(i) | MAKE_TIMESTAMP(i) | l[1] | l[-1] | l[9] | l[0] | mp['a'] | st.a
st.t.u | LIST_CONTAINS(l, 2) | CAST(i AS VARCHAR) | CAST(f AS INTEGER) IS NULL | TRY_CAST(s AS BIGINT)
CAST(m AS INTEGER) | CAST(m AS DECIMAL(10, 1)) | CAST(d AS VARCHAR) | CAST(b AS INTEGER) | CAST(b AS VARCHAR)
CAST(d AS TIMESTAMP) | CAST(ts AS DATE) | CAST('2024-01-01T10:00:00' AS TIMESTAMP) | CAST(i AS BOOLEAN)
m::DOUBLE | CAST(g AS DECIMAL(10, 3)) | CAST(l[1] AS DOUBLE) / 3 | i / 3 | f / 7 | POW(i, 0.5) | 1e3 | .5
'it''s' | DATE '2024-02-29' | NULL IS NULL
"""
SAME = [text for line in AS_DUCKDB.strip().splitlines() for text in line.split(" | ")]


@pytest.mark.parametrize("text", SAME)
def test_values_are_those_of_duckdb(text: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given", TABLE)
        rows = "WHERE isfinite(f) OR f IS NULL" if "CAST(f AS INTEGER)" in text else ""
        theirs = [row[0] for row in connection.execute(f"SELECT {text} FROM given {rows}").fetchall()]
    frame = FRAME.filter(pl.col("f").is_finite() | pl.col("f").is_null()) if rows else FRAME
    mine = values(text, frame)
    assert len(mine) == len(theirs)
    wrong = [pair for pair in zip(mine, theirs, strict=True) if not alike(*pair)]
    assert not wrong


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("i + j", "int64"),
        ("j + j", "int64"),
        ("j", "int32"),
        ("COALESCE(j, 0)", "int32"),
        ("COALESCE(j, i)", "int64"),
        ("COALESCE(j, 3000000000)", "int64"),
        ("g * 2", "float64"),
        ("i / 2", "float64"),
        ("i // 2", "int64"),
        ("1.5", "float64"),
        ("1", "int64"),
        ("m * 1.1", "decimal(38,3)"),
        ("m * 2", "decimal(38,2)"),
        ("m * f", "float64"),
        ("m / 2", "float64"),
        ("m + m", "decimal(38,2)"),
        ("COALESCE(m, 0.5)", "decimal(10,2)"),
        ("CASE WHEN b THEN i ELSE 0.5 END", "float64"),
        ("s = 'a'", "bool"),
        ("st", "struct<a:int64,t:struct<u:string>>"),
        ("st.t.u", "string"),
        ("mp['a']", "float64"),
        ("mp", "map<string,float64>"),
        ("l[1]", "int64"),
        ("d + 1", "date"),
        ("d + INTERVAL '1 day'", "timestamp"),
        ("d - d", "int64"),
        ("CAST(i AS int8)", "int8"),
        ("CAST(i AS uint8)", "int16"),
        ("CAST(i AS decimal(12, 3))", "decimal(12,3)"),
        ("CAST(NULL AS string)", "string"),
        ("EPOCH(ts)", "float64"),
        ("LENGTH(s)", "int64"),
    ],
)
def test_types(text: str, kind: str) -> None:
    assert type_text(compiled(text).dtype) == kind
    values(text)


def test_what_division_by_zero_gives() -> None:
    frame = pl.DataFrame({"i": [1, -1, 0], "j": pl.Series([0, 0, 0], dtype=pl.Int32), "f": [1.0, -1.0, 0.0]})
    assert values("i // j", frame) == [None, None, None]
    assert values("i % j", frame) == [None, None, None]
    for text in ("i / j", "f / 0"):
        plus, minus, neither = values(text, frame)
        assert (plus, minus) == (math.inf, -math.inf)
        assert math.isnan(neither)


@given(st.lists(st.tuples(st.integers(-(2**63), INT64_MAX), st.integers(-(2**63), INT64_MAX)), min_size=1, max_size=20))
def test_integers_are_checked(pairs: list[tuple[int, int]]) -> None:
    schema = pa.schema([("x", pa.int64()), ("y", pa.int64())])
    frame = pl.DataFrame(pairs, schema={"x": pl.Int64, "y": pl.Int64}, orient="row")
    truths: dict[str, Callable[[int, int], int | None]] = {
        "x + y": lambda x, y: x + y,
        "x - y": lambda x, y: x - y,
        "x * y": lambda x, y: x * y,
        "-x": lambda x, y: -x,
        "ABS(y)": lambda x, y: abs(y),
        "x // y": lambda x, y: None if y == 0 else (abs(x) // abs(y)) * (1 if (x < 0) == (y < 0) else -1),
        "x % y": lambda x, y: None if y == 0 else abs(x) % abs(y) * (-1 if x < 0 else 1),
    }
    for text, truth in truths.items():
        expression = compiled(text, schema)
        exact = [truth(x, y) for x, y in pairs]
        fits = [value is None or -(2**63) <= value <= INT64_MAX for value in exact]
        assert expression.evaluate(frame).to_list() == [v if fit else None for v, fit in zip(exact, fits, strict=True)]
        assert [reason is None for reason in expression.reasons(frame)] == fits


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=30), st.sampled_from(["3", "100", "0.92", "7e-3"]))
def test_floats_are_divided_exactly_however_many_rows_there_are(numbers: list[float], divisor: str) -> None:
    schema = pa.schema([("x", pa.float64())])
    frame = pl.DataFrame({"x": numbers})
    expected = [number / float(divisor) for number in numbers]
    for text in (f"x / {divisor}", f"x / CASE WHEN x IS NULL THEN 1 ELSE {divisor} END"):
        whole = values(text, frame, schema)
        assert all(alike(mine, theirs) for mine, theirs in zip(whole, expected, strict=True))


EVERYWHERE = [text for text in SAME if text not in ("1e3", ".5")]


@pytest.mark.parametrize("text", [*EVERYWHERE, "POW(f, i)", "POW(g, 3)", "i / 1e6", "f % 7", "CAST(s AS int64)"])
def test_a_row_gives_the_same_alone_and_among_others(text: str) -> None:
    expression = compiled(text)
    whole = expression.evaluate(FRAME)
    alone = [expression.evaluate(FRAME.slice(row, 1)) for row in range(FRAME.height)]
    assert [repr(series.item()) for series in alone] == [repr(value) for value in whole.to_list()]
    assert repr(expression.evaluate(FRAME.reverse()).reverse().to_list()) == repr(whole.to_list())


@given(
    st.decimals(-(10**10), 10**10, places=2, allow_nan=False), st.decimals(-(10**8), 10**8, places=3, allow_nan=False)
)
def test_decimals_stay_exact(left: Decimal, right: Decimal) -> None:
    schema = pa.schema([("x", pa.decimal128(20, 2)), ("y", pa.decimal128(20, 3))])
    frame = pl.DataFrame(pl.from_arrow(pa.table({"x": [left], "y": [right]}, schema=schema)))
    for text, exact in {"x + y": left + right, "x - y": left - right, "x * y": left * right}.items():
        assert values(text, frame, schema) == [exact]
    assert values("x > y", frame, schema) == [left > right]
    assert values("x * 1.25", frame, schema) == [left * Decimal("1.25")]


def test_logarithms_of_whole_powers_are_whole() -> None:
    schema = pa.schema([("x", pa.float64())])
    frame = pl.DataFrame({"x": [1000.0, 8.0, 0.001, 5.0, 0.0, -1.0]})
    tens, twos = values("LOG10(x)", frame, schema), values("LOG2(x)", frame, schema)
    assert (tens[0], tens[2], twos[1], tens[4]) == (3.0, -3.0, 3.0, -math.inf)
    assert tens[3] == pytest.approx(math.log10(5.0), rel=1e-15)
    assert math.isnan(tens[5])


def test_milliseconds_are_floored_both_ways() -> None:
    schema = pa.schema([("t", TIME), ("x", pa.int64())])
    frame = pl.DataFrame({"t": [LEAP, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)], "x": [1, -1]}).cast(
        {"t": polars_type(TIME)}
    )
    assert values("EPOCH_MS(t)", frame, schema) == [1709201472345, -1]
    assert values("EPOCH_US(EPOCH_MS(x))", frame, schema) == [1000, -1000]


def test_a_decimal_beyond_its_digits_fails_its_row() -> None:
    schema = pa.schema([("x", pa.decimal128(38, 0))])
    frame = pl.DataFrame(pl.from_arrow(pa.table({"x": [Decimal(10**37), Decimal(2)]}, schema=schema)))
    expression = compiled("x * x", schema)
    assert expression.evaluate(frame).to_list() == [None, Decimal(4)]
    assert [reason is None for reason in expression.reasons(frame)] == [False, True]


def test_a_float_literal_is_a_decimal_beside_decimals_alone() -> None:
    frame = FRAME.head(1)
    assert values("m = 12.25 AND f = 1.5", frame) == [True]
    assert values("m + 0.005", frame) == [Decimal("12.255")]
    assert values("0.1 + 0.2", frame) == [0.1 + 0.2]


@pytest.mark.parametrize(
    ("text", "expected", "told"),
    [
        ("CAST(s AS int64)", [None, 12, None, None, None, None], "' Abc,d ' (s) is no int64"),
        ("CAST(f AS int64)", [2, None, 0, None, None, -2], "nan (f) is no int64"),
        ("CAST(i AS int8)", [7, -7, 3, None, 100, 9], ""),
        ("CAST(i * 100 AS int8)", [None, None, None, None, None, None], "700 (i * 100) is no int8"),
        ("CAST(s AS timestamp)", [None] * 6, "'12' (s) is no timestamp"),
        ("TO_TIMESTAMP(f) IS NULL", [False, True, False, True, True, False], "inf (f) is beyond timestamp"),
        ("i + 9223372036854775800", [INT64_MAX, INT64_MAX - 14, INT64_MAX - 4, None, None, None], "5900 (i + "),
    ],
)
def test_rows_that_fail_have_reasons(text: str, expected: list[Any], told: str) -> None:
    assert values(text) == expected
    assert told in " ".join(reason or "" for reason in reasons(text))
    assert bool(told) == any(reasons(text))


@pytest.mark.parametrize(
    "text",
    [
        "CASE WHEN s = '12' THEN CAST(s AS int64) ELSE 0 END",
        "CASE WHEN s <> '12' OR s IS NULL THEN 0 ELSE CAST(s AS int64) END",
        "IF(s = '12', CAST(s AS int64), 0)",
        "s = '12' AND CAST(s AS int64) > 3",
        "COALESCE(s, '') <> '12' OR CAST(s AS int64) > 3",
        "COALESCE(TRY_CAST(s AS int64), 0)",
        "COALESCE(i, CAST('1' || s AS int64))",
        "CASE WHEN i < 5 THEN 1 WHEN i < 50 THEN 2 ELSE i + 9223372036854775707 END",
    ],
)
def test_a_branch_not_taken_cannot_fail(text: str) -> None:
    assert not any(reasons(text))


def test_a_branch_taken_can_fail() -> None:
    assert [row for row, reason in enumerate(reasons("CASE WHEN b THEN CAST(s AS int64) ELSE 0 END")) if reason] == [
        0,
        5,
    ]


@given(
    st.datetimes(datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30")),
    st.sampled_from(["", "Z", "+00:00", "+05:30", "-0800"]),
)
def test_iso_times_are_read_and_written(moment: datetime, zone: str) -> None:
    schema = pa.schema([("x", pa.string())])
    text = moment.isoformat(sep="T") + zone
    expected = datetime.fromisoformat(text)
    expected = expected.replace(tzinfo=UTC) if expected.tzinfo is None else expected.astimezone(UTC)
    frame = pl.DataFrame({"x": [text]})
    assert values("CAST(x AS timestamp)", frame, schema) == [expected]
    written = values("CAST(CAST(x AS timestamp) AS string)", frame, schema)
    assert datetime.fromisoformat(written[0]) == expected
    assert values("CAST(x AS timestamp) = CAST(CAST(CAST(x AS timestamp) AS string) AS timestamp)", frame, schema) == [
        True
    ]


def test_times_finer_than_a_microsecond_are_floored() -> None:
    schema = pa.schema([("x", pa.string())])
    frame = pl.DataFrame({"x": ["1969-12-31T23:59:59.9999999Z", "2024-01-01 00:00", "2024-02-30", "2024-01-01T24:00"]})
    micro = datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)
    assert values("TRY_CAST(x AS timestamp)", frame, schema) == [micro, datetime(2024, 1, 1, tzinfo=UTC), None, None]


@given(st.floats(), st.floats())
def test_floats_have_one_order(left: float, right: float) -> None:
    schema = pa.schema([("x", pa.float64()), ("y", pa.float64())])
    frame = pl.DataFrame({"x": [left], "y": [right]})

    def rank(number: float) -> tuple[bool, float]:
        return (math.isnan(number), 0.0 if math.isnan(number) else number)

    assert values("x < y", frame, schema) == [rank(left) < rank(right)]
    assert values("x = y", frame, schema) == [rank(left) == rank(right)]
    assert values("x >= y", frame, schema) == [rank(left) >= rank(right)]
    greatest = values("GREATEST(x, y)", frame, schema)[0]
    assert rank(greatest) == max(rank(left), rank(right))


def test_a_constant_has_the_length_of_the_frame() -> None:
    assert values("1 + 1") == [2] * FRAME.height
    assert values("'x'", FRAME.clear()) == []


def test_an_expression_pickles() -> None:
    expression = compiled("CAST(s AS int64) + 1")
    again = pickle.loads(pickle.dumps(expression))
    assert again.evaluate(FRAME).to_list() == expression.evaluate(FRAME).to_list()
    assert again.reasons(FRAME) == expression.reasons(FRAME)
    assert (again.text, again.dtype, again.columns) == (expression.text, expression.dtype, frozenset({"s"}))


def test_columns_are_those_read() -> None:
    assert compiled("CASE WHEN st.a > 0 THEN mp['a'] ELSE f END").columns == {"st", "mp", "f"}


def test_comments_and_blanks_mean_nothing() -> None:
    assert values("i  +\n 1 -- one more") == values("i+1")
