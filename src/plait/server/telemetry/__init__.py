"""OpenTelemetry traces of runs, sent by OTLP where the standard ``OTEL_`` variables say.

OpenTelemetry is an extra: `plait.server.telemetry.spans` is loaded only where it is switched on.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from plait.errors import UsageError
from plait.server.watch import Watcher

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
ONLY = "http/protobuf"


class Telemetry(Watcher, Protocol):
    """A watcher that makes spans of runs."""

    def close(self) -> None:
        """Send what waits; may take seconds, so not for the event loop."""
        ...


def open_telemetry(environ: Mapping[str, str]) -> Telemetry | None:
    """What sends traces as ``environ`` says; None where it names no endpoint, or says not to.

    Raises `UsageError` where OpenTelemetry is not installed, or another protocol than OTLP over
    HTTP is asked for.
    """
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    exporter = environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if off or exporter == "none" or not any(environ.get(name) for name in ENDPOINTS):
        return None
    if exporter != "otlp":
        raise UsageError(f"OTEL_TRACES_EXPORTER is {exporter!r:.60}, but traces are sent by OTLP",
                         hint="Say `otlp`, or `none`.")
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), ONLY)
    if protocol != ONLY:
        raise UsageError(f"traces are sent by OTLP over {ONLY}, not {protocol!r:.60}",
                         hint=f"Say OTEL_EXPORTER_OTLP_PROTOCOL={ONLY}; its usual port is 4318.")
    try:
        spans = import_module("plait.server.telemetry.spans")
    except ModuleNotFoundError as error:
        raise UsageError(f"sending traces needs {error.name}",
                         hint="Install it: pip install 'plait[otel]'.") from None
    return cast("Telemetry", spans.otlp())
