"""Who reaches a server that asks for no key: programs on this machine, and no page from elsewhere.

A page in a browser may send requests to any port of the machine that it is shown on, and if its
own name is made to point at 127.0.0.1 it may read the replies as well (DNS rebinding). So `Host`
has to name this machine, and `Origin`, which browsers add, a page of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from plait.server.errors import ApiError
from plait.server.exchange import JSON, request_id


def is_loopback(host: str) -> bool:
    """Is ``host`` a name or address of this very machine?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def stranger(headers: Mapping[str, str]) -> str | None:
    """What in ``headers`` says that a request is none of this machine's own; None: nothing."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_loopback(_name("//" + host)):
        return f"`Host: {host:.80}` does not name this machine"
    if origin is not None and not is_loopback(_name(origin)):
        return f"`Origin: {origin:.80}` is no page of this machine"
    return None


def _name(address: str) -> str:
    """The host in ``address``; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


class OnlyLocal:
    """``inside``, for this machine; others get 403 and ``hint``, which says what to do."""

    def __init__(self, inside: ASGIApp, hint: str) -> None:
        self._inside = inside
        self._hint = hint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        why = stranger(headers) if headers is not None else None
        if headers is None or why is None:
            await self._inside(scope, receive, send)
            return
        error = ApiError(403, f"{why}. {self._hint}", code="not_local", retry=False,
                         headers={"x-request-id": request_id(headers)})
        reply = Response(error.body(), error.status, error.headers(), JSON)
        await reply(scope, receive, send)
