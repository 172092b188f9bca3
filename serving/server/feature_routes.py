"""Routes of features: POST /v1/features."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import chain
from time import monotonic, time
from typing import Any, Literal

import pyarrow as pa

from serving.server.answer_bodies import PARTS, TYPES, AnswerBodies
from serving.server.answer_cache import AnswerCache
from serving.server.bodies import Body, BodyDecoder, arrow_table, check_type
from serving.server.configuration import ServerConfiguration
from serving.server.counters import Counters
from serving.server.given_keys import GivenColumns, instant_of, rows_of
from serving.server.messages import ARROW, JSON, Later, Request, Response, Waits
from serving.server.openapi_parts import FEATURES
from serving.server.ports import Backend, Reader, Reads
from serving.server.problems import Problem
from serving.server.routing import Route
from serving.server.visible import Sight
from transforms.answer_columns import AnswerColumn
from transforms.answers import PRESENT, STATUSES

MANY = 200
MOST_READERS = 512
_EVERY = 16


class FeatureRequest(Body):
    """Body of POST /v1/features."""

    features: str | list[str]
    keys: dict[str, Any] | list[dict[str, Any]]
    request: dict[str, Any] | None = None
    now: str | int | None = None
    fingerprint: str | None = None
    orient: Literal["columns", "rows"] = "columns"
    include: list[Literal["statuses", "event_times", "types"]] | None = None


class _Planned:
    """A reader with what goes before and after its reads."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.given = GivenColumns(reader.selection)
        self.bodies = AnswerBodies(reader.selection)
        self.views = {output.role: output.address for output in reversed(reader.selection.outputs)}


class FeatureRoutes:
    """Answers reads.

    Args:
        backend: the project.
        configuration: of the server.
        counters: of the process.
        sight: what callers may see.
    """

    def __init__(self, backend: Backend, configuration: ServerConfiguration, counters: Counters, sight: Sight) -> None:
        self._backend, self._counters, self._sight = backend, counters, sight
        self._rows = configuration.rows
        self._cache = AnswerCache(configuration.cache, counters) if configuration.cache else None
        self._decoder = BodyDecoder(FeatureRequest)
        self._planned: dict[object, _Planned] = {}
        self._reads: Reads | None = None
        self._answered = 0

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("POST", "/v1/features", self.get, operation=FEATURES)]

    def get(self, request: Request) -> Response | Later | Waits:
        """Answers a read; a big one in a thread, one of a store that waits for a network in a fiber."""
        reads, asked = self._backend.reads, None
        as_arrow = request.accepts(ARROW)
        if self._cache is not None:
            asked = (reads.version, request.caller.scope, as_arrow, request.target, request.content_type, request.body)
            known = self._cache.find(asked)
            if known is not None:
                return known
        of_arrow = check_type(request, JSON, ARROW) == ARROW
        body = _of_arrow(request) if of_arrow else self._decoder.decode(request.body)
        planned = self.planned(reads, request, body.features)
        rows = body.keys.num_rows if isinstance(body.keys, pa.Table) else rows_of(body.keys)
        if rows > self._rows:
            told = f"a read has at most {self._rows} rows of keys, this one has {rows}"
            raise Problem(413, told, where="keys", extra={"limit": self._rows})
        if rows * len(planned.bodies.addresses) > MANY * 10:
            return Later(lambda: self._answer(planned, body, as_arrow, asked))
        if reads.waits:
            return Waits(lambda: self._answer(planned, body, as_arrow, asked))
        return self._answer(planned, body, as_arrow, asked)

    def planned(self, reads: Reads, request: Request, features: str | list[str]) -> _Planned:
        """Reader of some features that a caller may read.

        Raises:
            Problem: there is something among them that does not exist, for this caller.
        """
        items = (features,) if isinstance(features, str) else tuple(features)
        if not items:
            raise Problem(400, "nothing is asked for: give a service, a view, or view:feature addresses", "features")
        self._sight.of(reads.catalog, request.caller).check(items)
        if reads is not self._reads or len(self._planned) >= MOST_READERS:
            self._reads, self._planned = reads, {}
        found = self._planned.get(items)
        if found is None:
            found = self._planned[items] = _Planned(reads.reader(items))
        return found

    def _answer(self, planned: _Planned, body: FeatureRequest, as_arrow: bool, asked: Hashable) -> Response:
        begun = monotonic()
        keys, extra = body.keys, body.request
        if not isinstance(keys, pa.Table):
            keys = planned.given.columns(keys, "keys")
            extra = None if extra is None else planned.given.columns(extra, "request")
        features = planned.reader.get(keys, extra, instant_of(body.now), body.fingerprint)
        columns = features.columns()
        parts = PARTS if body.include is None and not as_arrow else body.include or ()
        if as_arrow:
            response = Response(200, planned.bodies.arrow(features, columns, parts), ARROW)
        elif body.orient == "rows":
            response = Response(200, planned.bodies.by_row(features, columns, parts))
        else:
            response = Response(200, planned.bodies.by_column(features, columns, parts))
        self.count(planned, columns, len(features))
        if self._cache is not None and asked is not None:
            self._cache.keep(asked, begun, response)
        return response

    def count(self, planned: _Planned, columns: Mapping[str, AnswerColumn], count: int) -> None:
        """Counts what was answered.

        Args:
            planned: the read.
            columns: of its answer.
            count: rows of it.
        """
        counters = self._counters
        counters.rows.add(count)
        told = [column.codes for column in columns.values() if column.codes is not None]
        present = count * (len(columns) - len(told))
        if told:
            codes = bytes(chain.from_iterable(told))
            present += codes.count(PRESENT)
            for code in set(codes) - {PRESENT}:
                counters.statuses[STATUSES[code]] += codes.count(code)
        if present:
            counters.statuses[STATUSES[PRESENT]] += present
        self._answered += 1
        if count and self._answered % _EVERY == 1:
            now = time()
            for view, address in planned.views.items():
                newest = max(columns[address].times)
                if newest > 0:
                    counters.age(view, now - newest / 1e6)


def _of_arrow(request: Request) -> FeatureRequest:
    """A read whose keys and request values come as an Arrow table, the rest in the query."""
    query = request.query
    legal = ("features", "now", "fingerprint", "orient", "include")
    for name, values in query.items():
        if name not in legal:
            raise Problem(400, f"unknown name {name!r}", where="query", legal=legal, given=name)
        if len(values) > 1:
            raise Problem(400, "is given more than once", where=f"query {name}")
    if "features" not in query:
        raise Problem(400, "is missing: with keys as Arrow, name the features here, with commas", "query features")
    orient = request.option("orient", ("columns", "rows")) or "columns"
    include = query["include"][0].split(",") if "include" in query else None
    for part in include or ():
        if part not in (*PARTS, TYPES):
            raise Problem(400, f"unknown part {part!r}", where="query include", legal=(*PARTS, TYPES), given=part)
    now = query.get("now", [None])[0]
    number = int(now) if now is not None and now.lstrip("-").isascii() and now.lstrip("-").isdigit() else now
    return FeatureRequest(
        [item.strip() for item in query["features"][0].split(",")],
        arrow_table(request.body),
        None,
        number,
        query.get("fingerprint", [None])[0],
        orient,  # type: ignore[arg-type]
        include,  # type: ignore[arg-type]
    )
