"""What row-local SQL refuses: each mistake names the part at fault, and what is legal."""

from __future__ import annotations

import pytest

from schemas.errors import DefinitionError
from tests.test_sql import compiled

REFUSED = {
    "avg(f)": "AVG() is not row-local: it needs other rows; use agg.",
    "COUNT(*)": "COUNT() is not row-local",
    "max(i)": "of columns of one row take GREATEST",
    "min(i, j)": "take LEAST",
    "sum(i) OVER ()": "OVER is not row-local",
    "row_number() OVER (ORDER BY i)": "OVER is not row-local",
    "lag(i)": "LAG() is not row-local",
    "sum(i) FILTER (WHERE b)": "FILTER is not row-local",
    "NOW()": "NOW() is not row-local: it reads a clock, and a replay would differ; in derive= there is `now`",
    "CURRENT_DATE": "CURRENT_DATE() is not row-local: it reads a clock",
    "CURRENT_TIMESTAMP": "it reads a clock",
    "today()": "TODAY() is not row-local",
    "RANDOM()": "RANDOM() is not row-local: it differs from call to call",
    "uuid()": "UUID() is not row-local",
    "UNNEST(l)": "UNNEST() is not row-local: it makes rows; use explode=",
    "(SELECT 1)": "a subquery is not row-local",
    "i IN (SELECT 1)": "a subquery is not row-local",
    "EXISTS(SELECT 1)": "a subquery is not row-local",
    "i FROM t": "found a query with FROM",
    "i WHERE b": "found a query with WHERE",
    "DISTINCT i": "found a query with DISTINCT",
    "i LIMIT 1": "found a query with LIMIT",
    "1 UNION SELECT 2": "found a query",
    "*": "* is no expression",
    "i, j": "expected one SQL expression, found 2",
    "i; j": "found several statements",
    "i AS k": "AS is not needed",
    "i +": "it is incomplete",
    "(i": "cannot be read as an SQL expression",
    "   ": "expected an SQL expression",
    "prise": "unknown column 'prise'. Columns are i, j, f",
    "S": "unknown column 'S'. Did you mean 's'?",
    's = "card"': "unknown column 'card' (a text stands in single quotes: 'card')",
    "foo(i)": "unknown function foo(). Did you mean 'FLOOR'? Legal are ABS, ACOS",
    "lowr(s)": "Did you mean 'LOWER'?",
    "sqrt()": "SQRT is called SQRT(x), not with 0 values",
    "ROUND(f, 1, 2)": "ROUND is called ROUND(x) or ROUND(x, digits)",
    "ROUND(f, i)": "takes a number of digits from 0 to 30, not i",
    "b + 1": "+ takes numbers, b is bool",
    "s + 1": "+ takes numbers, s is string",
    "l * 2": "* takes numbers, l is list<int64>",
    "f // 2": "// takes integers (for other numbers FLOOR(a / b)), f is float64",
    "m % 2": "% takes integers or floats",
    "s || 1": "|| takes strings (cast with CAST(x AS string)), 1 is int64",
    "s = 1": "mixes int64 and string; cast one of them",
    "l = l": "list<int64> cannot be compared",
    "NOT i": "NOT takes bool, i is int64",
    "i AND b": "AND takes bool, i is int64",
    "CASE WHEN i THEN 1 END": "WHEN takes bool",
    "CASE WHEN b THEN 1 ELSE 'x' END": "mixes int64 and string",
    "COALESCE(i, s)": "COALESCE mixes int64 and string",
    "LOWER(i)": "LOWER takes a string, i is int64",
    "LENGTH(i)": "LENGTH takes a string, bytes, list or map, i is int64",
    "st.x": "st has no field 'x'. Fields are a, t",
    "st.t.v": "st.t has no field 'v'",
    "i.x": "i is int64, which has no field 'x'",
    "l['a']": "the position in a list is an integer",
    "mp[1]": "the key of a map is a string",
    "i[1]": "only lists and maps have elements",
    "l[1:2]": "give one position or key",
    "CAST(i AS foo)": "unknown type 'foo'",
    "CAST(i AS strin)": "Did you mean 'string'?",
    "CAST(i AS decimal(50, 2))": "expected decimal(p,s) with 1 <= p <= 38",
    "CAST(i AS date)": "i is int64, which cannot be cast to date",
    "CAST(raw AS string)": "raw is bytes, which cannot be cast to string",
    "CAST('abc' AS int64)": "'abc' is no int64",
    "ts > 'yesterday'": "'yesterday' is no timestamp: write it like '2024-12-31T23:59:59Z'",
    "DATE '2024-13-01'": "'2024-13-01' is no date",
    "ts - ts": "timestamp - timestamp is not possible",
    "ts + 1": "add INTERVAL '1 hour' to a time",
    "INTERVAL '1 day'": "stands alone",
    "ts + INTERVAL i DAY": "the length of an INTERVAL is a literal",
    "ts + INTERVAL '1 fortnight'": "is no unit of time. Legal are microsecond",
    "EXTRACT(hours_ FROM ts)": "is no unit of time",
    "DATE_TRUNC('moth', ts)": "Did you mean 'month'?",
    "DATE_TRUNC(s, ts)": "takes a text in quotes, not s",
    "ts AT TIME ZONE 'CET'": "all times are UTC",
    "i ^ 2": "write POW(x, y)",
    "i & 1": "(BitwiseAnd) is not possible here; legal are columns, struct.field",
    "s LIKE s": "LIKE takes a text in quotes, not s",
    "REGEXP_LIKE(s, '[')": "'[' is no regular expression: unclosed character class",
    "REGEXP_EXTRACT(s, '(a)', 2)": "is none of the pattern's groups 0 to 1",
    "SPLIT_PART(s, '', 1)": "give a separator that is not empty",
    "LIST_CONTAINS(l, f)": "an element is int64, f is float64",
    "9223372036854775808": "is beyond int64",
    "NULL": "NULL has no type; write CAST(NULL AS float64)",
    "?": "a placeholder has no value here",
    "CAST(i AS int64 FORMAT 'x')": "format is not possible here",
}


@pytest.mark.parametrize("text", REFUSED)
def test_it_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError) as error:
        compiled(text)
    (mistake,) = error.value.mistakes
    assert (mistake.place, mistake.name) == ("features.py:1", "v: select x")
    assert REFUSED[text] in mistake.message
    assert "\n" not in mistake.message


def test_what_is_nested_beyond_reason_is_refused() -> None:
    with pytest.raises(DefinitionError):
        compiled("(" * 3000 + "i" + ")" * 3000)


def test_the_least_integer_is_legal() -> None:
    assert compiled("-9223372036854775808").dtype == compiled("i").dtype
