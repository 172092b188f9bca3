"""Attendance on a worker's work, since nobody waits for a detached job: heartbeat, metrics, upkeep of the tables."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from pipelines.upkeep import kept_tidy
from pipelines.watched import watched
from pipelines.work import Work

_BEGUN: WeakKeyDictionary[Work, set[str]] = WeakKeyDictionary()


def attend(work: Work, lanes: Iterable[str], first: bool) -> None:
    """Sees to the work of this process until that is closed; called again and again, it begins once.

    Args:
        work: of the process.
        lanes: texts of lanes that it reads.
        first: whether they are those of the job's first slot, whose process looks after the tables.
    """
    work.reads |= set(lanes)
    begun = _BEGUN.setdefault(work, set())
    if "watched" not in begun:
        begun.add("watched")
        work.closing.enter_context(watched(work, "stream", f"{work.job.name}/{socket.gethostname()}-{os.getpid()}"))
    if first and "tidy" not in begun:
        begun.add("tidy")
        work.closing.enter_context(kept_tidy(work.job))
