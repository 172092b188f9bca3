"""Python code of a user's function: what it is, and what it reaches, without regard to its looks."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from re import Pattern
from types import FunctionType, ModuleType
from typing import Any
from uuid import UUID

from schemas.modules import PREFIX, text_executed
from schemas.on_demand import OnDemand, on_demand
from schemas.place import OURS
from schemas.syntax import attributes, clean, definition, dump, global_names, imports, targets, tree_of

PLAIN: tuple[type, ...] = (type(None), bool, int, float, complex, str, bytes, date, time, timedelta, tzinfo, range)
PLAIN += (Decimal, Fraction, UUID, Enum, Pattern, Path)
LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

Names = Mapping[str, Any]


def function_problem(function: object) -> str | None:
    """Why a value cannot be a function of a definition, or None.

    Legal is a plain function whose meaning lies in its text and in global names: no lambda, no closure.
    """
    legal = "legal is a function made by def that reads nothing of a function around it"
    if not isinstance(function, FunctionType):
        return f"{function!r} is no plain function: {legal}"
    if function.__name__ == "<lambda>":
        return f"a lambda has no name and no text of its own: {legal}"
    if function.__closure__:
        return f"{function.__name__} is a closure over {', '.join(function.__code__.co_freevars)}: {legal}"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return f"{function.__name__} is async or a generator: {legal}"
    return None


def code_of(function: FunctionType) -> Any:
    """JSON value of a function's code and of the constants and project functions that it reaches.

    Comments, blanks, docstrings, annotations, line numbers and files are not in it.

    Raises:
        ValueError: it, or a function that it reaches, is a lambda or a closure or has no text, or it reads a value
            whose meaning cannot be told.
    """
    return _Reach().function(function)


class _Reach:
    """Walk from a function over everything that it reaches; what is met again is named by its number."""

    def __init__(self) -> None:
        self.met: dict[int, int] = {}
        self.kept: list[Any] = []

    def function(self, function: FunctionType) -> Any:
        """Code of a project function."""
        problem = function_problem(function)
        if problem:
            raise ValueError(problem)
        if id(function) in self.met:
            return ["again", self._number(function)]
        self._number(function)
        place = function.__code__
        tree = definition(_text(function.__globals__, function), place.co_name, place.co_firstlineno)
        if tree is None:
            raise ValueError(f"the text of {function.__qualname__} cannot be read")
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        values = [self.value("a default", value, function.__globals__) for value in defaults]
        return ["function", *self.statement(tree, function.__globals__), values]

    def statement(self, tree: ast.stmt, names: Names) -> list[Any]:
        """A statement, and what the global names in it stand for."""
        plain = clean(tree, on_demand.__name__)
        hidden = [name for name in imports(plain) if not _is_library(name)]
        if hidden:
            raise ValueError(f"{hidden[0]} is imported inside a function: import it at the top of the file")
        reached = [[name, self.name(name, plain, names)] for name in sorted(global_names(plain)) if name in names]
        return [dump(plain), reached]

    def name(self, name: str, tree: ast.stmt, names: Names) -> Any:
        """What a global name in a statement stands for; of a project module, the parts in use."""
        value = names[name]
        if not isinstance(value, ModuleType) or not _is_project(value.__name__):
            return self.value(name, value, names)
        parts = set(attributes(tree, name))
        if () in parts:
            raise ValueError(f"the module {name} is used as a value: legal are its parts, as in {name}.rate")
        return [[".".join(part), self.part(value, part)] for part in sorted(parts)]

    def part(self, module: ModuleType, part: tuple[str, ...]) -> Any:
        """A part of a project module, `rates.EUR` or `money.rates.EUR`."""
        first, *rest = part
        value = getattr(module, first, None)
        if isinstance(value, ModuleType) and _is_project(value.__name__) and rest:
            return self.part(value, tuple(rest))
        return self.value(first, value, vars(module))

    def value(self, name: str, value: Any, names: Names) -> Any:
        """A value that a function reads, found under a global name."""
        if isinstance(value, PLAIN):
            return [type(value).__qualname__, repr(float(value) if isinstance(value, float) else value)]
        if isinstance(value, (list, tuple)):
            return [type(value).__qualname__, [self.value(name, item, names) for item in value]]
        if isinstance(value, (set, frozenset)):
            return [type(value).__qualname__, sorted((self.value(name, item, names) for item in value), key=repr)]
        if isinstance(value, dict):
            pairs = [[self.value(name, key, names), self.value(name, item, names)] for key, item in value.items()]
            return [type(value).__qualname__, pairs]
        if isinstance(value, ModuleType):
            return ["module", value.__name__]
        inner = value.function if isinstance(value, OnDemand) else getattr(value, "__wrapped__", value)
        module = getattr(inner, "__module__", None) or ""
        if isinstance(inner, FunctionType) and _is_project(module):
            return self.function(inner)
        if isinstance(inner, type) and _is_project(module):
            return self.kind(inner)
        qualified = getattr(inner, "__qualname__", None)
        if qualified and not _is_project(module):
            return ["library", module, qualified]
        return self.assigned(name, value, names)

    def kind(self, kind: type) -> Any:
        """Code of a project class."""
        if id(kind) in self.met:
            return ["again", self._number(kind)]
        self._number(kind)
        methods = [item for item in vars(kind).values() if isinstance(item, FunctionType)]
        own = (item.__globals__ for item in methods if item.__globals__.get("__name__") == kind.__module__)
        names = next(own, None) or vars(sys.modules[kind.__module__])
        found = [node for node in tree_of(_text(names, kind)).body if getattr(node, "name", None) == kind.__name__]
        classes = [node for node in found if isinstance(node, ast.ClassDef)]
        if not classes:
            raise ValueError(f"the text of the class {kind.__qualname__} cannot be read")
        return ["class", *self.statement(classes[-1], names)]

    def assigned(self, name: str, value: Any, names: Names) -> Any:
        """Code of the statements at module level that made a value."""
        if id(value) in self.met:
            return ["again", self._number(value)]
        self._number(value)
        for home in (names, *_project_modules()):
            for bound in [other for other, item in home.items() if item is value]:
                made = [node for node in tree_of(_text(home, value)).body if bound in targets(node)]
                if made:
                    return ["assigned", *(self.statement(node, {**home, bound: None}) for node in made)]
        origin = _imported(name, tree_of(_text(names, value)).body)
        if origin:
            return ["library", *origin]
        raise ValueError(
            f"{name} is a {type(value).__name__}, whose meaning cannot be told from text: legal are numbers, text, "
            "times, lists, dicts, functions, and values assigned at the top of a project's module"
        )

    def _number(self, thing: Any) -> int:
        if id(thing) not in self.met:
            self.met[id(thing)] = len(self.met)
            self.kept.append(thing)
        return self.met[id(thing)]


def _is_project(name: str) -> bool:
    """Whether a module is the user's: a definitions file or beside one, not a library and not ours."""
    head = name.partition(".")[0]
    if head.startswith(PREFIX) or head == "__main__":
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or head in OURS or head in sys.stdlib_module_names:
        return False
    return "site-packages" not in file and "dist-packages" not in file and not file.startswith(LIBRARIES)


def _is_library(name: str) -> bool:
    """Whether a name is that of a module that is not the user's."""
    head = name.partition(".")[0]
    if not head or head in sys.stdlib_module_names or head in OURS:
        return bool(head)
    spec = importlib.util.find_spec(head)
    return bool(spec and spec.origin and ("site-packages" in spec.origin or "dist-packages" in spec.origin))


def _project_modules() -> Iterator[Names]:
    return (vars(module) for name, module in sorted(sys.modules.items()) if _is_project(name))


def _text(names: Names, thing: Any) -> str:
    """Text of the module whose global names these are, as it was executed."""
    text = text_executed(names)
    if text is None:
        module = sys.modules.get(names.get("__name__", ""), thing)
        try:
            text = "".join(inspect.findsource(thing if isinstance(thing, FunctionType) else module)[0])
        except (OSError, TypeError) as error:
            raise ValueError(
                f"the text of {getattr(thing, '__qualname__', thing)!r} cannot be read: {error}"
            ) from error
    return text


def _imported(name: str, statements: list[ast.stmt]) -> tuple[str, str] | None:
    """Library module, and name in it, from which statements import a name."""
    for node in statements:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and not _is_project(node.module):
            found = next((item.name for item in node.names if name == (item.asname or item.name)), None)
            if found:
                return node.module, found
    return None
