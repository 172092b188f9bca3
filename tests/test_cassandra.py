"""Cassandra as the online store: how it is reached, what it refuses, its layout, and what is its own in reading."""

from __future__ import annotations

import pickle
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.dev.cassandra import DATACENTER, Cassandra
from pipelines.platform import Platform
from pipelines.settings import Settings
from pipelines.stores import Stores
from schemas.errors import SettingsError, StoreAway, StoreError
from serving.stores.base import SEALED, Mark, Slice
from serving.stores.cassandra import CassandraStore
from serving.stores.cassandra_access import Access, keyspace_of
from serving.stores.cassandra_reads import partition_key
from serving.stores.cassandra_row_reads import GRACE_SECONDS
from serving.stores.cassandra_schema import table_of
from serving.stores.cassandra_session import Session
from serving.stores.cassandra_writes import TOGETHER_BYTES
from serving.stores.row_reads import Asked, Wanted
from tests import kill_workers
from tests.certificates import Authority
from tests.kill_workers import Publishing, Workers, eventually
from tests.secure_servers import SecureCassandra
from tests.servers import drop_keyspaces
from transforms.cells import Cells

LANE = "purchases/topic-3f2a9c1e/0"
NOBODY = "127.0.0.1:1"
GETS = 8


@pytest.fixture
def access(cassandra: Cassandra, keyspace: str) -> Access:
    return Access((cassandra.hosts,), keyspace, window=0.0)


@pytest.fixture
def admin(cassandra: Cassandra) -> Iterator[Any]:
    session = Session(Access((cassandra.hosts,), "system"))
    yield session.driver
    session.close()


@pytest.fixture(scope="module")
def store(cassandra: Cassandra) -> Iterator[CassandraStore]:
    """One store for all tests that write under keys of their own."""
    keyspace = f"t{uuid.uuid4().hex[:12]}"
    with closing(CassandraStore(Access((cassandra.hosts,), keyspace, window=0.0))) as opened:
        opened.prepare(["user"])
        yield opened
    drop_keyspaces(cassandra, keyspace)


def cell(key: bytes, version: int, blob: bytes, tile: int = 0, block: str = "b1", lane: str = "") -> Cells:
    return Cells(block, lane, [key], np.array([tile], np.int64), np.array([version], np.int64), [blob])


def held(store: CassandraStore, key: bytes, block: str = "b1") -> list[tuple[int, bytes]]:
    found = store.read("user", [key], [Slice(block, -(2**63))])
    return sorted(zip(found.version.tolist(), found.blob, strict=True))


@pytest.mark.parametrize("value", [-1, 0, -(10**15), -(2**63) + 1, 2**63 - 1])
def test_versions_are_any_time_there_is(store: CassandraStore, value: int) -> None:
    key = uuid.uuid4().bytes
    store.write("user", [cell(key, value, b"x")])
    assert held(store, key) == [(value, b"x")]


def test_negative_times_are_in_order(store: CassandraStore) -> None:
    key = uuid.uuid4().bytes
    for version, blob in ((-5, b"old"), (-2, b"new"), (-9, b"older")):
        store.write("user", [cell(key, version, blob)])
    assert held(store, key) == [(-2, b"new")]


def test_a_version_that_cassandra_cannot_hold_is_refused(store: CassandraStore) -> None:
    with pytest.raises(StoreError, match="b1: a version of -9223372036854775808 cannot be held"):
        store.write("user", [cell(b"a", -(2**63), b"x")])


@pytest.mark.parametrize("key", [b"", bytes(65_535), bytes(65_536), b"\xff" * 200_000])
def test_keys_of_any_length_are_kept_apart(store: CassandraStore, key: bytes) -> None:
    twin = key + b"\x00"
    block = f"k{len(key)}"
    store.write("user", [cell(key, 1, b"x", block=block), cell(twin, 1, b"y", block=block)])
    found = store.read("user", [twin, key], [Slice(block, 0)])
    assert sorted(zip(found.key.tolist(), found.blob, strict=True)) == [(0, b"y"), (1, b"x")]
    assert store.current("user", block, "", [key], np.zeros(1, np.int64)) == (np.array([1]), [b"x"])


def test_what_one_writer_writes_for_an_entity_comes_and_goes_in_any_size(store: CassandraStore) -> None:
    """Below a megabyte it is one request; more is several, each below it, unless a single cell is larger."""
    key = uuid.uuid4().bytes
    for size, n in ((100, 400), (TOGETHER_BYTES // 4, 9), (3 * TOGETHER_BYTES, 2)):
        block = f"b{size}"
        tiles, versions = np.arange(n), np.full(n, 7)
        blobs = [bytes([number % 256]) * size for number in range(n)]
        store.write("user", [Cells(block, LANE, [key] * n, tiles, versions, blobs)])
        assert held(store, key, block) == sorted((7, blob) for blob in blobs)


def test_a_cell_beyond_what_a_node_takes_is_refused(store: CassandraStore) -> None:
    with pytest.raises(StoreError, match="Cassandra at "):
        store.write("user", [cell(b"large", 1, bytes(20 << 20))])
    assert held(store, b"large") == []


def test_points_are_found_by_tile_and_by_key(store: CassandraStore) -> None:
    keys = [uuid.uuid4().bytes for _ in range(40)]
    for some, tiles in ((keys, [5]), (keys[:2], list(range(40)))):
        of = [key for key in some for _ in tiles]
        at = np.array([tile for _ in some for tile in tiles])
        store.write("user", [Cells("b7", LANE, of, at, np.full(len(of), 3), of)])
        versions, blobs = store.current("user", "b7", LANE, of, at)
        assert versions.tolist() == [3] * len(of)
        assert blobs == of


def test_marks_go_out_a_window_after_their_cells(access: Access) -> None:
    window = 1.5
    watcher = CassandraStore(access)
    store = CassandraStore(replace(access, window=window))
    store.prepare(["user"])
    store.write("user", [], [Mark("b0", SEALED, 1, 0)])
    assert watcher.marks(["b0"]) == [Mark("b0", SEALED, 1, 0)], "a mark that covers no cells does not wait"
    store.write("user", [cell(b"a", 1, b"x", lane=LANE)], [Mark("b1", LANE, 2, 0)])
    assert watcher.marks(["b1"]) == []
    store.write("user", [], [Mark("b1", SEALED, 1, 0)])
    assert watcher.marks(["b1"]) == [], "a mark waits for the cells written before it"
    store.write("user", [cell(b"a", 5, b"x", lane=LANE)], [Mark("b1", LANE, 6, 0)])
    store.close()
    assert set(watcher.marks(["b1"])) == {Mark("b1", LANE, 6, 0), Mark("b1", SEALED, 1, 0)}
    watcher.close()


def test_a_reader_sees_the_seal_before_the_first_cell_goes(access: Access) -> None:
    """It is told so although it keeps seals for a moment: no cell goes before that is over."""
    with closing(CassandraStore(access)) as store:
        store.prepare(["user"])
        store.write("user", [cell(b"a", 1, b"x", 0), cell(b"a", 1, b"y", 9)], [Mark("b1", SEALED, 1, 0)])
        reader, asked = store.row_reader(), [Asked("user", [b"a"], ("b1",), [0], [0])]
        assert reader.read(asked, Wanted.SEALS).marks == {"b1": {SEALED: 1}}
        store.write("user", [], [Mark("b1", SEALED, 5, 0)])
        assert len(reader.read(asked, Wanted.SEALS).cells[0]) == 2
        assert store.expire("user", "b1", 5) == 1
        rows = reader.read(asked, Wanted.SEALS)
        assert rows.marks == {"b1": {SEALED: 5}}
        assert [row[2] for row in rows.cells[0]] == [9]
    assert GRACE_SECONDS > 0


def test_a_keyspace_of_another_layout_is_refused(access: Access, admin: Any) -> None:
    with closing(CassandraStore(access)) as store:
        store.prepare(["user"])
    note = "INSERT INTO {}.twinbeam_layout (name, layout) VALUES ('online', 99) USING TIMESTAMP 99"
    admin.execute(note.format(access.keyspace))
    with pytest.raises(StoreError, match=r"another version \(layout 99, this one reads 1\); name another keyspace"):
        CassandraStore(access)


def test_a_keyspace_of_somebody_else_is_refused(access: Access, admin: Any) -> None:
    copies = f"{{'class': 'NetworkTopologyStrategy', '{DATACENTER}': 1}}"
    admin.execute(f"CREATE KEYSPACE {access.keyspace} WITH replication = {copies}")
    with closing(CassandraStore(access)) as empty:
        assert empty.marks(["b1"]) == []
    admin.execute(f"CREATE TABLE {access.keyspace}.theirs (id int PRIMARY KEY)")
    with pytest.raises(StoreError, match="holds tables, but no store of Twinbeam; name another"):
        CassandraStore(access)


def test_writing_before_apply_says_so(access: Access) -> None:
    with closing(CassandraStore(access)) as store:
        with pytest.raises(StoreError, match="run twinbeam apply"):
            store.write("user", [cell(b"a", 1, b"x")])
        assert not store.made()
        store.prepare(["user"])
        assert store.made()
        with pytest.raises(StoreError, match="run twinbeam apply"):
            store.write("shop", [cell(b"a", 1, b"x")])


def test_a_keyspace_is_made_as_the_settings_say(access: Access, admin: Any) -> None:
    with closing(CassandraStore(replace(access, replication=((DATACENTER, 3),), consistency="ONE"))) as store:
        store.prepare(["user"])
        query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
        assert admin.execute(query, (access.keyspace,)).one()[0][DATACENTER] == "3"
        store.write("user", [cell(b"a", 1, b"x")])
    with pytest.raises(StoreAway, match=r"does not answer.*LOCAL_QUORUM"):
        CassandraStore(access)


def test_a_replication_that_names_no_data_centre_is_refused(access: Access) -> None:
    store = CassandraStore(replace(access, replication=(("nowhere", 1),)))
    with closing(store), pytest.raises(StoreError, match="nowhere"):
        store.prepare(["user"])


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"hosts": (NOBODY,)}, StoreAway, "Cassandra at 127.0.0.1:1: does not answer"),
        ({"datacenter": "datacentre1"}, SettingsError, "legal is 'datacenter1'. Did you mean 'datacenter1'?"),
        ({"keyspace": "no-good"}, SettingsError, "online.cassandra.keyspace: 'no-good' is no keyspace"),
        ({"keyspace": "k" * 49}, SettingsError, "at most 48"),
        ({"tls": True, "ca": "/nowhere.pem"}, SettingsError, "/nowhere.pem"),
    ],
)
def test_what_is_wrong_with_the_way_there_is_said(
    access: Access, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        CassandraStore(replace(access, timeout=5.0, **changes))
    assert message in str(raised.value)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again)) == (type(raised.value), str(raised.value))


def test_a_closed_store_says_so(access: Access) -> None:
    store = CassandraStore(access)
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.marks(["b1"])


def test_names_of_keyspaces_and_tables_fit() -> None:
    long = "l" * 64
    assert keyspace_of("My-shop") == "twinbeam_my_shop"
    assert len(keyspace_of(long)) == 48
    assert keyspace_of(long) != keyspace_of(long[:-1])
    assert table_of("Carrier_2") == '"cells_Carrier_2"'
    assert len(table_of(long).strip('"')) == 48
    assert table_of(long) != table_of(long[:-1] + "m")
    assert partition_key(b"a") == b"a"


def test_settings_lead_to_the_store(cassandra: Cassandra, keyspace: str, tmp_path: Path) -> None:
    cluster = {"hosts": cassandra.hosts, "keyspace": keyspace, "commit_log_window": 0, "timeout": "5s"}
    values = {"project": "p", "online": {"store": "cassandra", "cassandra": cluster}}
    stores = Stores.of(Settings.of(values, tmp_path))
    assert stores.cassandra == Access((cassandra.hosts,), keyspace, timeout=5.0, window=0.0)
    again: Stores = pickle.loads(pickle.dumps(stores))
    with closing(again.online()) as store:
        store.prepare(["user"])
        store.write("user", [cell(b"a", 1, b"x")], [Mark("b1", LANE, 2, 0)])
        assert store.marks(["b1"]) == [Mark("b1", LANE, 2, 0)]
    said = str(stores.named(StoreError("a cell is damaged: it is cut off")))
    assert keyspace in said
    assert "name another keyspace" in said


@pytest.fixture
def secured(secure_cassandra: SecureCassandra) -> Access:
    given = secure_cassandra.access
    return Access(
        (secure_cassandra.hosts,),
        f"t{uuid.uuid4().hex[:12]}",
        tls=True,
        ca=given.ca,
        user=given.user,
        password=given.password,
        window=0.0,
    )


def test_password_and_certificates_are_used(secured: Access) -> None:
    with closing(CassandraStore(secured)) as store:
        store.prepare(["user"])
        store.write("user", [cell(b"a", 1, b"x")], [Mark("b1", LANE, 2, 0)])
        assert held(store, b"a") == [(1, b"x")]
    assert secured.password is not None
    assert secured.password not in repr(secured)


def test_who_may_not_in_is_told_why(secured: Access, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"password": "wrong"}, f"user {secured.user!r} is refused; check [online.cassandra] user"),
        ({"user": None, "password": None}, "a user and password are asked for"),
        ({"ca": None}, "its certificate is not trusted"),
        ({"ca": str(Authority(tmp_path).ca)}, "its certificate is not trusted"),
        ({"tls": False}, "if it wants TLS, set [online.cassandra] security"),
    ]
    for changes, message in cases:
        with pytest.raises(StoreError) as raised:
            CassandraStore(replace(secured, timeout=5.0, **changes))
        assert message in str(raised.value), changes
        assert secured.password is not None
        assert secured.password not in str(raised.value)


DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64"}, event_time="ts",
    topic="buys", encoding="json")
totals = FeatureView("totals", entity=user, source=buys, features=[agg.sum("price", over="30d"), agg.count()])
newest = FeatureView("newest", entity=user, source=buys, features=[latest("price")])
"""


def test_answers_of_many_keys_read_beside_a_stream_are_given_again_by_the_audit(
    cassandra: Cassandra, keyspace: str, project: Callable[..., Path]
) -> None:
    """Keys of one answer are read at different moments; each is logged with what had been folded of its own."""
    settings = f"""
[online]
store = "cassandra"
[online.cassandra]
hosts = "{cassandra.hosts}"
keyspace = "{keyspace}"
commit_log_window = "1s"
[run]
flush = "100ms"
[sources.buys]
partitions = 2
"""
    folder = project("shop", DEFINITIONS, settings)
    begin, users = datetime(2025, 3, 1, tzinfo=UTC), list(range(40))
    events = ({"user_id": n % 40, "ts": begin + timedelta(seconds=n), "price": 0.1 * n} for n in count())
    with Platform.open(folder) as platform, Workers() as workers:
        platform.apply()
        with Publishing(platform, random.Random(1), events, pause=0.01):
            stream = workers.start(kill_workers.stream, folder)
            eventually(lambda: platform.get("totals", {"user_id": 1}, now="latest").to_dict()["totals:count"] != [0])
            for _ in range(GETS):
                platform.get(["totals", "newest"], {"user_id": users}, now="latest")
        workers.end(stream)
        report = platform.audit()
    assert report.mismatches == ()
    assert report.waiting == 0
    assert report.values >= GETS * len(users) * 3
