"""Client of a schema registry: the schemas that values were written with, and ours registered."""

from __future__ import annotations

import json
import ssl
import time
from typing import Any

import fastavro
import httpx

from pipelines.engine_settings import RegistrySettings
from schemas.errors import EventError, StoreAway, StoreError

CONTENT = "application/vnd.schemaregistry.v1+json"
ASK_AGAIN_SECONDS = 30.0
_GONE = 404
_CONFLICT = 409
_REFUSALS = (401, 403)
_SERVER_ERRORS = 500


class SchemaRegistry:
    """Schemas by id, each asked for once; an id that is unknown is asked for again after a while.

    Args:
        settings: how the registry is reached; its URL is given.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._url = str(settings.url)
        self._client: httpx.Client | None = None
        self._schemas: dict[int, Any] = {}
        self._unknown: dict[int, tuple[float, str]] = {}
        self._ids: dict[tuple[str, str], int] = {}

    def schema(self, number: int) -> Any:
        """JSON value of the Avro schema of an id, references written out.

        Raises:
            EventError: the id is unknown, or its schema is none of Avro.
            StoreAway: the registry does not answer.
            StoreError: it refuses to.
        """
        if number in self._schemas:
            return self._schemas[number]
        asked, reason = self._unknown.get(number, (0.0, ""))
        now = time.monotonic()
        if not reason or now - asked >= ASK_AGAIN_SECONDS:
            try:
                self._schemas[number] = self._fetched(number)
                self._unknown.pop(number, None)
                return self._schemas[number]
            except EventError as error:
                reason = str(error)
                self._unknown[number] = (now, reason)
        raise EventError(reason)

    def register(self, topic: str, schema: Any) -> int:
        """Id of a schema as that of a topic's values, which it gets if it has none.

        Raises:
            StoreAway: the registry does not answer.
            StoreError: it refuses the schema, for instance as incompatible with earlier ones.
        """
        subject = f"{topic}-value"
        text = json.dumps(schema, separators=(",", ":"))
        if (subject, text) not in self._ids:
            answer = self._ask("POST", f"/subjects/{subject}/versions", {"schema": text})
            if answer.status_code == _CONFLICT:
                raise StoreError(
                    f"{self._where}: refuses the source's schema for subject {subject!r}: {_said(answer)}; "
                    "make the change compatible, or give the source a new topic"
                )
            self._ids[subject, text] = int(self._good(answer)["id"])
        return self._ids[subject, text]

    def close(self) -> None:
        """Closes the connections; the next call opens them again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @property
    def _where(self) -> str:
        return f"schema registry {self._url}"

    def _fetched(self, number: int) -> Any:
        answer = self._ask("GET", f"/schemas/ids/{number}")
        if answer.status_code == _GONE:
            raise EventError(f"schema id {number} is unknown to the {self._where}")
        content = self._good(answer)
        kind = content.get("schemaType", "AVRO")
        if kind != "AVRO":
            raise EventError(f"schema id {number} is of type {kind}, legal is AVRO")
        named: dict[str, Any] = {}
        try:
            self._name(content, named)
            schema: Any = json.loads(content["schema"])
            return fastavro.parse_schema(schema, named_schemas=named, expand=True) if named else schema
        except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
            raise EventError(f"schema id {number}: is no legal Avro schema: {error}") from None

    def _name(self, content: Any, named: dict[str, Any]) -> None:
        """Takes in the schemas that one refers to, those that they refer to first."""
        for reference in content.get("references") or ():
            answer = self._ask("GET", f"/subjects/{reference['subject']}/versions/{reference['version']}")
            inner = self._good(answer)
            self._name(inner, named)
            fastavro.parse_schema(json.loads(inner["schema"]), named_schemas=named)

    def _good(self, answer: httpx.Response) -> Any:
        if answer.status_code in _REFUSALS:
            who = f"user {self._settings.user!r}" if self._settings.user else "a client without a user"
            raise StoreError(
                f"{self._where}: refuses {who}: {_said(answer)}; check [stream.registry] user and password"
            )
        if answer.is_error:
            raise StoreError(f"{self._where}: {answer.request.url.path}: {_said(answer)}")
        return answer.json()

    def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            answer = self._opened().request(method, f"{self._url}{path}", json=body)
        except httpx.TransportError as error:
            raise self._away(str(error) or type(error).__name__) from error
        if answer.status_code >= _SERVER_ERRORS:
            raise self._away(_said(answer))
        return answer

    def _away(self, why: str) -> StoreAway:
        return StoreAway(
            f"{self._where}: does not answer ({why}); nothing is lost: start it, or check [stream.registry] url"
        )

    def _opened(self) -> httpx.Client:
        if self._client is None:
            user, ca = self._settings.user, self._settings.ca
            self._client = httpx.Client(
                auth=(user, self._settings.secrets.get("password", "")) if user else None,
                verify=True if ca is None else ssl.create_default_context(cafile=str(ca)),
                timeout=self._settings.timeout / 1e6,
                headers={"Accept": CONTENT, "Content-Type": CONTENT},
                trust_env=False,
            )
        return self._client


def _said(answer: httpx.Response) -> str:
    """What a registry says in an answer that is no success."""
    try:
        return f"{answer.status_code} {answer.json()['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:200]}"
