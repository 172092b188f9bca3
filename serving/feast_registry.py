"""The registry of Feast that says what our definitions say, so that its SDK can ask our server.

A view is a feature view of the same name. Rows are written under the name of a view if its keys and features are all
that its source holds; any other source with a topic has a feature view under its own name, of its fields: what the SDK
writes or pushes there are events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from schemas.source import Source
from serving.feast_rows import written_whole
from serving.protobuf import Message, seconds
from transforms.catalog import Catalog
from transforms.selection import Output
from transforms.view import CompiledView

_FILE, _PUSH = 1, 9
_FILE_CLASS, _PUSH_CLASS = "feast.infra.offline_stores.file_source.FileSource", "feast.data_source.PushSource"
_BYTES, _STRING, _INT32, _INT64, _DOUBLE, _FLOAT, _BOOL, _TIME = range(1, 9)
_MAP, _MAP_LIST, _JSON = 20, 21, 32
_LISTS = 10


def value_type(dtype: pa.DataType) -> int:
    """Feast's number of a type; dates and decimals are strings, lists of lists are JSON."""
    if pa.types.is_list(dtype):
        inner = value_type(dtype.value_type)
        return inner + _LISTS if inner <= _TIME else _MAP_LIST if inner == _MAP else _JSON
    checks: list[tuple[Callable[[pa.DataType], bool], int]] = [
        (pa.types.is_binary, _BYTES),
        (pa.types.is_boolean, _BOOL),
        (pa.types.is_int64, _INT64),
        (pa.types.is_integer, _INT32),
        (pa.types.is_float32, _FLOAT),
        (pa.types.is_floating, _DOUBLE),
        (pa.types.is_timestamp, _TIME),
        (pa.types.is_map, _MAP),
        (pa.types.is_struct, _MAP),
    ]
    return next((number for check, number in checks if check(dtype)), _STRING)


class FeastRegistry:
    """Writes the registry of one project.

    Args:
        project: its name.
        catalog: its definitions.
        topic: topic of a source, or None.
        file: path of a source's Parquet file or folder, or None.
        now: µs.
    """

    def __init__(
        self,
        project: str,
        catalog: Catalog,
        topic: Callable[[str], str | None],
        file: Callable[[str], Path | None],
        now: int,
    ) -> None:
        self._project, self._catalog, self._topic, self._file = project, catalog, topic, file
        self._meta = Message().message(1, seconds(now)).message(2, seconds(now))
        self._now = now
        self._names = self._entity_names()

    def written(self) -> bytes:
        """The file `registry.db`."""
        catalog = self._catalog
        found = Message().text(3, "1").text(4, str(self._now)).message(5, seconds(self._now))
        found.message(17, Message().message(1, Message().text(1, self._project)).message(2, self._meta))
        types = {key: kind for view in catalog.views.values() for key, kind in view.keys.asked.items()}
        for key, name in self._names.items():
            spec = Message().text(1, name).text(9, self._project).number(2, value_type(types[key])).text(4, key)
            found.message(1, Message().message(1, spec).message(2, self._meta))
        whole = {source.name for view in catalog.views.values() if (source := self._pushed(view)) is not None}
        for name, source in catalog.registry.sources.items():
            found.message(12, self._files(source))
            if self._topic(name) is not None:
                found.message(12, self._push(source))
        for view in catalog.views.values():
            found.message(6, self._view(view))
        for name, source in catalog.registry.sources.items():
            if name not in whole and name not in catalog.views and self._topic(name) is not None:
                keyed = self._keyed(source)
                if keyed is not None:
                    found.message(6, self._events(source, keyed))
        for service in catalog.registry.services:
            found.message(7, self._service(service))
        return found.written()

    def _entity_names(self) -> dict[str, str]:
        """Feast's entities have one key each: key column -> name, that of our entity if it has this key alone."""
        names: dict[str, str] = {}
        for view in self._catalog.views.values():
            asked = list(view.keys.asked)
            for key in asked:
                names.setdefault(key, key)
            if len(asked) == 1:
                names[asked[0]] = view.entity.name
        return names

    def _pushed(self, view: CompiledView) -> Source | None:
        """The source that a view's rows are pushed to, if it is fed by one alone and they are all of it."""
        only = view.sources[0] if len(view.sources) == 1 else None
        if only is not None and self._topic(only.name) is not None and written_whole(self._catalog, view, only):
            return only
        return None

    def _view(self, view: CompiledView) -> Message:
        spec = self._spec(view.name, view.keys.asked, [(each.name, each.dtype) for each in view.features], view.online)
        spec.texts(5, view.view.tags).text(10, view.view.description).text(11, view.view.owner)
        if view.ttl is not None:
            spec.message(6, seconds(view.ttl))
        spec.message(7, self._files(view.sources[0]))
        pushed = self._pushed(view)
        if pushed is not None:
            spec.message(9, self._push(pushed))
        return Message().message(1, spec).message(2, self._meta)

    def _events(self, source: Source, keys: Mapping[str, pa.DataType]) -> Message:
        others = [
            (field.name, field.type)
            for field in source.resolved_fields
            if field.name not in keys and field.name not in (source.event_time, source.arrival_time)
        ]
        spec = self._spec(source.name, keys, others, True).text(10, source.description or "Events, to be written")
        spec.message(7, self._files(source)).message(9, self._push(source))
        return Message().message(1, spec).message(2, self._meta)

    def _spec(
        self, name: str, keys: Mapping[str, pa.DataType], features: Iterable[tuple[str, pa.DataType]], online: bool
    ) -> Message:
        spec = Message().text(1, name).text(2, self._project).number(8, int(online))
        for key, dtype in keys.items():
            spec.text(3, self._names[key]).message(12, _column(key, dtype))
        for feature, dtype in features:
            spec.message(4, _column(feature, dtype))
        return spec

    def _keyed(self, source: Source) -> Mapping[str, pa.DataType] | None:
        """Keys of the first view of a source that are all among its fields."""
        fields = {field.name for field in source.resolved_fields}
        for view in self._catalog.views.values():
            if source.name in view.rules and fields >= view.keys.asked.keys():
                return view.keys.asked
        return None

    def _files(self, source: Source) -> Message:
        path = self._file(source.name) or Path(f"{source.name}.parquet")
        found = Message().text(20, f"{source.name}_files").text(21, self._project).number(1, _FILE)
        found.text(3, source.event_time or "").text(17, _FILE_CLASS)
        return found.message(11, Message().text(2, str(path)))

    def _push(self, source: Source) -> Message:
        found = Message().text(20, source.name).text(21, self._project).number(1, _PUSH).text(17, _PUSH_CLASS)
        return found.message(26, self._files(source)).message(22, Message())

    def _service(self, name: str) -> Message:
        service = self._catalog.registry.services[name]
        spec = Message().text(1, name).text(2, self._project).text(5, service.description)
        roles: dict[str, list[Output]] = {}
        for output in self._catalog.select(name).outputs:
            roles.setdefault(output.role, []).append(output)
        for role, outputs in roles.items():
            view = outputs[0].view
            named = role if view is None else view.name
            projection = Message().text(1, named).text(3, role if role != named else "")
            for output in outputs:
                projection.message(2, _column(output.feature.name, output.feature.dtype))
            projection.texts(4, {key: column for key, column in outputs[0].keys if key != column})
            spec.message(3, projection)
        return Message().message(1, spec).message(2, self._meta)


def _column(name: str, dtype: pa.DataType) -> Message:
    return Message().text(1, name).number(2, value_type(dtype))
