"""Traces: a span for each request, sent to a collector by OpenTelemetry if that is configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from schemas.errors import SettingsError
from serving.server.messages import Request
from serving.server.routing import Route

_NOTHING = nullcontext()


class Tracing:
    """Spans of requests; none if no collector is configured.

    Args:
        url: of an OTLP collector (HTTP), or None.
        service: name of what is traced.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """

    def __init__(self, url: str | None, service: str) -> None:
        self._tracer: Any = None
        self._provider: Any = None
        if url is None:
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.propagate import extract  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.trace import SpanKind  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"server.traces: the package {error.name!r} is missing: pip install 'twinbeam[tracing]'"
            ) from error
        where = url.rstrip("/")
        exporter = OTLPSpanExporter(endpoint=where if where.endswith("/v1/traces") else f"{where}/v1/traces")
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("twinbeam.server")
        self._extract, self._kind = extract, SpanKind.SERVER

    def span(self, route: Route, request: Request) -> AbstractContextManager[Any]:
        """The span of a request's handling, a part of the client's own trace if it names one."""
        return _NOTHING if self._tracer is None else self._span(route, request)

    def close(self) -> None:
        """Sends what is held."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextmanager
    def _span(self, route: Route, request: Request) -> Iterator[Any]:
        attributes = {
            "http.request.method": request.method,
            "http.route": route.path,
            "twinbeam.request": request.id,
            "twinbeam.caller": request.caller.name,
        }
        context = self._extract(request.headers)
        with self._tracer.start_as_current_span(
            f"{request.method} {route.path}", context=context, kind=self._kind, attributes=attributes
        ) as span:
            yield span
