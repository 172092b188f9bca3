"""Jars of the servers: resolved by Maven from a pom, once per pom, and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from schemas.errors import ServerError

JAVA = 17
CACHE = "XDG_CACHE_HOME"
_HOME = "JAVA_HOME"
_LINES = 8


def resolve(pom: Path) -> Path:
    """Folder of the jars that a pom names, with all they need at run time; safe for several processes at once.

    Raises:
        ServerError: Maven is not installed, or cannot get them.
    """
    text = pom.read_bytes()
    home = Path(os.environ.get(CACHE) or Path.home() / ".cache") / "twinbeam" / "jars"
    folder = home / f"{pom.stem.removesuffix('_pom')}-{hashlib.sha256(text).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=home, prefix=f"{folder.name}-") as scratch:
                _copy(pom, Path(scratch) / "jars")
                (Path(scratch) / "jars").rename(folder)
    return folder


def missing() -> str | None:
    """What this machine lacks to run the servers, or None."""
    try:
        java()
        _maven()
    except ServerError as error:
        return str(error)
    return None


@cache
def java() -> str:
    """Path of Java; $JAVA_HOME comes before the search path.

    Raises:
        ServerError: there is none, or it is not of the version that the servers run on.
    """
    home = os.environ.get(_HOME)
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        where = f"$JAVA_HOME ({home})" if home else "the search path"
        raise ServerError(f"the servers need Java {JAVA}, and {where} has none; on Debian: openjdk-{JAVA}-jre-headless")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) != JAVA:
        is_ = f"is Java {version[1]}" if version else "does not tell its version"
        raise ServerError(f"the servers need Java {JAVA}, and {found} {is_}: name another by $JAVA_HOME")
    return found


def _maven() -> str:
    found = shutil.which("mvn")
    if found is None:
        raise ServerError("the servers come from Maven artifacts, and mvn is not installed; on Debian: maven")
    return found


def _copy(pom: Path, folder: Path) -> None:
    command = [_maven(), "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or not any(folder.glob("*.jar")):
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LINES:])
        raise ServerError(f"Maven cannot get the jars of {pom.name} (exit code {done.returncode}):\n{tail}")
