"""Where the replicas are: named one by one, or all that a host name stands for.

    http://a:8000,http://b:8000      (or with ; between them, where a comma means something else)
    dns:http://replicas.svc:8000     looked up again every `LOOK_AGAIN` seconds
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import anyio

from plait.engines.openai.connect import server_root, without_password
from plait.errors import EngineUnreachable, UsageError

DNS = "dns:"
LOOK_AGAIN = 15.0
PATIENCE_SECONDS = 5.0
HINT = "Say pool:http://a:8000,http://b:8000, or pool:dns:http://name:8000."


@dataclass(frozen=True, slots=True)
class Addresses:
    """``urls``: of the servers; ``dns``: the only one is a name for all of them."""

    urls: tuple[str, ...]
    dns: bool = False

    @classmethod
    def parse(cls, text: str) -> Addresses:
        """Raises `UsageError`."""
        if text.startswith(DNS):
            url = server_root(text.removeprefix(DNS))
            if urlsplit(url).scheme != "http":
                raise UsageError(f"a pool that is looked up cannot speak https: {url}",
                                 hint="Certificates are for names, not for addresses: name the"
                                      " replicas one by one, or say http://.")
            return cls((url,), dns=True)
        urls = tuple(server_root(url) for url in re.split("[,;]", text) if url.strip())
        if not urls:
            raise UsageError("the pool has no replicas", hint=HINT)
        shown = [without_password(url) for url in urls]
        if twice := next((url for url in shown if shown.count(url) > 1), None):
            raise UsageError(f"the pool names {twice} twice", hint=HINT)
        return cls(urls)

    async def now(self) -> tuple[str, ...]:
        """The servers' addresses. Raises `EngineUnreachable` if the name cannot be looked up."""
        return await _look_up(self.urls[0]) if self.dns else self.urls


async def _look_up(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    user, at, _ = parts.netloc.rpartition("@")
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            found = await anyio.getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a TimeoutError is an OSError
        raise EngineUnreachable(f"cannot look up {host}: {error or 'no answer'}",
                                hint="Check the name in the address of the pool.") from error
    addresses = dict.fromkeys(
        f"[{where[0]}]:{where[1]}" if family == socket.AF_INET6 else f"{where[0]}:{where[1]}"
        for family, *_, where in found)
    return tuple(urlunsplit(parts._replace(netloc=user + at + address)) for address in addresses)
