"""Parity over Kafka: cases of `tests.test_parity` whose events come through topics of a real broker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.dev.kafka import Kafka
from tests.test_parity import FIRST, SIZE, prove

CASES = int(os.environ.get("TWINBEAM_KAFKA_CASES", str(20 * SIZE)))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_over_kafka_everything_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka: Kafka, topic_prefix: str, seed: int
) -> None:
    stream = {"broker": "kafka", "kafka": {"servers": kafka.servers}}
    prove(seed, tmp_path, monkeypatch, ("topic", "both"), {"prefix": topic_prefix, "stream": stream})
