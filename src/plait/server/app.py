"""The gateway as an ASGI application: which path leads where."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from plait.server import facts, watched
from plait.server.chat import chat
from plait.server.completions import completions
from plait.server.endpoint import Endpoint, Handler
from plait.server.errors import ApiError
from plait.server.exchange import request_id
from plait.server.gateway import Gateway
from plait.server.local import OnlyLocal
from plait.server.openapi import openapi
from plait.server.pages import viewer_routes
from plait.server.passing import pass_untouched
from plait.server.responses import cancel_response, response, responses

ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_HINT = "Ask 127.0.0.1 or localhost, or start `plait serve` with --keys FILE or --no-keys."


def make_app(gateway: Gateway) -> Starlette:
    """The application. Whoever starts it opens and closes the runtime."""

    def route(path: str, method: str, handler: Handler, **options: bool) -> Route:
        return Route(path, Endpoint(gateway, handler, **options), methods=[method])

    routes: list[BaseRoute] = [
        route("/health", "GET", facts.health, public=True),
        route("/ready", "GET", facts.ready, public=True),
        route("/version", "GET", facts.version, public=True),
        route("/openapi.json", "GET", openapi, public=True),
        route("/metrics", "GET", watched.metrics, public=True),
        route("/v1/feedback", "POST", watched.feedback),
        route("/v1/experiments", "GET", watched.experiments),
        route("/v1/models", "GET", facts.models),
        route("/v1/models/{name:path}", "GET", facts.model),
        route("/v1/chat/completions", "POST", chat, counted=True),
        route("/v1/completions", "POST", completions, counted=True),
        route("/v1/responses", "POST", responses, counted=True),
        route("/v1/responses/{name}", "GET", response),
        route("/v1/responses/{name}", "DELETE", response),
        route("/v1/responses/{name}/cancel", "POST", cancel_response),
        route("/v1/chat/completions/{name}/cancel", "POST", facts.cancel),
        route("/v1/runs/{name}/cancel", "POST", facts.cancel),
        *(Route(path, _not_allowed, methods=[m for m in ANY if m != "POST"])
          for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses")),
        *(Route(path, Endpoint(gateway, pass_untouched, counted=True), methods=ANY)
          for path in ("/v1/{rest:path}", "/tokenize", "/detokenize")),
    ]
    routes += viewer_routes(gateway)
    settings = gateway.settings
    guard = [] if settings.keys or settings.no_keys else [Middleware(OnlyLocal, hint=_HINT)]
    return Starlette(routes=routes, middleware=guard,
                     exception_handlers={HTTPException: _refuse})


def _not_allowed(request: Request) -> Response:
    raise HTTPException(405, headers={"Allow": "POST"})


async def _refuse(request: Request, error: Exception) -> Response:
    """Paths and methods that do not exist, in the shape of every other error."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    words = f"{what} is not served here" if error.status_code == 404 else (
        f"{what}: {error.detail.lower()}")
    refusal = ApiError(error.status_code, words, code="not_found" if error.status_code == 404
                       else None, headers={"x-request-id": request_id(request.headers),
                                           **(error.headers or {})})
    return Response(refusal.body(), refusal.status, refusal.headers(), "application/json")
