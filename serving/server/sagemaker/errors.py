"""Errors as the clients of SageMaker take them: by a code, in a header for the runtime, in the body for the rest."""

from __future__ import annotations

from serving.server.messages import Request, Response, encode_json
from serving.server.problems import Problem

CODE = "code"
CONTROL_PATH = "/"
AMZ_JSON = "application/x-amz-json-1.1"
VALIDATION = "ValidationError"
NOT_FOUND = "ResourceNotFound"
FORBIDDEN = "AccessForbidden"
CONFLICT = "ConflictException"
IN_USE = "ResourceInUse"
SIGNATURE = "InvalidSignatureException"
_STATUS = {401: 403, 413: 400, 422: 400, 405: 400, 415: 400}
_CODES = {403: FORBIDDEN, 404: NOT_FOUND, 409: CONFLICT, 500: "InternalFailure", 503: "ServiceUnavailable"}
_CONTROL = {VALIDATION: "ValidationException", FORBIDDEN: "AccessDeniedException"}
_LONGEST = 2_048


def failure(code: str, status: int, message: str) -> Problem:
    """Problem of a code.

    Args:
        code: name of the exception that a client raises.
        status: HTTP status.
        message: of the exception.
    """
    return Problem(status, message, extra={CODE: code})


def invalid(message: str) -> Problem:
    """What is asked for is not legal."""
    return failure(VALIDATION, 400, message)


def missing(name: str) -> Problem:
    """There is no such feature group, for all that the caller may know."""
    return failure(NOT_FOUND, 404, f"Resource Not Found: there is no feature group {name!r} here")


def forbidden(message: str) -> Problem:
    """The caller may not do that."""
    return failure(FORBIDDEN, 403, message)


def code_of(problem: Problem) -> str:
    """Code of a problem."""
    status = _STATUS.get(problem.status, problem.status)
    return str(problem.extra.get(CODE) or _CODES.get(status, VALIDATION))


def render(problem: Problem, request: Request) -> Response:
    """Response of a problem."""
    code, message = code_of(problem), str(problem)[:_LONGEST]
    status = _STATUS.get(problem.status, problem.status)
    if request.path == CONTROL_PATH:
        code = _CONTROL.get(code, code)
        status = 400 if status in (404, 409) else status
        body = encode_json({"__type": code, "Message": message, "message": message})
        return Response(status, body, AMZ_JSON, {"x-amzn-errortype": code})
    return Response(status, encode_json({"Message": message}), headers={"x-amzn-errortype": code})
