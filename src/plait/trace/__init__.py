"""What happened in a run: recorded, stored, measured, and played on an ideal engine."""

from plait.trace.jsonl import JsonlWriter, Recording, encode_trace, read_trace, write_trace
from plait.trace.log import Trace
from plait.trace.metrics import Meter, Metrics, measure
from plait.trace.simulate import (
    StepTime,
    attainable_speedup,
    curve,
    ideal_seconds,
    seconds_of,
    steps_by_width,
)

__all__ = [
    "JsonlWriter",
    "Meter",
    "Metrics",
    "Recording",
    "StepTime",
    "Trace",
    "attainable_speedup",
    "curve",
    "encode_trace",
    "ideal_seconds",
    "measure",
    "read_trace",
    "seconds_of",
    "steps_by_width",
    "write_trace",
]
