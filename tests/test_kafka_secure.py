"""Kafka behind TLS, passwords and certificates: both clients get in, and who does not is told why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.brokers.kafka import KafkaBroker
from schemas.errors import StoreAway, StoreError
from tests.brokers import contents, kafka_settings
from tests.kafka_streams import Shop, buys, check
from tests.secure_servers import MECHANISMS, SecureKafka

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.long]

PASSWORD = "SHOP_KAFKA_PASSWORD"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_user_with_a_password(
    tmp_path: Path, secure_kafka: SecureKafka, topic_prefix: str, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = secure_kafka.access
    monkeypatch.setenv(PASSWORD, access.password)
    login = {"security": "sasl_tls", "mechanism": mechanism, "user": access.user, "ca": access.ca}
    secrets = {"secrets": {"password_env": PASSWORD}}
    shop = Shop(tmp_path / "shop", secure_kafka.servers, f"{topic_prefix}buys", {**login, **secrets})
    works_through(shop)
    settings = kafka_settings(secure_kafka.servers, **login, secrets={"password": "wrong"}, timeout=5_000_000)
    refuses(KafkaBroker(settings), rf"refuses the login of user '{access.user}' by {mechanism}.*password")
    assert "wrong" not in repr(settings)


def test_a_client_with_a_certificate(tmp_path: Path, tls_kafka: SecureKafka, topic_prefix: str) -> None:
    access = tls_kafka.access
    login = {"security": "tls", "ca": access.ca}
    own = {"certificate": access.certificate, "key": access.key}
    works_through(Shop(tmp_path / "shop", tls_kafka.servers, f"{topic_prefix}buys", {**login, **own}))
    for given, wanted in [
        (login, "TLS|does not answer"),
        ({"security": "tls", **own}, "no TLS connection.*certificate"),
    ]:
        settings = kafka_settings(tls_kafka.servers, **given, timeout=5_000_000)
        refuses(KafkaBroker(settings), wanted)


def works_through(shop: Shop) -> None:
    """A project publishes, reads, sends again and shows its offsets."""
    events = buys(range(30))
    with shop.open() as platform:
        platform.publish("buys", events)
        assert platform.run_stream(until="caught_up").events == 30
        check(platform, events)
        assert platform.broker.replay(shop.topic, ["a"], [b"k"], [b"v"], now=1)[0] == 1
        assert sum(map(len, contents(platform.broker, shop.topic).values())) == 31


def refuses(broker: KafkaBroker, wanted: str) -> None:
    """Every call of both clients fails, and tells the cause."""
    calls: list[Callable[[], Any]] = [broker.names, lambda: broker.ends("buys"), lambda: broker.create("t", 1)]
    for call in calls:
        with pytest.raises(StoreError, match=wanted) as found:
            call()
        assert "login" not in wanted or not isinstance(found.value, StoreAway)
    broker.close()
