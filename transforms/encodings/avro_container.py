"""Avro object container files: their head, and blocks of records; damage is told by its place.

Format: https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import fastavro
import pyarrow as pa

from transforms.encodings.avro_blocks import Block, DamagedBlock

_MAGIC = b"Obj\x01"
_SYNC = 16
_LONGEST_VARINT = 10


class Container:
    """Reads a container file from its beginning.

    Args:
        content: of the file.

    Attributes:
        schema: JSON value of the schema of its records.

    Raises:
        DamagedBlock: the head is damaged, its schema is not legal, or its codec is unknown; the text says which.
    """

    def __init__(self, content: pa.NativeFile) -> None:
        self._content, self._size = content, content.size()
        if content.read(len(_MAGIC)) != _MAGIC:
            raise DamagedBlock("does not begin as an Avro file does")
        head = self._map("its head")
        self._sync = self._bytes(_SYNC, "its head")
        self.schema = _schema(head.get("avro.schema", b""))
        codec = head.get("avro.codec", b"null").decode("utf-8", "backslashreplace")
        if codec not in _CODECS:
            raise DamagedBlock(f"its blocks are compressed by {codec!r}; legal are {', '.join(_CODECS)}")
        self._decompress = _CODECS[codec]

    def blocks(self) -> Iterator[tuple[int, Callable[[], Block]]]:
        """How many records each block has, and a function that decompresses it.

        Raises:
            DamagedBlock: a block is damaged; also from the function.
        """
        row = 0
        while self._content.tell() < self._size:
            place = f"the block that begins at row {row}"
            count, size = self._long(place), self._long(place)
            if count < 0 or size < 0:
                raise DamagedBlock(f"{place} has {count} rows in {size} bytes")
            packed = self._bytes(size, place)
            if self._bytes(_SYNC, place) != self._sync:
                raise DamagedBlock(f"{place} does not end with the mark of the file")
            yield count, self._unpacking(count, packed, place)
            row += count

    def _unpacking(self, count: int, packed: bytes, place: str) -> Callable[[], Block]:
        def unpacked() -> Block:
            try:
                return Block(count, self._decompress(packed))
            except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
                raise DamagedBlock(f"{place} cannot be decompressed: {error}") from None

        return unpacked

    def _map(self, place: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        while count := self._long(place):
            if count < 0:
                count = -count
                self._long(place)
            for _ in range(count):
                name = self._bytes(self._long(place), place).decode("utf-8", "backslashreplace")
                found[name] = self._bytes(self._long(place), place)
        return found

    def _long(self, place: str) -> int:
        raw = 0
        for at in range(_LONGEST_VARINT):
            byte = self._bytes(1, place)[0]
            raw |= (byte & 0x7F) << 7 * at
            if byte < 0x80:
                return (raw >> 1) ^ -(raw & 1)
        raise DamagedBlock(f"{place} has a number of more than 64 bits")

    def _bytes(self, size: int, place: str) -> bytes:
        left = self._size - self._content.tell()
        if not 0 <= size <= left:
            raise DamagedBlock(f"{place} is cut off: {size} bytes are to follow, {left} do")
        found: bytes = self._content.read(size)
        return found


def _schema(text: bytes) -> Any:
    try:
        schema = json.loads(text)
        fastavro.parse_schema(schema)
    except Exception as error:  # fastavro reports a bad schema by many exceptions
        raise DamagedBlock(f"its schema is not legal: {type(error).__name__}: {error}") from error
    return schema


def _deflated(packed: bytes) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    found = stream.decompress(packed)
    if not stream.eof:
        raise ValueError("its content is cut off")
    return found


def _snappy(packed: bytes) -> bytes:
    content, check = packed[:-4], packed[-4:]
    size = shift = 0
    for byte in content[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > 64 * len(content):  # no snappy is so dense
        raise ValueError(f"{size} bytes cannot come of {len(content)}")
    found: bytes = pa.Codec("snappy").decompress(content, size, asbytes=True)
    if zlib.crc32(found).to_bytes(4, "big") != check:
        raise ValueError("its checksum is another")
    return found


def _zstandard(packed: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        found: bytes = stream.read()
    return found


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflated,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}
