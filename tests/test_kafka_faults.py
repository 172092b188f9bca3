"""A Kafka that is killed, away, put back to an older state, or whose topics are made anew: nothing lost or doubled."""

from __future__ import annotations

import gc
import io
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.dev.kafka import Kafka
from schemas.errors import LaneError, StoreAway
from tests.brokers import contents, eventually
from tests.kafka_streams import Running, Shop, buys, check, kept, running, wait_for
from tests.kill_workers import AWAY_SECONDS

# kafka-python leaves the sockets of connections that are refused to the garbage collector.
pytestmark = [
    pytest.mark.xdist_group("servers"),
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
Start = Callable[..., Kafka]
AWAY, BACK = "waiting for the broker: Kafka at", "the broker is back"


@pytest.fixture(autouse=True)
def _sockets() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def kafka_of_own(own_kafka: Start) -> Iterator[Kafka]:
    server = own_kafka()
    yield server
    server.stop()


@pytest.fixture
def shop(tmp_path: Path, kafka_of_own: Kafka) -> Shop:
    return Shop(tmp_path / "shop", kafka_of_own.servers, "buys", {"timeout": "3s"})


@contextmanager
def talking(shop: Shop) -> Iterator[tuple[Running, io.StringIO]]:
    """A stream, and what it says."""
    said = io.StringIO()
    with running(shop, said) as run:
        yield run, said


def test_a_broker_killed_while_a_stream_runs_loses_and_doubles_nothing(shop: Shop, kafka_of_own: Kafka) -> None:
    with shop.open() as platform, talking(shop) as (run, said):
        sent = 0
        for round_number in range(2):
            platform.publish("buys", buys(range(sent, sent + 50)))
            sent += 50
            # Whoever has no reader open yet waits in another way: see the next test.
            wait_for(platform, kept(buys(range(sent))))
            kafka_of_own.kill()
            for _ in eventually():
                if said.getvalue().count(AWAY) == round_number + 1:
                    break
            with pytest.raises(StoreAway, match=r"Kafka at 127.0.0.1:\d+: does not answer"):
                platform.publish("buys", buys([999]))
            if round_number:
                time.sleep(AWAY_SECONDS)
            kafka_of_own.start()
            for _ in eventually():
                if said.getvalue().count(BACK) == round_number + 1:
                    break
            wait_for(platform, kept(buys(range(sent))))
        platform.publish("buys", buys(range(sent, sent + 20)))
        wait_for(platform, kept(buys(range(sent + 20))))
        assert run.end().events == sent + 20
        assert said.getvalue().count(AWAY) == said.getvalue().count(BACK) == 2
        assert sum(map(len, contents(platform.broker, "buys").values())) == sent + 20
        check(platform, buys(range(sent + 20)))


def test_while_it_is_away_calls_say_so_and_streams_wait_or_end(shop: Shop, kafka_of_own: Kafka) -> None:
    events = buys(range(30))
    with shop.open() as platform:
        platform.publish("buys", events)
        kafka_of_own.kill()
        broker = platform.broker
        calls: list[Callable[[], object]] = [
            broker.names,
            lambda: broker.create("more", 1),
            lambda: broker.ends("buys"),
            lambda: broker.publish("buys", [b"k"], [b"v"], now=1),
            lambda: broker.replay("buys", ["a"], [b"k"], [b"v"], now=1),
            lambda: platform.run_stream(until="caught_up"),
        ]
        for call in calls:
            with pytest.raises(StoreAway, match="does not answer"):
                call()
        with talking(shop) as (run, said):
            for _ in eventually():
                if "does not answer" in said.getvalue():
                    break
            assert run.end().events == 0
        with talking(shop) as (run, said):
            for _ in eventually():
                if "does not answer" in said.getvalue():
                    break
            kafka_of_own.start()
            wait_for(platform, kept(events))
            kafka_of_own.kill()
            assert run.end().events == 30
            assert said.getvalue().count("does not answer") <= 2
        kafka_of_own.start()
        check(platform, events)


def test_a_log_put_back_to_an_older_state_is_refused_with_both_numbers(shop: Shop, kafka_of_own: Kafka) -> None:
    shop.partitions = 1
    copy = shop.folder / "copy"
    with shop.open() as platform:
        platform.publish("buys", buys(range(20)))
        kafka_of_own.stop()
        shutil.copytree(kafka_of_own.folder / "data", copy)
        kafka_of_own.start()
        platform.publish("buys", buys(range(20, 30)))
        assert platform.run_stream(until="caught_up").events == 30
        kafka_of_own.stop()
        shutil.rmtree(kafka_of_own.folder / "data")
        shutil.copytree(copy, kafka_of_own.folder / "data")
        kafka_of_own.start()
        with pytest.raises(LaneError, match="ends at offset 20, but the stores hold it up to 30"):
            platform.run_stream(until="caught_up")
        check(platform, buys(range(30)))
