"""Blocks of Avro files whose records have fields of no type of ours: rewritten with the fields that are wanted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro

from transforms.encodings.avro_blocks import FAULTS, Block, DamagedBlock
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
            DamagedBlock: the records cannot be read, or there are bytes left over after them.
        """
        content, out = io.BytesIO(block.content), io.BytesIO()
        try:
            for _ in range(block.count):
                record = fastavro.schemaless_reader(content, self._read, None)
                fastavro.schemaless_writer(out, self._written, record)
        except FAULTS as error:
            raise DamagedBlock(f"a block of {block.count} rows: {str(error) or type(error).__name__}") from error
        if content.tell() != len(block.content):
            left = len(block.content) - content.tell()
            raise DamagedBlock(f"a block of {block.count} rows has {left} bytes left over after them")
        return Block(block.count, out.getvalue())
