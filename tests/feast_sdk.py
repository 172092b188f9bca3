"""Feast's own SDK in a process of its own: one call a line of JSON, one answer a line. Run by Feast's interpreter."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import FeatureStore, RepoConfig  # type: ignore[import-not-found]
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus  # type: ignore[import-not-found]
from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # type: ignore[import-not-found]
from feast.protos.feast.types.Value_pb2 import Value  # type: ignore[import-not-found]

TIMES = ("ts", "seen", "event_timestamp")


class Calls:
    """Calls of one store.

    Args:
        folder: of its repository.
    """

    def __init__(self, folder: str) -> None:
        self.store = FeatureStore(folder)

    def read(
        self, features: list[str] | None, rows: list[dict[str, Any]], full: bool = False, service: str | None = None
    ) -> Any:
        """Values and statuses by name."""
        asked = features if service is None else self.store.get_feature_service(service)
        answer = self.store.get_online_features(asked, rows, full_feature_names=full)
        names = list(answer.proto.metadata.feature_names.val)
        statuses = [[FieldStatus.Name(code) for code in result.statuses] for result in answer.proto.results]
        return {"values": answer.to_dict(), "statuses": dict(zip(names, statuses, strict=True))}

    def write(self, view: str, df: dict[str, list[Any]]) -> None:
        """Writes rows of a view."""
        self.store.write_to_online_store(view, frame(df))

    def push(self, source: str, df: dict[str, list[Any]]) -> None:
        """Pushes rows of a source."""
        self.store.push(source, frame(df))

    def materialize(self, views: list[str], start: str, end: str) -> None:
        """Writes what the files of some views hold."""
        self.store.materialize(datetime.fromisoformat(start), datetime.fromisoformat(end), views)

    def views(self) -> Any:
        """Names of the feature views."""
        return sorted(view.name for view in self.store.list_feature_views())

    def online_read(self, view: str, key: str, values: list[int], features: list[str]) -> Any:
        """What the online store's own interface reads."""
        keys = [EntityKey(join_keys=[key], entity_values=[Value(int64_val=value)]) for value in values]
        table = self.store.get_feature_view(view)
        found = self.store._get_provider().online_store.online_read(self.store.config, table, keys, features)
        return [[str(moment), sorted(row)] for moment, row in found]

    def copy(self, folder: str, rows: dict[str, dict[str, list[Any]]]) -> None:
        """Makes a repository of Feast's own store with the same definitions, and rows of views, for `feast serve`."""
        config = {
            "project": self.store.project,
            "provider": "local",
            "registry": f"{folder}/registry.db",
            "online_store": {"type": "sqlite", "path": f"{folder}/online.db"},
            "entity_key_serialization_version": 3,
        }
        Path(folder, "feature_store.yaml").write_text(json.dumps(config), encoding="utf-8")
        other = FeatureStore(config=RepoConfig(**config))
        views = self.store.list_feature_views()
        other.apply([*self.store.list_entities(), *views, *self.store.list_feature_services()])
        for view, df in rows.items():
            other.write_to_online_store(view, frame(df))


def frame(df: dict[str, list[Any]]) -> pd.DataFrame:
    """Columns as pandas has them, times in UTC."""
    found = pd.DataFrame(df)
    for name in TIMES:
        if name in found:
            found[name] = pd.to_datetime(found[name], utc=True, format="ISO8601")
    return found


def main() -> None:
    """Answers calls until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr
    calls = Calls(sys.argv[1])
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            said = {"value": getattr(calls, name)(**arguments)}
        except Exception as error:  # noqa: BLE001
            said = {"error": type(error).__name__, "text": str(error)}
        out.write(json.dumps(said, default=str) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
