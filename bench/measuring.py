"""Fresh processes and what they cost: seconds, CPU seconds and peak memory of the whole process tree, from /proc.

A measurement that must not see what another one left behind (caches, heap, threads) is a function in a module of
`bench`, called in a fresh process: `medians("bench.reads:read_latest", {"keys": 10})`. It returns something that JSON
can hold; what it times itself (`Stopwatch`) leaves the imports and the making of data out.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.01
QUIET_SHARE = 0.15
QUIET_WAIT = 3.0
QUIET_WAITS = 20.0
TIMES = "TWINBEAM_BENCH_TIMES"
MARK = "bench answer: "


class Stopwatch:
    """Seconds and CPU seconds (all threads of this process) between `with` and its end, and the peak memory then.

    Attributes:
        seconds: wall time.
        cpu: CPU seconds, user and system, of this process without its children.
        mb: peak resident memory of this process since its start, MB.
    """

    def __init__(self) -> None:
        self.seconds = self.cpu = self.mb = 0.0

    def __enter__(self) -> Stopwatch:
        self._begun = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun[0]
        self.cpu = time.process_time() - self._begun[1]
        self.mb = peak_mb()

    def to_json(self) -> dict[str, float]:
        """The three figures by name."""
        return {"seconds": self.seconds, "cpu": self.cpu, "mb": self.mb}


@dataclass(frozen=True)
class Run:
    """One process from its start to its end.

    Attributes:
        answer: what its function returned, or the JSON that it printed last.
        seconds: wall time, start and imports included.
        cpu: CPU seconds of the process and of its children that have ended.
        mb: greatest sum of the resident memory of the process and all below it, MB.
        quiet: whether the rest of the machine left it its cores: others took under `QUIET_SHARE` of one.
    """

    answer: Any
    seconds: float
    cpu: float
    mb: float
    quiet: bool


def call(function: str, arguments: Mapping[str, Any]) -> list[str]:
    """Command line that calls `module:function` with keyword arguments (JSON) in a fresh process."""
    return [sys.executable, "-m", "bench.measuring", function, json.dumps(dict(arguments))]


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Run:
    """Runs a command in the project's folder, waits for it, and says what it cost.

    The last line of its output is the answer, in JSON.

    Raises:
        RuntimeError: it failed; the message ends with its output.
    """
    _patience.wait()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        others, begun = _machine_cpu(), time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, cwd=ROOT, env={**os.environ, **(env or {})})
        watch = _TreeMemory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.end()
        others = _machine_cpu() - others
        out.seek(0)
        errors.seek(0)
        printed, said = out.read().decode(), errors.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({process.returncode}):\n{said[-4000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    last = printed.strip().splitlines()[-1] if printed.strip() else "null"
    answer, own = json.loads(last.removeprefix(MARK)), 0.0
    if last.startswith(MARK):
        answer, own = answer
    return Run(answer, seconds, cpu, max(watch.mb, own), others - cpu < QUIET_SHARE * seconds)


def runs(command: Sequence[str], times: int | None = None, env: Mapping[str, str] | None = None) -> list[Run]:
    """Several runs of a command (by default as many as the bench was told to); the quiet ones only, if any were."""
    done = [run(command, env) for _ in range(times or int(os.environ.get(TIMES, "3")))]
    return [one for one in done if one.quiet] or done


def median(done: Sequence[Run], figure: Callable[[Run], float] = lambda one: one.seconds) -> Run:
    """The run that is in the middle by a figure (the lower one of two)."""
    return sorted(done, key=figure)[(len(done) - 1) // 2]


def medians(function: str, arguments: Mapping[str, Any], times: int | None = None) -> dict[str, float]:
    """Medians over fresh processes of every number that a function returns by name.

    Args:
        function: `module:function`; it returns a dict of numbers.
        arguments: its keyword arguments.
        times: how many processes; by default as many as the bench was told to.

    Returns:
        The median of each number, and of the whole process: `process_seconds`, `process_cpu`, `process_mb`.
    """
    return middle(runs(call(function, arguments), times))


def middle(done: Sequence[Run]) -> dict[str, float]:
    """Medians over runs, as `medians` gives them."""
    names = {name for one in done for name, value in one.answer.items() if isinstance(value, int | float)}
    figures = {name: statistics.median(one.answer[name] for one in done) for name in sorted(names)}
    figures["process_seconds"] = statistics.median(one.seconds for one in done)
    figures["process_cpu"] = statistics.median(one.cpu for one in done)
    figures["process_mb"] = statistics.median(one.mb for one in done)
    return figures


def peak_mb() -> float:
    """Peak resident memory of this process so far, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def machine() -> str:
    """Processor, cores, memory, versions and load, in one line."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pyarrow", "polars", "deltalake"))
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}, {packages}, load {load:.2f}"


class _TreeMemory:
    """Samples the resident memory of a process and all below it until told to end."""

    def __init__(self, pid: int) -> None:
        self.mb = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            pages = sum(_resident_pages(pid) for pid in tree(self._pid))
            self.mb = max(self.mb, pages * PAGE / 1e6)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found, at = [pid], 0
    while at < len(found):
        try:
            for children in Path(f"/proc/{found[at]}/task").glob("*/children"):
                found.extend(int(child) for child in children.read_text().split())
        except OSError:
            pass  # it has just ended
        at += 1
    return found


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0


def _machine_cpu() -> float:
    """CPU seconds that all cores have spent on anything at all (stolen time too)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


class _Patience:
    """Waits for a quiet machine, but not for ever: what all waits may take together is limited."""

    def __init__(self) -> None:
        self._left = QUIET_WAITS

    def wait(self) -> None:
        """Waits until others have left the machine alone for a moment."""
        begun = time.monotonic()
        while time.monotonic() - begun < min(QUIET_WAIT, self._left):
            before = _machine_cpu()
            time.sleep(0.25)
            if _machine_cpu() - before < QUIET_SHARE * 0.25:
                return
        self._left -= time.monotonic() - begun


_patience = _Patience()


def main() -> None:
    """Calls the function that the command line names and prints its answer with the peak memory."""
    module, name = sys.argv[1].split(":")
    answer = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    print(MARK + json.dumps([answer, peak_mb()]))


if __name__ == "__main__":
    main()
