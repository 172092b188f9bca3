"""The JSON decoder: by the column and one by one the same; what fits, and what is said of what does not."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.source import Source
from tests.json_texts import ANY, MAPS, NUMBERS, ROWS, SOURCE, TEXTS, objects, values
from transforms.encodings import json as json_module
from transforms.encodings.json import JsonDecoder, encode_json


def shown(events: pa.RecordBatch) -> str:
    """Rows as text, so that nan equals nan and -0.0 differs from 0.0."""
    return repr(events.to_pylist())


def both_ways(datums: list[bytes | None], part: int) -> None:
    """Reads values by the column and one by one, and compares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_module, "_FEW", 0)
        patch.setattr(json_module, "_PART", part)
        array = pa.array([b"skipped", *datums], pa.binary())[1:]
        decoder = JsonDecoder(SOURCE)
        found, expected = decoder.decode(array), decoder.one_by_one(array)
    assert found.bad == expected.bad
    assert found.good.tolist() == expected.good.tolist()
    assert found.events.schema == expected.events.schema == SOURCE.schema
    found.events.validate(full=True)
    assert shown(found.events) == shown(expected.events)


@settings(deadline=None, max_examples=200)
@given(st.lists(values(), max_size=12), st.sampled_from([1, 3, 1000]))
def test_by_the_column_and_one_by_one_are_the_same(datums: list[bytes | None], part: int) -> None:
    both_ways(datums, part)


@settings(deadline=None, max_examples=400)
@given(st.lists(ROWS, min_size=1, max_size=6), values() | objects(ANY).map(str.encode), st.integers(1, 6))
def test_one_odd_value_among_sound_ones(rows: list[str], odd: bytes | None, at: int) -> None:
    datums: list[bytes | None] = [row.encode() for row in rows]
    both_ways([*datums[:at], odd, *datums[at:]], 1000)


ODD = [b"{} null", b"{}5", b"{}{}", b'{"small":1}\x00', b" {} ", b"{}\n", b"null", b"[]", b"{", b"}", b"{}}", b"", None]
ODD += [f'{{"ratio":{number}}}'.encode() for number in [*NUMBERS, "-inf", "Infinit", "- 1", "1,", "[NaN]"]]
ODD += [f'{{"x":{number}}}'.encode() for number in ["Inf", "-Inf", "-NaN", "[Inf]", "[1,Inf]", '{"y": -Inf }']]
ODD += [f'{{"{name}":{number}}}'.encode() for name in ("big", "cost", "fine", "small") for number in NUMBERS]
ODD += [f'{{"{name}":"{text}"}}'.encode() for name in ("name", "at", "day", "raw", "cost") for text in TEXTS]
ODD += [
    b'{"name":"\xff"}',
    b'{"\xff":1}',
    b'\xef\xbb\xbf{"small":1}',
    b'{"name":"a\nb"}',
    b'{"name":"\\u0000"}',
    b"{}\x00",
]
ODD += [b'{"flag":true,"flag":false}', b'{"flag":true,"flag":null}', b'{"box":{"a":1,"a":2}}', b'{"x":1,"x":[2]}']
ODD += [
    b'{"small":1 , "big" : 2}',
    b'{"small":1}           ',
    b'{"box":{"a":1}            ,"big":2}',
    b"{\n}",
    b"{\t\r\n }",
]
ODD += [b'{"x":' * 101 + b"1" + b"}" * 101, b'{"x":' * 99 + b"1" + b"}" * 99, b'{"x":[' + b"[]," * 150 + b"1]}"]
ODD += [
    b'{"name":"x}',
    b'{y"}',
    b'{"numbers":[1',
    b",2]}",
    b'{"numbers":{}',
    b'{"box":{}',
    b'{"a":1}} null {"b":{}',
    b"{},{}",
]
ODD += [
    b'{"name":"} null {"}',
    b'{"box":null,"numbers":null}',
    b'{"numbers":[null],"items":[null,{}]}',
    b'{"x":[null]}',
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:40])
def test_each_oddity_among_sound_values(odd: bytes | None) -> None:
    sound = b'{"ratio":1.5,"big":1,"cost":1,"fine":"2.5","name":"x","at":"2026-12-01","day":"2026-12-01","raw":"AAE="}'
    plain = b'{"ratio":2,"numbers":[1],"box":{"a":1,"b":"y"},"items":[{"qty":1}],"flag":true,"small":7}'
    both_ways([sound, odd, plain], 1000)
    both_ways([sound, plain, odd], 1)
    both_ways([sound, odd, odd, plain], 1000)


def decoded(source: Source, *datums: bytes | str | dict[str, Any]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Rows and reasons, the same by the column and one by one."""
    raw = [
        datum if isinstance(datum, bytes) else (datum if isinstance(datum, str) else json.dumps(datum)).encode()
        for datum in datums
    ]
    decoder = JsonDecoder(source)
    single = decoder.one_by_one(pa.array(raw, pa.binary()))
    many = decoder.decode(pa.array(raw * 100, pa.binary()))
    assert shown(many.events.slice(0, len(single.good))) == shown(single.events)
    assert many.bad[: len(single.bad)] == single.bad
    return single.events.to_pylist(), dict(single.bad)


def one(kind: str, text: str) -> Any:
    """The value that a JSON text becomes, or the reason why it does not."""
    rows, bad = decoded(Source("s", fields={"x": kind}, topic="s"), f'{{"x":{text}}}')
    return bad[0] if bad else rows[0]["x"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int64", "9223372036854775807", 2**63 - 1),
        ("uint8", "255", 255),
        ("float64", "5", 5.0),
        ("float64", "12345678901234567890123", 12345678901234567890123.0),
        ("float64", "Infinity", math.inf),
        ("float32", "0.1", 0.10000000149011612),
        ("bytes", '"AAE="', b"\x00\x01"),
        ("timestamp", '"2026-12-01T01:00:00+01:00"', datetime(2026, 12, 1, tzinfo=UTC)),
        ("timestamp", '"2026-12-01 00:00:00.1234567"', datetime(2026, 12, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("timestamp(s)", "86400", datetime(1970, 1, 2, tzinfo=UTC)),
        ("timestamp(ms)", "-1", datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        ("timestamp(us)", '"1970-01-01"', datetime(1970, 1, 1, tzinfo=UTC)),
        ("date", '"2026-12-01"', date(2026, 12, 1)),
        (
            "decimal(38,3)",
            "12345678901234567890123456789012345.678",
            Decimal("12345678901234567890123456789012345.678"),
        ),
        ("decimal(5,2)", '"-1e2"', Decimal("-100.00")),
        ("decimal(5,2)", "0.1", Decimal("0.10")),
        ("list<string>", '["a", null]', ["a", None]),
        ("map<string,int64>", '{"a": 1, "b": null}', [("a", 1), ("b", None)]),
        ("struct<a:int64,b:list<date>>", '{"b": ["2026-12-01"], "c": 1}', {"a": None, "b": [date(2026, 12, 1)]}),
        ("string", "null", None),
    ],
)
def test_what_a_value_becomes(kind: str, text: str, value: Any) -> None:
    found = one(kind, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("int64", '"5"', 'x: "5" is no int64'),
        ("int64", "5.0", "x: 5.0 is no int64"),
        ("int64", "9223372036854775808", "x: 9223372036854775808 is no int64"),
        ("int8", "128", "x: 128 is no int8 (-128 to 127)"),
        ("uint16", "-1", "x: -1 is no uint16 (0 to 65535)"),
        ("bool", "1", "x: 1 is no bool"),
        ("int64", "true", "x: true is no int64"),
        ("float64", '"NaN"', 'x: "NaN" is no float64'),
        ("float32", "1e39", "x: 1e39 is no float32"),
        ("string", "5", "x: 5 is no string"),
        ("string", '"\\ud800"', 'x: "\\ud800" is no string'),
        ("bytes", '"é"', 'x: "\\u00e9" is no bytes: legal is base64 text'),
        (
            "timestamp",
            "1790000000",
            "x: 1790000000 is no timestamp: "
            "an integer needs a declared unit, timestamp(s), timestamp(ms) or timestamp(us)",
        ),
        ("timestamp", '"soon"', 'x: "soon" is no timestamp: legal is ISO 8601 text as in 2026-12-01T00:00:00Z'),
        ("timestamp(s)", "999999999999", "x: 999999999999 is no timestamp(s): legal are the years 1 to 9999"),
        ("timestamp(s)", "1.5", "x: 1.5 is no timestamp(s)"),
        (
            "date",
            '"2026-12-01T00:00:00Z"',
            'x: "2026-12-01T00:00:00Z" is no date: legal is ISO 8601 text as in 2026-12-01',
        ),
        ("decimal(4,2)", "100", "x: 100 is no decimal(4,2)"),
        ("decimal(4,2)", "1.234", "x: 1.234 is no decimal(4,2)"),
        ("decimal(4,2)", "NaN", "x: NaN is no decimal(4,2)"),
        ("list<int64>", '{"a":1}', "x: an object is no list<int64>"),
        ("list<int64>", "[1, true]", "x[]: true is no int64"),
        ("map<string,int64>", "[]", "x: a list is no map<string,int64>"),
        ("map<string,int64>", '{"a": "b"}', 'x{}: "b" is no int64'),
        ("struct<a:int64>", '{"a": "b"}', 'x.a: "b" is no int64'),
        ("list<struct<a:int64>>", '[{"a": 1.5}]', "x[].a: 1.5 is no int64"),
        ("int64", "[" + "1," * 99 + "1]", "x: a list is no int64"),
        ("int64", '"' + "y" * 99 + '"', 'x: "' + "y" * 59 + "… is no int64"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, text: str, reason: str) -> None:
    assert one(kind, text) == reason


@pytest.mark.parametrize(
    ("datum", "reason"),
    [
        (b"", "the value is no JSON: Expecting value at character 0"),
        (b"{", "the value is no JSON: Expecting property name enclosed in double quotes at character 1"),
        (b'{"x":\xff}', "the value is not UTF-8: invalid start byte at byte 5"),
        (b"[1]", "the value is no JSON object: a list"),
        (b"null", "the value is no JSON object: null"),
        (b"{} {}", "the value is no JSON: Extra data at character 3"),
        (b'{"y":' * 5000 + b"1" + b"}" * 5000, "the value is nested deeper than 100 levels"),
        (b'{"y":' * 150 + b"1" + b"}" * 150, "the value is nested deeper than 100 levels"),
    ],
)
def test_what_is_no_object_is_named(datum: bytes, reason: str) -> None:
    rows, bad = decoded(Source("s", fields={"x": "int64"}, topic="s"), b'{"x":1}', datum, b'{"x":2}')
    assert rows == [{"x": 1}, {"x": 2}]
    assert bad == {1: reason}


def test_extra_fields_are_ignored_and_missing_ones_null() -> None:
    source = Source("s", fields={"a": "int64", "b": "string"}, topic="s")
    rows, bad = decoded(source, {"a": 1, "z": [{"b": 5}]}, {"b": "x"}, {})
    assert rows == [{"a": 1, "b": None}, {"a": None, "b": "x"}, {"a": None, "b": None}]
    assert bad == {}


def test_an_event_needs_its_event_time() -> None:
    source = Source("s", fields={"t": "timestamp", "b": "int64"}, event_time="t", topic="s")
    rows, bad = decoded(source, {"b": 1}, {"t": "2026-12-01", "b": 2}, {"t": None, "b": "x"})
    assert [row["b"] for row in rows] == [2]
    assert bad == {0: "t: null, but an event needs its event time", 2: 'b: "x" is no int64'}


def test_a_value_that_is_null_is_bad() -> None:
    found = JsonDecoder(SOURCE).decode(pa.array([None, b"{}"] * 100, pa.binary()))
    assert found.bad == [(index, "the record has no value") for index in range(0, 200, 2)]
    assert found.events.num_rows == 100


MAP_ROWS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(-(2**63), 2**63 - 1),
        "tags": st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False) | st.none(), max_size=3),
        "deep": st.dictionaries(st.text(max_size=3), st.lists(st.dates().map(str), max_size=2), max_size=2),
    },
)


@settings(deadline=None, max_examples=60)
@given(st.lists(MAP_ROWS, max_size=5))
def test_maps_are_read(rows: list[dict[str, Any]]) -> None:
    found = JsonDecoder(MAPS).decode(pa.array([json.dumps(row).encode() for row in rows], pa.binary()))
    assert found.bad == []
    for row, event in zip(rows, found.events.to_pylist(), strict=True):
        assert event["id"] == row.get("id")
        assert event["tags"] == (None if row.get("tags") is None else list(row["tags"].items()))
        deep = {key: [str(day) for day in days] for key, days in event["deep"] or ()}
        assert deep == row.get("deep", {})


@settings(deadline=None, max_examples=100)
@given(st.lists(ROWS | st.just('{"raw":null,"items":[null],"box":null}'), max_size=6))
def test_written_events_are_read_as_the_same(texts: list[str]) -> None:
    decoder = JsonDecoder(SOURCE)
    events = decoder.decode(pa.array([text.encode() for text in texts], pa.binary())).events
    written = encode_json(events)
    again = decoder.decode(pa.array(written, pa.binary()))
    assert again.bad == []
    assert shown(again.events) == shown(events)


def test_written_maps_and_an_order_of_rows() -> None:
    texts = ['{"id":1,"tags":{"a":0.5,"b":null},"deep":{"x":["2026-12-01"]}}', '{"id":2}', '{"id":3,"tags":{}}']
    events = JsonDecoder(MAPS).decode(pa.array([text.encode() for text in texts])).events
    assert [json.loads(text) for text in encode_json(events)] == [
        {"id": 1, "tags": {"a": 0.5, "b": None}, "deep": {"x": ["2026-12-01"]}},
        {"id": 2, "tags": None, "deep": None},
        {"id": 3, "tags": {}, "deep": None},
    ]
    assert encode_json(events.slice(1, 1)) == [b'{"id": 2, "tags": null, "deep": null}']
