"""Settings of a project: twinbeam.toml, merged with one environment of it, checked as a whole."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.engine_settings import CassandraSettings, FlinkSettings, KafkaSettings, RegistrySettings
from pipelines.server_settings import server_configuration
from pipelines.setting_rules import DEFAULTS, SHAPE, Each, listed, located, secrets
from schemas.errors import SettingsError, did_you_mean
from schemas.feature_group import FOLDER
from schemas.source import Source
from serving.server.configuration import ServerConfiguration

FILE = "twinbeam.toml"
VARIABLE = "TWINBEAM_ENV"


@dataclass(frozen=True)
class OfflineSettings:
    """Where the offline store is.

    Attributes:
        root: absolute folder, or object-store URL.
        options: of the object store, secrets included, verbatim.
    """

    root: str
    options: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class OnlineSettings:
    """Where the online store is.

    Attributes:
        store: its kind.
        path: the SQLite file.
        timeout: µs that a writer of the file waits for another one.
        cassandra: how a Cassandra cluster is reached.
    """

    store: str
    path: Path
    timeout: int
    cassandra: CassandraSettings


@dataclass(frozen=True)
class StreamSettings:
    """Where topics are.

    Attributes:
        broker: its kind.
        path: file of the embedded broker.
        timeout: µs that a publisher waits for another one there.
        kafka: how a Kafka cluster is reached.
        registry: how a schema registry is reached.
    """

    broker: str
    path: Path
    timeout: int
    kafka: KafkaSettings
    registry: RegistrySettings


@dataclass(frozen=True)
class RunSettings:
    """How pipelines run.

    Attributes:
        runner: kind of runner.
        max_skew: µs by which an event's time may lie after its arrival.
        flush: µs between commits to the offline store while rows come in.
        upkeep: µs between two rounds of joining small files of the offline store.
        keep: µs that files and log entries stay which those rounds replaced.
        metrics: host and port at which a process that runs a job serves its metrics, or None for nowhere.
        flink: how jobs run on Flink.
    """

    runner: str
    max_skew: int
    flush: int
    upkeep: int
    keep: int
    metrics: tuple[str, int] | None
    flink: FlinkSettings


@dataclass(frozen=True)
class ServingSettings:
    """How reads are answered: `log_sample` is the share (0 to 1) of answers that are logged for audits."""

    log_sample: float


@dataclass(frozen=True)
class SourceSettings:
    """Where one source lies in this environment; never part of a fingerprint.

    Attributes:
        topic: instead of the definition's, or None.
        files: absolute patterns instead of the definition's, or None.
        lanes: number of lanes that its files are dealt to.
        partitions: of its topic when that is created.
    """

    topic: str | None = None
    files: tuple[str, ...] | None = None
    lanes: int = 1
    partitions: int = 1


@dataclass(frozen=True)
class Settings:
    """Settings of a project in one environment.

    Attributes:
        project: its name.
        folder: absolute folder that relative paths start from.
        env: the environment merged in, or None.
        definitions: files or folders of definitions, and the folder of feature groups if there is one.
        sources: by name, those that have settings of their own.
    """

    project: str
    folder: Path
    env: str | None
    definitions: tuple[Path, ...]
    offline: OfflineSettings
    online: OnlineSettings
    stream: StreamSettings
    run: RunSettings
    serving: ServingSettings
    server: ServerConfiguration
    sources: Mapping[str, SourceSettings]

    @staticmethod
    def load(folder: str | Path, env: str | None = None) -> Settings:
        """Settings of the project in a folder.

        Args:
            folder: holds twinbeam.toml.
            env: environment (`[env.NAME]`); by default the one that the variable TWINBEAM_ENV names, if any.

        Raises:
            SettingsError: the file is missing or unreadable, or settings are unknown or have no legal value: all of
                them, a line each.
        """
        path = Path(folder) / FILE
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(
                f"{path.absolute()}: there is no such file; `twinbeam init FOLDER` makes a project"
            ) from None
        except OSError as error:
            raise SettingsError(f"{path.absolute()}: cannot be read ({error.strerror})") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path.absolute()}: is no TOML: {error}") from None
        return Settings.of(values, folder, env or os.environ.get(VARIABLE) or None)

    @staticmethod
    def of(values: Mapping[str, Any], folder: str | Path, env: str | None = None) -> Settings:
        """Settings from the values that a twinbeam.toml in that folder would hold.

        Raises:
            SettingsError: settings are unknown, missing or have no legal value.
        """
        home = Path(folder).absolute()
        mistakes: list[str] = []
        base = {key: value for key, value in values.items() if key != "env"}
        envs = values.get("env", {})
        _unknown(SHAPE, base, "", mistakes)
        if not isinstance(envs, Mapping) or not all(isinstance(value, Mapping) for value in envs.values()):
            mistakes.append("env: legal are tables named [env.NAME]")
            envs = {}
        for key, value in envs.items():
            _unknown(SHAPE, value, f"env.{key}.", mistakes)
        if env is not None and env not in envs:
            known = f"legal is {listed(list(envs))}" if envs else f"{FILE} has no [env.NAME] tables"
            mistakes.append(f"env: there is no environment {env!r}: {known}.{did_you_mean(env, envs)}")
        read: dict[str, Any] = {}
        if not mistakes:
            merged = _merged(_merged(DEFAULTS, base), envs[env] if env else {})
            read = _read(SHAPE, merged, "", home, mistakes)
        if not mistakes:
            _with_secrets(read, home, mistakes)
        if mistakes:
            raise SettingsError("\n".join(f"{FILE}: {mistake}" for mistake in mistakes))
        return _settings(read, home, env)

    def source(self, name: str) -> SourceSettings:
        """Settings of a source, the usual ones if it has none of its own."""
        return self.sources.get(name, SourceSettings())

    def files(self, source: Source) -> tuple[str, ...]:
        """Absolute patterns (or URLs) of a source's files."""
        own = self.source(source.name).files
        return own if own is not None else tuple(located(pattern, self.folder) for pattern in source.patterns)

    def topic(self, source: Source) -> str | None:
        """Topic of a source, or None."""
        return self.source(source.name).topic or source.topic

    def check_sources(self, names: Iterable[str]) -> None:
        """Checks that every `[sources.NAME]` names a source.

        Raises:
            SettingsError: one does not.
        """
        legal = list(names)
        mistakes = [
            f"{FILE}: sources.{name}: there is no source {name!r}: legal is {listed(legal)}.{did_you_mean(name, legal)}"
            for name in self.sources
            if name not in legal
        ]
        if mistakes:
            raise SettingsError("\n".join(mistakes))


def _unknown(shape: Mapping[str, Any], values: Mapping[str, Any], place: str, mistakes: list[str]) -> None:
    """Notes settings that do not exist, and tables and values that stand in each other's place."""
    for key, value in values.items():
        if key not in shape:
            mistakes.append(f"{place}{key}: unknown setting: legal is {listed(list(shape))}.{did_you_mean(key, shape)}")
            continue
        _unknown_in(shape[key], value, f"{place}{key}", mistakes)


def _unknown_in(kind: Any, value: Any, place: str, mistakes: list[str]) -> None:
    if callable(kind):
        if isinstance(value, Mapping):
            mistakes.append(f"{place}: is a value, not a table [{place}]")
    elif not isinstance(value, Mapping):
        mistakes.append(f"{place}: {value!r} is no table: legal is a table [{place}]")
    elif isinstance(kind, Each):
        for key, item in value.items():
            _unknown_in(kind.kind, item, f"{place}.{key}", mistakes)
    else:
        _unknown(kind, value, f"{place}.", mistakes)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Base with `over` laid on it, table by table."""
    both = {
        key: _merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), Mapping) else value
        for key, value in over.items()
    }
    return {**base, **both}


def _read(shape: Any, value: Any, place: str, folder: Path, mistakes: list[str]) -> Any:
    """Values by their rules; notes those that have no legal value."""
    if callable(shape):
        try:
            return shape(value, folder)
        except ValueError as error:
            mistakes.append(f"{place}: {error}")
            return None
    inner = f"{place}." if place else ""
    if isinstance(shape, Each):
        return {key: _read(shape.kind, item, f"{inner}{key}", folder, mistakes) for key, item in value.items()}
    if not place and "project" not in value:
        mistakes.append('project: is missing: legal is a name, as in project = "shop"')
    return {key: _read(shape[key], item, f"{inner}{key}", folder, mistakes) for key, item in value.items()}


_SECRETS: Mapping[tuple[str, ...], tuple[str, ...] | None] = {
    ("offline",): None,
    ("online", "cassandra"): ("password",),
    ("stream", "kafka"): ("password", "key_password"),
    ("stream", "registry"): ("password",),
    ("server",): None,
}


def _with_secrets(read: Mapping[str, Any], folder: Path, mistakes: list[str]) -> None:
    """Puts the secrets themselves where tables name their variables and files."""
    for place, legal in _SECRETS.items():
        table: Any = read
        for name in place:
            table = table[name]
        try:
            table["secrets"] = dict(secrets(table["secrets"], folder, os.environ))
        except ValueError as error:
            mistakes.append(f"{'.'.join(place)}.secrets.{error}")
            continue
        for name in table["secrets"]:
            if legal is not None and name not in legal:
                mistakes.append(f"{'.'.join(place)}.secrets.{name}: unknown secret: legal is {listed(legal)}")


def _settings(read: Mapping[str, Any], folder: Path, env: str | None) -> Settings:
    offline, online, stream, run = read["offline"], read["online"], read["stream"], read["run"]
    return Settings(
        project=read["project"],
        folder=folder,
        env=env,
        definitions=(*read["definitions"], *([folder / FOLDER] if (folder / FOLDER).is_dir() else ())),
        offline=OfflineSettings(offline["root"], offline["options"] | offline["secrets"]),
        online=OnlineSettings(online["store"], **online["sqlite"], cassandra=CassandraSettings(**online["cassandra"])),
        stream=StreamSettings(
            stream["broker"],
            **stream["sqlite"],
            kafka=KafkaSettings(**stream["kafka"]),
            registry=RegistrySettings(**stream["registry"]),
        ),
        run=RunSettings(**{**run, "flink": FlinkSettings(**run["flink"])}),
        serving=ServingSettings(read["serving"]["log_sample"]),
        server=server_configuration(read["server"]),
        sources={name: SourceSettings(**values) for name, values in read["sources"].items()},
    )
