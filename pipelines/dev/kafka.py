"""Kafka for development and tests: one node, broker and controller in one process, from Maven artifacts."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.dev.artifacts import java, resolve
from pipelines.dev.server import LOG, Server, answers, ports
from schemas.errors import ServerError

POM = Path(__file__).with_name("kafka_pom.xml")
LOG4J = Path(__file__).with_name("kafka_log4j2.properties")
HEAP = "256m"
READY = "Kafka Server started"
PLAIN = "PLAINTEXT"
# What makes one node a cluster; docker-compose.yml has the same.
SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # The default, 128 MB, does not fit into the heap.
    "log.cleaner.dedupe.buffer.size": "8388608",
    # A killed broker comes back when its old session is over; a shorter one ends by itself on a busy machine.
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "500",
}


class Kafka:
    """One node of Kafka in a folder, on the ports that the folder got first.

    Args:
        folder: holds its data, settings and log.
        heap: greatest size of its heap.
        protocol: security protocol of its one listener.
        settings: further broker settings.
        format_options: further words for formatting its storage (SCRAM users).
    """

    def __init__(
        self,
        folder: Path,
        heap: str = HEAP,
        protocol: str = PLAIN,
        settings: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        self.folder = folder.absolute()
        self._heap = heap
        self._protocol = protocol
        self._settings = dict(settings or {})
        self._format_options = tuple(format_options)
        self._server = Server("Kafka", self.folder, self._ready)

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._server.pid

    @property
    def port(self) -> int:
        """Port that clients use."""
        return ports(self.folder, ("clients", "controller"))["clients"]

    @property
    def servers(self) -> str:
        """Address, as clients name their bootstrap servers."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, unless it runs, and returns when it takes requests.

        Raises:
            ServerError: it did not start.
        """
        if self.pid is None:
            command = self._command()
            self._format(command)
            self._server.start([*command, "kafka.Kafka", str(self._properties)])

    def stop(self) -> None:
        """Ends it in order."""
        self._server.stop()

    def kill(self) -> None:
        """Kills it (SIGKILL); a later start has the same ports and data."""
        self._server.kill()

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _ready(self, logged: str) -> bool:
        return READY in logged and answers(self.port)

    def _command(self) -> list[str]:
        chosen = ports(self.folder, ("clients", "controller"))
        address, controller = f"127.0.0.1:{chosen['clients']}", f"127.0.0.1:{chosen['controller']}"
        settings = {
            **SETTINGS,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{self._protocol}://{address},CONTROLLER://{controller}",
            "advertised.listeners": f"{self._protocol}://{address}",
            "inter.broker.listener.name": self._protocol,
            "listener.security.protocol.map": f"{self._protocol}:{self._protocol},CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            **self._settings,
        }
        self._properties.touch(mode=0o600)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        return [
            java(),
            f"-Xms{self._heap}",
            f"-Xmx{self._heap}",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Dlog4j2.configurationFile={LOG4J}",
            "-cp",
            f"{resolve(POM)}/*",
        ]

    def _format(self, command: Sequence[str]) -> None:
        if (self.folder / "data" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        words = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties)]
        done = subprocess.run(
            [*command, *words, *self._format_options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            (self.folder / LOG).write_text(done.stdout, encoding="utf-8")
            raise ServerError(f"Kafka's storage in {self.folder} cannot be formatted:\n{done.stdout.strip()[-2000:]}")
