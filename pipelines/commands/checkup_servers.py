"""Check-ups of the servers that the settings name: whether they answer, take this user, and have what is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from pipelines.commands.finding import BAD, GOOD, WARNING, Finding, lines
from pipelines.commands.tables import counted
from pipelines.flink.rest import JobManager
from pipelines.settings import Settings
from pipelines.stores import Stores
from schemas.errors import EventError, TwinbeamError
from transforms.catalog import Catalog

SECONDS = 5.0
ANY_SCHEMA = 1


def cassandra(settings: Settings) -> Iterator[Finding]:
    """Whether Cassandra answers this user, and has a keyspace of this project."""
    stores = Stores.of(settings)
    try:
        assert stores.cassandra is not None
        quick = replace(stores.cassandra, timeout=min(SECONDS, stores.cassandra.timeout))
        with closing(replace(stores, cassandra=quick).online()) as store:
            from serving.stores.cassandra import CassandraStore  # noqa: PLC0415

            made = isinstance(store, CassandraStore) and store.made()
    except TwinbeamError as error:
        yield from lines("online store", error, "start the nodes, or check [online.cassandra]; twinbeam dev up")
        return
    if made:
        yield Finding("online store", GOOD, stores.online_place)
    else:
        yield Finding("online store", WARNING, f"{stores.online_place}: not made yet", "twinbeam apply")


def kafka(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    """Whether Kafka answers this user, and has the topics of the sources."""
    place = f"Kafka at {', '.join(settings.stream.kafka.servers)}"
    wanted = {topic for source in catalog.registry.sources.values() if (topic := settings.topic(source))}
    try:
        with closing(Stores.of(settings).broker(SECONDS)) as broker:
            there = wanted & set(broker.names())
            held = {topic: sum(broker.ends(topic).values()) for topic in sorted(there)}
    except TwinbeamError as error:
        yield from lines("topics", error, "start the brokers, or check [stream.kafka]; twinbeam dev up")
        return
    ends = ", ".join(f"{topic} ends at {end:,}" for topic, end in held.items())
    yield Finding("topics", GOOD, f"{place}: {ends or 'none of this project yet'}")
    if missing := sorted(wanted - there):
        yield Finding("topics", WARNING, f"not made yet: {', '.join(missing)}", "twinbeam apply")


def schema_registry(settings: Settings) -> Iterator[Finding]:
    """Whether the schema registry answers this user, if there is one."""
    stores = Stores.of(settings)
    try:
        schemas = stores.schemas()
        if schemas is None:
            return
        with closing(schemas):
            schemas.schema(ANY_SCHEMA)
    except EventError:
        pass  # It answers; it just has no such schema, or one that is none of Avro.
    except TwinbeamError as error:
        yield from lines("schema registry", error, "start it, or check [stream.registry]")
        return
    yield Finding("schema registry", GOOD, str(settings.stream.registry.url))


def flink(settings: Settings) -> Iterator[Finding]:
    """Whether the Flink cluster answers, if jobs are to run there, and has room for one."""
    if settings.run.runner != "flink":
        return
    url, wanted = settings.run.flink.jobmanager, settings.run.flink.parallelism
    try:
        slots = JobManager(url).slots()
    except TwinbeamError as error:
        yield from lines("flink", error, "start the cluster, or check [run.flink] jobmanager; twinbeam dev up --flink")
        return
    text = f"{url}: {counted(slots, 'slot')}"
    if slots < wanted:
        mend = "start TaskManagers, or lower [run.flink] parallelism"
        yield Finding("flink", BAD, f"{text}, a job needs {wanted}", mend)
    else:
        yield Finding("flink", GOOD, text)
