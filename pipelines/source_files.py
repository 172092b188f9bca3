"""Files of a source: what its patterns match, locally and in object stores."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pyarrow import fs

from schemas.source import Source


def matching_files(patterns: Sequence[str], folder: Path, source: Source) -> list[str]:
    """Paths that match the patterns, each once, sorted.

    Args:
        patterns: globs (`*`, `**`, `?`), from the project's folder if relative; or object-store URLs.
        folder: of the project.
        source: whose files they are.
    """
    found: set[str] = set()
    for pattern in patterns:
        if "://" in pattern:
            found.update(_remote(pattern))
        else:
            found.update(path for path in glob.glob(str(folder / pattern), recursive=True) if Path(path).is_file())
    return sorted(found)


def _remote(pattern: str) -> list[str]:
    scheme = pattern.partition("://")[0]
    parts = pattern.split("/")
    fixed = "/".join(parts[: next((at for at, part in enumerate(parts) if set(part) & set("*?[")), len(parts) - 1)])
    system, root = fs.FileSystem.from_uri(fixed)
    rest = pattern[len(fixed) :].lstrip("/")
    infos = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return [
        f"{scheme}://{info.path}"
        for info in infos
        if info.type == fs.FileType.File and PurePosixPath(info.path).match(f"{root}/{rest}")
    ]
