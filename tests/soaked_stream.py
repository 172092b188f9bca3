"""The process of the soak: a stream that writes down, twice a second, what it costs and how fresh its rows are."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from pipelines import reader
from pipelines.platform import Platform

FRESH = re.compile(r"fresh ([\d.]+) s")
LAG = re.compile(r"lag ([\d,]+)")


class Bundles:
    """Counts the bundles that the reader begins."""

    def __init__(self) -> None:
        self.begun = 0
        self._read = reader.read_lanes

    def read_lanes(self, work: Any, tracker: Any, bounded: bool) -> Iterator[Any]:
        self.begun += 1
        return self._read(work, tracker, bounded)


class Figures(io.TextIOBase):
    """A terminal to the stream, which shows itself on it; a line of figures into a file for each of its lines."""

    def __init__(self, path: Path, bundles: Bundles) -> None:
        self._file = path.open("w", buffering=1)
        self._bundles = bundles
        self._memory = Path("/proc/self/statm")

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        lag = LAG.search(text)
        if lag is not None:
            fresh = FRESH.search(text)
            figures = {
                "at": time.monotonic(),
                "cpu": time.process_time(),
                "rss": int(self._memory.read_text().split()[1]) * 4096,
                "bundles": self._bundles.begun,
                "lag": int(lag[1].replace(",", "")),
                "fresh": float(fresh[1]) if fresh else None,
            }
            self._file.write(json.dumps(figures) + "\n")
        return len(text)


def main(folder: str, figures: str) -> None:
    """Runs the stream of a project until a signal ends it."""
    bundles = Bundles()
    reader.read_lanes = bundles.read_lanes
    with Platform.open(folder, out=cast(TextIO, Figures(Path(figures), bundles))) as platform:
        platform.run_stream()


if __name__ == "__main__":
    main(*sys.argv[1:])
