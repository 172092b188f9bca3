"""Flink for development and tests: a session cluster, each of its processes to be started and killed by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from pipelines.dev.artifacts import java, resolve
from pipelines.dev.server import Server, answers, ports
from pipelines.flink.launcher import OPENS, POM

JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
REGISTERED = "Successful registration at resource manager"
LOG_FORMAT = "%1$tF %1$tT %4$s %3$s %5$s%6$s%n"
# What a job of ours wants of its cluster; docker-compose.yml has the same.
SETTINGS: Mapping[str, str] = {
    "heartbeat.interval": "1000",
    "heartbeat.timeout": "6000",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "2147483647",
    "restart-strategy.fixed-delay.delay": "1s",
    "classloader.resolve-order": "parent-first",
    "state.checkpoints.num-retained": "2",
    "taskmanager.numberOfTaskSlots": "1",
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.task.heap.size": "192mb",
    "taskmanager.memory.task.off-heap.size": "64mb",
    "taskmanager.memory.framework.heap.size": "128mb",
    "taskmanager.memory.framework.off-heap.size": "64mb",
    "taskmanager.memory.network.min": "32mb",
    "taskmanager.memory.network.max": "32mb",
    "taskmanager.memory.managed.size": "32mb",
    "taskmanager.memory.jvm-metaspace.size": "192mb",
    "taskmanager.memory.jvm-overhead.min": "192mb",
    "taskmanager.memory.jvm-overhead.max": "192mb",
    "jobmanager.memory.process.size": "700mb",
}
MANAGER_HEAP = "192m"
TASK_HEAP = "320m"
OPTIONS = [
    "-XX:MaxDirectMemorySize=160m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    *OPENS,
    f"-Djava.util.logging.SimpleFormatter.format={LOG_FORMAT}",
]


class Flink:
    """A session cluster in a folder: a JobManager and some TaskManagers of one slot each, on its own ports.

    Args:
        folder: holds its settings, logs and checkpoints.
        task_managers: how many there are.
    """

    def __init__(self, folder: Path, task_managers: int = 1) -> None:
        self.folder = folder.absolute()
        self.job_manager = _Process("JobManager", self, JOB_MANAGER, MANAGER_HEAP)
        self.task_managers = [
            _Process(f"TaskManager {number}", self, TASK_MANAGER, TASK_HEAP) for number in range(1, task_managers + 1)
        ]

    @property
    def pid(self) -> int | None:
        """Process id of the JobManager while it runs, else None."""
        return self.job_manager.pid

    @property
    def url(self) -> str:
        """Address of the JobManager, as jobs are submitted to it."""
        return f"http://127.0.0.1:{self.ports['rest']}"

    @property
    def ports(self) -> Mapping[str, int]:
        """Ports of the JobManager."""
        return ports(self.folder, ("rest", "rpc"))

    @property
    def members(self) -> list[_Process]:
        """JobManager and TaskManagers."""
        return [self.job_manager, *self.task_managers]

    def start(self) -> None:
        """Starts what does not run, and returns when all TaskManagers have their JobManager.

        Raises:
            ServerError: one did not start.
        """
        for member in self.members:
            member.start()

    def stop(self) -> None:
        """Ends it in order, the TaskManagers first."""
        for member in reversed(self.members):
            member.stop()

    def kill(self) -> None:
        """Kills all of it (SIGKILL), the workers too."""
        for member in self.members:
            member.kill()

    def configure(self) -> Path:
        """Writes the settings; the folder that they are in."""
        settings = {
            **SETTINGS,
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": str(self.ports["rpc"]),
            "jobmanager.bind-host": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": str(self.ports["rest"]),
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "state.checkpoints.dir": (self.folder / "checkpoints").as_uri(),
            "io.tmp.dirs": str(self.folder / "tmp"),
        }
        folder = self.folder / "conf"
        folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        scratch = folder / f"config.yaml.{os.getpid()}"
        scratch.write_text("".join(f'{key}: "{value}"\n' for key, value in settings.items()), encoding="utf-8")
        scratch.replace(folder / "config.yaml")
        return folder


class _Process:
    """One process of a cluster."""

    def __init__(self, name: str, cluster: Flink, entry: str, heap: str) -> None:
        self.name, self._cluster, self._entry, self._heap = name, cluster, entry, heap
        folder = cluster.folder / name.lower().replace(" ", "-")
        self._server = Server(f"Flink's {name}", folder, self._ready)

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._server.pid

    @property
    def log(self) -> Path:
        """Its log, with that of its workers."""
        return self._server.folder / "log"

    def start(self) -> None:
        """Starts it, unless it runs, and returns when it is ready; a TaskManager is when it has its JobManager."""
        if self.pid is None:
            self._server.start(self._command())

    def stop(self) -> None:
        """Ends it in order."""
        self._server.stop()

    def kill(self) -> None:
        """Kills it (SIGKILL) with its workers."""
        self._server.kill()

    def strike(self) -> None:
        """Kills it (SIGKILL) and nothing else: its workers learn of it by themselves."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)
            while self.pid is not None:
                os.sched_yield()

    def _ready(self, logged: str) -> bool:
        if self._entry == JOB_MANAGER:
            return answers(self._cluster.ports["rest"]) and answers(self._cluster.ports["rpc"])
        return REGISTERED in logged

    def _command(self) -> list[str]:
        return [
            java(),
            f"-Xmx{self._heap}",
            *OPTIONS,
            f"-Djava.io.tmpdir={self._cluster.folder / 'tmp'}",
            "-cp",
            f"{resolve(POM)}/*",
            self._entry,
            "--configDir",
            str(self._cluster.configure()),
        ]
