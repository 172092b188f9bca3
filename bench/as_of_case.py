"""What the contenders of `bench.training` share: which columns, windows and files a case has."""

from __future__ import annotations

from pathlib import Path

WINDOWS = ("1h", "24h", "7d")
LATEST = ("amount", "score", "level", "kind")
ORDER = ("_event_time", "_arrival", "_lane", "_offset")


def files(folder: str) -> list[str]:
    """The Parquet files of the rows."""
    return sorted(str(path) for path in Path(folder).glob("offline/rows/**/*.parquet"))


def spine(folder: str) -> str:
    """The Parquet file of the spine."""
    return str(Path(folder) / "spine.parquet")
