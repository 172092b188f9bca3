"""The OpenAPI page of the routes, and its reading as HTML that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from importlib.metadata import version
from typing import Any

from serving.server.messages import Request, Response, encode_json
from serving.server.openapi_parts import SCHEMAS
from serving.server.routing import Queue, Route

HTML = "text/html; charset=utf-8"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f4;border-radius:4px;padding:.1rem .3rem}"
    "pre{padding:.8rem;overflow:auto}h2{margin-top:2.5rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0;"
    "vertical-align:top}b{background:#246;color:#fff;border-radius:4px;padding:.1rem .5rem;font-size:14px}"
)


def document(routes: Iterable[Route], guarded: bool) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        routes: those that have an operation are in it.
        guarded: whether credentials are asked for.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.operation is not None:
            paths.setdefault(route.path, {})[route.method.lower()] = dict(route.operation)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Twinbeam",
            "version": version("twinbeam"),
            "description": "Feature server. Errors are RFC 9457 problem details; every answer has an X-Request-Id.",
        },
        "paths": paths,
        "components": {"schemas": dict(SCHEMAS)},
    }
    if guarded:
        found["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        found["security"] = [{"bearer": []}, {"key": []}]
    return found


def page_routes(routes: Iterable[Route], guarded: bool) -> list[Route]:
    """Routes of the document and of the page.

    Args:
        routes: that they tell of.
        guarded: whether credentials are asked for.
    """
    made = document(routes, guarded)
    as_json, as_page = encode_json(made), "\n".join(_page(made)).encode()

    def json(request: Request) -> Response:
        return Response(200, as_json)

    def page(request: Request) -> Response:
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(200, as_page, HTML, headers)

    return [Route("GET", "/openapi.json", json, Queue.NONE), Route("GET", "/docs", page, Queue.NONE)]


def _page(made: dict[str, Any]) -> Iterator[str]:
    info = made["info"]
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
    yield f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
    yield f"<p>{escape(info['description'])} As data: <a href=/openapi.json>/openapi.json</a></p>"
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
            if "description" in operation:
                yield f"<p>{escape(operation['description'])}</p>"
            rows = [
                (f"{each['name']} ({each['in']})", each.get("description", ""))
                for each in operation.get("parameters", ())
            ]
            yield from _table("Parameters", rows)
            body = operation.get("requestBody", {}).get("content", {})
            yield from _table("Body", [(kind, _schema(part["schema"])) for kind, part in body.items()])
            answers = [
                (f"{status} {', '.join(answer.get('content', {}))}", answer["description"])
                for status, answer in operation["responses"].items()
            ]
            yield from _table("Answers", answers)
    yield "<h1>Schemas</h1>"
    for name, schema in made["components"]["schemas"].items():
        yield f"<h2 id={escape(name)}>{escape(name)}</h2>"
        required = schema.get("required", ())
        rows = [
            (f"{field}{' *' if field in required else ''}", f"{_schema(of)} {of.get('description', '')}")
            for field, of in schema.get("properties", {}).items()
        ]
        yield from _table("Members (* always there)", rows)


def _table(caption: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield f"<table><tr><th>{escape(caption)}<th>"
        yield from (f"<tr><td><code>{escape(left)}</code><td>{escape(right)}" for left, right in rows)
        yield "</table>"


def _schema(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_schema(each) for each in schema["anyOf"])
    kind = schema.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if "enum" in schema:
        return f"{text}: {', '.join(map(str, schema['enum']))}"
    return f"{text} of {_schema(schema['items'])}" if "items" in schema else text
