"""Files of events: Parquet, Avro, CSV, JSON lines; rows that do not fit, and files that do not."""

from __future__ import annotations

import io
import json
import re
from decimal import Decimal
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import EventError
from schemas.source import Source
from tests.event_files import DEEP, SOURCE, WRITERS, contiguous, moment, rows, table
from transforms.encodings import csv_files, json_lines
from transforms.encodings.avro_encode import encode_avro
from transforms.encodings.files import read_events, read_file


@pytest.fixture(params=list(WRITERS))
def suffix(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A form of file, read in blocks so small that rows lie across them."""
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 500)
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 500)
    return str(request.param)


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
