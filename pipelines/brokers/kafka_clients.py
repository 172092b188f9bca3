"""Clients of a Kafka cluster: the settings as each of the two libraries wants them, and their errors told in words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException
from kafka import errors as python_errors

from pipelines.engine_settings import KafkaSettings
from schemas.errors import StoreAway, StoreError

# What goes wrong is told by errors; without a handler of the user's the client would write it all to stderr.
logging.getLogger("kafka").addHandler(logging.NullHandler())

PROTOCOLS = {"plaintext": "PLAINTEXT", "tls": "SSL", "sasl": "SASL_PLAINTEXT", "sasl_tls": "SASL_SSL"}
_LOGIN = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}
_CAUSES = {*_LOGIN, KafkaError._SSL, KafkaError._RESOLVE, KafkaError.UNSUPPORTED_SASL_MECHANISM}
_AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._WAIT_COORD,
    KafkaError._DESTROY,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_CONTROLLER,
}
_REFUSED = (
    python_errors.SaslAuthenticationFailedError,
    python_errors.UnsupportedSaslMechanismError,
    python_errors.IllegalSaslStateError,
)


def confluent_options(settings: KafkaSettings) -> dict[str, Any]:
    """Options of confluent-kafka for every kind of client."""
    secrets = settings.secrets
    options = {
        "bootstrap.servers": ",".join(settings.servers),
        "security.protocol": PROTOCOLS[settings.security],
        "sasl.mechanism": settings.mechanism if settings.user else None,
        "sasl.username": settings.user,
        "sasl.password": secrets.get("password"),
        "ssl.ca.location": _text(settings.ca),
        "ssl.certificate.location": _text(settings.certificate),
        "ssl.key.location": _text(settings.key),
        "ssl.key.password": secrets.get("key_password"),
        "socket.timeout.ms": max(settings.timeout // 1_000, 1_000),
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 0,
    }
    return {name: value for name, value in options.items() if value is not None}


def python_options(settings: KafkaSettings) -> dict[str, Any]:
    """Options of kafka-python for every kind of client."""
    secrets, patience = settings.secrets, max(settings.timeout // 1_000, 1_000)
    options = {
        "bootstrap_servers": list(settings.servers),
        "security_protocol": PROTOCOLS[settings.security],
        "sasl_mechanism": settings.mechanism if settings.user else None,
        "sasl_plain_username": settings.user,
        "sasl_plain_password": secrets.get("password"),
        "ssl_cafile": _text(settings.ca),
        "ssl_certfile": _text(settings.certificate),
        "ssl_keyfile": _text(settings.key),
        "ssl_password": secrets.get("key_password"),
        "request_timeout_ms": patience,
        "bootstrap_timeout_ms": patience,
        "reconnect_backoff_max_ms": 1_000,
    }
    return {name: value for name, value in options.items() if value is not None}


class Causes:
    """Why clients of one cluster cannot reach it, as librdkafka tells beside the calls that fail.

    Args:
        settings: how the cluster is reached.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._cause: KafkaError | None = None
        self._serve: Callable[[], object] = lambda: None

    def listen(self, serve: Callable[[], object]) -> None:
        """Takes a call by which a client hands on what it has to report; it is made when something has failed."""
        self._serve = serve

    def note(self, error: KafkaError) -> None:
        """Takes what a client reports (`error_cb`)."""
        if error.code() in _CAUSES:
            self._cause = error

    def forget(self) -> None:
        """Forgets the cause: the cluster answers."""
        self._cause = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tells errors of either library raised inside in words of ours.

        Raises:
            StoreAway: the cluster does not answer.
            StoreError: it refuses the login, or what was asked.
        """
        try:
            yield
        except KafkaException as error:
            self._tell(error.args[0], error)
        except _REFUSED as error:
            raise StoreError(self._refused(str(error))) from error
        except python_errors.KafkaError as error:
            if error.retriable or isinstance(error, python_errors.KafkaConnectionError):
                raise self.away(str(error)) from error
            raise StoreError(f"{self._where()}: {error}") from error
        else:
            self.forget()

    def away(self, why: str = "") -> StoreError:
        """The error of a cluster that does not answer: with the cause, if one was reported."""
        self._serve()
        if self._cause is not None and self._cause.code() in _LOGIN:
            return StoreError(self._refused(self._cause.str()))
        cause = self._cause.str() if self._cause is not None else why
        if self._cause is not None and self._cause.code() == KafkaError._SSL:
            return StoreError(
                f"{self._where()}: no TLS connection: {cause}; check security, ca, certificate and key of "
                "[stream.kafka]"
            )
        return StoreAway(
            f"{self._where()}: does not answer{f' ({cause})' if cause else ''}; nothing is lost: what was stored goes "
            "on where it was; start the brokers, or check [stream.kafka] servers and security"
        )

    def _tell(self, reason: KafkaError, error: Exception) -> NoReturn:
        if reason.code() in _LOGIN:
            raise StoreError(self._refused(reason.str())) from error
        if reason.code() in _AWAY or reason.retriable():
            raise self.away(reason.str()) from error
        raise StoreError(f"{self._where()}: {reason.str()}") from error

    def _refused(self, why: str) -> str:
        user = self._settings.user
        who = f"user {user!r} by {self._settings.mechanism}" if user else "a client without a user"
        return (
            f"{self._where()}: refuses the login of {who}: {why}; check user, mechanism and the password of "
            "[stream.kafka]"
        )

    def _where(self) -> str:
        return f"Kafka at {', '.join(self._settings.servers)}"


def partition_of(key: bytes, partitions: int) -> int:
    """Partition of a key, as Kafka's own default partitioner chooses it."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed."""
    length, mask, factor = len(data), 0xFFFFFFFF, 0x5BD1E995
    found = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * factor & mask
        word = (word ^ (word >> 24)) * factor & mask
        found = (found * factor & mask) ^ word
    if length > whole:
        found = (found ^ int.from_bytes(data[whole:], "little")) * factor & mask
    found = (found ^ (found >> 13)) * factor & mask
    return found ^ (found >> 15)


def _text(path: Any) -> str | None:
    return None if path is None else str(path)
