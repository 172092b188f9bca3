"""Blocks of Avro files whose records have fields of no type of ours: rewritten with the fields that are wanted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro

from transforms.encodings.avro_blocks import Block
from transforms.encodings.avro_encode import physical


class Projection:
    """Rewrites blocks of records, one by one, without the fields that are not wanted.

    Args:
        schema: of the records, with types that have no place here among the fields that are not wanted.
        names: of the fields that are wanted.

    Attributes:
        schema: of the records rewritten.
    """

    def __init__(self, schema: Any, names: Sequence[str]) -> None:
        self.schema = {**schema, "fields": [member for member in schema["fields"] if member["name"] in names]}
        self._read: Any = fastavro.parse_schema(physical(schema))
        self._written: Any = fastavro.parse_schema(physical(self.schema))

    def of(self, block: Block) -> Block:
        """The block rewritten.

        Raises:
            ValueError: the block has bytes left over after its records; or whatever fastavro raises on damage.
        """
        content, out = io.BytesIO(block.content), io.BytesIO()
        for _ in range(block.count):
            record = fastavro.schemaless_reader(content, self._read, None)
            fastavro.schemaless_writer(out, self._written, record)
        if content.tell() != len(block.content):
            raise ValueError(f"{len(block.content) - content.tell()} bytes are left over after its {block.count} rows")
        return Block(block.count, out.getvalue())
