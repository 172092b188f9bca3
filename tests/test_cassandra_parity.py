"""Parity over Cassandra: cases of `tests.test_parity` whose cells lie in a real cluster, with the bytes of SQLite's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.dev.cassandra import Cassandra
from tests.test_parity import FIRST, SIZE, WAYS, prove

CASES = int(os.environ.get("TWINBEAM_CASSANDRA_CASES", str(15 * SIZE)))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_over_cassandra_everything_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cassandra: Cassandra, keyspace: str, seed: int
) -> None:
    cluster = {"hosts": cassandra.hosts, "keyspace": keyspace, "commit_log_window": "200ms"}
    prove(seed, tmp_path, monkeypatch, WAYS, {"cassandra": cluster})
