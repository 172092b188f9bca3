"""Servers for development: up, status, down by the command line; data that outlives a kill; nothing left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Cluster, Session
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipelines.commands.main import main
from pipelines.dev import artifacts
from pipelines.dev.cassandra import Cassandra
from pipelines.dev.kafka import Kafka
from pipelines.dev.server import PID, Server, answers, ports
from pipelines.dev.stack import Stack, end_all
from pipelines.settings import Settings
from schemas.errors import ServerError
from tests.servers import Servers, require_servers

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.long]

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "pipelines.commands.main"]
PATIENCE = 120.0
MESSAGES = 500
ROWS = 200
COMMIT_LOG_SECONDS = 1.0


def ends(pid: int) -> bool:
    """Whether a process that is no child of ours ends within our patience."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def send(servers: str, topic: str, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE)
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    for number in range(count):
        producer.produce(topic, str(number).encode())
    assert producer.flush(PATIENCE) == 0


def received(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        messages = consumer.consume(count, PATIENCE)
    finally:
        consumer.close()
    return [value for message in messages if (value := message.value()) is not None]


@pytest.fixture
def folder(servers: Servers) -> Iterator[Path]:
    """Folder of servers that the test starts; none of them outlives it."""
    made = servers.own_folder("dev")
    yield made
    end_all(made)


class Table:
    """A table of numbers in a Cassandra."""

    def __init__(self, hosts: str) -> None:
        host, _, port = hosts.partition(":")
        self._cluster = Cluster(
            [host],
            port=int(port),
            protocol_version=5,
            connect_timeout=PATIENCE,
            control_connection_timeout=PATIENCE,
        )

    def __enter__(self) -> Session:
        session = self._cluster.connect()
        session.default_timeout = PATIENCE
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE IF NOT EXISTS kept WITH replication = {replication}")
        session.execute("CREATE TABLE IF NOT EXISTS kept.numbers (n int PRIMARY KEY)")
        return session

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()


def test_up_status_and_down_by_the_command_line(
    folder: Path,
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = ["--folder", str(folder)]
    other = start([*COMMAND, "dev", "up", *place], stdout=subprocess.PIPE)
    assert main(["dev", "up", *place]) == 0
    told = capsys.readouterr().out
    assert other.communicate(timeout=PATIENCE)[0] == told
    assert other.returncode == 0
    lines = tomllib.loads(told.partition("\n\n")[2].partition("\n\n")[2])
    settings = Settings.of({"project": "shop", **lines}, tmp_path)
    assert (settings.stream.broker, settings.online.store) == ("kafka", "cassandra")
    kafka, cassandra = lines["stream"]["kafka"]["servers"], lines["online"]["cassandra"]["hosts"]
    send(kafka, "kept", MESSAGES)
    with Table(cassandra) as session:
        session.execute("INSERT INTO kept.numbers (n) VALUES (7)")
    assert main(["dev", "up", *place]) == 0
    assert capsys.readouterr().out == told
    assert main(["dev", "status", *place, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["servers"]
    assert {server["name"]: server["address"] for server in found} == {"Kafka": kafka, "Cassandra": cassandra}
    assert main(["dev", "down", *place]) == 0
    assert all(ends(server["pid"]) for server in found)
    taken = {**ports(folder / "kafka", ()), "native": int(cassandra.rpartition(":")[2])}
    assert all(free(port) for port in taken.values())
    capsys.readouterr()
    assert main(["dev", "status", *place]) == 1
    assert capsys.readouterr().out.count("down") == 2
    assert main(["dev", "up", *place]) == 0
    assert capsys.readouterr().out.count(kafka) == 2
    assert received(kafka, "kept", MESSAGES) == [str(number).encode() for number in range(MESSAGES)]
    with Table(cassandra) as session:
        assert [row.n for row in session.execute("SELECT n FROM kept.numbers")] == [7]
    assert main(["dev", "down", *place]) == 0


def test_flink_is_in_the_stack_once_it_was_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(folder, flink=True)
    assert stack.flink is not None
    stack.flink.start()
    lines = tomllib.loads(stack.settings())
    assert lines["run"] == {"runner": "flink", "flink": {"jobmanager": stack.flink.url}}
    assert answers(stack.flink.ports["rest"])
    assert main(["dev", "status", "--folder", str(stack.folder)]) == 1
    told = {line.partition("  ")[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines()}
    assert (told["Kafka"], told["JobManager"]) == ("down", str(stack.flink.pid))
    assert main(["dev", "down", "--folder", str(stack.folder)]) == 0
    assert [status.pid for status in Stack(stack.folder).statuses()] == [None] * 4


def test_one_server_that_does_not_start_ends_the_other_and_shows_its_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", Kafka(folder / "kafka").port))
        taken.listen()
        assert main(["dev", "up", "--folder", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "Kafka did not start: it ended with exit code" in said
    assert str(folder / "kafka" / "log") in said
    assert "Address already in use" in said
    assert [status.pid for status in Stack(folder).statuses()] == [None, None]


def test_a_wrong_setting_is_told_in_the_words_of_the_server(folder: Path) -> None:
    server = Cassandra(folder, settings={"no_such_setting": 1})
    with pytest.raises(ServerError, match=r"Cassandra did not start: it ended .*(\n.*)*no_such_setting"):
        server.start()
    assert server.pid is None


def test_a_killed_kafka_comes_back_with_every_message(own_kafka: Callable[..., Kafka]) -> None:
    kafka = own_kafka()
    address, pid = kafka.servers, kafka.pid
    send(address, "kept", MESSAGES)
    kafka.kill()
    assert pid is not None
    assert ends(pid)
    kafka.start()
    assert kafka.pid != pid
    assert kafka.servers == address
    assert received(address, "kept", MESSAGES) == [str(number).encode() for number in range(MESSAGES)]


def test_a_killed_cassandra_comes_back_with_what_its_commit_log_had(own_cassandra: Callable[..., Cassandra]) -> None:
    cassandra = own_cassandra()
    address = cassandra.hosts
    with Table(address) as session:
        for number in range(ROWS):
            session.execute("INSERT INTO kept.numbers (n) VALUES (%s)", (number,))
        time.sleep(COMMIT_LOG_SECONDS)
        cassandra.kill()
    cassandra.start()
    assert cassandra.hosts == address
    with Table(address) as session:
        assert sorted(row.n for row in session.execute("SELECT n FROM kept.numbers")) == list(range(ROWS))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dev"], "what to do is missing"),
        (["dev", "upp"], "Did you mean 'up'"),
        (["dev", "down", "--json"], "unknown option --json"),
        (["dev", "status", "--folder", "nowhere"], "holds no servers"),
    ],
)
def test_a_wrong_call_is_told(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    assert said in capsys.readouterr().err


def test_down_where_nothing_is_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dev", "down", "--folder", str(tmp_path / "none")]) == 0
    assert "nothing runs" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def sleeper(folder: Path, code: str = "") -> tuple[Server, list[str]]:
    """A server that is ready when it says so, and sleeps."""
    program = f"import signal, subprocess, sys, time\n{code}\nprint('up', flush=True)\ntime.sleep(600)"
    return Server("Sleeper", folder, lambda logged: "up" in logged), [sys.executable, "-c", program]


def test_a_server_that_does_not_hear_is_killed(tmp_path: Path) -> None:
    server, command = sleeper(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    server.start(command)
    assert server.pid is not None
    server.stop(seconds=0.2)
    assert server.pid is None


def test_a_killed_server_takes_its_children_along(tmp_path: Path) -> None:
    code = "print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    server, command = sleeper(tmp_path, code)
    server.start(command)
    server.kill()
    assert ends(int((tmp_path / "log").read_text().split()[0]))


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    server = Server("Sleeper", tmp_path, lambda logged: False)
    with pytest.raises(ServerError, match=r"is not ready after 1 s.*\nso far"):
        server.start([sys.executable, "-c", "import time; print('so far', flush=True); time.sleep(600)"], seconds=1.0)
    assert server.pid is None


def test_what_an_earlier_start_logged_does_not_count(tmp_path: Path) -> None:
    server, command = sleeper(tmp_path)
    server.start(command)
    server.kill()
    with pytest.raises(ServerError, match="ended with exit code 3"):
        server.start([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_process_that_got_the_number_of_a_server_is_left_alone(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    other = start(["sleep", "600"])
    (tmp_path / PID).write_text(f"{other.pid} 1")
    server, _ = sleeper(tmp_path)
    server.stop()
    server.kill()
    assert other.poll() is None


def test_a_folder_keeps_its_ports(tmp_path: Path) -> None:
    chosen = ports(tmp_path / "one", ("a", "b"))
    assert ports(tmp_path / "one", ("a", "b")) == chosen
    assert len(set(chosen.values())) == 2


RUN = """
import os, signal, sys
from pathlib import Path
from pipelines.dev.server import Server
from tests.servers import Servers
servers = Servers(Path(sys.argv[1]), None)
server = Server("Sleeper", servers.own_folder("own"), lambda logged: True)
server.start(["sleep", "600"])
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


SHARE = """
import sys
from pathlib import Path
from pipelines.dev.server import Server
from tests.servers import Servers
class Sleeper:
    def __init__(self, folder):
        self.server = Server("Sleeper", folder, lambda logged: True)
    pid = property(lambda self: self.server.pid)
    def start(self):
        self.server.start(["sleep", "600"])
servers = Servers(Path(sys.argv[1]), None)
print(servers.shared("sleeper", Sleeper).pid, flush=True)
sys.stdin.read()
"""


def test_the_processes_of_a_test_run_share_a_server_until_the_last_is_gone(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    require_servers()
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-c", SHARE, str(folder)]
    users = [start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    found = {int(user.stdout.readline()) for user in users if user.stdout}
    assert len(found) == 1
    for user in users[:2]:
        user.communicate(timeout=PATIENCE)
    server = found.pop()
    os.kill(server, 0)
    assert folder.exists()
    users[2].kill()
    assert ends(server)


def test_servers_of_a_killed_test_run_are_ended(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    require_servers()
    folder = tmp_path / "run"
    folder.mkdir()
    run = start([sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)
    out, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == -signal.SIGKILL
    assert ends(int(out))
    deadline = time.monotonic() + PATIENCE
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_pom_that_maven_does_not_take_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_servers()
    monkeypatch.delenv("JDK_JAVA_OPTIONS", raising=False)  # Java tells of it, and what is told is cut to some lines
    monkeypatch.setenv(artifacts.CACHE, str(tmp_path / "cache"))
    pom = tmp_path / "wrong.xml"
    pom.write_text("<project>")
    with pytest.raises(ServerError, match=r"Maven cannot get the jars of wrong.xml(.*\n)*.*wrong.xml"):
        artifacts.resolve(pom)
    assert [path.suffix for path in (tmp_path / "cache" / "twinbeam" / "jars").iterdir()] == [".lock"]


def test_java_of_another_place_or_age_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = artifacts.java.__wrapped__
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ServerError, match=r"need Java 17, and .JAVA_HOME .* has none"):
        asked()
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2020' >&2\n")
    java.chmod(0o755)
    with pytest.raises(ServerError, match="is Java 11: name another"):
        asked()


def test_a_machine_without_java_skips_tests_of_servers_but_not_under_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    artifacts.java.cache_clear()
    try:
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception, match="need Java 17"):
            require_servers()
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="need Java 17"):
            require_servers()
    finally:
        artifacts.java.cache_clear()
