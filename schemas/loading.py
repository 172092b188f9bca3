"""Definition files: found, and executed anew."""

from __future__ import annotations

import hashlib
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from schemas.errors import Mistake
from schemas.modules import PREFIX, Failed, Finder
from schemas.place import places_below

_LOCK = threading.RLock()


@dataclass
class Loading:
    """What loading definition files found.

    Attributes:
        modules: executed modules, of the files asked for.
        packages: names in `sys.modules` under which everything loaded lies (one per folder).
        failed: statements that failed.
    """

    modules: list[ModuleType] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    failed: Failed = field(default_factory=Failed)


def load(paths: Sequence[Path]) -> Loading:
    """Execute definition files, anew, whatever was loaded of them before.

    A module gets a name of its own, `twinbeam_definitions_<hash of its folder>.<file>`, so that two projects never
    meet. Modules beside a file are imported by their bare names, as a script would, or relatively. A statement that
    fails is a mistake; the statements after it are executed all the same.

    Args:
        paths: files, and folders of files.
    """
    loading = Loading()
    failed = loading.failed
    seen: set[Path] = set()
    with _LOCK:
        for path in paths:
            root = (path if path.is_dir() else path.parent).resolve()
            found = _files(path)
            files = [file for file in found if file not in seen]
            seen.update(files)
            if not found:
                problem = "has no definition files (*.py)" if path.is_dir() else "no such file or folder"
                failed.mistakes.append(Mistake(str(path), path.name, problem))
                continue
            package = PREFIX + hashlib.sha256(str(root).encode()).hexdigest()[:12]
            if package not in loading.packages:
                _forget(package)
                loading.packages.append(package)
            finder = Finder(root, package, failed)
            with places_below(root), _finding(finder):
                loading.modules += [importlib.import_module(finder.name_of(file)) for file in files]
    return loading


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path.resolve()] if path.is_file() else []
    found = (file for file in sorted(path.resolve().rglob("*.py")) if _defines(file.relative_to(path.resolve())))
    return list(found)


def _defines(file: Path) -> bool:
    """Whether a file of a folder holds definitions: no test, nothing hidden or private."""
    private = any(part[0] in "._" for part in file.parts if part != "__init__.py")
    return not private and not file.name.startswith("test_") and file.name != "conftest.py"


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


@contextmanager
def _finding(finder: Finder) -> Iterator[None]:
    """While a finder is in place, the bare names of the modules beside the files are theirs."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if finder.beside(name)}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.lent & set(sys.modules):
            del sys.modules[name]
        sys.modules.update(hidden)
