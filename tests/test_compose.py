"""docker-compose.yml and the Dockerfile: their form, and that their settings are those of the dev servers.

No container is started, and Compose itself does not check the file: there is neither an engine nor Compose where these
tests run.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from pipelines.dev import artifacts, cassandra, flink, kafka
from pipelines.flink import launcher
from pipelines.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PINNED = re.compile(r"[a-z][\w./-]*:\d+\.\d+\.\d+[\w.-]*")
SERVERS = ("kafka", "cassandra", "jobmanager", "taskmanager", "server")
KEYS = {
    "build",
    "command",
    "configs",
    "depends_on",
    "environment",
    "healthcheck",
    "hostname",
    "image",
    "networks",
    "ports",
    "restart",
    "stop_grace_period",
    "volumes",
}
SECONDS = re.compile(r"\d+s")
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


class Strict(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that comes twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, True) for key, _ in node.value if key.value != "<<"]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key comes twice"
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, Strict.construct_yaml_map)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    found = yaml.load(text, Strict)
    assert isinstance(found, dict)
    return found


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def test_the_form_is_that_of_the_compose_specification(compose: dict[str, Any]) -> None:
    assert set(compose) == {"name", "x-twinbeam", "x-flink", "services", "networks", "volumes", "configs"}
    assert set(compose["services"]) == {*SERVERS, "stream"}
    used_volumes, used_configs = set(), set()
    for name, service in compose["services"].items():
        assert set(service) <= KEYS, name
        assert service["networks"] == list(compose["networks"])
        assert service["restart"] == ("no" if name == "stream" else "unless-stopped")
        environment = service.get("environment", {})
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in environment.items()), name
        assert all(isinstance(word, str) for word in service.get("command", []))
        for volume in service.get("volumes", []):
            source, _, target = volume.rpartition(":")
            assert target.startswith("/"), volume
            if source != "${TWINBEAM_PROJECT:-./examples/interactions}":
                used_volumes.add(source)
        for config in service.get("configs", []):
            assert set(config) == {"source", "target"}
            assert config["target"].startswith("/")
            used_configs.add(config["source"])
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in compose["services"][other]
    assert used_volumes == set(compose["volumes"])
    assert used_configs == set(compose["configs"])
    assert all(set(config) == {"content"} for config in compose["configs"].values())


def test_no_value_is_taken_for_a_variable_by_mistake(compose: dict[str, Any]) -> None:
    for text in texts(compose):
        rest = text.replace("$$", "").replace("${TWINBEAM_PROJECT:-./examples/interactions}", "")
        assert "$" not in rest, text


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert all(PINNED.fullmatch(image) for image in images.values())
    assert images["kafka"] == f"apache/kafka:{version(kafka.POM, 'kafka_2.13')}"
    assert images["cassandra"] == f"cassandra:{version(cassandra.POM, 'cassandra-all')}"
    ours = re.search(r'version="(.*?)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert ours is not None
    for name in ("jobmanager", "taskmanager", "stream", "server"):
        assert images[name] == f"twinbeam:{ours[1]}"
        assert compose["services"][name]["build"] == "."


def version(pom: Path, artifact: str) -> str:
    """Version that a pom names for an artifact."""
    for each in ElementTree.parse(pom).iter(f"{MAVEN}dependency"):
        if each.findtext(f"{MAVEN}artifactId") == artifact:
            return str(each.findtext(f"{MAVEN}version"))
    raise AssertionError(f"{pom} has no {artifact}")


def test_only_this_machine_reaches_the_ports(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in (6570, 8081, 9042, 9092)]


def test_every_server_has_a_health_check(compose: dict[str, Any]) -> None:
    for name in SERVERS:
        check = compose["services"][name]["healthcheck"]
        assert set(check) == {"test", "interval", "timeout", "retries"}
        assert check["test"][0] == "CMD"
        assert all(isinstance(word, str) for word in check["test"])
        assert SECONDS.fullmatch(check["interval"])
        assert SECONDS.fullmatch(check["timeout"])
        if check["test"][1] == "python":
            compile(check["test"][3], name, "exec")


def test_kafka_has_the_settings_of_the_dev_server(compose: dict[str, Any]) -> None:
    environment = compose["services"]["kafka"]["environment"]
    ours = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in kafka.SETTINGS.items()}
    assert {key: environment.get(key) for key in ours} == ours
    assert environment["KAFKA_HEAP_OPTS"] == f"-Xms{kafka.HEAP} -Xmx{kafka.HEAP}"
    # What the dev server has besides: addresses and the folder.
    assert set(environment) - set(ours) == {
        "CLUSTER_ID",
        "KAFKA_HEAP_OPTS",
        "KAFKA_CONTROLLER_QUORUM_VOTERS",
        "KAFKA_LISTENERS",
        "KAFKA_ADVERTISED_LISTENERS",
        "KAFKA_INTER_BROKER_LISTENER_NAME",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "KAFKA_LOG_DIRS",
    }
    assert len(environment["CLUSTER_ID"]) == 22
    listeners = dict(each.split("://:") for each in environment["KAFKA_LISTENERS"].split(","))
    for name, address in (each.split("://") for each in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")):
        assert address.rpartition(":")[2] == listeners[name]
    assert set(listeners) == {
        each.split(":")[0] for each in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    }


def test_cassandra_has_the_settings_of_the_dev_server(compose: dict[str, Any], tmp_path: Path) -> None:
    settings = yaml.load(compose["configs"]["cassandra"]["content"], Strict)
    assert {key: settings.get(key) for key in cassandra.SETTINGS} == cassandra.SETTINGS
    written = set(cassandra.Cassandra(tmp_path).addresses()) | set(cassandra.SETTINGS)
    assert set(settings) == written | {"broadcast_rpc_address"}
    service = compose["services"]["cassandra"]
    assert service["environment"]["MAX_HEAP_SIZE"] == cassandra.HEAP
    assert f"-Dcassandra.config=file://{service['configs'][0]['target']}" in service["environment"]["JVM_EXTRA_OPTS"]
    folders = [*settings["data_file_directories"], *(settings[key] for key in settings if key.endswith("_directory"))]
    assert all(folder.startswith("/var/lib/cassandra/") for folder in folders)


def test_flink_has_the_settings_of_the_dev_cluster(compose: dict[str, Any]) -> None:
    settings = yaml.load(compose["configs"]["flink"]["content"], Strict)
    assert {key: settings.get(key) for key in flink.SETTINGS} == flink.SETTINGS
    assert all(isinstance(value, str) for value in settings.values())
    assert set(settings) - set(flink.SETTINGS) == {
        "jobmanager.rpc.address",
        "jobmanager.rpc.port",
        "jobmanager.bind-host",
        "rest.address",
        "rest.bind-address",
        "rest.port",
        "taskmanager.bind-host",
        "state.checkpoints.dir",
        "io.tmp.dirs",
    }
    for name, entry, heap in (
        ("jobmanager", flink.JOB_MANAGER, flink.MANAGER_HEAP),
        ("taskmanager", flink.TASK_MANAGER, flink.TASK_HEAP),
    ):
        service = compose["services"][name]
        command = ["java", f"-Xmx{heap}", "-cp", "/opt/flink/*", entry, "--configDir", "/etc/flink"]
        assert service["command"] == command
        options = shlex.split(service["environment"]["JDK_JAVA_OPTIONS"].replace("$$", "$"))
        assert options == [*flink.OPTIONS, "-Djava.io.tmpdir=/tmp"]
        assert service["configs"] == [{"source": "flink", "target": "/etc/flink/config.yaml"}]
        assert "flink:/var/lib/flink" in service["volumes"]


def test_the_example_finds_the_servers(compose: dict[str, Any]) -> None:
    settings = Settings.load(ROOT / "examples" / "interactions", "compose")
    environment = compose["services"]["kafka"]["environment"]
    assert (settings.stream.broker, settings.online.store, settings.run.runner) == ("kafka", "cassandra", "flink")
    inside = dict(each.split("://") for each in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))["INSIDE"]
    assert tuple(settings.stream.kafka.servers) == (inside,)
    native = yaml.safe_load(compose["configs"]["cassandra"]["content"])["native_transport_port"]
    assert tuple(settings.online.cassandra.hosts) == (f"cassandra:{native}",)
    assert settings.online.cassandra.datacenter == cassandra.DATACENTER
    rest = yaml.safe_load(compose["configs"]["flink"]["content"])
    assert settings.run.flink.jobmanager == f"http://{rest['rest.address']}:{rest['rest.port']}"
    for name in ("stream", "server"):
        assert compose["services"][name]["environment"] == {"TWINBEAM_ENV": "compose"}


def test_the_server_is_reached_through_its_port_alone(compose: dict[str, Any]) -> None:
    server = Settings.load(ROOT / "examples" / "interactions", "compose").server
    assert (server.host, server.open) == ("0.0.0.0", True)
    assert compose["services"]["server"]["ports"] == [f"127.0.0.1:{server.port}:{server.port}"]
    assert f"http://127.0.0.1:{server.port}/readyz" in compose["services"]["server"]["healthcheck"]["test"][-1]


def test_the_image_is_built_of_pinned_images_and_files_that_are_there() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", DOCKERFILE, re.M)
    assert len(stages) == DOCKERFILE.count("FROM ") == 3
    assert all(PINNED.fullmatch(image) for image, _ in stages)
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) == {name for _, name in stages if name}
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.M):
        for path in line.split():
            assert (ROOT / path).exists(), path
            assert path.partition("/")[0] in allowed
    assert f"temurin:{artifacts.JAVA}." in DOCKERFILE
    assert "USER twinbeam" in DOCKERFILE


def test_the_image_has_the_jars_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r'-DoutputDirectory="/cache/(.*)"', DOCKERFILE)
    assert found is not None
    told = subprocess.run(
        ["bash", "-c", f'echo "{found[1]}"'], cwd=launcher.POM.parent, capture_output=True, text=True, check=True
    )
    (tmp_path / told.stdout.strip()).mkdir(parents=True)
    monkeypatch.setenv(artifacts.CACHE, str(tmp_path))
    assert artifacts.resolve(launcher.POM) == tmp_path / told.stdout.strip()
    assert f"{artifacts.CACHE}=/opt/twinbeam" in DOCKERFILE
    assert "COPY --from=jars /cache /opt/twinbeam\n" in DOCKERFILE
