"""Projects whose topics are in a real Kafka, and what a test does with them from outside."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions

from pipelines.dev.artifacts import java, resolve
from pipelines.platform import Platform
from pipelines.report import RunReport
from pipelines.stream import Stream
from tests.brokers import PATIENCE, eventually
from transforms.evaluate import evaluate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 9, tzinfo=UTC)
TOOLS = Path(__file__).with_name("kafka_tools_pom.xml")
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source(
    "buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "kind": "string"}, event_time="ts",
    topic="buys", encoding="@encoding@",
)
totals = FeatureView("totals", entity=user, source=buys, where="kind != 'gift'", select={"eur": "price * 0.92"},
    features=[agg.sum("eur", over=["1h", "30d"]), agg.count(), latest("kind")])
"""
MORE = """
prices = FeatureView("prices", entity=user, source=buys, features=[agg.max("price"), agg.last_k("price", k=5)])
"""


def buy(number: int, **more: Any) -> dict[str, Any]:
    """One event; some are gifts, times are not in order."""
    when = NOON + timedelta(minutes=number * 7 % 50 + number)
    kind = "gift" if number % 5 == 0 else "card"
    return {"user_id": number % 7, "ts": when, "price": number / 10, "kind": kind} | more


def buys(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [buy(number) for number in numbers]


@dataclass
class Shop:
    """A project of one source and its views.

    Attributes:
        folder: of the project.
        servers: of Kafka.
        topic: of the source.
        kafka: further settings of Kafka.
        partitions: of the topic when it is made.
        encoding: of its values.
        registry: URL of a schema registry, or None.
    """

    folder: Path
    servers: str
    topic: str
    kafka: Mapping[str, Any] = field(default_factory=dict)
    partitions: int = 3
    encoding: str = "json"
    registry: str | None = None

    @property
    def group(self) -> str:
        """Consumer group of the project."""
        return f"twinbeam-{self.topic}"

    def write(self, **kafka: Any) -> None:
        """Writes the files of the project; settings of Kafka are changed as given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {"servers": self.servers, "group": self.group, "timeout": "20s", **self.kafka, **kafka}
        lines = [f"{name} = {_toml(value)}" for name, value in settings.items() if name != "secrets"]
        text = (
            f'project = "shop"\n[run]\nflush = "200ms"\n[sources.buys]\ntopic = "{self.topic}"\n'
            f'partitions = {self.partitions}\n[stream]\nbroker = "kafka"\n[stream.kafka]\n' + "\n".join(lines) + "\n"
        )
        if "secrets" in settings:
            text += "[stream.kafka.secrets]\n" + "".join(f'{n} = "{v}"\n' for n, v in settings["secrets"].items())
        if self.registry is not None:
            text += f'[stream.registry]\nurl = "{self.registry}"\n'
        (self.folder / "twinbeam.toml").write_text(text)
        if not (self.folder / "features.py").exists():
            (self.folder / "features.py").write_text(DEFINITIONS.replace("@encoding@", self.encoding))

    def open(self, **kafka: Any) -> Platform:
        """The project opened and applied."""
        self.write(**kafka)
        platform = Platform.open(self.folder)
        platform.apply()
        return platform


def _toml(value: Any) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def check(platform: Platform, events: list[dict[str, Any]], view: str = "totals") -> None:
    """Both stores hold exactly the events: served, trained, and evaluated without any of this are equal."""
    definition = platform.registry.views[view]
    for table in platform.offline.tables():
        if table == "events/buys" or table.startswith("rows/"):
            rows = platform.offline.read(table, ["_lane", "_offset", "_part"])
            places = list(zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True))
            assert len(places) == len(set(places)), table
    assert platform.offline.count("events/buys") == len(events)
    keys = {"user_id": [*range(8), None]}
    spine = keys | {"at": [LATER] * 9}
    expected = evaluate(definition, {"buys": events}, spine)
    trained, served = platform.training_set(spine, view), platform.get(view, keys, now=LATER)
    assert served.to_dict() == {name: values for name, values in expected.to_dict().items() if name != "at"}
    assert trained.to_dict() == expected.to_dict()
    assert served.statuses == trained.statuses == expected.statuses
    assert platform.audit().mismatches == ()


def positions(platform: Platform) -> dict[int, int]:
    """Stored position of each partition."""
    stored = platform.offline.positions("events/buys")
    return {int(lane.rpartition("/")[2]): offset for (lane, _), offset in stored.items()}


def counted(platform: Platform) -> int:
    """Events that are counted online."""
    answers = platform.get(["totals:count"], {"user_id": list(range(7))}, now="latest")
    return sum(answers.to_dict()["totals:count"])


def kept(events: Sequence[Mapping[str, Any]]) -> int:
    return sum(event["kind"] != "gift" for event in events)


def grow(servers: str, topic: str, partitions: int) -> None:
    """Gives a topic more partitions."""
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        done.result(30)


def drop(servers: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Drops the records of partitions below offsets, as retention does."""
    admin = AdminClient({"bootstrap.servers": servers})
    places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
    for done in admin.delete_records(places).values():
        done.result(30)


def configuration(servers: str, topic: str) -> dict[str, str]:
    """Settings of a topic, as the broker has them."""
    admin = AdminClient({"bootstrap.servers": servers})
    (answer,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in answer.result(30).items()}


def raw_send(servers: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], **options: Any) -> None:
    """Sends records by a producer that knows nothing of us."""
    producer = Producer({"bootstrap.servers": servers, **options})
    for key, value in records:
        producer.produce(topic, key=key, value=value)
    assert producer.flush(30) == 0


def tool(name: str, servers: str, *words: str, given: str | None = None) -> str:
    """What one of Kafka's own command line tools says."""
    command = [java(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{resolve(TOOLS)}/*"]
    done = subprocess.run(
        [*command, f"org.apache.kafka.tools.{name}", "--bootstrap-server", servers, *words],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Running:
    """A stream in a thread of its own, over the same project."""

    def __init__(self, shop: Shop, out: TextIO | None = None) -> None:
        self._platform = Platform.open(shop.folder, out=out)
        self._stream = Stream(self._platform._project, None, None)
        self._reports: list[RunReport | BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stream._end()
        self._thread.join()
        self._platform.close()

    def end(self) -> RunReport:
        """Ends it, and says what it did."""
        self._stream._end()
        return self.result()

    def result(self) -> RunReport:
        """What it did, once it has ended by itself."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the stream goes on"
        report = self._reports[0]
        if isinstance(report, BaseException):
            raise report
        return report

    def _run(self) -> None:
        try:
            self._reports.append(self._stream.run())
        except BaseException as error:  # noqa: BLE001
            self._reports.append(error)


def running(shop: Shop, out: TextIO | None = None) -> Running:
    return Running(shop, out)


def wait_for(platform: Platform, least: int) -> None:
    for _ in eventually():
        if counted(platform) >= least:
            return
