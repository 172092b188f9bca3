"""The runtime: records put, got and deleted.

What is written is appended to the topic of the group's source, durable before it is answered; where a stream follows
it, the answer waits until the record can be read, so that a client reads what it has put. If that does not come in
time the answer is the same, for the record is durable, and clients send again by themselves what is answered 503.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from schemas.feature_group import EXPIRES, ONLINE, SEQUENCE, TEXTS, FeatureGroup
from serving.server.messages import Request, Response, Waits, encode_json
from serving.server.problems import Problem, problem_of
from serving.server.routing import Queue, Route
from serving.server.sagemaker.bodies import (
    BatchGetBody,
    BatchIdentifier,
    BatchWriteBody,
    Bodies,
    ListRecordsBody,
    PutBody,
    UpdateBody,
    WriteEntry,
)
from serving.server.sagemaker.errors import CONFLICT, NOT_FOUND, code_of, failure, invalid
from serving.server.sagemaker.events import Event, RecordEvents, Targets
from serving.server.sagemaker.groups import Groups
from serving.server.sagemaker.ports import GroupStore
from serving.server.sagemaker.records import FoundRecord, named, read
from serving.server.sagemaker.values import moment_text
from serving.server.site import Site
from serving.server.waiting import readable

LOG = logging.getLogger("twinbeam.server")
T = TypeVar("T")
SOFT, HARD = "SoftDelete", "HardDelete"
ENABLED = "Enabled"
_PATH = "/FeatureGroup/{name}"
_LOOK_SECONDS = 0.1
_MANY = 500


class SageMakerRuntime:
    """Answers the runtime's requests.

    Args:
        site: what is served.
        store: where groups are kept.
    """

    def __init__(self, site: Site, store: GroupStore) -> None:
        self._site, self._store, self._groups = site, store, Groups(store)
        self._puts, self._updates = Bodies(PutBody), Bodies(UpdateBody)
        self._gets, self._writes = Bodies(BatchGetBody), Bodies(BatchWriteBody)
        self._lists = Bodies(ListRecordsBody)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("PUT", _PATH, self.put, Queue.WRITES, protocol="sagemaker"),
            Route("GET", _PATH, self.get, protocol="sagemaker"),
            Route("DELETE", _PATH, self.delete, Queue.WRITES, protocol="sagemaker"),
            Route("POST", "/BatchGetRecord", self.batch_get, protocol="sagemaker"),
            Route("POST", "/BatchWriteRecord", self.batch_write, Queue.WRITES, protocol="sagemaker"),
            Route("POST", f"{_PATH}/Record", self.update, Queue.WRITES, protocol="sagemaker"),
            Route("POST", f"{_PATH}/ListRecords", self.identifiers, protocol="sagemaker"),
        ]

    async def put(self, request: Request) -> Response:
        """PutRecord."""
        body: PutBody = self._puts.decode(request.body)
        group = await self._groups.of(request.caller, request.params["name"], "push")
        targets = Targets.of(group, body.target_stores)
        event = self._events(group).put(body.record, targets, body.ttl_duration)
        await self._sent({group.name: (group, [event])})
        return Response(200)

    def get(self, request: Request) -> Response | Waits | Awaitable[Response]:
        """GetRecord; one of a store that waits for a network is done in a fiber."""
        name = request.params["name"]
        group = self._groups.at_hand(request.caller, name, "read")
        if group is None:
            return self._got(request, name)
        found = group
        if self._site.backend.reads.waits:
            return Waits(lambda: self._get(request, found))
        return self._get(request, found)

    async def delete(self, request: Request) -> Response:
        """DeleteRecord; a hard one that would change nothing is refused."""
        query = request.query
        identifier, time = _single(request, "RecordIdentifierValueAsString"), _single(request, "EventTime")
        mode = _single(request, "DeletionMode", SOFT)
        if mode not in (SOFT, HARD):
            raise invalid(f"DeletionMode: {mode[:100]!r} is not legal: legal are {SOFT} and {HARD}")
        stores = query.get("TargetStores")
        for store in stores or ():
            if store not in ("OnlineStore", "OfflineStore"):
                raise invalid(f"TargetStores: {store[:100]!r} is not legal: legal are OnlineStore and OfflineStore")
        group = await self._groups.of(request.caller, request.params["name"], "push")
        targets = Targets.of(group, stores)
        events = self._events(group)
        event = events.delete(identifier, time, targets, mode == HARD)
        if mode == HARD and targets.online:
            await self._threaded(lambda: self._check_later(group, events, identifier, time))
        await self._sent({group.name: (group, [event])})
        return Response(200)

    async def batch_get(self, request: Request) -> Response:
        """BatchGetRecord."""
        body: BatchGetBody = self._gets.decode(request.body)
        records: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        wanted: list[tuple[BatchIdentifier, FeatureGroup]] = []
        for each in body.identifiers:
            try:
                group = await self._groups.of(request.caller, each.feature_group_name, "read")
                _online(group)
                named(group, each.feature_names)
            except Problem as problem:
                errors += [_error(each, text, problem) for text in each.record_identifiers_value_as_string]
            else:
                wanted.append((each, group))

        def work() -> Response:
            for each, group in wanted:
                self._many(request, each, group, body.expiration_time_response == ENABLED, records, errors)
            return Response.json({"Records": records, "Errors": errors, "UnprocessedIdentifiers": []})

        return await self._threaded(work)

    async def batch_write(self, request: Request) -> Response:
        """BatchWriteRecord: what is legal is written, of the rest it is told why not."""
        body: BatchWriteBody = self._writes.decode(request.body)
        sent: dict[str, tuple[FeatureGroup, list[Event]]] = {}
        errors = []
        for entry in body.entries:
            try:
                group = await self._groups.of(request.caller, entry.feature_group_name, "push")
                targets = Targets.of(group, entry.target_stores)
                event = self._events(group).put(entry.record, targets, entry.ttl_duration or body.ttl_duration)
            except Problem as problem:
                errors.append(_entry_error(entry, problem))
            else:
                sent.setdefault(group.name, (group, []))[1].append(event)
        await self._sent(sent)
        return Response.json({"Errors": errors, "UnprocessedEntries": []})

    async def update(self, request: Request) -> Response:
        """UpdateRecord: a row of the record with some features changed, which goes before it at an equal time."""
        body: UpdateBody = self._updates.decode(request.body)
        group = await self._groups.of(request.caller, request.params["name"], "push")
        _online(group)
        if not group.registered:
            raise invalid(f"{group.name!r} is a view of the definitions, whose records can only be put as a whole")
        targets, events = Targets.of(group, body.target_stores), self._events(group)
        given = events.values(body.features)
        identifier = body.record_identifier_value_as_string
        own = given.get(group.key.name)
        if own is not None and own.value_as_string != identifier:
            raise invalid(f"{group.key.name}: an update does not change the identifier of a record")
        timed = given.get(group.time.name)
        if timed is None and body.ttl_duration is not None:
            raise invalid("TtlDuration: an EventTime is needed with it, for the record expires that long after it")
        key = events.key(identifier)
        row = await self._threaded(lambda: self._row(group, key))
        if row is None:
            raise failure(NOT_FOUND, 404, f"there is no record {identifier[:100]!r} in feature group {group.name!r}")
        record, before = row
        text = _time_of(group, record) if timed is None else timed.value_as_string or ""
        time = record.time if timed is None else events.time(text)
        if time < record.time:
            raise failure(
                CONFLICT, 409, f"EventTime {text} is older than that of the record, {_time_of(group, record)}"
            )
        event = events.update(record, before, given, text, targets)
        event[EXPIRES] = record.expires if body.ttl_duration is None else events.expiry(time, body.ttl_duration)
        event[SEQUENCE] = record.sequence - 1 if time == record.time else 0
        await self._sent({group.name: (group, [event])})
        return Response(200)

    async def identifiers(self, request: Request) -> Response:
        """ListRecords: identifiers that the offline store knows, once it has all that was put, looked up online."""
        body: ListRecordsBody = self._lists.decode(request.body)
        group = await self._groups.of(request.caller, request.params["name"], "read")
        _online(group)
        after = _token(group, body.next_token) if body.next_token is not None else None
        loop, limit = asyncio.get_running_loop(), self._site.configuration.wait
        if await self._threaded(lambda: self._store.followed(group)):
            ends, until = await self._threaded(lambda: self._store.ends(group)), loop.time() + limit
            while loop.time() < until and not await self._threaded(lambda: self._store.stored(group, ends)):
                await asyncio.sleep(_LOOK_SECONDS)
        return await self._threaded(lambda: self._listed(group, after, body))

    def _listed(self, group: FeatureGroup, after: int | str | None, body: ListRecordsBody) -> Response:
        reads = self._site.backend.reads
        reader, former = reads.reader((group.view_name,)), reads.former(group.view_name)
        known = [key for key in self._store.identifiers(group) if after is None or key > after]  # type: ignore[operator]
        found: list[int | str] = []
        for first in range(0, len(known), _MANY):
            keys = known[first : first + _MANY]
            for key, record in zip(keys, read(reader, group, keys, former)[1], strict=True):
                if not record.expired if record is not None else body.include_soft_deleted_records:
                    found.append(key)
            if len(found) > body.max_results:
                break
        page = found[: body.max_results]
        answer: dict[str, Any] = {"RecordIdentifiers": [str(key) for key in page]}
        if len(found) > len(page):
            answer["NextToken"] = base64.urlsafe_b64encode(str(page[-1]).encode()).decode()
        return Response.json(answer)

    def _events(self, group: FeatureGroup) -> RecordEvents:
        return RecordEvents(group, self._store.max_skew)

    async def _threaded(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, work)

    async def _got(self, request: Request, name: str) -> Response:
        group = await self._groups.of(request.caller, name, "read")
        return await self._threaded(lambda: self._get(request, group))

    def _get(self, request: Request, group: FeatureGroup) -> Response:
        text = _single(request, "RecordIdentifierValueAsString")
        names = named(group, request.query.get("FeatureName"))
        shown = _switch(request)
        _online(group)
        record = self._records(request, group, [self._events(group).key(text)])[0]
        if record is None or record.expired:
            return Response(200, b"{}")
        answer: dict[str, Any] = {"Record": record.features(names)}
        if shown and record.expires is not None:
            answer["ExpiresAt"] = record.expires_at()
        return Response(200, encode_json(answer))

    def _many(
        self,
        request: Request,
        each: BatchIdentifier,
        group: FeatureGroup,
        shown: bool,
        records: list[dict[str, Any]],
        errors: list[dict[str, Any]],
    ) -> None:
        """Records of one group, put to those that were found, or to the errors."""
        events, keys = self._events(group), dict[str, int | str]()
        for text in each.record_identifiers_value_as_string:
            try:
                keys[text] = events.key(text)
            except Problem as problem:
                errors.append(_error(each, text, problem))
        if not keys:
            return
        try:
            found = self._records(request, group, list(keys.values()))
        except Exception as error:  # noqa: BLE001
            LOG.warning("BatchGetRecord of %s: %s", group.name, error)
            errors += [_error(each, text, problem_of(error)) for text in keys]
            return
        for text, record in zip(keys, found, strict=True):
            if record is None or record.expired:
                continue
            answer = {
                "FeatureGroupName": each.feature_group_name,
                "RecordIdentifierValueAsString": text,
                "Record": record.features(each.feature_names),
            }
            if shown and record.expires is not None:
                answer["ExpiresAt"] = record.expires_at() or ""
            records.append(answer)

    def _records(self, request: Request, group: FeatureGroup, keys: Sequence[int | str]) -> list[FoundRecord | None]:
        """Records of keys, read for a client and counted."""
        reads = self._site.backend.reads
        planned = self._site.features.planned(reads, request, group.view_name)
        features, found = read(planned.reader, group, keys, reads.former(group.view_name))
        columns = features.columns()
        if all(address in columns for address in planned.views.values()):
            self._site.features.count(planned, columns, len(keys))
        return found

    def _check_later(self, group: FeatureGroup, events: RecordEvents, identifier: str, text: str) -> None:
        """Refuses a hard delete that is not later than the record, or older than what there was of it.

        One of the very time of a deletion is that deletion, sent again.
        """
        key, time = events.key(identifier), events.time(text)
        record = self._record(group, key)
        if record is not None and time <= record.time:
            raise invalid(
                f"EventTime: {text} is not later than that of the record, {_time_of(group, record)}: nothing is deleted"
            )
        if record is None and time < (newest := self._newest(group, key)):
            raise invalid(
                f"EventTime: {text} is older than {moment_text(group.time.kind, newest)}, when the record was last put "
                "or deleted: nothing is deleted"
            )

    def _newest(self, group: FeatureGroup, key: int | str) -> int:
        """Event time (µs) of the newest that is known online of a record, be it deleted; `NO_TIME` for nothing."""
        reader = self._site.backend.reads.reader((group.view_name,))
        return int(reader.get({group.key.column: [key]}, None, "latest", None).instants[0])

    def _record(self, group: FeatureGroup, key: int | str) -> FoundRecord | None:
        """A record, read for the server itself; one that has expired is none."""
        record = read(self._site.backend.reads.reader((group.view_name,)), group, [key])[1][0]
        return None if record is None or record.expired else record

    def _row(self, group: FeatureGroup, key: int | str) -> tuple[FoundRecord, Mapping[str, Any]] | None:
        """A record, and its values by column."""
        features, (record,) = read(self._site.backend.reads.reader((group.view_name,)), group, [key])
        if record is None or record.expired:
            return None
        columns = features.columns()
        names = [feature.column for feature in group.values] + [TEXTS]
        values = {name: columns[f"{group.view_name}:{name}"].values[0] for name in names}
        return record, values | {group.key.column: key}

    async def _sent(self, sent: Mapping[str, tuple[FeatureGroup, list[Event]]]) -> None:
        """Appends events, and waits until they can be read where a stream follows them."""
        site = self._site
        publishing, loop = site.backend.publishing, asyncio.get_running_loop()
        waiting = []
        for group, events in sent.values():
            lanes = await loop.run_in_executor(None, publishing.publish, group.source, events)
            site.counters.pushed[group.source] += len(events)
            followed = await loop.run_in_executor(None, self._store.followed, group)
            if followed and any(event.get(ONLINE, True) for event in events):
                waiting.append(readable(publishing, group.source, lanes, site.configuration.wait, None))
        if waiting and not all(await asyncio.gather(*waiting)):
            LOG.warning("records of %s are durable, and could not be read in time", ", ".join(sent))


def _online(group: FeatureGroup) -> None:
    if not group.online:
        raise invalid(f"feature group {group.name!r} has no online store")


def _token(group: FeatureGroup, text: str) -> int | str:
    """The identifier that a page ended with."""
    try:
        given = base64.b64decode(text, b"-_", validate=True).decode()
        return int(given) if isinstance(group.example, int) else given
    except ValueError:
        raise invalid(f"NextToken: {text[:100]!r} was not given here") from None


def _single(request: Request, name: str, default: str | None = None) -> str:
    given = request.query.get(name, [] if default is None else [default])
    if len(given) != 1:
        raise invalid(f"{name} is missing" if not given else f"{name} is given more than once")
    return given[0]


def _switch(request: Request) -> bool:
    given = _single(request, "ExpirationTimeResponse", "Disabled")
    if given not in (ENABLED, "Disabled"):
        raise invalid(f"ExpirationTimeResponse: {given[:100]!r} is not legal: legal are Enabled and Disabled")
    return given == ENABLED


def _time_of(group: FeatureGroup, record: FoundRecord) -> str:
    return str(record.texts[group.time.name])


def _error(each: BatchIdentifier, text: str, problem: Problem) -> dict[str, Any]:
    return {
        "FeatureGroupName": each.feature_group_name,
        "RecordIdentifierValueAsString": text,
        "ErrorCode": code_of(problem),
        "ErrorMessage": str(problem),
    }


def _entry_error(entry: WriteEntry, problem: Problem) -> dict[str, Any]:
    return {"Entry": entry, "ErrorCode": code_of(problem), "ErrorMessage": str(problem)}
