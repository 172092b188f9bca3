"""Where in the user's files a definition stands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

OURS = frozenset({"schemas", "transforms", "serving", "pipelines", "twinbeam"})

_ROOT: ContextVar[Path | None] = ContextVar("definitions_root", default=None)


@contextmanager
def places_below(root: Path) -> Iterator[None]:
    """While definitions below a folder are loaded, places are given relative to it."""
    token = _ROOT.set(root)
    try:
        yield
    finally:
        _ROOT.reset(token)


def place_of(file: str, line: int) -> str:
    """`file:line`, the file relative to the folder being loaded, or else by its bare name."""
    root = _ROOT.get()
    path = Path(file)
    shown = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.name
    return f"{shown}:{line}"


def caller_place() -> str:
    """`file:line` of the innermost frame that is not ours: the user's definition being made."""
    frame = _caller()
    return place_of(frame.f_code.co_filename, frame.f_lineno)


def caller_folder() -> str:
    """Folder of the user's file whose definition is being made."""
    return str(Path(_caller().f_code.co_filename).absolute().parent)


def _caller() -> FrameType:
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in OURS:
        frame = frame.f_back
    return frame
