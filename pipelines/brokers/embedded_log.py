"""Statements of the embedded broker: its tables, and what is read from and appended to them in a transaction."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

from schemas.errors import LaneError, did_you_mean

READ_BYTES = 64 << 20
OFFSET_BITS = 40
_STEP = 500

# A record's id is its partition's number in the file << 40 | offset: one B-tree, each partition a range that grows at
# its end. Numbers of partitions are never used again (autoincrement).
TABLES = """
create table if not exists topics(name text primary key, id text not null, partitions integer not null) without rowid;
create table if not exists partitions(number integer primary key autoincrement, topic text not null,
  partition integer not null, next integer not null, arrival integer not null, unique(topic, partition));
create table if not exists log(id integer primary key, arrival integer not null, key blob, value blob, headers blob);
create table if not exists replayed(topic text not null, id text not null, primary key(topic, id)) without rowid;
"""


def laid_out(db: sqlite3.Connection) -> bool:
    """Whether the tables are there: then nothing is written, so that a file that is read-only can still be read."""
    return bool(db.execute("select count(*) from sqlite_master where name = 'replayed'").fetchone()[0])


def topic_id(db: sqlite3.Connection, topic: str) -> str:
    """Id of a topic.

    Raises:
        LaneError: there is no such topic.
    """
    row = db.execute("select id from topics where name = ?", (topic,)).fetchone()
    if row is None:
        known = [name for (name,) in db.execute("select name from topics order by name")]
        listed = ", ".join(known) if known else "none"
        raise LaneError(f"there is no topic {topic!r}; topics: {listed}.{did_you_mean(topic, known)}")
    return str(row[0])


def partitions_of(db: sqlite3.Connection, name: str) -> list[tuple[int, int, int, int]]:
    """Number in the file, partition, next offset and newest arrival of each partition of a topic, by its id."""
    query = "select number, partition, next, arrival from partitions where topic = ? order by partition"
    return db.execute(query, (name,)).fetchall()


def append(
    db: sqlite3.Connection,
    topic: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[bytes | None],
    now: int,
) -> dict[int, int]:
    """Appends records, each to the partition of its hash, and gives the last offset of each that grew."""
    places = partitions_of(db, topic_id(db, topic))
    next_id = [(number << OFFSET_BITS) + offset for number, _, offset, _ in places]
    arrivals = [max(now, arrival) for _, _, _, arrival in places]
    first, count = list(next_id), len(places)
    records = []
    for key, value, header in zip(keys, values, headers, strict=True):
        at = zlib.crc32(key if key is not None else value or b"") % count
        records.append((next_id[at], arrivals[at], key, value, header))
        next_id[at] += 1
    db.executemany("insert into log values(?, ?, ?, ?, ?)", records)
    mask = (1 << OFFSET_BITS) - 1
    grown = [at for at in range(count) if next_id[at] > first[at]]
    ends = [(next_id[at] & mask, arrivals[at], places[at][0]) for at in grown]
    db.executemany("update partitions set next = ?, arrival = ? where number = ?", ends)
    return {places[at][1]: (next_id[at] & mask) - 1 for at in grown}


def read_log(
    db: sqlite3.Connection, topic: str, partition: int, offset: int, limit: int, expected: str | None
) -> list[tuple[Any, ...]]:
    """Id, arrival, key, value and headers of records from an offset on, at most `limit` or about `READ_BYTES`.

    Raises:
        LaneError: there is no such topic or partition, or the topic has another id.
    """
    name = topic_id(db, topic)
    if expected is not None and name != expected:
        raise LaneError(f"topic {topic!r} was deleted and created again: its id is {name}, {expected} was being read")
    found = db.execute("select number from partitions where topic = ? and partition = ?", (name, partition)).fetchone()
    if found is None:
        raise LaneError(f"topic {topic!r} has no partition {partition}")
    base = found[0] << OFFSET_BITS
    query = "select id, arrival, key, value, headers from log where id >= ? and id < ? order by id limit ?"
    cursor = db.execute(query, (base + offset, base + (1 << OFFSET_BITS), limit))
    rows: list[tuple[Any, ...]] = []
    size = 0
    while size < READ_BYTES and (step := cursor.fetchmany(_STEP)):
        rows += step
        size += sum(len(row[3] or b"") for row in step)
    cursor.close()
    return rows
