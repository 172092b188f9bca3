"""The README: its example runs, and the tests and files that it names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code is not None
    definitions, _, use = code[1].partition("\nwith Platform")
    project = tmp_path / "my-project"
    project.mkdir()
    (project / "features.py").write_text(definitions)
    (project / "twinbeam.toml").write_text('project = "my-project"\n')
    command = [sys.executable, "-c", f"{definitions}\nwith Platform{use}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 2
    for line in lines:
        for value in ("price_sum_1h': [9.5]", "price_sum_24h': [9.5]", "count_24h': [1]"):
            assert f"'user_purchases:{value}" in line


def test_what_it_names_exists() -> None:
    named = set(re.findall(r"`((?:tests|docs|bench|examples)/[\w./-]*)`", TEXT))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_command_it_shows_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", TEXT)) <= targets
