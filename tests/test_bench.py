from __future__ import annotations

import json
import sys

import pytest

from bench import measuring
from bench.measuring import Run, call, median, middle, run
from bench.table import Measured, figure, json_text, markdown, text

ROWS = [
    Measured("read", "1 key", 20.0, "µs", "lower", "other", 200.0, 50.0, 200.0),
    Measured("run", "1 M", 3e6, "rows/s", "higher", "other", 1e6),
    Measured("read", "10 keys", 5e-5, "s", "lower", "-", None),
]


def test_the_ratio_says_how_many_times_better_ours_is() -> None:
    assert [row.ratio for row in ROWS] == [10.0, 3.0, None]


def test_the_table_is_aligned_and_its_cases_stand_together() -> None:
    lines = text(ROWS).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["read", "1"], ["10", "keys"], ["run", "1"]]
    unit = lines[0].index("unit")
    assert [line[unit - 2 : unit + 1] for line in lines[2:]] == ["  µ", "  s", "  r"]
    assert {line.count("|") for line in markdown(ROWS).splitlines()} == {10}
    assert json.loads(json_text(ROWS, "a machine"))["rows"][1]["ratio"] == 3.0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0"), (5e-5, "5.00e-05"), (0.1234, "0.123"), (12.345, "12.3"), (3e6, "3,000,000")],
)
def test_figures_have_three_digits(value: float | None, shown: str) -> None:
    assert figure(value) == shown


def test_a_run_sees_memory_and_cpu_of_the_whole_tree() -> None:
    child = "b = bytearray(b'x') * 80_000_000; t = time.process_time()\nwhile time.process_time() - t < 0.3: pass"
    code = (
        "import subprocess, sys, time; b = bytearray(b'x') * 80_000_000\n"
        f"subprocess.run([sys.executable, '-c', 'import time; ' + {child!r}], check=True); print('noise'); print('[1]')"
    )
    done = run([sys.executable, "-c", code])
    assert done.answer == [1]
    assert done.mb > 150
    assert done.cpu > 0.3


def test_a_failed_run_says_what_it_printed() -> None:
    with pytest.raises(RuntimeError, match="no luck"):
        run([sys.executable, "-c", "raise SystemExit('no luck')"])


def test_a_function_is_called_in_a_fresh_process_and_its_peak_memory_counts() -> None:
    done = run(call("bench.measuring:call", {"function": "some:thing", "arguments": {"n": 1}}))
    assert done.answer[-2:] == ["some:thing", '{"n": 1}']
    assert done.mb > 5


def test_medians_are_of_the_runs() -> None:
    done = [Run({"n": n, "name": "x"}, seconds, 0.5, 10.0, True) for n, seconds in ((3, 1.0), (1, 5.0), (2, 3.0))]
    assert median(done).answer["n"] == 2
    assert middle(done) == {"n": 2, "process_seconds": 3.0, "process_cpu": 0.5, "process_mb": 10.0}


def test_the_machine_is_named_with_versions() -> None:
    assert "polars" in measuring.machine()
