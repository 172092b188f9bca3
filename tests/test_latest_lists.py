"""Lists in latest cells: opened one by one, they are what all cells opened at once have; damage is told."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.entity import Entity
from schemas.errors import StoreError
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog
from transforms.evaluate import view_rows
from transforms.latest import LatestCells, LatestFold
from transforms.latest_reads import LatestReads

TYPES = ("int64", "float64", "bool", "float32", "int8", "string", "bytes")
FIELDS = {f"l_{kind}": f"list<{kind}>" for kind in TYPES} | {"n": "int64", "s": "string"}
SOURCE = Source("s", fields={"k": "int64", "ts": "timestamp", **FIELDS}, event_time="ts", topic="s")
VIEW = FeatureView("v", entity=Entity("e", keys={"k": "int64"}), source=SOURCE, features=list(FIELDS))
CATALOG = Catalog.compile(Registry.of([VIEW]))
COMPILED = CATALOG.views["v"]
(BLOCK,) = assign_blocks(COMPILED)
READS = LatestReads(COMPILED, BLOCK, CATALOG.select("v").outputs)


def value(chance: random.Random, kind: str) -> Any:
    if chance.random() < 0.2:
        return None
    if kind == "bool":
        return chance.random() < 0.5
    if kind in ("string", "bytes"):
        text = "".join(chance.choice("aé\U0001f600\x00 ") for _ in range(chance.choice([0, 1, 5, 60])))
        return text if kind == "string" else text.encode()
    if kind == "float64":
        return chance.choice([0.0, -0.0, 1e300, float("inf"), chance.random()])
    return chance.randrange(-100, 100)


def rows(seed: int, count: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)

    def listed(kind: str) -> list[Any] | None:
        length = chance.choice([0, 1, 2, 3, 200])
        return None if chance.random() < 0.2 else [value(chance, kind) for _ in range(length)]

    made = [{"k": key, "ts": "2026-01-01T00:00:00Z", "n": key, "s": value(chance, "string")} for key in range(count)]
    return [row | {f"l_{kind}": listed(kind) for kind in TYPES} for row in made]


def blobs(seed: int, count: int) -> list[bytes]:
    batch = view_rows(COMPILED, {"s": rows(seed, count)}).combine_chunks().to_batches()[0]
    return list(LatestFold(BLOCK, COMPILED).cells(batch).blobs)


def opened(blob: bytes) -> tuple[bool, tuple[Any, ...]]:
    cells = LatestCells(BLOCK, [blob])
    found = [cells.column(name, np.zeros(1, np.int64)).to_pylist()[0] for name, _ in BLOCK.columns]
    return bool(cells.deleted[0]), tuple(found)


def test_lists_are_opened_as_they_were_kept() -> None:
    assert LatestReads.serves(BLOCK, CATALOG.select("v").outputs)
    made = blobs(5, 120)
    given = {row["k"]: row for row in rows(5, 120)}
    names = [name for name, _ in BLOCK.columns]
    for blob in made:
        begin = int.from_bytes(blob[-2:], "big")
        walked = READS._walk(blob, begin, len(blob) - 2)
        assert walked == opened(blob)
        assert walked is not None
        row = dict(zip(names, walked[1], strict=True))
        expected = {name: given[row["n"]][name] for name in names if name != "l_float32"}
        assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_told_or_reads_as_it_does_elsewhere(seed: int) -> None:
    chance = random.Random(seed)
    told = 0
    for blob in blobs(seed + 10, 40):
        for _ in range(10):
            broken = bytearray(blob)
            broken[chance.randrange(len(blob))] ^= 1 << chance.randrange(8)
            try:
                expected = repr(opened(bytes(broken)))
            except (StoreError, pa.ArrowException, IndexError):
                with pytest.raises(StoreError):
                    READS.open(bytes(broken))
                told += 1
            else:
                assert repr(READS.open(bytes(broken))) == expected
    assert told > 20
