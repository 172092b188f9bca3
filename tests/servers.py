"""Real servers for tests: one Kafka and one Cassandra for a whole run of tests, and others for tests that kill theirs.

They start when a test first asks. `TWINBEAM_TEST_STACK` names the folder of a running `twinbeam dev up` to use instead.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy

from pipelines.dev.artifacts import missing
from pipelines.dev.cassandra import DATACENTER, Cassandra
from pipelines.dev.flink import Flink
from pipelines.dev.kafka import Kafka
from pipelines.dev.stack import end_all
from tests.server_guardian import USERS

STACK = "TWINBEAM_TEST_STACK"
FOLDER = "twinbeam_servers_folder"
END_SECONDS = 60.0
# Servers of tests live for minutes: what the second compiler of Java costs, they never get back.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"
ROOT = Path(__file__).resolve().parent.parent


class Process(Protocol):
    @property
    def pid(self) -> int | None: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...


S = TypeVar("S", bound=Process)


class Servers:
    """The servers of one run of tests, as one of its processes sees them.

    Args:
        folder: of the run; all its processes share it.
        stack: folder of a running stack to use instead, or None.
    """

    def __init__(self, folder: Path, stack: str | None) -> None:
        self.folder = folder
        self._stack = Path(stack) if stack else None
        self._shared: dict[str, Any] = {}
        self._guardian: subprocess.Popen[bytes] | None = None
        self._users = (folder / USERS).open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def shared(self, name: str, make: Callable[[Path], S], ours: bool = False) -> S:
        """The server of the run, started by whoever asks first; `ours` is not one of a stack that runs already."""
        if name not in self._shared:
            require_servers()
            stack = None if ours else self._stack
            server = make((stack or self.folder) / name)
            if stack is None:
                self._guard()
                with (self.folder / f"{name}.lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    server.start()
            elif server.pid is None:
                pytest.fail(f"{STACK}={stack}: {name} does not run there; see `twinbeam dev status`")
            self._shared[name] = server
        found: S = self._shared[name]
        return found

    def own_folder(self, name: str) -> Path:
        """A folder for a server of one test; what runs there ends with the run at the latest."""
        require_servers()
        self._guard()
        folder = self.folder / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        return folder

    def leave(self) -> None:
        """Says that this process needs them no more."""
        self._users.close()

    def end(self) -> None:
        """Waits until all that the run has started is ended."""
        guarded, end = self._guarded.exists(), time.monotonic() + END_SECONDS
        self.leave()
        while guarded and self.folder.exists() and time.monotonic() < end:
            time.sleep(0.05)
        if self.folder.exists():
            end_all(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _guarded(self) -> Path:
        return self.folder / "guarded"

    def _guard(self) -> None:
        """Starts the guardian of the run, once."""
        with (self.folder / "guardian.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._guarded.exists():
                return
            with (self.folder / "guardian.log").open("w") as log:
                self._guardian = subprocess.Popen(
                    [sys.executable, "-m", "tests.server_guardian", str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd=ROOT,
                )
            self._guarded.touch()


KEY = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("JDK_JAVA_OPTIONS", JAVA_OPTIONS)
    given = getattr(config, "workerinput", None)
    folder = Path(given[FOLDER] if given else tempfile.mkdtemp(prefix="twinbeam-servers-"))
    config.stash[KEY] = Servers(folder, os.environ.get(STACK))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[FOLDER] = str(node.config.stash[KEY].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    servers = config.stash.get(KEY, None)
    if servers is not None:
        servers.leave() if hasattr(config, "workerinput") else servers.end()


def require_servers() -> None:
    """Skips a test that needs servers where none can run; under CI that is a failure."""
    lacking = missing()
    if lacking is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    return pytestconfig.stash[KEY]


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> Kafka:
    """The Kafka of the run: a test takes topics of its own, by `topic_prefix`."""
    return servers.shared("kafka", Kafka)


@pytest.fixture(scope="session")
def cassandra(servers: Servers) -> Cassandra:
    """The Cassandra of the run: a test takes a `keyspace` of its own."""
    return servers.shared("cassandra", Cassandra)


@pytest.fixture(scope="session")
def flink(servers: Servers) -> Flink:
    """The Flink of the run, of two TaskManagers: a test ends the jobs that it submits."""
    return servers.shared("flink", lambda folder: Flink(folder, task_managers=2), ours=True)


@pytest.fixture
def topic_prefix() -> str:
    """What the names of a test's topics begin with."""
    return f"t{uuid.uuid4().hex[:12]}-"


@pytest.fixture
def keyspace(cassandra: Cassandra) -> Iterator[str]:
    """Name of a keyspace for one test, who makes it; it is dropped afterwards."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    drop_keyspaces(cassandra, name)


def drop_keyspaces(cassandra: Cassandra, beginning: str) -> None:
    """Drops the keyspaces whose names begin so."""
    host, _, port = cassandra.hosts.partition(":")
    profile = ExecutionProfile(load_balancing_policy=DCAwareRoundRobinPolicy(DATACENTER), request_timeout=60.0)
    cluster = Cluster([host], port=int(port), protocol_version=5, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    try:
        session = cluster.connect()
        for name in [name for name in cluster.metadata.keyspaces if name.startswith(beginning)]:
            session.execute(f'DROP KEYSPACE IF EXISTS "{name}"')
    finally:
        cluster.shutdown()


@pytest.fixture
def own_kafka(servers: Servers) -> Iterator[Callable[..., Kafka]]:
    """Starts Kafkas of one test, which may kill and start them again (same ports, same data)."""
    yield from _own(servers, "kafka", Kafka)


@pytest.fixture
def own_cassandra(servers: Servers) -> Iterator[Callable[..., Cassandra]]:
    """Starts Cassandras of one test, which may kill and start them again (same ports, same data)."""
    yield from _own(servers, "cassandra", Cassandra)


@pytest.fixture
def own_flink(servers: Servers) -> Iterator[Callable[..., Flink]]:
    """Starts Flink clusters of one test, whose processes it may kill and start again."""
    yield from _own(servers, "flink", Flink)


def _own(servers: Servers, name: str, make: Callable[..., S]) -> Iterator[Callable[..., S]]:
    started: list[S] = []

    def start(**options: Any) -> S:
        server = make(servers.own_folder(f"own-{name}"), **options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()
