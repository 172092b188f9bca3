"""The display of a run: one live line on a terminal, one line now and then elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from pipelines.monitor import Snapshot, progress_line

LIVE_SECONDS = 0.5
LOG_SECONDS = 10.0
_CLEAR = "\r\x1b[2K"
_WIDTH = 20


@contextmanager
def shown(look: Callable[[], Snapshot], out: TextIO | None) -> Iterator[None]:
    """Shows what a run does while the block lasts.

    Args:
        look: what the run shows of itself now.
        out: where to; None for nowhere.
    """
    if out is None:
        yield
        return
    live = out.isatty()
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(look, out, over, live), name="twinbeam-display", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if live:
            out.write(_CLEAR)
            out.flush()


def note(out: TextIO | None, text: str) -> None:
    """Says something on a line of its own, whatever is shown live."""
    if out is not None:
        out.write(f"{_CLEAR if out.isatty() else ''}{text}\n")
        out.flush()


def _show(look: Callable[[], Snapshot], out: TextIO, over: threading.Event, live: bool) -> None:
    before = look()
    while not over.wait(LIVE_SECONDS if live else LOG_SECONDS):
        now = look()
        line = bar(now.done, now.files) + progress_line(before, now)
        out.write(f"{_CLEAR}{line}" if live else f"{line}\n")
        out.flush()
        before = now


def bar(done: int, total: int) -> str:
    """Progress bar of files read, or nothing if there are none to read."""
    if not total:
        return ""
    full = _WIDTH * done // total
    return f"[{'#' * full}{'-' * (_WIDTH - full)}] {done}/{total} files  "
