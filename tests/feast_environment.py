"""The virtual environment that holds Feast, whose pins do not go with ours; made once, kept between runs."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

VERSION = "0.67"
ROOT = Path(__file__).parents[1] / ".environments"
FOLDER = ROOT / "feast"


def interpreter() -> Path:
    """The interpreter that has Feast; makes its environment if there is none.

    Raises:
        RuntimeError: it cannot be made; says why.
    """
    python, ready = FOLDER / "bin" / "python", FOLDER / ".ready"
    ROOT.mkdir(exist_ok=True)
    (ROOT / ".gitignore").write_text("*\n", encoding="utf-8")
    with (ROOT / "feast.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text(encoding="utf-8") == VERSION:
            return python
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(FOLDER)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"feast=={VERSION}.*"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
        ready.write_text(VERSION, encoding="utf-8")
    return python
