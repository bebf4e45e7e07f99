"""The gateway as a process: where it listens, and how it ends.

On SIGTERM or SIGINT it stops listening, refuses new requests on open connections, lets those at
work finish for `GatewaySettings.drain_seconds`, and cancels the rest; a second signal ends at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from plait.errors import UsageError
from plait.server.gateway import Gateway
from plait.server.local import is_loopback

BACKLOG = 2048


def check_open(host: str, *, keys: bool, without: bool) -> None:
    """Raise `UsageError` where everybody on the network could use the engine: ``host`` is not the
    machine itself, there are no ``keys``, and nobody said that it shall be so (``without``)."""
    if keys or without or is_loopback(host):
        return
    raise UsageError(
        f"without keys the gateway listens on this machine only, not on {host}",
        hint="Give it --keys FILE (`plait key NAME` makes a key), or say --no-keys if everybody who"
             " can reach it may use it.")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any that is free. Raises `UsageError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # asyncio does so only for sockets that were made with TCP's number; without it the parts of a
    # reply wait for each other's acknowledgement, 40 ms.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        why = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise UsageError(f"cannot listen on {host} port {port}: {why}",
                         hint="Choose another --port, or stop what listens there.") from None
    found.listen(BACKLOG)
    found.setblocking(False)
    return found


async def serve(
    app: ASGIApp, gateway: Gateway, sock: socket.socket, began: Callable[[], None] = lambda: None
) -> None:
    """Serve until a signal says to end. ``began`` is called once requests are taken."""
    async with gateway:
        await Server(app, gateway, began).serve([sock])


class Server(uvicorn.Server):
    """Tells the gateway when it begins and when it is to end."""

    def __init__(
        self, app: ASGIApp, gateway: Gateway, began: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off",
            timeout_graceful_shutdown=max(1, round(gateway.settings.drain_seconds)),
            backlog=BACKLOG))
        self._gateway = gateway
        self._tell = began

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal asks for the end; a second one for the end at once. The signal is not raised
        again afterwards, as uvicorn would: what is open has still to be closed in order."""
        self._gateway.admission.draining = True
        self.force_exit = self.should_exit
        self.should_exit = True
