"""JSON for tests: texts of numbers, strings and objects, sound and damaged."""

from __future__ import annotations

import base64
import json
from datetime import datetime

from hypothesis import strategies as st

from schemas.source import Source

FIELDS = {
    "flag": "bool",
    "small": "int8",
    "big": "int64",
    "wide": "uint32",
    "ratio": "float64",
    "single": "float32",
    "name": "string",
    "raw": "bytes",
    "at": "timestamp",
    "at_ms": "timestamp(ms)",
    "day": "date",
    "cost": "decimal(10,2)",
    "fine": "decimal(38,10)",
    "numbers": "list<int64>",
    "times": "list<timestamp(s)>",
    "box": "struct<a:int64,b:string>",
    "items": "list<struct<qty:int32,price:float64>>",
}
SOURCE = Source("s", fields=FIELDS, topic="s", encoding="json")
MAPS = Source("m", fields={"id": "int64", "tags": "map<string,float64>", "deep": "map<string,list<date>>"}, topic="m")

NUMBERS = [
    "0",
    "-0",
    "1",
    "1.0",
    "-1.50",
    "1e2",
    "1e400",
    "-1e-400",
    "NaN",
    "Infinity",
    "-Infinity",
    "Inf",
    "-Inf",
    "-NaN",
]
NUMBERS += [
    "01",
    "+1",
    ".5",
    "1.",
    "0x1",
    "127",
    "128",
    "-129",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
]
NUMBERS += ["1e999999999999999999999", "123456789012345678901234567890", "3.4028235677973366e38", "12345678.905", "nan"]
TEXTS = [
    "",
    "x",
    "é",
    "😀",
    "}",
    "{",
    '} null {"',
    "Inf",
    " -NaN ",
    ": Inf,",
    "a\\nb",
    "2026-12-01T00:00:00Z",
    "AAE=",
    "A",
]
TEXTS += [
    "2026-12-01",
    "2026-12-01T00:00:00.123456789+02:00",
    "1.5",
    "1e2",
    "NaN",
    "99999999.999",
    "\\ud800",
    "\\ud83d\\ude00",
]
SCALARS = st.one_of(
    st.sampled_from([*NUMBERS, "null", "true", "false", "nul", ""]),
    st.sampled_from(TEXTS).map(lambda text: f'"{text}"'),
    st.text(max_size=5).map(json.dumps),
    st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(json.dumps),
)
BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t\r\n ", "          "])
NAMES = st.sampled_from([*FIELDS, *FIELDS, "a", "b", "qty", "price", "extra", "", "fl\\u0061g"])


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]")


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(BLANKS, NAMES, BLANKS, values, BLANKS).map(lambda p: f'{p[0]}"{p[1]}"{p[2]}:{p[3]}{p[4]}')
    return st.lists(member, max_size=5).map(lambda members: "{" + ",".join(members) + "}")


ANY = st.recursive(SCALARS, lambda inner: listed(inner) | objects(inner), max_leaves=6)
FITTING = {
    "flag": st.booleans().map(json.dumps),
    "small": st.integers(-128, 127).map(str),
    "big": st.integers(-(2**63), 2**63 - 1).map(str),
    "wide": st.integers(0, 2**32 - 1).map(str),
    "ratio": st.floats().map(json.dumps) | st.integers().map(str),
    "single": st.floats(width=32).map(json.dumps),
    "name": st.text(max_size=8).map(json.dumps),
    "raw": st.binary(max_size=6).map(lambda data: json.dumps(base64.b64encode(data).decode())),
    "at": st.datetimes(datetime(1, 1, 2)).map(lambda t: f'"{t.isoformat()}Z"'),  # noqa: DTZ001
    "at_ms": st.integers(-(10**12), 10**12).map(str),
    "day": st.dates().map(lambda day: f'"{day}"'),
    "cost": st.decimals(-(10**7), 10**7, places=2).flatmap(lambda d: st.sampled_from([str(d), f'"{d}"'])),
    "fine": st.decimals(-(10**17), 10**17, places=10).map(str),
    "numbers": listed(st.integers(-9, 9).map(str) | st.just("null")),
    "times": listed(st.integers(0, 10**9).map(str)),
    "box": objects(st.integers(-9, 9).map(str)) | st.just('{"a":1,"b":"x","c":{}}'),
    "items": listed(st.just('{"qty":1,"price":2.5}') | st.just("null") | st.just('{"qty":3000000000}')),
}
ROWS = st.fixed_dictionaries({}, optional=FITTING).map(
    lambda row: "{" + ",".join(f'"{name}":{value}' for name, value in row.items()) + "}"
)


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """Mostly an object, sometimes damaged."""
    if draw(st.integers(0, 30)) == 0:
        return draw(st.none() | st.binary(max_size=8))
    text = draw(ROWS | ROWS | ROWS | objects(ANY)).encode("utf-8", "surrogatepass")
    damage = draw(st.integers(0, 40))
    endings = [b"{}", b" null", b"5", b"\0", b" ", b"\n", b"}", b' null {"small":1}', b",{}", b"\xff"]
    if damage < len(endings):
        text += endings[damage]
    elif damage < 15:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=2)) + text[at + draw(st.integers(0, 3)) :]
    elif damage == 16:
        text = b"\xef\xbb\xbf" + text
    return text
