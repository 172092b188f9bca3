"""Patterns of files: which files of a disk or an object store they mean now."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from schemas.errors import StoreError

_WILD = re.compile(r"[*?\[]")
_HIDDEN = (".", "_")


def find_files(patterns: Iterable[str]) -> list[str]:
    """Files that patterns mean, each once, in order of their names.

    A `*` stands for any text within one folder's name, `**` for any folders. Files and folders whose name begins with
    `.` or `_` are left out, unless the pattern says so.

    Args:
        patterns: absolute paths or URLs, with `*`, `**`, `?` and `[...]`.

    Raises:
        StoreError: an object store cannot be listed.
    """
    found: set[str] = set()
    for pattern in patterns:
        found |= set(_remote(pattern) if "://" in pattern else _local(pattern))
    return sorted(found)


def _local(pattern: str) -> list[str]:
    asked = {part for part in Path(pattern).parts if part.startswith(_HIDDEN)}
    paths = (Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns
    base = _WILD.split(pattern)[0].rpartition("/")[0]
    return [
        str(path)
        for path in paths
        if path.is_file()
        and not any(part.startswith(_HIDDEN) and part not in asked for part in path.parts[len(Path(base).parts) :])
    ]


def _remote(pattern: str) -> list[str]:
    scheme, _, rest = pattern.partition("://")
    base = _WILD.split(rest)[0].rpartition("/")[0] if _WILD.search(rest) else rest
    try:
        system, folder = fs.FileSystem.from_uri(f"{scheme}://{base}")
        if not _WILD.search(rest):
            return [pattern] if system.get_file_info(folder).type == fs.FileType.File else []
        infos = system.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{pattern}: cannot be listed: {error}") from error
    wanted = re.compile(_regular(rest[len(base) :].lstrip("/")))
    names = (info.path[len(folder) :].lstrip("/") for info in infos if info.type == fs.FileType.File)
    return [
        f"{scheme}://{base}/{name}"
        for name in names
        if wanted.fullmatch(name) and not any(part.startswith(_HIDDEN) for part in name.split("/"))
    ]


def _regular(pattern: str) -> str:
    """Regular expression of a pattern below its first folder."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    known = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return "".join(
        known.get(piece, piece.replace("[!", "[^") if piece.startswith("[") else re.escape(piece)) for piece in pieces
    )
