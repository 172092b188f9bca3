"""Real clients of SageMaker's Feature Store, and real servers of ours for them to ask."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform
from tests.client_environments import interpreter_with
from tests.served import COMMAND, Server, serving

HERE = Path(__file__).parent
REGION = "eu-west-1"
START = datetime(2025, 3, 1, 12, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/features"
POLL_SECONDS = 180.0
DEFINITIONS = """\
from twinbeam import Entity, FeatureView, Source

user = Entity("user", keys={"user_id": "int64"})
visits = Source(
    "visits", fields={"user_id": "int64", "ts": "timestamp", "page": "string"}, event_time="ts", topic="visits"
)
visit = FeatureView("visit", entity=user, source=visits, features=["page"])
"""
SETTINGS = """\
project = "shop"
[run]
max_skew = "36525d"
[serving]
log_sample = 0.0
[server]
wait = "120s"
"""
# A caller's name is its access key id, and its key the secret.
CALLERS = """\
[server.callers.writer]
grants = ["admin"]
[server.callers.reader]
grants = ["read"]
[server.secrets]
writer_file = "writer.key"
reader_file = "reader.key"
"""


@dataclass(frozen=True)
class Credentials:
    """What a client signs with.

    Attributes:
        key: access key id; None: nothing is signed.
        secret: secret access key.
        token: session token.
    """

    key: str | None
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Refused(Exception):
    """What a client raised."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(dict(told))
        self.kind: str = told["class"]
        self.code: str | None = told.get("code")
        self.status: int | None = told.get("status")
        self.text: str = told["text"] or ""


class Boto:
    """boto3 in a process of its own; calls are those of its clients, keywords and all.

    Args:
        process: runs `tests/sagemaker_boto.py`.
        credentials: that it signs with.
    """

    def __init__(self, process: subprocess.Popen[str], credentials: Credentials) -> None:
        self._process, self._credentials = process, credentials

    def signing_as(self, credentials: Credentials) -> Boto:
        """The same process with other credentials."""
        return Boto(self._process, credentials)

    def runtime(self, operation: str, **arguments: Any) -> Any:
        """Answer of an operation on records."""
        return self._call("sagemaker-featurestore-runtime", operation, arguments)

    def control(self, operation: str, **arguments: Any) -> Any:
        """Answer of an operation on groups; `operation*` gives all its pages."""
        return self._call("sagemaker", operation, arguments)

    def record(self, group: str, identifier: str, **arguments: Any) -> dict[str, Any] | None:
        """Values of a record by name; None if there is none."""
        found = self.runtime(
            "get_record", FeatureGroupName=group, RecordIdentifierValueAsString=identifier, **arguments
        )
        return values(found["Record"]) if "Record" in found else None

    def put(self, group: str, record: Mapping[str, Any], **arguments: Any) -> None:
        """Puts a record, its values by name."""
        assert self.runtime("put_record", FeatureGroupName=group, Record=features(record), **arguments) == {}

    def _call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> Any:
        pipe = self._process
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        signing = self._credentials
        told = [service, operation, arguments, [signing.key, signing.secret, signing.token]]
        pipe.stdin.write(json.dumps(told) + "\n")
        pipe.stdin.flush()
        line = pipe.stdout.readline()
        assert line, f"the process of boto3 has ended: {pipe.wait()}"
        said = json.loads(line)
        if "error" in said:
            raise Refused(said["error"])
        return said["value"]


@dataclass(frozen=True)
class Deployment:
    """A server and a stream of one project, and a boto3 that asks the server.

    Attributes:
        folder: of the project.
        server: the server.
        python: interpreter that has the clients.
        boto: boto3, with all rights.
        credentials: of the callers by name; none if the server asks for none.
    """

    folder: Path
    server: Server
    python: Path
    boto: Boto
    credentials: Mapping[str, Credentials]

    @property
    def environment(self) -> dict[str, str]:
        """What a client with all rights finds in its environment."""
        return client_environment(self.server.url, self.credentials.get("writer", ANYBODY), self.folder)


# Of a server that asks for no credentials; a client signs all the same.
ANYBODY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def features(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A record as boto3 takes it."""
    return [
        {"FeatureName": name, "ValueAsStringList" if isinstance(value, list) else "ValueAsString": value}
        for name, value in record.items()
    ]


def values(record: list[dict[str, Any]]) -> dict[str, Any]:
    """A record of boto3 by name; a name that comes twice is an error."""
    found = {each["FeatureName"]: each.get("ValueAsString", each.get("ValueAsStringList")) for each in record}
    assert len(found) == len(record)
    return found


def definition(name: str, **others: Any) -> dict[str, Any]:
    """What a group is made of; the same for all groups, save what is told."""
    typed = {"customer": "String", "seen": "String", "visits": "Integral", "spent": "Fractional", "city": "String"}
    return {
        "FeatureGroupName": name,
        "RecordIdentifierFeatureName": "customer",
        "EventTimeFeatureName": "seen",
        "FeatureDefinitions": [{"FeatureName": feature, "FeatureType": kind} for feature, kind in typed.items()],
        "OnlineStoreConfig": {"EnableOnlineStore": True, "StorageType": "InMemory"},
        "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://bucket/features"}},
        "RoleArn": ROLE,
        **others,
    }


def create(boto: Boto, *definitions: Mapping[str, Any]) -> list[Any]:
    """Makes groups and waits for them; how they are described then."""
    for each in definitions:
        boto.control("create_feature_group", **each)
    return [created(boto, each["FeatureGroupName"]) for each in definitions]


def record(customer: str, second: float = 0, **others: Any) -> dict[str, Any]:
    """A record of such a group."""
    usual = {"visits": "7", "spent": "2.5", "city": "Ulm"}
    return {"customer": customer, "seen": text(START + timedelta(seconds=second)), **usual, **others}


def delete(boto: Boto, group: str, identifier: str, second: float, **others: Any) -> None:
    """Deletes a record."""
    moment = text(START + timedelta(seconds=second))
    answer = boto.runtime(
        "delete_record", FeatureGroupName=group, RecordIdentifierValueAsString=identifier, EventTime=moment, **others
    )
    assert answer == {}


def refused(call: Callable[..., Any], *words: Any, **arguments: Any) -> Refused:
    """How a call is refused."""
    with pytest.raises(Refused) as error:
        call(*words, **arguments)
    return error.value


def created(boto: Boto, name: str) -> Any:
    """How a group is described once it is made."""
    told = until(
        lambda: (
            (found := boto.control("describe_feature_group", FeatureGroupName=name))["FeatureGroupStatus"] != "Creating"
            and found
        )
    )
    assert told["FeatureGroupStatus"] == "Created", told
    return told


def offline(deployment: Deployment, name: str, rows: int, beginning: str = "", key: str = "customer") -> pl.DataFrame:
    """Rows of a group's offline store as it is exported, once there are so many.

    Args:
        deployment: where the group is.
        name: of the group.
        rows: how many are waited for.
        beginning: of the identifiers that are looked at.
        key: the feature that identifies.
    """

    def found() -> list[pl.DataFrame]:
        kept = _exported(deployment, name)
        kept = kept.filter(pl.col(key).str.starts_with(beginning)) if kept.height else kept
        return [kept] if kept.height == rows else []

    return until(found, every=1.0)[0]  # type: ignore[no-any-return]


def _exported(deployment: Deployment, name: str) -> pl.DataFrame:
    out = deployment.folder / f"offline-{name}"
    command = ["export", "sagemaker", "--group", name, "--out", str(out), "--project", str(deployment.folder)]
    assert main(command) == 0
    files = out.rglob("year=*/month=*/day=*/hour=*/*.parquet")
    found = [pl.read_parquet(file, hive_partitioning=True) for file in files]
    return pl.concat(found, how="vertical_relaxed") if found else pl.DataFrame()


def text(moment: datetime) -> str:
    """A time as EventTime has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def until(found: Callable[[], Any], every: float = 0.2) -> Any:
    """Asks, every so many seconds, until what is found is true."""
    end = time.monotonic() + POLL_SECONDS
    while not (answer := found()):
        assert time.monotonic() < end, "it never came"
        time.sleep(every)
    return answer


def installed() -> Path:
    """The interpreter that has boto3, awscli and the SageMaker Python SDK; skips a test where it cannot be made."""
    try:
        return interpreter_with("sagemaker", "sagemaker==2.257.*", "boto3==1.44.*", "awscli==1.46.*")
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"SageMaker's clients cannot be installed here: {error}")


def client_environment(url: str, credentials: Credentials, folder: Path) -> dict[str, str]:
    """Environment of a client's process: it knows one server alone, and no settings of the one who runs it."""
    config = folder / "sagemaker.yaml"
    config.write_text(
        json.dumps({"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}})
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    return kept | {
        "AWS_ACCESS_KEY_ID": credentials.key or "",
        "AWS_SECRET_ACCESS_KEY": credentials.secret or "",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(config),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    }


@contextmanager
def deployed(python: Path, folder: Path, settings: str, guarded: bool) -> Iterator[Deployment]:
    """A project, its server and its stream, while the block lasts.

    Args:
        python: interpreter that has the clients.
        folder: of the project; it is made.
        settings: after those of all deployments.
        guarded: whether the server asks for credentials.
    """
    folder.mkdir(parents=True)
    credentials = {name: Credentials(name, secrets.token_urlsafe(30)) for name in ("writer", "reader") if guarded}
    (folder / "twinbeam.toml").write_text(SETTINGS + (CALLERS if guarded else "") + settings, encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    for name, each in credentials.items():
        (folder / f"{name}.key").write_text(each.secret or "", encoding="utf-8")
    with Platform.open(folder) as platform:
        platform.apply()
    with ExitStack() as stack:
        server = stack.enter_context(serving(folder))
        stack.enter_context(_streaming(folder))
        signing = credentials.get("writer", ANYBODY)
        boto = stack.enter_context(asking(python, client_environment(server.url, signing, folder), folder, signing))
        yield Deployment(folder, server, python, boto, credentials)
        assert server.stop() == 0
    said = server.err() + server.out() + (folder / "stream.err").read_text(encoding="utf-8")
    assert '"route":"/"' in said
    assert not [name for name, each in credentials.items() if each.secret and each.secret in said]


@contextmanager
def asking(python: Path, environment: Mapping[str, str], folder: Path, credentials: Credentials) -> Iterator[Boto]:
    """boto3 in a process of its own while the block lasts."""
    with (folder / "boto.err").open("w") as err:
        process = subprocess.Popen(
            [str(python), str(HERE / "sagemaker_boto.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            env=environment,
        )
    with process:
        try:
            yield Boto(process, credentials)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


@contextmanager
def _streaming(folder: Path) -> Iterator[None]:
    with (folder / "stream.err").open("w") as err:
        process = subprocess.Popen([*COMMAND, "run", "stream", "--project", str(folder)], stdout=err, stderr=err)
    try:
        with Platform.open(folder) as platform:
            until(lambda: [run for run in platform.status() if run.kind == "stream"])
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
