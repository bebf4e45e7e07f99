"""The least that a proxy can do, in aiohttp: bytes in, bytes out. What others are held against.

    python -m benchmarks.bare_proxy UPSTREAM_URL PORT
"""

from __future__ import annotations

import sys

import aiohttp
from aiohttp import web

HOP = {"connection", "content-length", "host", "transfer-encoding", "keep-alive"}
UPSTREAM = web.AppKey("upstream", str)
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    """Send the request on, and what comes back as it comes."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
    url = request.app[UPSTREAM] + request.path_qs
    async with request.app[SESSION].request(
        request.method, url, data=await request.read(), headers=headers
    ) as answer:
        response = web.StreamResponse(status=answer.status, headers={
            name: value for name, value in answer.headers.items() if name.lower() not in HOP})
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


def make_app(upstream: str) -> web.Application:
    """The proxy in front of ``upstream``."""
    app = web.Application(client_max_size=2**26, handler_args={"handler_cancellation": True})
    app[UPSTREAM] = upstream.rstrip("/")

    async def opened(app: web.Application):  # type: ignore[no-untyped-def]
        app[SESSION] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False)
        yield
        await app[SESSION].close()

    app.cleanup_ctx.append(opened)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    web.run_app(make_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), access_log=None,
                print=None)
