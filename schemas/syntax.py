"""Syntax of Python as far as it has a meaning: trees without comments, annotations, docstrings and places."""

from __future__ import annotations

import ast
import copy
import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

UNSEEN = frozenset({"ctx", "kind", "type_comment", "type_params"})
OF_MODULES = frozenset({"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__file__", "__builtins__"})


@lru_cache(maxsize=64)
def tree_of(text: str) -> ast.Module:
    """Syntax tree of a module's text; not to be changed."""
    return ast.parse(text)


def definition(text: str, name: str, line: int) -> ast.FunctionDef | None:
    """The `def` of a name, whose first line (decorators included) is given, in a module's text."""
    for node in ast.walk(tree_of(text)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if first == line:
                return node
    return None


def targets(node: ast.stmt) -> set[str]:
    """Names that an assignment binds."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        return set()
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    inside = (item for target in targets for item in ast.walk(target))
    return {item.id for item in inside if isinstance(item, ast.Name)}


def clean(tree: ast.stmt, unseen: str) -> ast.stmt:
    """Copy of a statement without docstrings, annotations of functions and the name of a function.

    Args:
        tree: statement.
        unseen: name of a decorator that does not count.
    """
    copied: ast.stmt = copy.deepcopy(tree)
    for node in ast.walk(copied):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    if isinstance(copied, ast.FunctionDef):
        copied.decorator_list = [item for item in copied.decorator_list if _decorator(item) != unseen]
        copied.name = "function"
    return ast.fix_missing_locations(copied)


def _decorator(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else str(getattr(called, "id", ""))


def global_names(tree: ast.stmt) -> set[str]:
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


def attributes(tree: ast.stmt, name: str) -> list[tuple[str, ...]]:
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


def imports(tree: ast.stmt) -> list[str]:
    """Modules that a statement, or a function in it, imports when it is run; a relative one begins with a dot."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found


def dump(node: Any) -> Any:
    """JSON value of a syntax tree; empty parts are left out, as they differ between versions of Python."""
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        parts = [(name, getattr(node, name, None)) for name in node._fields if name not in UNSEEN]
        return [type(node).__name__, *([name, dump(part)] for name, part in parts if part is not None and part != [])]
    if isinstance(node, list):
        return [dump(item) for item in node]
    return node
