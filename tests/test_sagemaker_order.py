"""Puts and deletes in any order, again and again: the fold of their rows leaves the record that the contract names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.feature_group import FeatureGroup
from schemas.registry import Registry
from schemas.state import Block
from serving.server.sagemaker.bodies import FeatureValue
from serving.server.sagemaker.events import Event, RecordEvents, Targets
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog
from transforms.evaluate import evaluate_selection, view_rows
from transforms.keys import encode_keys
from transforms.latest import LatestCells, LatestFold

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=1)
GROUP = FeatureGroup(
    {
        "FeatureGroupName": "orders",
        "RecordIdentifierFeatureName": "id",
        "EventTimeFeatureName": "at",
        "FeatureDefinitions": [
            {"FeatureName": "id", "FeatureType": "Integral"},
            {"FeatureName": "at", "FeatureType": "String"},
            {"FeatureName": "price", "FeatureType": "Integral"},
        ],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
        "OfflineStoreConfig": {},
        "Created": 1,
    },
    Path("orders.json"),
)
CATALOG = Catalog.compile(Registry.of([GROUP.view]))
VIEW = CATALOG.views["orders"]
(BLOCK,) = assign_blocks(VIEW, [])
EVENTS = RecordEvents(GROUP, 0)
BOTH, OFFLINE = Targets(True, True), Targets(False, True)
PUT, SOFT, HARD, ELSEWHERE = "put", "soft", "hard", "offline"
Operation = tuple[str, int, int, int]

operations = st.lists(
    st.tuples(st.sampled_from([PUT, PUT, PUT, SOFT, HARD, ELSEWHERE]), st.integers(0, 2), st.integers(0, 4)), max_size=9
).map(lambda drawn: [(*each, number) for number, each in enumerate(drawn)])


def arrive(asked: Sequence[Operation]) -> tuple[dict[int, int | None], list[Event]]:
    """The price of each record (None: deleted) by the contract's text alone, and the events that reach the log."""
    latest: dict[int, tuple[int, int | None]] = {}
    events = []
    for kind, key, minute, price in asked:
        time, held = (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z"), latest.get(key)
        if kind in (PUT, ELSEWHERE):
            record = [FeatureValue("id", str(key)), FeatureValue("at", time), FeatureValue("price", str(price))]
            events.append(EVENTS.put(record, BOTH if kind == PUT else OFFLINE, None, NOW))
        elif kind == HARD and held is not None and minute < held[0] + (held[1] is not None):
            continue  # 400, and no marker.
        else:
            events.append(EVENTS.delete(str(key), time, BOTH, kind == HARD, NOW))
        if kind != ELSEWHERE and (held is None or minute > held[0]):
            latest[key] = minute, price if kind == PUT else None
    return {key: price for key, (_, price) in latest.items()}, events


def folded(events: Sequence[Event], lots: Sequence[int]) -> dict[int, int | None]:
    """The same, of cells that were folded from the events in lots and joined as every online store joins them."""
    rows = view_rows(VIEW, {GROUP.source: list(events)}).combine_chunks()
    joined: dict[bytes, tuple[int, bytes]] = {}
    for lot in sorted(set(lots[: len(rows)])):
        at = [row for row in range(len(rows)) if lots[row] == lot]
        for batch in rows.take(pa.array(at, pa.int64())).to_batches():
            cells = LatestFold(BLOCK, VIEW).cells(batch)
            for key, version, blob in zip(cells.keys, cells.versions.tolist(), cells.blobs, strict=True):
                joined[key] = max(joined.get(key, (version, blob)), (version, blob))
    return {key: opened(BLOCK, joined[name][1]) for key, name in names(range(3)).items() if name in joined}


def names(keys: Sequence[int]) -> dict[int, bytes]:
    return dict(zip(keys, encode_keys([pa.array(keys, pa.int64())]).to_pylist(), strict=True))


def opened(block: Block, blob: bytes) -> int | None:
    cells = LatestCells(block, [blob])
    price: int | None = cells.column("price", np.zeros(1, np.int64)).to_pylist()[0]
    return None if cells.deleted[0] else price


def trained(events: Sequence[Event], keys: Sequence[int]) -> dict[int, Any]:
    """The same, as a training set has it."""
    spine = {"id": list(keys), "t": [NOW] * len(keys)}
    found = evaluate_selection(CATALOG, CATALOG.select("orders"), {GROUP.source: list(events)}, spine, "event", False)
    return dict(zip(keys, found.to_dict()["orders:price"], strict=True))


@settings(deadline=None, max_examples=150)
@given(operations, st.data())
def test_any_order_and_repetition_leaves_the_record_of_the_contract(
    asked: list[Operation], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(asked), max_size=4)) if asked else []
    arriving = data.draw(st.permutations([*asked, *again]))
    expected, events = arrive(arriving)
    if not events:
        return
    lots = data.draw(st.lists(st.integers(0, 3), min_size=len(events), max_size=len(events)))
    online = [row for row, event in enumerate(events) if event["online_"]]
    assert folded(events, [lots[row] for row in online]) == expected
    assert trained(events, range(3)) == dict.fromkeys(range(3)) | expected


@settings(deadline=None, max_examples=30)
@given(operations, st.randoms(use_true_random=False))
def test_where_no_two_times_are_equal_the_order_does_not_matter(asked: list[Operation], draw: Any) -> None:
    apart = {(key, minute): each for each in asked if each[0] in (PUT, SOFT) for _, key, minute, _ in [each]}
    some = list(apart.values())
    expected, events = arrive(some)
    draw.shuffle(some)
    shuffled, others = arrive(some)
    assert shuffled == expected
    if events:
        assert folded(others, [draw.randrange(3) for _ in others]) == expected
