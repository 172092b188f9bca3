"""What both stores of a project hold, byte for byte, so that two projects can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.platform import Platform
from pipelines.stores import Stores
from schemas.lane import Lane
from schemas.state import Block
from serving.deployment import Deployment
from serving.stores.base import Mark, Slice
from transforms.keys import encode_keys

EVERYTHING = -(2**63)
TABLES = ("events/", "rows/", "dead_letters/")
PLACES = ("_lane", "_offset", "_part")
Cell = tuple[str, bytes, int, str, int, bytes]


def blocks(platform: Platform) -> list[Block]:
    """Blocks applied, of all views."""
    return [block for held in Deployment.load(platform.offline).blocks.values() for block in held]


def marks(platform: Platform) -> set[Mark]:
    """Marks of all blocks."""
    online = Stores.of(platform.settings).online()
    found = online.marks([block.id for block in blocks(platform)])
    online.close()
    return set(found)


def int_keys(count: int) -> list[bytes]:
    """Keys of entities that have the numbers from 0 on."""
    keys: list[bytes] = encode_keys([pa.array(range(count), pa.int64())]).to_pylist()
    return keys


class Folded:
    """How far all lanes are folded into all blocks, as one number that grows with every write of rows.

    Args:
        platform: of the project.
    """

    def __init__(self, platform: Platform) -> None:
        self._online = Stores.of(platform.settings).online()
        self._logs = [block.id for block in blocks(platform)]

    def now(self) -> int:
        """The number now."""
        return sum(mark.offset for mark in self._online.marks(self._logs))

    def close(self) -> None:
        """Closes the store."""
        self._online.close()


def cells(platform: Platform, keys: Sequence[bytes]) -> set[Cell]:
    """Cells of the keys in all blocks: block, key, tile, lane, version, content."""
    online = Stores.of(platform.settings).online()
    found: set[Cell] = set()
    for block in blocks(platform):
        read = online.read(block.entity, keys, [Slice(block.id, EVERYTHING)])
        parts: list[list[Any]] = [read.key.tolist(), read.tile.tolist(), read.lane, read.version.tolist(), read.blob]
        for key, tile, lane, version, blob in zip(*parts, strict=True):
            found.add((block.id, keys[key], tile, lane, version, blob))
    online.close()
    return found


def table(platform: Platform, name: str) -> pa.Table:
    """Rows of an offline table in the order of their places, each of which there is once."""
    rows = platform.offline.read(name)
    if name.startswith("dead_letters/"):
        order = ["_lane", "_offset", "view"]
    else:
        order = [place for place in PLACES if place in rows.column_names]
    rows = rows.sort_by([(place, "ascending") for place in order]).combine_chunks()
    columns = [pc.cast(rows.column(place), pa.string()).fill_null("") for place in order]
    twice = [pc.equal(column[1:], column[:-1]) for column in columns]
    assert not pc.any(reduce(pc.and_, twice)).as_py(), f"{name}: a row is there twice"
    return rows


def assert_same(one: Platform, other: Platform, users: int) -> None:
    """Both projects hold the same rows, each once, and the same bytes in the same cells, of users 0 to `users` - 1."""
    names = [name for name in one.offline.tables() if name.startswith(TABLES)]
    assert names == [name for name in other.offline.tables() if name.startswith(TABLES)]
    for name in names:
        here, there = table(one, name), table(other, name)
        assert here.num_rows == there.num_rows, name
        assert here.select(there.column_names).equals(there), name
    keys = int_keys(users)
    held, wanted = cells(one, keys), cells(other, keys)
    assert len(wanted) > users
    assert {cell[:5] for cell in held} == {cell[:5] for cell in wanted}
    assert held == wanted
    assert marks(one) == marks(other)


def published(platform: Platform, topic: str) -> int:
    """Records in a topic."""
    return sum(platform.broker.ends(topic).values())


def taken(platform: Platform, source: str) -> int:
    """Records of a source's topic that the offline store has, as events or as dead letters without a view."""
    dead = f"dead_letters/{source}"
    lanes = [platform.offline.read(f"events/{source}", ["_lane"]).column(0)]
    if platform.offline.exists(dead):
        letters = platform.offline.read(dead, ["_lane", "view"])
        lanes.append(letters.filter(pc.is_null(letters.column("view"))).column("_lane"))
    counts = [each for some in lanes for each in pc.value_counts(some).to_pylist()]
    return sum(each["counts"] for each in counts if Lane.parse(each["values"]).kind == "topic")


def online_file(folder: Path) -> Path:
    """The online store's file of a project with the default settings."""
    return folder / "store" / "online.db"
