"""Cassandra for development and tests: one node, from Maven artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.dev.artifacts import java, resolve
from pipelines.dev.server import Server, answers, ports

POM = Path(__file__).with_name("cassandra_pom.xml")
OPTIONS = Path(__file__).with_name("cassandra.options")
LOGBACK = Path(__file__).with_name("cassandra_logback.xml")
HEAP = "512m"
READY = "Starting listening for CQL clients"
DATACENTER = "datacenter1"
COMMIT_LOG_WINDOW = "1s"
"""Covers twice the period of the commit log below: the setting of the same name of `[online.cassandra]`."""

BATCH = 32_768
"""Bytes of one request that the thresholds below allow without a warning: `batch` of `[online.cassandra]`."""

# What makes one node a cluster; docker-compose.yml has the same.
SETTINGS: Mapping[str, Any] = {
    "cluster_name": "twinbeam",
    "num_tokens": 1,
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "SimpleSnitch",
    "auto_bootstrap": False,
    "auto_snapshot": False,
    "commitlog_sync": "periodic",
    "commitlog_sync_period": "500ms",
    "concurrent_reads": 8,
    "concurrent_writes": 16,
    "batch_size_warn_threshold": "128KiB",
    "batch_size_fail_threshold": "4MiB",
    "unlogged_batch_across_partitions_warn_threshold": 1000,
    # Else a time to live that ends past 2038 is refused.
    "storage_compatibility_mode": "NONE",
    "memtable": {
        "configurations": {
            "skiplist": {"class_name": "SkipListMemtable"},
            "trie": {"class_name": "TrieMemtable"},
            "default": {"inherits": "trie"},
        }
    },
}


class Cassandra:
    """One node of Cassandra in a folder, on the ports that the folder got first.

    Args:
        folder: holds its data, settings and log.
        heap: greatest size of its heap.
        settings: further settings of cassandra.yaml.
    """

    def __init__(self, folder: Path, heap: str = HEAP, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder.absolute()
        self._heap = heap
        self._settings = dict(settings or {})
        self._server = Server("Cassandra", self.folder, self._ready)

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._server.pid

    @property
    def port(self) -> int:
        """Port that clients use."""
        return ports(self.folder, ("clients", "storage"))["clients"]

    @property
    def hosts(self) -> str:
        """Address, as `[online.cassandra] hosts` names it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, unless it runs, and returns when it takes requests.

        Raises:
            ServerError: it did not start.
        """
        if self.pid is None:
            self._server.start(self._command())

    def stop(self) -> None:
        """Ends it in order."""
        self._server.stop()

    def kill(self) -> None:
        """Kills it (SIGKILL); a later start has the same ports and data."""
        self._server.kill()

    def _ready(self, logged: str) -> bool:
        return READY in logged and answers(self.port)

    def addresses(self) -> dict[str, Any]:
        """Settings of cassandra.yaml that say where it listens and where its data lies."""
        chosen, data = ports(self.folder, ("clients", "storage")), self.folder / "data"
        seeds = {
            "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
            "parameters": [{"seeds": f"127.0.0.1:{chosen['storage']}"}],
        }
        return {
            "seed_provider": [seeds],
            "listen_address": "127.0.0.1",
            "storage_port": chosen["storage"],
            "rpc_address": "127.0.0.1",
            "native_transport_port": chosen["clients"],
            "data_file_directories": [str(data / "data")],
            **{f"{kind}_directory": str(data / kind) for kind in ("commitlog", "saved_caches", "hints", "cdc_raw")},
        }

    def _command(self) -> list[str]:
        settings = {**SETTINGS, **self.addresses(), **self._settings}
        where = self.folder / "cassandra.yaml"
        where.touch(mode=0o600)
        # JSON is YAML.
        where.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        jars = resolve(POM)
        agent = next(iter(jars.glob("jamm-*.jar")))
        return [
            java(),
            f"@{OPTIONS}",
            f"-Xms{self._heap}",
            f"-Xmx{self._heap}",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            f"-javaagent:{agent}",
            f"-Dcassandra.config=file://{where}",
            f"-Dlogback.configurationFile={LOGBACK}",
            f"-Dcassandra.storagedir={self.folder / 'data'}",
            "-Dcassandra-foreground=yes",
            "-Dcassandra.superuser_setup_delay_ms=0",
            "-cp",
            f"{jars}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]
