"""Appends of many threads share transactions; each has its own offsets, and none fails for another's fault."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.brokers.group_commit import Append, GroupCommit
from schemas.errors import LaneError, StoreError

NONE: list[bytes | None] = [None]


def one(topic: str, value: bytes = b"v") -> Append:
    return Append(topic, NONE, [value], NONE, 1)


class Blocked:
    """Writes nothing until it is let; remembers what went together."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.groups: list[list[bytes]] = []

    def __call__(self, appends: Sequence[Append]) -> list[int]:
        self.begun.set()
        assert self.go.wait(60)
        if any(each.topic == "nowhere" for each in appends):
            raise LaneError("there is no topic 'nowhere'")
        if any(each.topic == "broken" for each in appends):
            raise StoreError("the disk is full")
        self.groups.append([value or b"" for each in appends for value in each.values])
        return [len(each.values) for each in appends]


def together(write: Blocked, appends: Sequence[Append], most: int = 100) -> list[object]:
    """What becomes of appends that come while another one is being written: a result, or an error."""
    commit = GroupCommit(write, most)

    def put(append: Append) -> object:
        try:
            return commit.put(append)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(len(appends) + 1) as threads:
        first = threads.submit(put, one("t", b"first"))
        assert write.begun.wait(60)
        others = []
        for number, append in enumerate(appends, 1):
            others.append(threads.submit(put, append))
            while len(commit._waiting) < number:
                pass
        write.go.set()
        assert first.result() == 1
        return [other.result() for other in others]


def test_what_waits_together_is_written_together_in_the_order_in_which_it_came() -> None:
    write = Blocked()
    assert together(write, [one("t", bytes([number])) for number in range(5)]) == [1] * 5
    assert write.groups == [[b"first"], [bytes([number]) for number in range(5)]]


def test_a_transaction_has_a_bound() -> None:
    write, many = Blocked(), Append("t", NONE * 7, [b"m"] * 7, NONE * 7, 1)
    assert together(write, [one("t"), one("t"), many, one("t")], most=3) == [1, 1, 7, 1]
    assert [len(group) for group in write.groups] == [1, 2, 7, 1]


def test_only_the_one_without_a_topic_fails() -> None:
    write = Blocked()
    found = together(write, [one("t", b"1"), one("nowhere"), one("t", b"2")])
    assert [type(each) for each in found] == [int, LaneError, int]
    assert write.groups == [[b"first"], [b"1"], [b"2"]]


def test_a_store_that_fails_fails_them_all_and_takes_the_next() -> None:
    write = Blocked()
    found = together(write, [one("t"), one("broken")])
    assert [str(each) for each in found] == ["the disk is full"] * 2
    commit = GroupCommit(write, 10)
    with pytest.raises(StoreError, match="disk is full"):
        commit.put(one("broken"))
    assert commit.put(one("t")) == 1


def test_an_interrupted_writer_leaves_the_rest_to_the_next() -> None:
    calls = []

    def write(appends: Sequence[Append]) -> list[int]:
        calls.append(len(appends))
        if len(calls) == 1:
            raise KeyboardInterrupt
        return [1] * len(appends)

    commit = GroupCommit(write, 10)
    with pytest.raises(KeyboardInterrupt):
        commit.put(one("t"))
    assert commit.put(one("t")) == 1
    assert calls == [1, 2]


def test_publishers_of_many_threads_get_their_own_offsets(tmp_path: Path) -> None:
    with closing(EmbeddedBroker(tmp_path / "log.db")) as broker:
        broker.create("t", 2)

        def publish(number: int) -> list[tuple[int, int, bytes]]:
            found = []
            for step in range(10):
                value = f"{number} {step}".encode()
                ((partition, offset),) = broker.publish("t", [str(number).encode()], [value], now=step).items()
                found.append((partition, offset, value))
            return found

        with ThreadPoolExecutor(8) as threads:
            told = [each for found in threads.map(publish, range(8)) for each in found]
        kept = []
        for partition in range(2):
            batch = broker.read("t", partition, 0, 1_000)
            values = zip(batch.column(0).to_pylist(), batch.column(3).to_pylist(), strict=True)
            kept += [(partition, offset, value) for offset, value in values]
        assert sorted(kept) == sorted(told)
        assert len(told) == 80
