"""Modules of definitions: found by names of their own, executed statement by statement."""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.util
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from schemas.errors import Mistake
from schemas.failures import explain, is_echo
from schemas.place import OURS, place_of

PREFIX = "twinbeam_definitions_"

_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@dataclass
class Failed:
    """What went wrong while modules were executed.

    Attributes:
        mistakes: of statements that failed.
        broken: names that failed statements would have bound or defined.
        opaque: names of modules that could not be read as Python.
    """

    mistakes: list[Mistake] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)


def text_executed(names: Mapping[str, Any]) -> str | None:
    """Text of a definitions module as it was executed, by its global names; None of any other module."""
    loader = names.get("__loader__")
    return loader.source if isinstance(loader, _Loader) else None


class Finder(MetaPathFinder):
    """Finds definitions modules by their own names, and modules beside them by bare names."""

    def __init__(self, root: Path, package: str, failed: Failed) -> None:
        self.root = root
        self.package = package
        self.failed = failed
        self.folders = [root]
        self.lent: set[str] = set()
        self.names = {path.stem for path in root.rglob("*") if path.suffix == ".py" or path.is_dir()}

    def name_of(self, path: Path) -> str:
        """Module name of a file or folder below the root."""
        parts = path.relative_to(self.root).parts
        parts = parts[:-1] if parts[-1:] == ("__init__.py",) else parts
        return ".".join((self.package, *(part.removesuffix(".py").replace(".", "_") for part in parts)))

    def beside(self, name: str) -> Path | None:
        """File or folder of a bare module name, beside the file being executed or in the root."""
        first, *rest = name.split(".")
        if first not in self.names or first in sys.stdlib_module_names or first in OURS:
            return None
        return next((found for folder in (self.folders[-1], self.root) if (found := _path(folder, first, *rest))), None)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Spec of a module that is ours to load (the protocol of `sys.meta_path`)."""
        if name == self.package or name.startswith(f"{self.package}."):
            own = self._own(name)
            return self._spec(name, own) if own else None
        found = self.beside(name)
        if found is None:
            return None
        self.lent.add(name)
        return importlib.util.spec_from_loader(name, _Alias(self.name_of(found)))

    def _own(self, name: str) -> Path | None:
        parts = name.split(".")[1:]
        direct = _path(self.root, *parts) if parts else self.root
        if direct:
            return direct
        # A file whose name holds a dot or is shadowed by a folder is found by its module name.
        return next((file for file in self.root.rglob("*.py") if self.name_of(file) == name), None)

    def _spec(self, name: str, found: Path) -> ModuleSpec | None:
        file = found / "__init__.py" if found.is_dir() else found
        loader = _Loader(self, file if file.is_file() else None)
        folders = [str(found)] if found.is_dir() else None
        if loader.file is None:
            spec = ModuleSpec(name, loader, is_package=True)
            spec.submodule_search_locations = folders
            return spec
        return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=folders)


def _path(folder: Path, *parts: str) -> Path | None:
    path = folder.joinpath(*parts)
    if path.is_dir() and any(path.glob("*.py")):
        return path
    file = path.with_name(f"{path.name}.py")
    return file if file.is_file() else None


class _Alias(Loader):
    """Loader that gives an already executed definitions module under its bare name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _Loader(Loader):
    """Loader of one definitions file; keeps the text that was executed."""

    def __init__(self, finder: Finder, file: Path | None) -> None:
        self.finder = finder
        self.file = file
        self.source = ""

    def create_module(self, spec: ModuleSpec) -> None:
        """Ask for an ordinary module."""

    def get_source(self, name: str) -> str:
        """Text as it was executed (read by tracebacks)."""
        return self.source

    def exec_module(self, module: ModuleType) -> None:
        """Execute the file's statements one by one; what fails becomes a mistake."""
        if self.file is None:
            return
        linecache.cache.pop(str(self.file), None)
        try:
            self.source = importlib.util.decode_source(self.file.read_bytes())
            tree = ast.parse(self.source, str(self.file))
            flags = compile(tree, str(self.file), "exec", dont_inherit=True).co_flags & _FUTURE
        except (SyntaxError, ValueError, OSError) as error:
            line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            self._note(line, self.file.stem, f"cannot be read as Python: {reason}")
            self.finder.failed.opaque.add(module.__name__)
            return
        self.finder.folders.append(self.file.parent)
        try:
            for statement in tree.body:
                self._execute(statement, module, flags)
        finally:
            self.finder.folders.pop()

    def _execute(self, statement: ast.stmt, module: ModuleType, flags: int) -> None:
        code = compile(ast.Module([statement], []), str(self.file), "exec", flags=flags, dont_inherit=True)
        broken = self.finder.failed.broken
        try:
            exec(code, vars(module))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            names = _bound(statement)
            if not is_echo(error, statement, broken, self.finder.failed.opaque):
                files = (str(self.finder.root), str(self.file))
                file, line = _innermost(error, files, (str(self.file), statement.lineno))
                message = explain(error, vars(module))
                self._note(line, _defined(statement) or next(iter(names), Path(file).stem), message, file)
            broken.update(names, filter(None, [_defined(statement)]))

    def _note(self, line: int, name: str, message: str, file: str | None = None) -> None:
        place = place_of(file or str(self.file), line)
        self.finder.failed.mistakes.append(Mistake(place, name, message))


def _innermost(error: BaseException, files: tuple[str, ...], place: tuple[str, int]) -> tuple[str, int]:
    """File and line of the innermost frame in the definitions."""
    step = error.__traceback__
    while step:
        file = step.tb_frame.f_code.co_filename
        if file.startswith(files) and "site-packages" not in file:
            place = (file, step.tb_lineno)
        step = step.tb_next
    return place


def _defined(statement: ast.stmt) -> str | None:
    """Name of the definition that a statement makes: the text in its call, or the decorated function."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return statement.name
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.Constant):
        return str(value.args[0].value)
    return None


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement would have bound."""
    names = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.alias):
            names.append((node.asname or node.name).partition(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
    return names
