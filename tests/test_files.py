"""Files of events: Parquet, Avro, CSV, JSON lines; rows that do not fit, and files that do not."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import EventError
from schemas.source import Source
from schemas.types import Field
from transforms.encodings import csv_files, json_lines
from transforms.encodings.avro_encode import encode_avro
from transforms.encodings.file_batch import FileBatch
from transforms.encodings.files import read_events, read_file
from transforms.encodings.json import encode_json
from transforms.encodings.text_columns import text_column

FIELDS = {
    "id": "int64",
    "ts": "timestamp",
    "price": "float64",
    "kind": "string",
    "ok": "bool",
    "day": "date",
    "cost": "decimal(10,2)",
    "raw": "bytes",
    "small": "uint8",
}
SOURCE = Source("s", fields=FIELDS, event_time="ts", files="*")
NESTED = {**FIELDS, "tags": "map<string,int64>", "items": "list<struct<qty:int32,at:timestamp>>"}
DEEP = Source("s", fields=NESTED, event_time="ts", files="*")


def moment(index: int) -> datetime:
    return datetime(2026, 12, 1, 0, 0, index % 60, index, tzinfo=UTC)


def rows(count: int, deep: bool = False) -> list[dict[str, Any]]:
    found = []
    for index in range(count):
        row: dict[str, Any] = {
            "id": index,
            "ts": moment(index),
            "price": index / 3 if index % 4 else None,
            "kind": ["card", "", 'é,\n"x"', None][index % 4],
            "ok": [True, False, None][index % 3],
            "day": date(2026, 1, 1 + index % 28),
            "cost": Decimal(index) / 100,
            "raw": bytes([index % 256]),
            "small": index % 256,
        }
        if deep:
            row["tags"] = [("a", index), ("b", None)] if index % 2 else None
            row["items"] = [{"qty": index, "at": moment(index)}, None] if index % 3 else []
        found.append(row)
    return found


def table(source: Source, events: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(events), schema=pa.schema([f.with_nullable(True) for f in source.schema]))


def write_parquet(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    pq.write_table(table(source, events), path, row_group_size=7)


def write_avro(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    records = [{**row, "tags": dict(row["tags"])} if row.get("tags") else row for row in events]
    with path.open("wb") as out:
        fastavro.writer(out, fastavro.parse_schema(source.avro_schema), records, sync_interval=200)


def write_csv(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    odd = [name for name in ("raw", "tags", "items") if name in source.schema.names]
    plain = table(source, events).drop_columns(odd)
    frame = pl.from_arrow(plain)
    assert isinstance(frame, pl.DataFrame)
    texts = [json.loads(line) for line in encode_json(table(source, events).combine_chunks().to_batches()[0])]
    for name in odd:
        values = [text[name] for text in texts]
        written = [value if isinstance(value, str | None) else json.dumps(value) for value in values]
        frame = frame.with_columns(pl.Series(name, written, pl.String))
    frame.write_csv(path)


def write_jsonl(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    lines = encode_json(table(source, events).combine_chunks().to_batches()[0])
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n\n".join(lines))


WRITERS: dict[str, Callable[[Path, Source, Sequence[dict[str, Any]]], None]] = {
    ".parquet": write_parquet,
    ".avro": write_avro,
    ".csv": write_csv,
    ".jsonl": write_jsonl,
}


@pytest.fixture(params=list(WRITERS))
def suffix(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A form of file, read in blocks so small that rows lie across them."""
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 500)
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 500)
    return str(request.param)


def contiguous(batches: list[FileBatch], start: int, most: int) -> None:
    for batch in batches:
        assert batch.start_row == start
        assert 0 <= batch.end_row - batch.start_row <= most
        found = [*batch.decoded.good.tolist(), *(index for index, _ in batch.decoded.bad)]
        assert sorted(found) == list(range(batch.end_row - batch.start_row))
        start = batch.end_row


@pytest.mark.parametrize("source", [SOURCE, DEEP], ids=["flat", "nested"])
def test_every_form_gives_the_same_events(suffix: str, source: Source, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    events = rows(50, deep=source is DEEP)
    WRITERS[suffix](path, source, events)
    found = read_events(source, path)
    assert found.schema == source.schema
    assert found.to_pylist() == events


@pytest.mark.parametrize("batch_rows", [1, 4, 7, 100])
def test_reading_begins_at_any_row(suffix: str, batch_rows: int, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    events = rows(23)
    WRITERS[suffix](path, SOURCE, events)
    for start in range(25):
        batches = list(read_file(SOURCE, str(path), start, batch_rows))
        contiguous(batches, start, batch_rows)
        assert [row for batch in batches for row in batch.decoded.events.to_pylist()] == events[start:]
        if batches:
            assert batches[-1].end_row == 23


def test_columns_that_are_missing_are_null_and_others_ignored(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    narrow = Source("n", fields={"extra": "string", "ts": "timestamp", "id": "int64"}, event_time="ts")
    WRITERS[suffix](path, narrow, [{"extra": "x", "ts": moment(1), "id": 1}, {"extra": None, "ts": moment(2), "id": 2}])
    found = read_events(SOURCE, path).to_pylist()
    assert [(row["id"], row["ts"], row["price"], row["kind"]) for row in found] == [
        (1, moment(1), None, None),
        (2, moment(2), None, None),
    ]


def test_a_file_without_rows(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    WRITERS[suffix](path, SOURCE, rows(1))
    if suffix == ".csv":
        path.write_text(path.read_text().splitlines()[0] + "\n")
    elif suffix == ".jsonl":
        path.write_bytes(b"\n\n")
    else:
        WRITERS[suffix](path, SOURCE, [])
    assert read_events(SOURCE, path).num_rows == 0
    contiguous(list(read_file(SOURCE, str(path), 0, 10)), 0, 10)


def test_the_event_time_has_to_be_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    timeless = Source("n", fields={"id": "int64", "t": "timestamp"})
    WRITERS[suffix](path, timeless, [{"id": 1, "t": moment(1)}])
    if suffix == ".jsonl":
        with pytest.raises(EventError, match=r"events\.jsonl: row 0: ts: null, but an event needs its event time"):
            read_events(SOURCE, path)
        return
    with pytest.raises(
        EventError, match=rf"events\{suffix}: there is no column 'ts', the event time; columns are id, t"
    ):
        read_events(SOURCE, path)


def test_a_row_that_does_not_fit_is_named_and_leaves_the_others_alone(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{suffix}"
    wide = Source("n", fields={"ts": "timestamp", "small": "int64", "id": "int64"}, event_time="ts")
    events = [{"ts": moment(index), "small": index * 100, "id": index} for index in range(6)]
    WRITERS[suffix](path, wide, events)
    batches = list(read_file(SOURCE, str(path), 1, 4))
    contiguous(batches, 1, 4)
    good = [row["id"] for batch in batches for row in batch.decoded.events.to_pylist()]
    bad = {
        batch.start_row + index: (reason, batch.raw(index)) for batch in batches for index, reason in batch.decoded.bad
    }
    assert good == [1, 2]
    assert list(bad) == [3, 4, 5]
    shown = '"300"' if suffix == ".csv" else "300"
    assert bad[3][0] == f"small: {shown} is no uint8 (0 to 255)"
    raw = json.loads(bad[3][1])
    assert raw == (
        {"ts": "2026-12-01T00:00:03.000003Z", "small": "300", "id": "3"} | {"ts": raw["ts"]}
        if suffix == ".csv"
        else {"ts": "2026-12-01T00:00:03.000003Z", "small": 300, "id": 3}
    )
    with pytest.raises(EventError, match=rf"events\{suffix}: row 3: small: {shown} is no uint8"):
        read_events(SOURCE, path)


@pytest.mark.parametrize("form", [".parquet", ".avro"])
def test_a_column_of_a_wrong_type_is_an_error_of_the_file(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{form}"
    other = Source("n", fields={"ts": "timestamp", "price": "string"}, event_time="ts")
    for events in ([], [{"ts": moment(1), "price": "5"}]):
        WRITERS[form](path, other, events)
        expected = "column price is of type string; legal for float64 are floats or integers"
        with pytest.raises(EventError, match=rf"events\{form}: {expected}"):
            read_events(SOURCE, path)


@pytest.mark.parametrize("form", list(WRITERS))
def test_a_file_that_is_damaged_is_named(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{form}"
    WRITERS[form](path, SOURCE, rows(30))
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff\x00\xfe" * 30 + content[130:-20])
    with pytest.raises(EventError, match=rf"events\{form}: "):
        read_events(SOURCE, path)


def test_what_is_no_file_of_events(tmp_path: Path) -> None:
    for name, reason in [
        ("a.parquet", "there is no such file"),
        ("a.json", r"the suffix '.json' names no form of file; legal are .parquet, .avro, .csv, .jsonl. Did you mean"),
        ("a", "the suffix '' names no form of file"),
    ]:
        with pytest.raises(EventError, match=re.escape(str(tmp_path / name)) + ": " + reason):
            read_events(SOURCE, tmp_path / name)
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(EventError, match=r"b\.csv: cannot be read"):
        read_events(SOURCE, tmp_path / "b.csv")


def csv_of(folder: Path, text: str | bytes, source: Source = SOURCE, batch_rows: int = 100) -> list[FileBatch]:
    path = folder / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    batches = list(read_file(source, str(path), 0, batch_rows))
    contiguous(batches, 0, batch_rows)
    return batches


def good_and_bad(batches: list[FileBatch]) -> tuple[list[Any], dict[int, str], dict[int, Any]]:
    good = [row for batch in batches for row in batch.decoded.events.to_pylist()]
    bad = {batch.start_row + index: reason for batch in batches for index, reason in batch.decoded.bad}
    raw = {batch.start_row + index: json.loads(batch.raw(index)) for batch in batches for index, _ in batch.decoded.bad}
    return good, bad, raw


def test_empty_fields_of_csv_are_null(tmp_path: Path) -> None:
    text = 'ts,id,price,kind,cost\n2026-12-01,,,,\n2026-12-02,"","","",""\n'
    good, bad, _ = good_and_bad(csv_of(tmp_path, text))
    assert bad == {}
    chosen = [(row["id"], row["price"], row["kind"], row["cost"]) for row in good]
    assert chosen == [(None, None, None, None), (None, None, "", None)]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
@pytest.mark.parametrize("block", [60, 1 << 20])
def test_lines_of_csv_with_too_few_or_many_values_are_bad(
    batch_rows: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", block)
    lines = [
        "x",
        "2026-12-01,1",
        "",
        "2026-12-01,2,3",
        '2026-12-01,"4"',
        '"2026-12-01",x',
        "2026-12-01,5",
        "y",
        "z,",
        "w",
    ]
    good, bad, raw = good_and_bad(csv_of(tmp_path, "ts,id\n" + "\n".join(lines), batch_rows=batch_rows))
    assert [row["id"] for row in good] == [1, 4, 5]
    few = "the line has 1 values, the head of the file 2 names"
    assert bad == {
        0: few,
        2: "the line has 3 values, the head of the file 2 names",
        4: 'id: "x" is no int64',
        6: few,
        7: 'ts: "z" is no timestamp: legal is ISO 8601 text as in 2026-12-01T00:00:00Z',
        8: few,
    }
    assert raw == {
        0: "x",
        2: "2026-12-01,2,3",
        4: {"id": "x", "ts": "2026-12-01"},
        6: "y",
        7: {"id": None, "ts": "z"},
        8: "w",
    }


def test_text_of_csv_that_is_not_utf8_is_bad(tmp_path: Path) -> None:
    lines = [
        b"2026-12-01,a",
        b"2026-12-01,\xff",
        b"2026-12-01,",
        "2026-12-01,é€😀ÿ".encode(),
        b"\xc3\xa9,\xc3\xa9,1",
        b"\xfe",
    ]
    good, bad, raw = good_and_bad(csv_of(tmp_path, b"ts,kind\n" + b"\n".join(lines)))
    assert [row["kind"] for row in good] == ["a", None, "é€😀ÿ"]
    assert bad == {
        1: "kind: the text is not UTF-8",
        4: "the line has 3 values, the head of the file 2 names",
        5: "the line has 1 values, the head of the file 2 names",
    }
    assert raw == {1: {"ts": "2026-12-01", "kind": "\\xff"}, 4: "é,é,1", 5: "\\xfe"}
    named = Source("n", fields={"größe": "int64"})
    assert good_and_bad(csv_of(tmp_path, "a,größe\n1,2\n", named))[0] == [{"größe": 2}]


def test_heads_of_csv(tmp_path: Path) -> None:
    good, _, _ = good_and_bad(csv_of(tmp_path, b'\xef\xbb\xbf"ts","id"\r\n2026-12-01,7\r\n'))
    assert [row["id"] for row in good] == [7]
    with pytest.raises(EventError, match=r"a\.csv: is empty; the first line of a CSV file holds the names"):
        csv_of(tmp_path, "")
    with pytest.raises(EventError, match=r"a\.csv: there are 2 columns 'id', legal is one of a name"):
        csv_of(tmp_path, "ts,id,id\n")
    with pytest.raises(EventError, match=r"no column is a field of n; fields are x"):
        csv_of(tmp_path, "ts,id\n", Source("n", fields={"x": "int64"}))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int64", "-007", -7),
        ("int64", "9223372036854775807", 2**63 - 1),
        ("float64", "1e400", math.inf),
        ("float64", "-Inf", -math.inf),
        ("float32", "0.1", 0.10000000149011612),
        ("bool", "TRUE", True),
        ("bool", "0", False),
        ("timestamp(s)", "86400", datetime(1970, 1, 2, tzinfo=UTC)),
        ("timestamp(s)", "1970-01-02 00:00:00+00", datetime(1970, 1, 2, tzinfo=UTC)),
        ("date", "2026-12-01", date(2026, 12, 1)),
        ("decimal(10,2)", "1.50", Decimal("1.50")),
        ("bytes", "AAE=", b"\0\1"),
        ("list<int64>", "[1, null]", [1, None]),
        ("map<string,float64>", '{"a": 1}', [("a", 1.0)]),
        ("struct<a:string>", '{"a": "x"}', {"a": "x"}),
        ("string", " x ", " x "),
    ],
)
def test_what_a_text_becomes(kind: str, text: str, value: Any) -> None:
    column = text_column(Field.parse("x", kind), pa.array([text, None, text]))
    assert column.bad == {}
    assert column.values.to_pylist() == [value, None, value]


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("int64", "1.0", 'x: "1.0" is no int64'),
        ("int64", "0x1A", 'x: "0x1A" is no int64'),
        ("int64", " 1", 'x: " 1" is no int64'),
        ("int64", "9223372036854775808", 'x: "9223372036854775808" is no int64'),
        ("int8", "128", 'x: "128" is no int8 (-128 to 127)'),
        ("float64", "1_0", 'x: "1_0" is no float64'),
        ("float32", "1e39", 'x: "1e39" is no float32'),
        ("bool", "yes", 'x: "yes" is no bool'),
        (
            "timestamp",
            "86400",
            'x: "86400" is no timestamp: legal is ISO 8601 text as in 2026-12-01T00:00:00Z',
        ),
        ("date", "1.12.2026", 'x: "1.12.2026" is no date: legal is ISO 8601 text as in 2026-12-01'),
        ("decimal(4,2)", "1.234", 'x: "1.234" is no decimal(4,2)'),
        ("bytes", "!", 'x: "!" is no bytes: legal is base64 text'),
        ("list<int64>", "[1.5]", "x[]: 1.5 is no int64"),
        ("list<int64>", "[1", "x: the value is no JSON: Expecting ',' delimiter at character 2"),
    ],
)
def test_what_no_text_becomes(kind: str, text: str, reason: str) -> None:
    column = text_column(Field.parse("x", kind), pa.array(["", text, None]))
    assert column.bad == {1: reason}


TEXTS = st.one_of(
    st.text(alphabet="0123456789+-.eE_ nafitINFxX", max_size=8),
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(str),
    st.sampled_from(["1e999", "-0", "+1", ".5", "1.", "१", "1\n", "٣.5", "Infinity", "nan", "-nan", "infinit"]),
)


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS, max_size=6))
@example(["1\n"])
@example(["१"])
def test_numbers_as_text_are_read_as_python_reads_them(texts: list[str | None]) -> None:
    for kind, form, number in [("int64", r"-?[0-9]+", int), ("float64", r"[^_\s]+", float)]:
        column = text_column(Field.parse("x", kind), pa.array(texts, pa.string()))
        for index, text in enumerate(texts):
            expected: Any = None
            with contextlib.suppress(ValueError):
                expected = number(text) if text and text.isascii() and re.fullmatch(form, text) else None
            if kind == "int64" and expected is not None and not -(2**63) <= expected < 2**63:
                expected = None
            assert (index in column.bad) == (expected is None and bool(text))
            if index not in column.bad:
                assert repr(column.values[index].as_py()) == repr(expected)


def test_lines_of_json_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 10)
    path = tmp_path / "a.jsonl"
    lines = [b'{"ts":"2026-12-01","kind":"' + b"x" * size + b'"}' for size in (3, 100, 0)]
    path.write_bytes(b"\n" + lines[0] + b"\r\n" + lines[1] + b"\n\n" + b"no" + b"\r\n" + lines[2] + b"\n")
    batches = list(read_file(SOURCE, str(path), 0, 100))
    good = [row["kind"] for batch in batches for row in batch.decoded.events.to_pylist()]
    assert good == ["x" * 3, "x" * 100, ""]
    ((row, reason, raw),) = [
        (batch.start_row + index, reason, batch.raw(index)) for batch in batches for index, reason in batch.decoded.bad
    ]
    assert (row, reason, raw) == (2, "the value is no JSON: Expecting value at character 0", b"no")


def test_arrow_types_that_parquet_files_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    stamps = pa.array([1_000, -1, None], pa.int64())
    columns = {
        "ts": stamps.fill_null(0).cast(pa.timestamp("ns")),
        "id": pa.array([1, 2, None], pa.uint64()),
        "price": pa.array([1, None, 3], pa.int32()),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "cost": pa.array([Decimal("1.5"), Decimal("2"), None], pa.decimal128(20, 3)),
        "raw": pa.array([b"a", None, b"c"], pa.large_binary()),
        "day": pa.array([0, 1, None], pa.int32()).cast(pa.date32()),
    }
    pq.write_table(pa.table(columns), path)
    found = read_events(SOURCE, path)
    assert found.schema == SOURCE.schema
    assert found["ts"].cast("int64").to_pylist() == [1, -1, 0]
    assert found["id"].to_pylist() == [1, 2, None]
    assert found["price"].to_pylist() == [1.0, None, 3.0]
    assert found["kind"].to_pylist() == ["a", "b", "a"]
    assert found["cost"].to_pylist() == [Decimal("1.50"), Decimal("2.00"), None]
    assert found["raw"].to_pylist() == [b"a", None, b"c"]


def test_avro_files_of_other_shapes(tmp_path: Path) -> None:
    path = tmp_path / "a.avro"
    with path.open("wb") as out:
        fastavro.writer(out, {"type": "long"}, [1, 2])
    with pytest.raises(EventError, match=r"a\.avro: holds no records but"):
        read_events(SOURCE, path)
    kinds = {"ts": {"type": "long", "logicalType": "timestamp-millis"}, "kind": ["int", "string"]}
    schema = {"type": "record", "name": "r", "fields": [{"name": name, "type": kind} for name, kind in kinds.items()]}
    with path.open("wb") as out:
        fastavro.writer(out, schema, [{"ts": 1, "kind": 2}])
    with pytest.raises(EventError, match=r"a\.avro: kind is a union of int, string"):
        read_events(SOURCE, path)
    narrow = Source("n", fields={"ts": "timestamp"}, event_time="ts")
    assert read_events(narrow, path)["ts"].cast("int64").to_pylist() == [1_000]


def test_values_of_avro_are_what_fastavro_writes() -> None:
    batch = table(DEEP, rows(20, deep=True)).cast(DEEP.schema).combine_chunks().to_batches()[0]
    schema = fastavro.parse_schema(DEEP.avro_schema)
    for row, value in zip(rows(20, deep=True), encode_avro(DEEP, batch), strict=True):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, {**row, "tags": dict(row["tags"]) if row["tags"] else None})
        assert out.getvalue() == value
