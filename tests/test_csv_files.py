"""CSV: empty fields, lines that are not whole, text that becomes a type."""

from __future__ import annotations

import contextlib
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import EventError
from schemas.source import Source
from schemas.types import Field
from tests.event_files import SOURCE, contiguous, good_and_bad
from transforms.encodings import csv_files
from transforms.encodings.file_batch import FileBatch
from transforms.encodings.files import read_file
from transforms.encodings.text_columns import text_column


def csv_of(folder: Path, text: str | bytes, source: Source = SOURCE, batch_rows: int = 100) -> list[FileBatch]:
    path = folder / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    batches = list(read_file(source, str(path), 0, batch_rows))
    contiguous(batches, 0, batch_rows)
    return batches


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
