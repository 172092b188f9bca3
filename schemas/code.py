"""Python code of a user's function: what it is, and what it reaches, without regard to its looks."""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from re import Pattern
from types import CodeType, FunctionType, ModuleType
from typing import Any
from uuid import UUID

from schemas.modules import PREFIX, text_executed
from schemas.on_demand import OnDemand, on_demand
from schemas.place import OURS

PLAIN: tuple[type, ...] = (type(None), bool, int, float, complex, str, bytes, date, time, timedelta, tzinfo, range)
PLAIN += (Decimal, Fraction, UUID, Enum, Pattern, Path)
UNSEEN = frozenset({"ctx", "kind", "type_comment", "type_params"})
OF_MODULES = frozenset({"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__file__", "__builtins__"})
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
        tree = _definition(function)
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        values = [self.value("a default", value, function.__globals__) for value in defaults]
        return ["function", *self.statement(tree, function.__globals__), values]

    def statement(self, tree: ast.stmt, names: Names) -> list[Any]:
        """A statement, and what the global names in it stand for."""
        clean = _clean(tree, names)
        reached = [[name, self.name(name, clean, names)] for name in sorted(_global_names(clean)) if name in names]
        return [_dump(clean), reached]

    def name(self, name: str, tree: ast.stmt, names: Names) -> Any:
        """What a global name in a statement stands for; of a project module, the parts in use."""
        value = names[name]
        if not isinstance(value, ModuleType) or not _is_project(value.__name__):
            return self.value(name, value, names)
        parts = set(_attributes(tree, name))
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
            return [type(value).__qualname__, repr(value)]
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
        found = [node for node in _statements(_text(names, kind)) if getattr(node, "name", None) == kind.__name__]
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
                made = [node for node in _statements(_text(home, value)) if bound in _targets(node)]
                if made:
                    return ["assigned", *(self.statement(node, {**home, bound: None}) for node in made)]
        origin = _imported(name, _statements(_text(names, value)))
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


@lru_cache(maxsize=64)
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def _statements(text: str) -> list[ast.stmt]:
    return _tree(text).body


def _definition(function: FunctionType) -> ast.FunctionDef:
    """The `def` of a function in the text of its module."""
    line, name = function.__code__.co_firstlineno, function.__code__.co_name
    for node in ast.walk(_tree(_text(function.__globals__, function))):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if first == line:
                return node
    raise ValueError(f"the text of {function.__qualname__} cannot be read")


def _targets(node: ast.stmt) -> set[str]:
    """Names that an assignment binds."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        return set()
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    inside = (item for target in targets for item in ast.walk(target))
    return {item.id for item in inside if isinstance(item, ast.Name)}


def _imported(name: str, statements: list[ast.stmt]) -> tuple[str, str] | None:
    """Library module, and name in it, from which statements import a name."""
    for node in statements:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and not _is_project(node.module):
            found = next((item.name for item in node.names if name == (item.asname or item.name)), None)
            if found:
                return node.module, found
    return None


def _clean(tree: ast.stmt, names: Names) -> ast.stmt:
    """A statement without docstrings, annotations of functions, the name of a function, and our decorators."""
    clean: ast.stmt = copy.deepcopy(tree)
    for node in ast.walk(clean):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    if isinstance(clean, ast.FunctionDef):
        clean.decorator_list = [item for item in clean.decorator_list if not _is_ours(item, names)]
        clean.name = "function"
    return ast.fix_missing_locations(clean)


def _is_ours(decorator: ast.expr, names: Names) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return names.get(name) is on_demand or name == on_demand.__name__


def _global_names(tree: ast.stmt) -> set[str]:
    """Names that a statement and everything inside it read from the module."""
    found: set[str] = set()
    waiting = [compile(ast.Module([tree], []), "<definition>", "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        found.update(_loaded(code))
        waiting += [item for item in code.co_consts if isinstance(item, CodeType)]
    return found - OF_MODULES


def _loaded(code: CodeType) -> Iterator[str]:
    return (step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))


def _attributes(tree: ast.stmt, name: str) -> list[tuple[str, ...]]:
    """Chains of attributes read from a name; an empty one for a use of the name alone."""
    found: list[tuple[str, ...]] = []
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            chain: list[str] = []
            step: ast.expr = node
            while isinstance(step, ast.Attribute):
                inner.add(id(step))
                chain.insert(0, step.attr)
                step = step.value
            if isinstance(step, ast.Name) and step.id == name:
                inner.add(id(step))
                found.append(tuple(chain))
        elif isinstance(node, ast.Name) and node.id == name and id(node) not in inner:
            found.append(())
    return found


def _dump(node: Any) -> Any:
    """JSON value of a syntax tree; empty parts are left out, as they differ between versions of Python."""
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        parts = [(name, getattr(node, name, None)) for name in node._fields if name not in UNSEEN]
        return [type(node).__name__, *([name, _dump(part)] for name, part in parts if part is not None and part != [])]
    if isinstance(node, list):
        return [_dump(item) for item in node]
    return node
