"""Records as Kafka's client hands them over, made columns: no loop of Python runs over their fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from pipelines.envelope import RAW_SCHEMA, TIME

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True)
class Fetched:
    """What came of one partition.

    Attributes:
        place: the partition.
        records: of `RAW_SCHEMA`, offsets ascending.
    """

    place: Place
    records: pa.RecordBatch


def told(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Messages that are records, and those that tell of an end or an error."""
    signals = [message for message in messages if message.error() is not None]
    if not signals:
        return list(messages), signals
    return [message for message in messages if message.error() is None], signals


def columns(messages: Sequence[Message]) -> Iterator[Fetched]:
    """Records by partition, those of each in the order in which they came."""
    count = len(messages)
    if not count:
        return
    batch = _batch(messages)
    names: list[Any] = list(map(Message.topic, messages))
    topics = {name: number for number, name in enumerate(dict.fromkeys(names))}
    partitions = np.fromiter(map(Message.partition, messages), np.int64, count)
    codes = partitions
    if len(topics) > 1:
        codes = partitions + (np.fromiter(map(topics.__getitem__, names), np.int64, count) << 32)
    changes = np.flatnonzero(np.diff(codes)) + 1
    if not len(changes):
        yield Fetched((names[0], int(partitions[0])), batch)
        return
    if len(np.unique(codes[np.r_[0, changes]])) <= len(changes):
        order = np.argsort(codes, kind="stable")
        batch, codes = batch.take(pa.array(order)), codes[order]
        changes = np.flatnonzero(np.diff(codes)) + 1
    by_number = list(topics)
    bounds = [0, *changes.tolist(), count]
    for start, end in pairwise(bounds):
        code = int(codes[start])
        yield Fetched((by_number[code >> 32], code & 0xFFFFFFFF), batch.slice(start, end - start))


def _batch(messages: Sequence[Message]) -> pa.RecordBatch:
    count = len(messages)
    offsets = np.fromiter(map(Message.offset, messages), np.int64, count)
    times = np.fromiter(chain.from_iterable(map(Message.timestamp, messages)), np.int64, 2 * count)[1::2]
    found: list[Any] = [
        pa.array(offsets),
        pa.array(np.maximum(times, 0) * 1_000).cast(TIME),
        pa.array(list(map(Message.key, messages)), pa.binary()),
        pa.array(list(map(Message.value, messages)), pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(found, schema=RAW_SCHEMA)
