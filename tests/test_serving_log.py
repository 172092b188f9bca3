"""Answers come back from the serving log to the bit, whoever wrote them."""

from __future__ import annotations

import datetime
import logging
import multiprocessing
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.errors import StoreError
from serving.log import HeldAnswer, Lag, LoggedAnswer, ServingLog
from serving.stores.offline import OfflineStore

NOW = 1_790_000_000_000_001
NAN = struct.unpack("<d", bytes.fromhex("010000000000f8ff"))[0]


def answer(number: int = 0, request: str = "") -> LoggedAnswer:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    values = pa.record_batch(
        [
            pa.array([number, None], pa.int64()),
            pa.array([NAN, -0.0], pa.float64()),
            pa.array([b"\x00\xff", None], pa.binary()),
            pa.array([Decimal("12345678901234567890123456789.123"), None], pa.decimal128(38, 3)),
            pa.array([[("k", [{"t": moment, "x": 1}])], []], pa.map_(pa.string(), pa.list_(_member()))),
        ],
        schema=pa.schema(
            [
                pa.field("user_id", pa.int64()),
                pa.field("v:f", pa.float64()),
                pa.field("v:b", pa.binary()),
                pa.field("v:d", pa.decimal128(38, 3)),
                pa.field("v:m", pa.map_(pa.string(), pa.list_(_member()))),
            ],
            metadata={"keys": "user_id"},
        ),
    )
    features = ("v:f", "v:b", "v:d", "v:m")
    statuses = pa.record_batch({name: ["PRESENT", "NOT_FOUND"] for name in features})
    marks = {"b1": {"purchases/topic-1/0": 2**62, "purchases/topic-1/1": 0}, "b2": {}}
    return LoggedAnswer(NOW + number, features, "0123", values, statuses, [NOW, NOW + 7], marks, request)


def _member() -> pa.DataType:
    return pa.struct([pa.field("t", pa.timestamp("us", "UTC")), pa.field("x", pa.int8())])


def bits(batch: pa.RecordBatch) -> bytes:
    return bytes(batch.serialize())


@pytest.fixture
def store(tmp_path: Path) -> OfflineStore:
    return OfflineStore(tmp_path / "offline")


def test_an_answer_comes_back_to_the_bit(store: OfflineStore) -> None:
    log = ServingLog(store)
    log.append(answer(3, "abc"))
    log.close()
    (found,) = ServingLog(store).read()
    expected = answer(3, "abc")
    assert found.answer.schema.equals(expected.answer.schema, check_metadata=True)
    assert bits(found.answer) == bits(expected.answer)
    assert bits(found.statuses) == bits(expected.statuses)
    assert (found.time, found.features, found.fingerprint) == (expected.time, expected.features, expected.fingerprint)
    assert (found.as_of, found.marks, found.request) == (expected.as_of, expected.marks, "abc")


def test_an_empty_log_reads_as_empty(store: OfflineStore) -> None:
    log = ServingLog(store)
    assert list(log.read()) == []
    log.close()
    log.close()
    assert not store.exists("served")


def test_answers_come_in_the_order_of_their_times_and_have_ids(store: OfflineStore) -> None:
    log = ServingLog(store)
    log.append(answer(5), answer(1))
    log.flush()
    log.append(answer(3))
    log.flush()
    found = list(log.read())
    assert [row.time - NOW for row in found] == [1, 3, 5]
    assert len({row.request for row in found}) == 3
    assert [row.time - NOW for row in log.read(NOW + 1, NOW + 5)] == [1, 3]
    log.close()


def test_a_background_thread_commits_after_a_while(store: OfflineStore) -> None:
    log = ServingLog(store, every=0.05)
    log.append(answer())
    assert _soon(lambda: len(list(log.read())) == 1)
    log.append(answer(1))
    assert _soon(lambda: len(list(log.read())) == 2)
    log.close()


def test_many_answers_do_not_wait(store: OfflineStore) -> None:
    log = ServingLog(store, every=3600.0, rows=10)
    for number in range(25):
        log.append(answer(number))
    assert _soon(lambda: len(list(log.read())) >= 16)  # fewer than ten wait
    log.close()
    assert len(list(log.read())) == 25


def test_an_append_does_not_wait_for_a_commit(store: OfflineStore) -> None:
    log = ServingLog(store, every=0.001, rows=1)
    with log._commit:
        rows = [answer(number) for number in range(50)]
        appends = threading.Thread(target=log.append, args=rows, daemon=True)
        appends.start()
        appends.join(20)
        assert not appends.is_alive()
        assert list(log.read()) == []
    log.close()
    assert len(list(log.read())) == 50


def test_a_large_log_is_read_piece_by_piece(store: OfflineStore) -> None:
    log = ServingLog(store, every=3600.0, rows=10**6)
    rows = [replace(answer(), time=NOW + (number * 7919) % 5_003 // 2 * 2) for number in range(12_000)]
    log.append(*rows)
    log.close()
    found = [row.time for row in log.read()]
    assert found == sorted(row.time for row in rows)
    assert len(set(found)) == 2_502


def test_a_closed_log_takes_nothing(store: OfflineStore) -> None:
    log = ServingLog(store)
    log.close()
    with pytest.raises(StoreError, match="serving log: was closed"):
        log.append(answer())


def test_answers_are_held_until_the_store_can_be_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "offline").write_text("in the way")
    log = ServingLog(OfflineStore(tmp_path / "offline"), every=0.01)
    with caplog.at_level(logging.ERROR, "twinbeam.serving"):
        log.append(answer(1))
        with pytest.raises(StoreError, match="offline/served"):
            log.flush()
        assert _soon(lambda: "held back" in caplog.text)
        log.append(answer(7), HeldAnswer(NOW + 3, 5, lambda: [answer(3)] * 2))
        assert log.lag == Lag(2 + 2 + 5, NOW + 1)
    (tmp_path / "offline").unlink()
    assert _soon(lambda: len(list(log.read())) == 4)
    assert log.lag == Lag(0, None)
    log.close()


def _log(root: str, writer: int) -> None:
    log = ServingLog(OfflineStore(root))
    for number in range(10):
        log.append(answer(number, f"{writer}-{number}"))
        log.flush()
    log.close()


def test_processes_and_threads_log_at_once(store: OfflineStore) -> None:
    fresh = multiprocessing.get_context("spawn")
    processes = [fresh.Process(target=_log, args=(store.root, writer)) for writer in range(2)]
    threads = [threading.Thread(target=_log, args=(store.root, writer)) for writer in range(2, 4)]
    workers: list[Any] = [*processes, *threads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [process.exitcode for process in processes] == [0, 0]
    found = {row.request for row in ServingLog(store).read()}
    assert found == {f"{writer}-{number}" for writer in range(4) for number in range(10)}


def _soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False
