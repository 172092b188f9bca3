"""Rows of files damaged in every way that the form of file can carry, and the files that hold them."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.corruptions import (
    ENUM,
    EPOCH,
    FIELDS,
    JSON_LINES,
    LAST_TIME,
    LATE,
    NULL_KEYS,
    NULL_TIME,
    YEARS,
    Corruption,
    Event,
    absurd,
    encoded,
    later,
    line,
    long,
    micros,
    of_some,
    written,
)

# CSV: each value is a text, quoted where it needs to be.


def cells(found: Event) -> dict[str, str]:
    members = {name: found[name] for name in FIELDS}
    members |= {"ts": found["ts"].isoformat(), "tags": json.dumps(found["tags"])}
    return {name: "" if value is None else str(value) for name, value in members.items()}


def csv_line(found: Event, **changed: str) -> bytes:
    members = cells(found) | changed
    return ",".join('"' + text.replace('"', '""') + '"' if text else "" for text in members.values()).encode()


FAR = datetime(3000, 1, 1, tzinfo=UTC)  # files arrive when they are found
CSV_WRONG = {
    "user_id": ["x", "7.0", "NaN", "0x7", "1 2"],
    "qty": ["NaN", "inf", "x", "1e3", "2.5"],
    "price": ["x", "1,5", "0x1p3", "--1"],
    "ok": ["yes", "2", "T"],
    "ts": ["soon", "2020-13-01T00:00:00Z", "01/02/2020", "2020-03-03T25:00:00Z"],
    "day": ["2020-02-30", "2020-02-01T00:00:00Z", "x"],
    "cost": ["x", "1,5", "NaN"],
    "tags": ["[1]", "x", "{}", "[", '["a"] 5'],
}
CSV: Mapping[str, Corruption] = {
    "too few": Corruption(
        r"^the line has \d+ values, the head of the file 11 names$",
        lambda e, r: b",".join(b"%d" % r.randrange(10**6) for _ in range(r.randint(1, 10))),
    ),
    "too many": Corruption(
        r"^the line has 12 values, the head of the file 11 names$", lambda e, r: csv_line(e) + b",x"
    ),
    "utf-8": Corruption(
        "^note: the text is not UTF-8$",
        lambda e, r: csv_line(e, note="??").replace(b"??", r.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"])),
    ),
    "wrong type": Corruption(rf"^({'|'.join(CSV_WRONG)})(\[\])?: .* is no \w+", of_some(CSV_WRONG, csv_line)),
    "beyond": Corruption(
        r'^(qty|user_id): "\d+…? is no int(32 .*|64)$|^(qty|user_id): "\d+" is no int(32 .*|64)$',
        lambda e, r: csv_line(e, **{r.choice(["qty", "user_id"]): str(r.randrange(10**19, 10 ** r.randint(20, 600)))}),
    ),
    "scale": Corruption(
        r'^cost: "[\d.]+" is no decimal\(6,2\)$', lambda e, r: csv_line(e, cost=f"{r.randrange(1, 9_999) + 0.0125:.4f}")
    ),
    "too great": Corruption(
        r"^cost: .* is no decimal\(6,2\)$", of_some({"cost": ["10000", "-10000.00", "1e99"]}, csv_line)
    ),
    "absurd time": Corruption(
        r"^ts: .* is no timestamp\(us\)",
        of_some({"ts": [*(year.strip('"') for year in YEARS), str(LAST_TIME + 1), str(2**70)]}, csv_line),
    ),
    "far future": Corruption(LATE, lambda e, r: csv_line(e, ts=written(later(r, FAR), r).strip('"'))),
    "null time": Corruption(NULL_TIME, lambda e, r: csv_line(e, ts="")),
    "null keys": Corruption(NULL_KEYS, lambda e, r: csv_line(e, user_id="", shop_id="")),
    "enum": Corruption(ENUM, of_some({"kind": ["VOUCHER", "card"]}, csv_line)),
}

LINES: Mapping[str, Corruption] = {
    **JSON_LINES,
    "far future": Corruption(LATE, lambda e, r: line(e, ts=written(later(r, FAR), r))),
}

# Parquet and Avro files: rows of wider types than the source declares.

Row = dict[str, Any]


def wide(found: Event) -> Row:
    """The event with times, dates and decimals (of four places) as the integers that they are, texts as bytes."""
    return found | {
        "ts": micros(found["ts"]),
        "day": None if found["day"] is None else (found["day"] - EPOCH.date()).days,
        "cost": int(found["cost"] * 10_000),
        "note": found["note"].encode(),
    }


@dataclass(frozen=True)
class Wrong:
    """One way in which a row of a typed file does not fit.

    Attributes:
        reason: pattern that the reason of its dead letter must match.
        change: members of the row that are others.
    """

    reason: str
    change: Callable[[random.Random], Row]


TYPED: Mapping[str, Wrong] = {
    "beyond": Wrong(r"^qty: -?\d+ is no int32", lambda r: {"qty": r.choice([2**31, -(2**31) - 1, 2**63 - 1])}),
    "absurd time": Wrong(r"^ts: -?\d+ is no timestamp\(us\) of the years 1 to 9999$", lambda r: {"ts": absurd(r)}),
    "absurd day": Wrong(
        "^day: -?[0-9]+ is no date of the years 1 to 9999$",
        lambda r: {"day": r.choice([-719_163, 2_932_897, 2**31 - 1])},
    ),
    "far future": Wrong(LATE, lambda r: {"ts": later(r, FAR)}),
    "null time": Wrong(NULL_TIME, lambda r: {"ts": None}),
    "null keys": Wrong(NULL_KEYS, lambda r: {"user_id": None, "shop_id": None}),
    "enum": Wrong(ENUM, lambda r: {"kind": r.choice(["VOUCHER", "card", ""])}),
    "utf-8": Wrong("^note: the text is not UTF-8$", lambda r: {"note": r.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"])}),
    "scale": Wrong(
        r"^cost: .* is no decimal\(6,2\)$", lambda r: {"cost": r.randrange(10**6) * 100 + r.randrange(1, 100)}
    ),
    "too great": Wrong(r"^cost: .* is no decimal\(6,2\)$", lambda r: {"cost": r.choice([10**8, -(10**8), 10**11])}),
}

TYPED_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("shop_id", pa.string()),
        ("ts", pa.int64()),
        ("price", pa.float64()),
        ("qty", pa.int64()),
        ("kind", pa.string()),
        ("cost", pa.decimal128(16, 4)),
        ("ok", pa.bool_()),
        ("note", pa.string()),
        ("day", pa.date32()),
        ("tags", pa.list_(pa.string())),
    ]
)


def write_parquet(path: Path, rows: Sequence[Row], stamped: bool) -> None:
    """Rows in a Parquet file that holds times as timestamps, or as the counts of them."""
    columns = []
    for column in TYPED_SCHEMA:
        values = [row[column.name] for row in rows]
        if column.name == "note":
            columns.append(pa.array(values, pa.binary()).view(pa.string()))
        elif column.name == "day":
            columns.append(pa.array(values, pa.int32()).view(pa.date32()))
        elif column.name == "cost":
            raw = b"".join(value.to_bytes(16, "little", signed=True) for value in values)
            columns.append(pa.Array.from_buffers(column.type, len(rows), [None, pa.py_buffer(raw)]))
        else:
            columns.append(pa.array(values, column.type))
    table = pa.Table.from_arrays(columns, schema=TYPED_SCHEMA)
    if stamped:
        stamps = table.column("ts").combine_chunks().view(pa.timestamp("us", "UTC"))
        table = table.set_column(2, "ts", stamps)
    pq.write_table(table, path, row_group_size=1_000)


WRITTEN: dict[str, Any] = {
    "user_id": ["null", "long"],
    "shop_id": ["null", "string"],
    "ts": ["null", {"type": "long", "logicalType": "timestamp-micros"}],
    "price": ["null", "double"],
    "qty": ["null", "long"],
    "kind": "string",
    "cost": {"type": "bytes", "logicalType": "decimal", "precision": 16, "scale": 4},
    "ok": "boolean",
    "note": "bytes",
    "day": ["null", {"type": "int", "logicalType": "date"}],
    "tags": {"type": "array", "items": "string"},
}
_PHYSICAL = json.loads(json.dumps(WRITTEN).replace("logicalType", "doc"))


def row_datum(row: Row) -> bytes:
    """A row as a datum of `WRITTEN`; its note is text in the file's schema, whatever bytes it holds."""
    cost = row["cost"].to_bytes(8, "big", signed=True)
    plain = row | {"cost": cost}
    return b"".join(encoded(_PHYSICAL[name], plain[name]) for name in WRITTEN)


def container(schema: Any, blocks: Sequence[tuple[int, bytes]], codec: str = "deflate") -> bytes:
    """An object container file of blocks, each a count and the datums."""
    head = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    sync = bytes(range(16))
    out = [b"Obj\1", encoded({"type": "map", "values": "bytes"}, head), sync]
    for count, content in blocks:
        squeezed = zlib.compress(content)[2:-4] if codec == "deflate" else content
        out += [long(count), long(len(squeezed)), squeezed, sync]
    return b"".join(out)


def file_schema() -> Any:
    members = [{"name": name, "type": "string" if name == "note" else kind} for name, kind in WRITTEN.items()]
    return {"type": "record", "name": "order", "fields": members}


def write_avro(path: Path, rows: Sequence[Row], codec: str = "deflate") -> None:
    """Rows in an Avro file, a hundred a block."""
    datums = [row_datum(row) for row in rows]
    blocks = [(len(datums[at : at + 100]), b"".join(datums[at : at + 100])) for at in range(0, len(datums), 100)]
    path.write_bytes(container(file_schema(), blocks, codec))


def write_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Lines of JSON, or of CSV behind their head."""
    head = [",".join(FIELDS).encode()] if path.suffix == ".csv" else []
    path.write_bytes(b"\n".join([*head, *lines]) + b"\n")
