"""Values damaged in every way that an encoding or a form of file can carry, each with the words that must name it."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro

from tests.avro_values import strictly

Event = dict[str, Any]
Parts = dict[str, bytes]
SYMBOLS = ("CARD", "CASH", "GIFT")
BEGIN = datetime(2020, 3, 1, tzinfo=UTC)
ARRIVAL = datetime(2020, 6, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "user_id", "type": ["null", "long"]},
        {"name": "shop_id", "type": ["null", "string"]},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": ["null", "double"]},
        {"name": "qty", "type": ["null", "int"]},
        {"name": "kind", "type": {"type": "enum", "name": "kind", "symbols": list(SYMBOLS)}},
        {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "ok", "type": "boolean"},
        {"name": "note", "type": "string"},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
FIELDS = {member["name"]: member["type"] for member in ORDER["fields"]}
_ANY_FIELD = rf"^({'|'.join(FIELDS)})(\[\])?: |left over after the last field"
LATE = r"^event time [^ ]+Z is later than its arrival [^ ]+Z by more than max_skew = 1m$"
NULL_KEYS = r"^no view takes it: a key is null \(of shop_id, user_id\)$"
NULL_TIME = "ts: null, but an event needs its event time$"
LAST_TIME = 253_402_300_799_999_999
FIRST_TIME = -62_135_596_800_000_000


@dataclass(frozen=True)
class Corruption:
    """One way to damage an event.

    Attributes:
        reason: pattern that the reason of its dead letter must match.
        make: the damaged value; the event is given, and what to choose by.
    """

    reason: str
    make: Callable[[Event, random.Random], bytes | None]


def event(number: int, rng: random.Random) -> Event:
    """A sound event; a few happen in the year 1, on the last day before 1970, or without one of the keys."""
    when = BEGIN + timedelta(seconds=rng.randrange(80 * 86_400), microseconds=rng.randrange(10**6))
    if number % 500 == 7:
        when = rng.choice([datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
    missing = rng.choice(["user_id", "shop_id"]) if rng.random() < 0.02 else None
    found = {
        "user_id": number % 47,
        "shop_id": f"s{number % 11}",
        "ts": when,
        "price": None if number % 9 == 0 else rng.uniform(-5, 500),
        "qty": None if number % 8 == 0 else rng.randrange(-(2**31), 2**31),
        "kind": rng.choice(SYMBOLS),
        "cost": Decimal(rng.randrange(-999_999, 1_000_000)) / 100,
        "ok": rng.random() < 0.5,
        "note": f"{number} é" + "x" * rng.randrange(4),
        "day": None if number % 7 == 0 else date(2020, 1, 1) + timedelta(days=rng.randrange(300)),
        "tags": [f"t{each}" for each in range(rng.randrange(3))],
    }
    return found if missing is None else found | {missing: None}


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def later(rng: random.Random, arrival: datetime = ARRIVAL) -> int:
    """µs of a time beyond the skew that an arrival allows, up to the end of the year 9999."""
    least = micros(arrival) + 60_000_001
    return rng.choice([least, least + rng.randrange(86_400_000_000), rng.randrange(least, LAST_TIME), LAST_TIME])


def absurd(rng: random.Random) -> int:
    """µs of a time that is in none of the years 1 to 9999."""
    return rng.choice(
        [
            FIRST_TIME - 1,
            LAST_TIME + 1,
            rng.randrange(LAST_TIME, 2**63),
            -rng.randrange(-FIRST_TIME + 1, 2**63),
            2**63 - 1,
            -(2**63),
        ]
    )


# Avro: the datum is made field by field, so that one of them can be another.

_SCHEMAS = {name: fastavro.parse_schema(kind) for name, kind in json.loads(json.dumps(FIELDS)).items()}


def encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def parts(found: Event) -> Parts:
    return {name: encoded(_SCHEMAS[name], found[name]) for name in FIELDS}


def datum(found: Event, **changed: bytes) -> bytes:
    return b"".join((parts(found) | changed).values())


def long(value: int) -> bytes:
    return encoded("long", value)


def _sized(content: bytes) -> bytes:
    return long(len(content)) + content


def _surely_bad(make: Callable[[Event, random.Random], bytes]) -> Callable[[Event, random.Random], bytes]:
    """Damage that by chance may leave a sound datum, which the strict reader of single datums tells."""

    def sure(found: Event, rng: random.Random) -> bytes:
        while strictly(ORDER, value := make(found, rng)) is not None:
            continue
        return value

    return sure


def _other_type(found: Event, rng: random.Random) -> bytes:
    nan = b"\x02" + struct.pack("<d", float("nan"))
    return rng.choice(
        [
            datum(found, qty=nan),
            datum(found, price=b"\x02" + struct.pack("<f", rng.uniform(1, 9))),
            datum(found, price=b"\x02" + _sized(b"%.3f" % rng.uniform(1, 9))),
            datum(found, note=struct.pack("<d", rng.uniform(1, 9))),
            datum(found, user_id=long(rng.randrange(10**9, 10**12))),
            datum(found, ts=_sized(found["ts"].isoformat().encode())),
        ]
    )


def _text(found: Event) -> bytes:
    return json.dumps(found, default=str).encode()


AVRO: Mapping[str, Corruption] = {
    "truncated": Corruption(
        "the value ends inside this field$", lambda e, r: (whole := datum(e))[: r.randrange(len(whole))]
    ),
    "trailing": Corruption(
        r"^\d bytes are left over after the last field$", lambda e, r: datum(e) + r.randbytes(r.randint(1, 9))
    ),
    "branch": Corruption(
        r"^user_id: -?\d+ is no branch of the union, legal are 0 \(null\) and 1 \(long\)$",
        lambda e, r: datum(e, user_id=long(r.choice([-1, -2, 2, 3, 99, 2**40])) + b"\2"),
    ),
    "boolean": Corruption("^ok: the byte .* is no bool", lambda e, r: datum(e, ok=bytes([r.randint(2, 255)]))),
    "enum": Corruption(
        "^kind: .* is no symbol of the enum, legal are 0 to 2$",
        lambda e, r: datum(e, kind=long(r.choice([3, 4, 10**6, -1, -3]))),
    ),
    "too long": Corruption(
        "^note: the value ends inside this field$",
        lambda e, r: datum(e, note=long(r.choice([1 << 10, 1 << 31, 2**62])) + b"x"),
    ),
    "too many": Corruption(
        "^tags: the value ends inside this field$", lambda e, r: datum(e, tags=long(r.choice([99, 1 << 32, 2**62])))
    ),
    "negative": Corruption(
        r"^note: the length -\d+ is negative$", lambda e, r: datum(e, note=long(-r.randrange(1, 2**62)) + b"x")
    ),
    "utf-8": Corruption(
        "^note: the text is not UTF-8$",
        lambda e, r: datum(e, note=_sized(r.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"a\x80"]))),
    ),
    "varint": Corruption(
        "^user_id: the number is longer than 64 bits$",
        lambda e, r: datum(e, user_id=b"\2" + b"\x80" * r.randint(10, 30) + b"\1"),
    ),
    "beyond": Corruption(
        r"^qty: -?\d+ is no int32", lambda e, r: datum(e, qty=b"\2" + long(r.choice([2**31, -(2**31) - 1, 2**63 - 1])))
    ),
    "scale": Corruption(
        r"^cost: the number does not fit decimal\(6,2\)$",
        lambda e, r: datum(
            e, cost=_sized((r.randrange(10**6, 10**8) * r.choice([1, -1])).to_bytes(5, "big", signed=True))
        ),
    ),
    "absurd time": Corruption(
        r"^ts: -?\d+ is no timestamp\(us\) of the years 1 to 9999$", lambda e, r: datum(e, ts=long(absurd(r)))
    ),
    "absurd day": Corruption(
        "^day: .* is no date of the years 1 to 9999$",
        lambda e, r: datum(e, day=b"\2" + long(r.choice([-719_163, 2_932_897, 2**31 - 1, 2**62]))),
    ),
    "far future": Corruption(LATE, lambda e, r: datum(e, ts=long(later(r)))),
    "null keys": Corruption(NULL_KEYS, lambda e, r: datum(e, user_id=b"\0", shop_id=b"\0")),
    "json": Corruption("^user_id: -62 is no branch of the union", lambda e, r: _text(e)),
    "old schema": Corruption(r"^tags: the value ends inside this field$", lambda e, r: datum(e, tags=b"")),
    "new schema": Corruption(r"bytes are left over", lambda e, r: datum(e) + _sized(b"more")),
    "other type": Corruption(_ANY_FIELD, _surely_bad(_other_type)),
    "noise": Corruption(_ANY_FIELD, _surely_bad(lambda e, r: r.randbytes(r.randrange(60)))),
    "no value": Corruption("^the record has no value$", lambda e, r: None),
}
HEADER = b"\0\0\0\0\7"
_HEADLESS = "^the value lacks a schema registry's header: a zero byte and 4 bytes of schema id$"


def _behind(corruption: Corruption) -> Corruption:
    def make(found: Event, rng: random.Random) -> bytes | None:
        value = corruption.make(found, rng)
        return None if value is None else HEADER + value

    return Corruption(corruption.reason, make)


CONFLUENT: Mapping[str, Corruption] = {
    **{name: _behind(corruption) for name, corruption in AVRO.items()},
    "no header": Corruption(_HEADLESS, lambda e, r: bytes([r.randint(1, 255)]) + datum(e)),
    "half a header": Corruption(_HEADLESS, lambda e, r: r.randbytes(4)),
}

# JSON: each member is a text of its own.


def texts(found: Event) -> dict[str, str]:
    """Members of the event as JSON texts."""
    plain = {**found, "ts": found["ts"].isoformat(), "cost": str(found["cost"])}
    return {name: json.dumps(plain[name], ensure_ascii=False, default=str) for name in FIELDS}


def line(found: Event, *missing: str, **changed: str) -> bytes:
    members = texts(found) | changed
    return ("{" + ", ".join(f'"{n}": {text}' for n, text in members.items() if n not in missing) + "}").encode()


def of_some(
    choices: Mapping[str, Sequence[str]], make: Callable[..., bytes]
) -> Callable[[Event, random.Random], bytes]:
    def chosen(found: Event, rng: random.Random) -> bytes:
        name = rng.choice(list(choices))
        return make(found, **{name: rng.choice(choices[name])})

    return chosen


WRONG = {
    "user_id": ['"7"', "7.0", "true", "[]", '"9"'],
    "qty": ["NaN", "Infinity", '"x"', "1e3", "2.5", "[7]"],
    "price": ['"1.5"', "true", "{}"],
    "kind": ["5", "true", "[]"],
    "ok": ["0", '"true"', "1.0"],
    "note": ["5", "{}", "[]", "false"],
    "ts": ["true", "1.5", '"soon"', '"2020-13-01T00:00:00Z"', '"01/02/2020"', "[]", '""'],
    "day": ["5", '"2020-02-30"', '"2020-02-01T00:00:00Z"'],
    "cost": ["true", '"x"', "NaN", '"1,5"'],
    "tags": ['"x"', "{}", "[1]", "[[]]", "7"],
}
_NAMES = "|".join(WRONG)
ENUM = r'^kind: "(VOUCHER|card|)" is no symbol of the enum, legal are CARD, CASH, GIFT$'
YEARS = ['"0000-01-01T00:00:00Z"', '"10000-01-01T00:00:00Z"', '"-0001-01-01T00:00:00Z"', '"99999-01-01T00:00:00Z"']


def written(count: int, rng: random.Random) -> str:
    """A time (µs) as JSON: text, or the count."""
    return f'"{(EPOCH + timedelta(microseconds=count)).isoformat()}"' if rng.random() < 0.5 else str(count)


JSON_LINES: Mapping[str, Corruption] = {
    "truncated": Corruption(
        "^the value is (no JSON|not UTF-8)", lambda e, r: (whole := line(e))[: r.randrange(1, len(whole))]
    ),
    "trailing": Corruption(
        "^the value is no JSON: Extra data", lambda e, r: line(e) + r.choice([b"{}", b" 5", b"]", b"}", b"x", b" null"])
    ),
    "no object": Corruption(
        "^the value is no JSON object: ",
        lambda e, r: r.choice([b"[%d]", b"%d", b'"%d"', b"%d.5"]) % r.randrange(10**12),
    ),
    "utf-8": Corruption(
        "^the value is not UTF-8: .* at byte ",
        lambda e, r: line(e, note='"??"').replace(b"??", r.choice([b"\xff", b"\xc3"])),
    ),
    "wrong type": Corruption(rf"^({_NAMES})(\[\])?: .* is no \w+", of_some(WRONG, line)),
    "beyond": Corruption(
        r"^(qty|user_id): \d+…? is no int(32 .*|64)$",
        lambda e, r: line(e, **{r.choice(["qty", "user_id"]): str(r.randrange(10**19, 10 ** r.randint(20, 4_000)))}),
    ),
    "scale": Corruption(
        r'^cost: "?-?[\d.]+"? is no decimal\(6,2\)$',
        lambda e, r: line(e, cost=r.choice(["%.3f", '"%.4f"']) % (r.randrange(1, 9_999) + 0.0125)),
    ),
    "too great": Corruption(
        r"^cost: .* is no decimal\(6,2\)$", lambda e, r: line(e, cost=str(r.choice([10_000, -10_000, 10**9, "1e99"])))
    ),
    "absurd time": Corruption(
        r"^ts: .* is no timestamp\(us\): legal ",
        of_some({"ts": [*YEARS, str(LAST_TIME + 1), str(-(2**63)), str(2**70)]}, line),
    ),
    "far future": Corruption(LATE, lambda e, r: line(e, ts=written(later(r), r))),
    "null time": Corruption(NULL_TIME, lambda e, r: line(e, ts="null") if r.random() < 0.5 else line(e, "ts")),
    "null keys": Corruption(NULL_KEYS, lambda e, r: line(e, user_id="null", shop_id="null")),
    "enum": Corruption(ENUM, of_some({"kind": ['"VOUCHER"', '"card"', '""']}, line)),
    "surrogate": Corruption(r"^note: .* is no string$", of_some({"note": ['"\\ud800"', '"\\udfff x"']}, line)),
    "deep": Corruption(
        "^the value is nested deeper than 100 levels$",
        lambda e, r: line(e, tags="[" * (n := r.randint(101, 3_000)) + "]" * n),
    ),
    "other schema": Corruption(NULL_TIME, lambda e, r: b'{"id": %d, "when": "2020-03-03"}' % r.randrange(10**12)),
    "avro": Corruption(
        "^the value is (no JSON|not UTF-8)", lambda e, r: datum(e).replace(b"\n", b"x").replace(b"\r", b"x")
    ),
}
JSON: Mapping[str, Corruption] = {
    **JSON_LINES,
    "noise": Corruption(
        "^the value is (no JSON|not UTF-8)",
        lambda e, r: bytes([r.randrange(0x80, 0x100)]) + r.randbytes(r.randrange(40)),
    ),
    "no value": Corruption("^the record has no value$", lambda e, r: None),
}


def mended_line(found: Event, lane: str, offset: int) -> bytes:
    """The sound event as a line for `dead-letters replay --mended`."""
    return line(found, _lane=json.dumps(lane), _offset=str(offset))
