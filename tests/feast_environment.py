"""The virtual environment that holds Feast."""

from __future__ import annotations

from pathlib import Path

from tests.client_environments import interpreter_with


def interpreter() -> Path:
    """The interpreter that has Feast; makes its environment if there is none.

    Raises:
        RuntimeError: it cannot be made; says why.
    """
    return interpreter_with("feast", "feast==0.67.*")
