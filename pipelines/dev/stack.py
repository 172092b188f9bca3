"""The stack of servers of one folder: Kafka and Cassandra, and Flink where asked for."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.dev.cassandra import BATCH, COMMIT_LOG_WINDOW, DATACENTER, Cassandra
from pipelines.dev.flink import Flink
from pipelines.dev.kafka import Kafka
from pipelines.dev.server import PID, stop

SETTINGS = """\
[stream]
broker = "kafka"
[stream.kafka]
servers = "{servers}"
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
datacenter = "{datacenter}"
commit_log_window = "{window}"
batch = {batch}
"""
FLINK_SETTINGS = """\
[run]
runner = "flink"
[run.flink]
jobmanager = "{url}"
"""


@dataclass(frozen=True)
class ServerStatus:
    """A server of a stack.

    Attributes:
        name: what it is.
        address: where clients find it.
        pid: its process, or None if it does not run.
    """

    name: str
    address: str
    pid: int | None


class Stack:
    """Servers in the folders of one folder.

    Args:
        folder: of the stack.
        flink: whether Flink is to be in it; it stays in it once it was.
    """

    def __init__(self, folder: Path, flink: bool = False) -> None:
        self.folder = folder.absolute()
        self.kafka = Kafka(self.folder / "kafka")
        self.cassandra = Cassandra(self.folder / "cassandra")
        home = self.folder / "flink"
        self.flink = Flink(home) if flink or home.exists() else None

    def start(self) -> None:
        """Starts those that do not run, side by side; if one does not start, those started here are ended.

        Of two processes that start the same stack at once, one waits for the other.

        Raises:
            ServerError: one did not start.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            down = [member for member in self._members() if member.pid is None or member is self.flink]
            try:
                _side_by_side([member.start for member in down])
            except BaseException:
                _side_by_side([member.stop for member in down])
                raise

    def stop(self) -> None:
        """Ends all."""
        _side_by_side([member.stop for member in self._members()])

    def statuses(self) -> list[ServerStatus]:
        """Servers, and whether they run."""
        found = [
            ServerStatus("Kafka", self.kafka.servers, self.kafka.pid),
            ServerStatus("Cassandra", self.cassandra.hosts, self.cassandra.pid),
        ]
        if self.flink:
            found += [ServerStatus(member.name, self.flink.url, member.pid) for member in self.flink.members]
        return found

    def settings(self) -> str:
        """Lines of twinbeam.toml that make a project use the stack."""
        flink = FLINK_SETTINGS.format(url=self.flink.url) if self.flink else ""
        return flink + SETTINGS.format(
            servers=self.kafka.servers,
            hosts=self.cassandra.hosts,
            datacenter=DATACENTER,
            window=COMMIT_LOG_WINDOW,
            batch=BATCH,
        )

    def _members(self) -> Sequence[Kafka | Cassandra | Flink]:
        return [self.kafka, self.cassandra, *([self.flink] if self.flink else [])]


def end_all(folder: Path) -> None:
    """Ends every server that was started in a folder or below, whatever it is."""
    _side_by_side([partial(stop, file, 5.0) for file in folder.rglob(PID)])


def _side_by_side(tasks: Sequence[Callable[[], None]]) -> None:
    """Does all tasks at once, and raises the first error when all are done."""
    if not tasks:
        return
    with ThreadPoolExecutor(len(tasks)) as pool:
        running = [pool.submit(task) for task in tasks]
    for task in running:
        task.result()
