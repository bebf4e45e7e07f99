"""Trace events as plain JSON objects, and back, strictly.

An object holds ``kind`` and the fields of that event class, all of them. Reading checks every
type, so that what is read may be trusted like what was emitted: an unknown kind or field, a
missing field without a default or a wrong type is a `TraceError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import orjson

from plait.core.events import KINDS, Event
from plait.errors import TraceError

Check = Callable[[object], bool]


def encode(event: Event) -> bytes:
    """One line of JSON without the line's end. Lone surrogates become U+FFFD."""
    try:
        return orjson.dumps(to_dict(event))
    except TypeError:
        return orjson.dumps(_without_surrogates(to_dict(event)))


def to_dict(event: Event) -> dict[str, object]:
    """The event as JSON values (tuples for lists), ``kind`` first."""
    known: dict[str, object] = {"kind": event.kind}
    for name in _NAMES[event.kind]:
        known[name] = getattr(event, name)
    return known


def from_dict(data: Mapping[str, object]) -> Event:
    """The event that ``data`` describes. Raises `TraceError` if it describes none."""
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise TraceError(f"unknown kind of event: {kind!r}")
    checks = _CHECKS[kind]
    if unknown := data.keys() - checks.keys() - {"kind"}:
        raise TraceError(f"`{kind}` has no field `{min(unknown)}`")
    values: dict[str, object] = {}
    for name, check in checks.items():
        if name not in data:
            if name in _REQUIRED[kind]:
                raise TraceError(f"`{kind}` lacks the field `{name}`")
            continue
        value = data[name]
        if not check(value):
            raise TraceError(f"`{name}` of `{kind}` cannot be {value!r:.60}")
        values[name] = tuple(value) if isinstance(value, list) else value
    return KINDS[kind](**values)  # type: ignore[arg-type]


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_without_surrogates(item) for item in value]
    return value


def _check_of(hint: object) -> Check:
    """A test of JSON values for one field's type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in args
    if origin in (Union, UnionType):
        checks = [_check_of(arg) for arg in args]
        return lambda value: any(check(value) for check in checks)
    if origin is tuple:
        item = _check_of(args[0])
        return lambda value: isinstance(value, list | tuple) and all(item(v) for v in value)
    if hint is float:
        return lambda value: type(value) in (int, float)
    if hint in (int, str, bool, NoneType):
        return lambda value: type(value) is hint
    raise TypeError(f"the trace schema has a field type without a check: {hint!r}")


_NAMES = {kind: tuple(f.name for f in fields(cls)) for kind, cls in KINDS.items()}
_REQUIRED = {kind: {f.name for f in fields(cls) if f.default is MISSING}
             for kind, cls in KINDS.items()}
_CHECKS = {kind: {name: _check_of(get_type_hints(cls)[name]) for name in _NAMES[kind]}
           for kind, cls in KINDS.items()}
