"""Rows of the SQLite store: names interned to small integers, and many look-ups in one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

_BATCH = 256


def quoted(entity: str) -> str:
    """The entity's table of cells, as SQL."""
    return f'"cells_{entity}"'


def fetch(connection: sqlite3.Connection, query: str, parameters: Sequence[Any]) -> list[Any]:
    """Rows of a query; none where the entity's table does not exist yet."""
    try:
        return connection.execute(query, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise


def in_batches(connection: sqlite3.Connection, query: str, entity: str, asked: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Rows of a query that joins the entity's cells with what is asked, many askings a statement.

    Batches are filled up to a power of two with askings for nothing, so that few statements are ever prepared.
    """
    found: list[Any] = []
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        size = 1 << (len(batch) - 1).bit_length()
        width = len(batch[0])
        parameters = (*chain.from_iterable(batch), *(None,) * (width * (size - len(batch))))
        found += fetch(connection, _statement(query, entity, size, width), parameters)
    return found


@lru_cache(maxsize=512)
def _statement(query: str, entity: str, size: int, width: int) -> str:
    values = ", ".join(["(" + ", ".join("?" * width) + ")"] * size)
    return query.format(table=quoted(entity), values=values)


class Names:
    """Texts interned to small integers in one table of the file, remembered once they are committed."""

    def __init__(self, table: str) -> None:
        self._insert = f"INSERT OR IGNORE INTO {table} (text) VALUES (?)"
        self._find = f"SELECT id FROM {table} WHERE text = ?"
        self._text = f"SELECT text FROM {table} WHERE id = ?"
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def find(self, connection: sqlite3.Connection, text: str) -> int | None:
        """Number of a committed text, None when there is none; not for use inside a write."""
        number = self._numbers.get(text)
        if number is None:
            row = connection.execute(self._find, (text,)).fetchone()
            if row is None:
                return None
            number = int(row[0])
            self.learn({text: number})
        return number

    def texts(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> list[str]:
        """Texts of numbers that are in the file."""
        try:
            return [self._texts[number] for number in numbers]
        except KeyError:
            for number in set(numbers) - self._texts.keys():
                self.learn({connection.execute(self._text, (number,)).fetchone()[0]: number})
        return [self._texts[number] for number in numbers]

    def intern(self, connection: sqlite3.Connection, texts: Collection[str]) -> dict[str, int]:
        """Numbers of texts, inserted where they are new; to be learnt once the transaction is committed."""
        numbers = {}
        for text in texts:
            number = self._numbers.get(text)
            if number is None:
                connection.execute(self._insert, (text,))
                number = int(connection.execute(self._find, (text,)).fetchone()[0])
            numbers[text] = number
        return numbers

    def learn(self, numbers: Mapping[str, int]) -> None:
        """Remembers committed numbers."""
        for text, number in numbers.items():
            self._numbers[text] = number
            self._texts[number] = text
