"""The parts of a job on Flink that need no cluster: its graph, its ticks, its slots, and work that begins again."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.flink.slots import dealt, key_groups, slot_keys
from pipelines.flink.submission import build
from pipelines.flink.ticks import INTERVAL, Ticks, tick
from tests.test_graph import composite, proto, reference

PATIENCE = 10 * INTERVAL


@pytest.mark.graph_only
def test_everything_past_the_reader_is_the_same_on_flink(tmp_path: Path) -> None:
    job = replace(reference(tmp_path, ("topic",)), restarts=True)
    graph = build(job, "FnApiRunner", 2, "/bin/twinbeam-worker").to_runner_api()
    assert composite(graph) == composite(proto(tmp_path, False))
    assert len(composite(graph)) == 5
    (ticks,) = [each for each in graph.components.transforms.values() if "streaming_impulse" in each.spec.urn]
    assert json.loads(ticks.spec.payload) == {"interval_ms": 50}


@pytest.mark.parametrize("parallelism", [1, 2, 3, 8, 100])
def test_every_subtask_has_a_key_of_its_own(parallelism: int) -> None:
    keys = slot_keys(parallelism)
    assert len(set(keys)) == parallelism
    assert parallelism <= key_groups(parallelism)


def test_lanes_are_dealt_evenly() -> None:
    hands = dealt(list(range(10)), 3)
    assert sorted(item for hand in hands for item in hand) == list(range(10))
    assert Counter(map(len, hands)) == {3: 2, 4: 1}


@given(st.integers(), st.integers(-(10**15), 10**15))
def test_ticks_that_waited_while_a_reader_read_are_passed_over_whatever_clocks_say(seed: int, skew: int) -> None:
    """One source whose clock is off ticks on; a poll takes longer than some ticks: only the next fresh one is taken."""
    rng, ticks, source = random.Random(seed), Ticks(), b"s" * 16
    delays: list[int] = []
    free = arrived = 0
    for number in range(200):
        left = number * INTERVAL
        delays.append(500 + rng.randrange(1000))
        arrived = max(left + delays[-1], free, arrived)
        due = ticks.due(tick(source, left + skew), arrived)
        if left >= free + 1000 or arrived - free >= PATIENCE:
            assert due
        if due and number:
            assert left + max(delays) >= free
        if due:
            free = arrived + rng.choice([1000, 5 * INTERVAL])
            ticks.done(free)


def test_a_reader_whose_source_has_put_its_clock_back_is_not_left_without_ticks() -> None:
    ticks, source, now = Ticks(), b"s" * 16, 10**9
    assert ticks.due(tick(source, now), now)
    ticks.done(now)
    taken = 0
    for step in range(1, 100):
        at = now + step * INTERVAL
        if ticks.due(tick(source, at - 3_600_000_000), at):
            taken += 1
            ticks.done(at)
    assert taken > 50
