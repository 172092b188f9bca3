"""POST /get-online-features: reads in Feast's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import RequestError
from serving.server.feast.bodies import Bodies, ReadBody
from serving.server.feast.errors import failure, malformed, view_missing
from serving.server.feast.values import EPOCH_TEXT, converted, event_time, outgoing
from serving.server.feature_routes import MANY, MOST_READERS
from serving.server.messages import Later, Request, Response, Waits, encode_json
from serving.server.ports import Reads
from serving.server.problems import Problem
from serving.server.routing import Route
from serving.server.site import Site
from transforms.answer_columns import AnswerColumn
from transforms.answers import STATUSES
from transforms.requests import column_types
from transforms.selection import Selection

WORDS = tuple("INVALID" if status == "OVERFLOW" else status for status in STATUSES)
PRESENT = WORDS[0]


class _Planned:
    """One list of features or one service, with all that its answers have in common."""

    def __init__(self, planned: Any, full: bool) -> None:
        self.planned, self.reader = planned, planned.reader
        selection: Selection = planned.reader.selection
        self.types = column_types(selection)
        self.keys = [name for name in self.types if name not in selection.request]
        self.request = [name for name in self.types if name in selection.request]
        self.key_writers = {name: outgoing(self.types[name]) for name in self.keys}
        self.writers = {output.address: outgoing(output.feature.dtype) for output in selection.outputs}
        self.roles = list(dict.fromkeys(output.role for output in selection.outputs))
        self.entities = {
            output.view.entity.name: output.keys[0][1]
            for output in selection.needed()
            if output.view is not None and len(output.keys) == 1
        }
        short = [output.feature.name for output in selection.outputs]
        twice = sorted({name for name in short if short.count(name) > 1})
        if twice and not full:
            raise failure(
                "FeatureNameCollisionError",
                422,
                f"Duplicate features named {', '.join(twice)} found.\nTo resolve this collision, either use the full "
                "feature name by setting 'full_feature_names=True', or ensure that the features in question have "
                "different names.",
            )
        taken = sorted(set(short) & set(self.keys))
        if taken and not full:
            raise failure(
                "FeatureNameCollisionError",
                422,
                f"{taken[0]} is a feature and a join key: set 'full_feature_names=True'",
            )
        self.names = [
            f"{output.role}__{output.feature.name}" if full else output.feature.name for output in selection.outputs
        ]


class FeastReads:
    """Answers reads.

    Args:
        site: what is served.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._rows = site, site.configuration.rows
        self._bodies = Bodies(ReadBody)
        self._reads: Reads | None = None
        self._known: dict[object, _Planned] = {}

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("POST", "/get-online-features", self.get, protocol="feast")]

    def get(self, request: Request) -> Response | Later | Waits:
        """Answers a read; a big one in a thread, one of a store that waits for a network in a fiber."""
        body = self._bodies.decode(request.body)
        reads = self._site.backend.reads
        lengths = {len(column) for column in body.entities.values()}
        if len(lengths) > 1:
            raise malformed("columns have different lengths", ["entities"])
        rows = lengths.pop() if lengths else 0
        if rows > self._rows:
            raise Problem(413, f"a read has at most {self._rows} rows, this one has {rows}", where="entities")
        planned = self._planned(reads, request, body)
        if rows * len(planned.names) > MANY * 10:
            return Later(lambda: self._answer(planned, body, rows))
        if reads.waits:
            return Waits(lambda: self._answer(planned, body, rows))
        return self._answer(planned, body, rows)

    def _planned(self, reads: Reads, request: Request, body: ReadBody) -> _Planned:
        if reads is not self._reads or len(self._known) >= MOST_READERS:
            self._reads, self._known = reads, {}
        full = body.full_feature_names
        asked = (request.caller.scope, body.feature_service, tuple(body.features), full)
        found = self._known.get(asked)
        if found is None:
            names = self._checked(reads, request, body)
            try:
                found = _Planned(self._site.features.planned(reads, request, names), full)
            except RequestError as error:
                raise failure("FeastError", 422, str(error)) from None
            self._known[asked] = found
        return found

    def _checked(self, reads: Reads, request: Request, body: ReadBody) -> str | list[str]:
        """What is asked for, as the native protocol names it.

        Raises:
            Problem: something does not exist, for all that the caller may know.
        """
        visible = self._site.sight.of(reads.catalog, request.caller)
        project, services = self._site.backend.project, reads.catalog.registry.services
        service = body.feature_service
        if service:
            if service not in services or service not in visible.names:
                raise failure(
                    "FeatureServiceNotFoundException",
                    404,
                    f"Feature service {service} does not exist in project {project}",
                )
            return service
        if not body.features:
            raise malformed("features or feature_service is needed", ["features"])
        found: dict[str, Mapping[str, Any]] = {}
        for reference in body.features:
            role, colon, name = reference.partition(":")
            if not colon:
                raise malformed(f"{reference!r} is no feature reference: give feature_view:feature", ["features"])
            plain, _, version = role.partition("@")
            if plain not in visible.names or plain in services:
                raise view_missing(plain, project)
            if version:
                raise failure(
                    "FeatureViewVersionNotFound",
                    404,
                    f"Version {version} of feature view {plain} does not exist in project {project}",
                )
            if name not in found.setdefault(role, visible.features(role)):
                raise failure("FeastObjectNotFoundException", 404, f"Feature {name} not found in feature view {role}")
        return list(dict.fromkeys(body.features))

    def _answer(self, planned: _Planned, body: ReadBody, rows: int) -> Response:
        keys = self._columns(planned, body)
        if rows == 0 and planned.types:
            columns, given = dict[str, AnswerColumn](), {name: list[Any]() for name in planned.keys}
        else:
            try:
                features = planned.reader.get(keys, None, None, None)
            except RequestError as error:
                raise failure("FeastError", 422, str(error)) from None
            columns = dict(features.columns())
            given, rows = features.given_values(), len(features)
            self._site.features.count(planned.planned, columns, rows)
        present, epoch = [PRESENT] * rows, [EPOCH_TEXT] * rows
        results = [
            {"values": planned.key_writers[name](given[name]), "statuses": present, "event_timestamps": epoch}
            for name in planned.keys
        ]
        times: dict[int, list[str]] = {}
        for address, writer in planned.writers.items():
            column = columns.get(address)
            if column is None:
                results.append({"values": [], "statuses": [], "event_timestamps": []})
                continue
            moments = times.get(id(column.times))
            if moments is None:
                moments = times[id(column.times)] = [event_time(time) for time in column.times]
            codes = column.codes
            statuses = present if codes is None else [WORDS[code] for code in codes]
            results.append({"values": writer(column.values), "statuses": statuses, "event_timestamps": moments})
        metadata: dict[str, Any] = {"feature_names": [*planned.keys, *planned.names]}
        if body.include_feature_view_version_metadata:
            metadata["feature_view_metadata"] = [{"name": role} for role in planned.roles]
        return Response(200, encode_json({"results": results, "metadata": metadata}))

    def _columns(self, planned: _Planned, body: ReadBody) -> dict[str, list[Any]]:
        """Keys and request values by the names that the features want; an entity's name stands for its one key."""
        given = dict(body.entities)
        for name in body.entities:
            key = planned.entities.get(name)
            if name not in planned.types and key is not None and key not in given:
                given[key] = given.pop(name)
        missing = [name for name in planned.keys if name not in given]
        if missing:
            raise failure(
                "FeastEntityDFMissingColumnsError",
                422,
                f"The entity dataframe you have provided must contain columns {planned.keys}, but {missing} were "
                "missing.",
            )
        missing = [name for name in planned.request if name not in given]
        if missing:
            raise failure(
                "RequestDataNotFoundInEntityRowsException",
                404,
                f"Required request data source features {missing} not found in the entity rows, but required by "
                "feature views",
            )
        found = {}
        for name, dtype in planned.types.items():
            try:
                found[name] = converted(dtype, given[name])
            except ValueError as error:
                raise malformed(str(error), ["entities", name]) from None
        columns: dict[str, list[Any]] = planned.planned.given.columns(found, "entities")
        return columns
