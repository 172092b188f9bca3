"""Leftovers of Delta tables on a local disk: files and log entries that no reader can need any more."""

from __future__ import annotations

from pathlib import Path

from serving.stores.damage import CHECKSUMS

_LOG = "_delta_log"
_DIGITS = 20


class Leftovers:
    """Data files of one table that its newest version does not name, and since when they were seen to be such.

    A file that is not committed yet, or that a reader of an earlier version still reads, looks like one that nobody
    needs; so a file goes only when it was left over for long enough, as this object saw it.
    """

    def __init__(self) -> None:
        self._since: dict[Path, int] = {}

    def sweep(self, folder: Path, named: set[str], keep: int, now: int) -> int:
        """Deletes the files that have been left over for `keep` µs, and says how many.

        Args:
            folder: of the table.
            named: names of the data files of its newest version.
            keep: µs.
            now: µs.
        """
        found = {path for path in folder.glob("*.parquet") if path.name not in named}
        self._since = {path: self._since.get(path, now) for path in found}
        gone = [path for path, since in self._since.items() if now - since >= keep]
        for path in gone:
            path.unlink(missing_ok=True)
            (folder / CHECKSUMS / path.name).unlink(missing_ok=True)
            del self._since[path]
        return len(gone)


def trim_log(folder: Path, checkpoint: int, keep: int, now: int) -> int:
    """Deletes what a log has from before a checkpoint and is older than `keep` µs; says how many files that were.

    Args:
        folder: of the table.
        checkpoint: version of its newest checkpoint.
        keep: µs; readers that are slower than this at opening the table fail.
        now: µs since the epoch.
    """
    gone = 0
    for path in sorted([*(folder / _LOG).glob("*.json"), *(folder / _LOG).glob("*.checkpoint*.parquet")]):
        number = path.name[:_DIGITS]
        if number.isdigit() and int(number) < checkpoint and path.stat().st_mtime_ns // 1000 <= now - keep:
            path.unlink(missing_ok=True)
            gone += 1
    return gone
