"""The short ways of reads lead where the long ways lead: bytes, keys, cells, newest rows and rounding."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dev.cassandra import Cassandra
from schemas.entity import Entity
from schemas.errors import StoreError
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from schemas.state import Block
from schemas.types import parse_type, type_text
from serving.stores.base import SEALED, Mark
from serving.stores.cassandra import CassandraStore
from serving.stores.cassandra_access import Access
from serving.stores.row_reads import Asked, SnapshotRows, Wanted
from serving.stores.sqlite import SqliteStore
from tests import folding
from tests.servers import drop_keyspaces
from transforms.accumulators.base import Accumulator, Inputs
from transforms.accumulators.build import accumulator
from transforms.accumulators.gathered import gather
from transforms.accumulators.spans import Spans
from transforms.accumulators.sums import FEW
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog
from transforms.cell_spans import open_spans
from transforms.cells import SPAN, Cells, close_cells, open_cells
from transforms.entity_keys import compile_keys
from transforms.keys import encode_keys
from transforms.latest import LatestCells, LatestFold
from transforms.latest_reads import LatestReads
from transforms.order import Order
from transforms.plain_keys import key_encoder, plain_columns
from transforms.view import CompiledView

OPERATIONS = ("count", "sum", "mean", "min", "max", "variance")
TYPES = ("float64", "float32", "int64", "int8", "decimal(38,10)")


def states_of(operation: Accumulator, parts: list[list[Any]], kind: pa.DataType) -> Any:
    """A state of each list of values."""
    values = pa.array([value for part in parts for value in part], kind)
    groups = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    none = np.zeros(len(values), np.int64)
    order = Order(none, none, none, none, (b"",), np.arange(len(values)), none)
    return operation.fold(Inputs((values,), None, order), groups, len(parts))


def apart(blobs: list[bytes]) -> Spans:
    """Spans of byte strings that lie apart, in another order."""
    offsets = [0, *accumulate(len(blob) + 3 for blob in reversed(blobs))]
    data = b"".join(blob + b"\xff\x01\x80" for blob in reversed(blobs)) + bytes(16)
    starts = np.array(offsets[:-1][::-1], np.int64)
    return Spans(np.frombuffer(data, np.uint8), starts, starts + np.array([len(blob) for blob in blobs], np.int64))


@pytest.mark.parametrize("text", TYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_gathering_is_decoding_and_merging(operation: str, text: str, data: st.DataObject) -> None:
    made = accumulator(folding.spec(operation, {"x": text}))
    value = st.none() | folding.NUMBERS[text]
    if text == "float64" and data.draw(st.booleans(), label="money"):
        value = st.none() | st.integers(-(10**6), 10**6).map(lambda cents: cents / 100)
    size = st.sampled_from([1, 1, 2, 200])
    parts = [[data.draw(value)] * data.draw(size) for _ in range(data.draw(st.integers(1, 12), label="states"))]
    states = states_of(made, parts, parse_type(text))
    blobs = made.encode(states)
    firsts = sorted({0, *data.draw(st.sets(st.integers(0, len(parts) - 1)), label="firsts")})
    groups = np.searchsorted(firsts, np.arange(len(parts)), side="right") - 1
    expected = made.merge(made.decode(blobs), groups, len(firsts))
    for spans in (Spans.of(blobs), apart(blobs.to_pylist())):
        found = gather(made, spans, np.array(firsts, np.int64))
        assert made.encode(found).to_pylist() == made.encode(expected).to_pylist()
        assert made.finish(found).values.equals(made.finish(expected).values) or operation != "count"


@pytest.mark.parametrize("operation", ["sum", "mean"])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(), min_size=1, max_size=4), min_size=1, max_size=5))
def test_few_quotients_round_as_many_do(operation: str, parts: list[list[float]]) -> None:
    made = accumulator(folding.spec(operation, {"x": "float64"}))
    states = states_of(made, parts, pa.float64())
    many = made.take(states, np.arange(FEW + 1) % len(parts))
    few, long = made.finish(states).values.to_numpy(), made.finish(many).values.to_numpy()[: len(parts)]
    assert few.view(np.int64).tolist() == long.view(np.int64).tolist()


def test_damaged_states_are_refused_whatever_the_way() -> None:
    made = accumulator(folding.spec("count", {"x": "float64"}))
    (good,) = made.encode(np.array([5])).to_pylist()
    for bad in (b"\x02" + good[1:], good[:-1] + b"\x85", good + b"\x01", b"\x01\x02\x05"):
        with pytest.raises(StoreError, match="state"):
            gather(made, apart([good, bad]), np.zeros(1, np.int64))


TILES = st.dictionaries(
    st.integers(0, SPAN - 1), st.binary(max_size=30) | st.sampled_from([bytes(65_535), bytes(65_536)]), min_size=1
)


@given(st.lists(TILES, min_size=1, max_size=6))
def test_cells_are_opened_where_they_lie(cells: list[dict[int, bytes]]) -> None:
    owners = np.asarray([number for number, cell in enumerate(cells) for _ in cell], np.int64)
    slots = np.asarray([slot for cell in cells for slot in sorted(cell)], np.int64)
    tiles = pa.array([cell[slot] for cell in cells for slot in sorted(cell)], pa.binary())
    blobs = close_cells(owners, slots, tiles, len(cells))
    for expected, found in zip(open_cells(blobs)[:2], open_spans(blobs)[:2], strict=True):
        assert expected.tolist() == found.tolist()
    assert open_spans(blobs)[2].blobs().to_pylist() == tiles.to_pylist()


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 9, 12])
def test_a_cell_that_is_cut_off_is_refused(cut: int) -> None:
    tiles = pa.array([b"abcdef", b"gh"], pa.binary())
    (whole,) = close_cells(np.zeros(2, np.int64), np.array([2, 5]), tiles, 1)
    for blobs in ([whole[:cut]], [whole, whole[:cut]], [whole[:cut], whole]):
        with pytest.raises(StoreError, match="cell"):
            open_spans(blobs)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.text(st.characters(exclude_categories=["Cs"]))
        ),
        max_size=5,
    )
)
def test_plain_keys_are_the_keys_of_cells(rows: list[tuple[int | None, str | None]]) -> None:
    columns: dict[str, list[Any]] = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    for kinds in ({"a": "int64"}, {"b": "string"}, {"a": "int64", "b": "string"}):
        keys = compile_keys(Entity("e", keys=kinds))
        encode = key_encoder(keys, [(name, name) for name in kinds])
        arrow = [pa.array(columns[name], parse_type(text)) for name, text in kinds.items()]
        assert encode(columns) == encode_keys(arrow).to_pylist()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *[("int8", [128]), ("int8", [-129]), ("int64", [True]), ("int64", [1.0]), ("string", ["\ud800"])],
        *[("int64", [2**63]), ("date", [1]), ("bool", [True]), ("string", [1]), ("string", [b"a"])],
    ],
)
def test_keys_that_are_not_plain_go_the_long_way(kind: str, values: list[Any]) -> None:
    keys = compile_keys(Entity("e", keys={"a": kind}))
    assert key_encoder(keys, [("a", "a")])({"a": values}) is None


def test_plain_columns_are_copies_of_exactly_the_columns_asked_for() -> None:
    names = ("a", "b")
    assert plain_columns({"a": [1, 2], "b": "x"}, names) == {"a": [1, 2], "b": ["x", "x"]}
    assert plain_columns({"b": "x", "a": 1}, names) == {"b": ["x"], "a": [1]}
    assert plain_columns([{"a": 1, "b": None}], names) == {"a": [1], "b": [None]}
    given_list = [1, 2]
    columns = plain_columns({"a": given_list}, ("a",))
    given_list.append(3)
    assert columns == {"a": [1, 2]}
    refused: list[Any] = [{"a": 1}, {"a": 1, "c": 1}, {"a": [1], "b": [1, 2]}, [{"a": 1}], [], 7, {"a": 1.5, "b": 1}]
    for other in refused:
        assert plain_columns(other, names) is None


PLAIN = ("bool", "int8", "int32", "int64", "float32", "float64", "string", "bytes")


@cache
def compiled_latest(kinds: tuple[str, ...], ties: str) -> tuple[Block, CompiledView, LatestReads]:
    """A view of latest features of some types, its block, and how they are read."""
    fields = {f"c{number}": kind for number, kind in enumerate(kinds)}
    source = Source("s", fields={"k": "int64", "ts": "timestamp(us)", **fields}, event_time="ts", topic="s")
    view = FeatureView("v", entity=Entity("e", keys={"k": "int64"}), source=source, features=list(fields), ties=ties)
    catalog = Catalog.compile(Registry.of([view]))
    (block,) = assign_blocks(catalog.views["v"])
    return block, catalog.views["v"], LatestReads(catalog.views["v"], block, catalog.select("v").outputs)


@pytest.mark.parametrize("kinds", [PLAIN, ("float64", "int64", "float32"), ("int8",), ("string",)])
@pytest.mark.parametrize("ties", ["last", "first"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_newest_rows_are_read_alike(kinds: tuple[str, ...], ties: str, data: st.DataObject) -> None:
    block, compiled, reads = compiled_latest(kinds, ties)
    columns: dict[str, Any] = {"k": pa.array([1], pa.int64())}
    for number, kind in enumerate(kinds):
        value = data.draw(st.none() | folding.VALUES[kind] | st.just("x" * 300 if kind == "string" else None))
        columns[f"c{number}"] = pa.array([value], parse_type(kind))
    moment = pa.array([5], pa.int64()).cast(pa.timestamp("us", "UTC"))
    columns |= {"_event_time": moment, "_sequence": pa.array([None], pa.int64()), "_lane": ["s/topic-a/0"]}
    columns |= {"_offset": pa.array([3], pa.int64()), "_part": pa.array([0], pa.int32()), "_arrival": moment}
    columns |= {"_deleted": [data.draw(st.booleans(), label="deleted")]}
    (blob,) = LatestFold(block, compiled).cells(pa.RecordBatch.from_pydict(columns)).blobs
    cells = LatestCells(block, [blob])
    deleted, values = reads.open(blob)
    assert deleted == cells.deleted[0]
    for (name, kind), value in zip(block.columns, values, strict=True):
        (expected,) = cells.column(name, np.zeros(1, np.int64)).to_pylist()
        assert folding.same(expected, value), (name, type_text(kind), expected, value)
    with pytest.raises(StoreError):
        reads.open(blob[:-4] + blob[-2:])


@pytest.fixture(scope="module", params=["sqlite", "cassandra"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqliteStore | CassandraStore]:
    """One store for all tests: each writes the same into it."""
    if request.param == "sqlite":
        with closing(SqliteStore(tmp_path_factory.mktemp("reads") / "online.db")) as opened:
            opened.prepare(["user", "shop"])
            yield opened
        return
    cassandra: Cassandra = request.getfixturevalue("cassandra")
    keyspace = f"t{uuid.uuid4().hex[:12]}"
    with closing(CassandraStore(Access((cassandra.hosts,), keyspace, window=0.0))) as made:
        made.prepare(["user", "shop"])
        yield made
    drop_keyspaces(cassandra, keyspace)


def key(number: int) -> bytes:
    return struct.pack(">Q", number)


@pytest.mark.parametrize("marks", list(Wanted))
@pytest.mark.parametrize("count", [0, 1, 3, 128, 129, 300])
def test_row_readers_read_alike(store: SqliteStore | CassandraStore, count: int, marks: Wanted) -> None:
    keys = [key(number) for number in range(0, 300, 2)]
    for lane, offset in (("s/topic-a/0", 7), ("s/topic-a/1", 3)):
        for block in ("b1", "b2"):
            for tile in (0, 100):
                n = len(keys)
                cells = Cells(block, lane, keys, np.full(n, tile), np.full(n, offset), [key(i) for i in range(n)])
                store.write("user", [cells], [Mark(block, lane, offset, tile), Mark(block, SEALED, 1, 0)])
    asked = [
        Asked("user", [key(number) for number in range(count)], ("b1", "none", "b2"), [0, 0, 100], [50, 50, 50]),
        Asked("shop", [key(1)], ("b1",), [0], [50]),
        Asked("nowhere", [key(1)], ("b2",), [0], [50]),
    ]
    blocks = (*(f"none{number}" for number in range(20)), "b1", "b2")
    wide = [Asked("user", [key(number) for number in range(2, 2 + count)], blocks, [0] * 22, [50] * 22)]
    for parts in (asked, asked[:1], asked[:1], asked[2:], wide):
        own, general = store.row_reader().read(parts, marks), SnapshotRows(store).read(parts, marks)
        assert own.marks == general.marks
        assert [sorted(named(rows, own.lanes)) for rows in own.cells] == [
            sorted(named(rows, general.lanes if marks is Wanted.ALL else {})) for rows in general.cells
        ]
        for rows in (*own.cells, *general.cells):
            assert [row[:2] for row in rows] == sorted(row[:2] for row in rows)


def named(rows: Any, lanes: Any) -> list[Any]:
    """Rows with the texts of their lanes, where those are known."""
    return [(*row[:3], lanes.get(row[3], ""), *row[4:]) for row in rows]
