"""Virtual environments of clients whose pins do not go with ours; each made once, kept between runs."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1] / ".environments"


def interpreter_with(name: str, *requirements: str) -> Path:
    """The interpreter that has some packages; makes its environment if there is none, or one of other packages.

    Raises:
        RuntimeError: it cannot be made; says why.
    """
    folder, wanted = ROOT / name, "\n".join(requirements)
    python, ready = folder / "bin" / "python", folder / ".ready"
    ROOT.mkdir(exist_ok=True)
    (ROOT / ".gitignore").write_text("*\n", encoding="utf-8")
    with (ROOT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
            return python
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
        ready.write_text(wanted, encoding="utf-8")
    return python
