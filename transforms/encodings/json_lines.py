"""Files of JSON lines: an object a line."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from schemas.source import Source
from transforms.encodings.file_access import damage, open_file
from transforms.encodings.file_batch import FileBatch
from transforms.encodings.json import JsonDecoder
from transforms.encodings.spans import spans

FORM = "JSON lines"
BLOCK_BYTES = 8 << 20
_MARK = b"\xef\xbb\xbf"
_NEWLINE, _RETURN = 10, 13


def read_json_lines(source: Source, path: str, start_row: int, batch_rows: int) -> Iterator[FileBatch]:
    """Rows of a file of JSON lines from `start_row` on; blank lines are none."""
    decoder = JsonDecoder(source)
    row = 0
    for lines in _lines(path):
        first = max(start_row - row, 0)
        for start in range(first, len(lines), batch_rows):
            part = lines.slice(start, batch_rows)
            yield _batch(decoder, part, row + start)
        row += len(lines)


def _batch(decoder: JsonDecoder, lines: pa.BinaryArray, row: int) -> FileBatch:
    def raw(index: int) -> bytes:
        line: bytes = lines[index].as_py()
        return line

    return FileBatch(row, row + len(lines), decoder.decode(lines), raw)


def _lines(path: str) -> Iterator[pa.BinaryArray]:
    """Lines that are not blank, without their ends, some blocks of the file at a time."""
    with open_file(path) as content:
        rest, begun, ended = b"", False, False
        while not ended:
            with damage(path, FORM):
                block = content.read(BLOCK_BYTES)
                ended = content.tell() >= content.size()
            if not begun:
                block, begun = block.removeprefix(_MARK), True
            whole, newline, tail = (block, b"\n", b"") if ended else block.rpartition(b"\n")
            if newline:
                yield _split(rest + whole)
                rest = tail
            else:
                rest += block


def _split(block: bytes) -> pa.BinaryArray:
    data = np.frombuffer(block, np.uint8)
    ends = np.append(np.flatnonzero(data == _NEWLINE), len(data))
    starts = np.append(0, ends[:-1] + 1)
    returned = ends > starts
    returned[returned] = data[ends[returned] - 1] == _RETURN
    ends = ends - returned
    there = ends > starts
    return spans(data, starts[there], ends[there])
