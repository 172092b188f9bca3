"""Lanes: one ordered log each, with a place in the order of all lanes."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

KINDS = ("files", "topic")
_TEXT = re.compile(r"(?P<source>[^/]+)/(?P<kind>[a-z]+)-(?P<id>[^/]+)/(?P<number>\d+)")


@dataclass(frozen=True)
class Lane:
    """One ordered log: a topic partition or a lane of files.

    Attributes:
        source: name of the source whose events it carries.
        kind: one of `KINDS`.
        id: which log of that kind it is: a topic's id, or the generation of a source's files.
        number: partition, or number of the file lane.
    """

    source: str
    kind: str
    id: str
    number: int

    @property
    def text(self) -> str:
        """The lane's name in stores, `source/kind-id/number`."""
        return f"{self.source}/{self.kind}-{self.id}/{self.number}"

    @property
    def sort_key(self) -> bytes:
        """Bytes whose byte order is the order of lanes: source, kind, number (as a number), id."""
        head = f"{self.source}\0{self.kind}\0".encode()
        return head + struct.pack(">I", self.number) + self.id.encode() + b"\0"

    @staticmethod
    def of_sort_key(key: bytes) -> Lane:
        """Lane of a sort key."""
        source, kind, rest = key.split(b"\0", 2)
        return Lane(source.decode(), kind.decode(), rest[4:-1].decode(), struct.unpack(">I", rest[:4])[0])

    @staticmethod
    def parse(text: str) -> Lane:
        """Lane of a name.

        Raises:
            ValueError: the text is no lane's name.
        """
        match = _TEXT.fullmatch(text)
        if not match or match["kind"] not in KINDS:
            raise ValueError(f"{text!r} is no lane: expected source/kind-id/number with kind one of {', '.join(KINDS)}")
        return Lane(match["source"], match["kind"], match["id"], int(match["number"]))
