"""Errors as Feast's clients take them: a JSON text that holds JSON, whose class the client raises."""

from __future__ import annotations

import json
from collections.abc import Sequence

from serving.server.messages import Request, Response
from serving.server.problems import Problem

MODULE = "feast.errors"
CLASS = "class"
_BASE = "FeastError"
_BY_STATUS = {401: "FeastPermissionError", 403: "FeastPermissionError", 404: "FeastObjectNotFoundException"}


def failure(kind: str, status: int, message: str) -> Problem:
    """Problem that a client raises as a class of `feast.errors`.

    Args:
        kind: name of the class.
        status: HTTP status.
        message: of the exception.
    """
    return Problem(status, message, extra={CLASS: kind})


def view_missing(name: str, project: str) -> Problem:
    """There is no such view, for all that the caller may know."""
    return failure("FeatureViewNotFoundException", 404, f"Feature view {name} does not exist in project {project}")


def malformed(text: str, place: Sequence[str | int]) -> Problem:
    """The body is not what the route takes: 422 with details, as Feast's server has it.

    Args:
        text: what is wrong.
        place: in the body.
    """
    return Problem(422, text, extra={"detail": [{"type": "value_error", "loc": ["body", *place], "msg": text}]})


def render(problem: Problem, request: Request) -> Response:
    """Response of a problem."""
    detail = problem.extra.get("detail")
    if detail is not None:
        return Response.json({"detail": detail}, problem.status)
    kind = problem.extra.get(CLASS) or _BY_STATUS.get(problem.status, _BASE)
    told = json.dumps({"module": MODULE, "class": kind, "message": str(problem)})
    return Response.json(told, problem.status)
