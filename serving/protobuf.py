"""Protocol Buffers as far as files of others need them: messages written field by field."""

from __future__ import annotations

from collections.abc import Mapping


class Message:
    """One message; fields that are empty are left out, as proto3 has it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def text(self, number: int, value: str) -> Message:
        """Adds a string."""
        return self._bytes(number, value.encode()) if value else self

    def number(self, number: int, value: int) -> Message:
        """Adds a number that is not negative, a boolean, or one of an enumeration."""
        if value:
            self._parts.append(varint(number << 3) + varint(value))
        return self

    def message(self, number: int, value: Message) -> Message:
        """Adds a message, an empty one too."""
        return self._bytes(number, value.written())

    def texts(self, number: int, value: Mapping[str, str]) -> Message:
        """Adds a map of strings."""
        for name, text in value.items():
            self.message(number, Message().text(1, name).text(2, text))
        return self

    def written(self) -> bytes:
        """The message as it is written."""
        return b"".join(self._parts)

    def _bytes(self, number: int, value: bytes) -> Message:
        self._parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
        return self


def varint(value: int) -> bytes:
    """A number that is not negative, seven bits a byte."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def seconds(micros: int) -> Message:
    """A span of time or an instant, in µs."""
    whole, rest = divmod(micros, 1_000_000)
    return Message().number(1, whole).number(2, rest * 1_000)
