"""What a run shows of itself: counters, late events by age, the live line and the lines of a log."""

from __future__ import annotations

import io
import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import display
from pipelines.display import bar, shown
from pipelines.monitor import Monitor, Snapshot, progress_line
from pipelines.report import AGES
from schemas.lane import Lane

SECOND = 1_000_000
LANE, OTHER = Lane("s", "topic", "3f2a9c1e", 0), Lane("s", "topic", "3f2a9c1e", 1)


def oracle(lots: list[list[int]]) -> list[int]:
    """Late events by age, one by one."""
    found, newest = [0] * len(AGES), None
    for time in (time for lot in lots for time in lot):
        if newest is not None and time < newest:
            found[next(at for at, (_, edge) in enumerate(AGES) if newest - time < edge)] += 1
        newest = time if newest is None else max(newest, time)
    return found


@given(st.lists(st.lists(st.integers(-2, 2) | st.integers(-(10**12), 10**12), max_size=6), max_size=6))
def test_late_events_are_those_older_than_one_before_in_their_lane(lots: list[list[int]]) -> None:
    monitor = Monitor(["v"])
    for lot in lots:
        monitor.take_events(LANE, np.asarray(lot, np.int64))
        monitor.take_events(OTHER, np.asarray([0] * len(lot), np.int64))
    report = monitor.report(2.0)
    assert list(report.late_by_age.values()) == oracle(lots)
    assert report.late == sum(oracle(lots))
    assert report.events == 2 * sum(map(len, lots))


def test_a_report_adds_up_views() -> None:
    monitor = Monitor(["v", "w"])
    monitor.take_events(LANE, np.asarray([1, 2, 3], np.int64))
    monitor.take_view("v", rows=2, skipped=1, dead_letters=0)
    monitor.take_view("v", rows=1, skipped=0, dead_letters=4)
    monitor.skipped += 5
    monitor.dead_letters += 7
    report = monitor.report(1.5)
    assert (report.events, report.rows, report.skipped, report.dead_letters, report.seconds) == (3, 3, 6, 11, 1.5)
    assert (report.views["v"].rows, report.views["v"].skipped, report.views["v"].dead_letters) == (3, 1, 4)
    assert report.views["w"].rows == 0
    lines = str(report).splitlines()
    assert lines[0] == "3 events, 3 rows, 11 dead letters, 6 skipped, 0 late, 1.5 s (2 events/s)"
    assert lines[1:] == ["  v: 3 rows, 4 dead letters, 1 skipped", "  w: 0 rows, 0 dead letters, 0 skipped"]
    assert "(0 events/s)" in str(Monitor([]).report(0.0))


def test_a_line_says_what_happened_since_the_last_one() -> None:
    monitor = Monitor(["v"])
    before = monitor.snapshot(0, None, 0, 0)
    monitor.take_events(LANE, np.asarray([9 * SECOND] * 3000 + [1], np.int64))
    monitor.take_freshness("v", np.asarray([1, 2], np.int64), np.asarray([20_000, 7], np.int64))
    monitor.take_freshness("v", np.asarray([1], np.int64), np.asarray([123_456], np.int64))
    now = monitor.snapshot(2 * SECOND, 1234, 0, 0)
    line = progress_line(before, now)
    assert line == "1,500 events/s  3,001 events  0 rows  lag 1,234  fresh 0.123 s  dead letters 0  late 1"
    quiet = monitor.snapshot(4 * SECOND, 0, 0, 0)
    assert progress_line(now, quiet).startswith("0 events/s  3,001 events  0 rows  lag 0  fresh -  ")
    assert "lag" not in progress_line(before, before)


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [(0, 0, ""), (0, 3, f"[{'-' * 20}] 0/3 files  "), (1, 2, f"[{'#' * 10}{'-' * 10}] 1/2 files  ")],
)
def test_a_bar_shows_the_files_read(done: int, total: int, text: str) -> None:
    assert bar(done, total) == text
    assert bar(7, 7) == f"[{'#' * 20}] 7/7 files  "


class Terminal(io.StringIO):
    """A terminal's end of a pipe."""

    def isatty(self) -> bool:
        return True


def show(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Shows a run of three looks."""
    monkeypatch.setattr(display, "LIVE_SECONDS", 0.001)
    monkeypatch.setattr(display, "LOG_SECONDS", 0.001)
    looks, seen = iter(range(100_000)), threading.Event()

    def look() -> Snapshot:
        number = next(looks)
        if number == 3:
            seen.set()
        return Snapshot(number * SECOND, number * 10, 0, 0, 0, None, None, number, 9)

    with shown(look, out):
        assert seen.wait(10)
    return out.getvalue()


def test_on_a_terminal_one_line_is_written_over_and_over_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    text = show(Terminal(), monkeypatch)
    assert "\n" not in text
    assert text.count("\r\x1b[2K") >= 3
    assert text.endswith("\r\x1b[2K")
    assert "1/9 files  10 events/s  10 events" in text


def test_elsewhere_each_line_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = show(io.StringIO(), monkeypatch).splitlines()
    assert len(lines) >= 2
    assert all(
        re.fullmatch(r"\[[#-]{20}\] \d+/9 files  10 events/s  [\d,]+ events  0 rows  .*", line) for line in lines
    )


def test_nothing_is_shown_nowhere() -> None:
    with shown(lambda: pytest.fail("nobody looks"), None):
        pass
