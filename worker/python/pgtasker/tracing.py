"""The step's place in a trace as the current one, where opentelemetry-api is installed."""

from __future__ import annotations

import sys
from typing import Any, Callable

_Attach = Callable[[str], None]


def attacher() -> _Attach | None:
    """Makes a traceparent the current context; None: there is no opentelemetry-api."""
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return None
    propagator = TraceContextTextMapPropagator()

    def attach(traceparent: str) -> None:
        # Never detached: each handler has a context of its own, which ends with it.
        context.attach(propagator.extract({"traceparent": traceparent}))

    return attach


def current_traceparent() -> str | None:
    """The traceparent of the caller's current span; None: without a span, or OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, Any] = {}
    TraceContextTextMapPropagator().inject(carrier)
    traceparent: str | None = carrier.get("traceparent")
    return traceparent
