"""Failures of a definitions file: what Python said, in the words of its user."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Set
from types import ModuleType
from typing import Any

from schemas.encoding import Encode, Encoder, Encoding
from schemas.entity import Entity
from schemas.errors import TwinbeamError, did_you_mean
from schemas.feature import Agg, Aggregation, Latest, latest
from schemas.feature_view import AliasedView, FeatureView
from schemas.on_demand import OnDemand, on_demand
from schemas.service import FeatureService
from schemas.source import Source

HIDDEN = frozenset({"self", "_", "place", "folder"})
CLASSES = (Entity, Source, FeatureView, FeatureService, AliasedView, OnDemand, Aggregation, Latest, Encoding, Encoder)

_CALL = re.compile(r"(?P<what>[\w.]+)\(\) (?P<rest>.*)", re.DOTALL)
_KEYWORD = re.compile(r"got an unexpected keyword argument '(?P<word>\w+)'")
_IMPORTED = re.compile(r"cannot import name '(?P<word>\w+)'")


def explain(error: BaseException, names: Mapping[str, Any]) -> str:
    """What went wrong when a statement was executed, with the legal values.

    Args:
        error: that the statement raised.
        names: global names of its module.
    """
    if isinstance(error, TwinbeamError):
        return str(error)
    if isinstance(error, NameError) and error.name:
        return f"the name {error.name!r} is not defined.{did_you_mean(error.name, (*names, *vars(builtins)))}"
    if isinstance(error, ImportError):
        return _import(error)
    if isinstance(error, TypeError):
        return _call(str(error)) or f"TypeError: {error}"
    return f"{type(error).__name__}: {error}"


def is_echo(error: BaseException, statement: ast.stmt, broken: Set[str], opaque: Set[str]) -> bool:
    """Whether a statement failed only because an earlier one did: it lacks a name which that would have bound.

    Args:
        error: that the statement raised.
        statement: that failed.
        broken: names that failed statements would have bound.
        opaque: modules that could not be read at all.
    """
    if isinstance(error, ImportError) and isinstance(statement, ast.ImportFrom):
        return error.name in opaque or any(item.name in broken for item in statement.names)
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return error.obj.__name__ in opaque or error.name in broken
    return isinstance(error, NameError) and error.name in broken


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that a user may give."""
    return tuple(name for name in inspect.signature(function).parameters if name not in HIDDEN)


def _call(text: str) -> str | None:
    """Message of a wrong call of one of ours, or None."""
    match = _CALL.fullmatch(text)
    known = _known(match["what"]) if match else None
    if not match or not known:
        return None
    shown, function = known
    legal = parameters(function)
    wrong = _KEYWORD.fullmatch(match["rest"])
    if wrong:
        hint = did_you_mean(wrong["word"], legal)
        return f"{shown} has no parameter {wrong['word']!r}.{hint} Legal are {', '.join(legal)}"
    return f"{shown} {match['rest']}. Its parameters are {', '.join(legal)}"


def _known(what: str) -> tuple[str, Callable[..., Any]] | None:
    """Name and function that a TypeError names, if it is one of ours."""
    head, _, method = what.partition(".")
    functions: dict[str, Callable[..., Any]] = {"latest": latest, "on_demand": on_demand}
    functions |= {kind.__name__: kind for kind in CLASSES}
    if head == "Agg":
        return f"agg.{method}", getattr(Agg, method)
    if head == "Encode":
        return f"encode.{method}", getattr(Encode, method)
    if head not in functions:
        return None
    function: Callable[..., Any] = functions[head] if method in ("", "__init__") else getattr(functions[head], method)
    return what.removesuffix(".__init__"), function


def _import(error: ImportError) -> str:
    match = _IMPORTED.match(str(error))
    module = sys.modules.get(error.name or "")
    if not match or not module:
        return f"{type(error).__name__}: {error}"
    legal = [name for name in dir(module) if not name.startswith("_")]
    hint = did_you_mean(match["word"], legal)
    return f"{module.__name__} has no name {match['word']!r} to import.{hint}"
