"""Virtual environments of clients whose pins do not go with ours; each made once, kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from pipelines.dev.artifacts import CACHE


def interpreter_with(name: str, *requirements: str) -> Path:
    """The interpreter that has some packages; makes its environment if there is none of them and this Python.

    Raises:
        RuntimeError: it cannot be made; says why.
    """
    home = Path(os.environ.get(CACHE) or Path.home() / ".cache") / "twinbeam" / "environments"
    wanted = "\n".join((sys.base_prefix, sys.version, *requirements))
    folder = home / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return python
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
        ready.touch()
    return python
