"""The description of what the gateway serves, at ``/openapi.json``.

It says what plait reads of each request; fields that are not in it are passed on to the engine,
so every object is open.
"""

from __future__ import annotations

from typing import Any

from plait.registry import METHODS
from plait.server.choosing import THOUGHTS, WAYS
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.version import VERSION

Schema = dict[str, Any]


def _is(kind: str, **more: Any) -> Schema:
    return {"type": kind, **more}


def _maybe(kind: str, **more: Any) -> Schema:
    """Of that kind, or null, which is as good as absent."""
    return {"type": [kind, "null"], **more}


COUNT = _maybe("integer", minimum=1, maximum=1 << 20)
TEXT_PART = _is("object", required=["type", "text"], properties={
    "type": {"const": "text"}, "text": _is("string")})
MESSAGE = _is("object", required=["role", "content"], properties={
    "role": {"enum": ["system", "developer", "user", "assistant"]},
    "content": {"anyOf": [_is("string"), _is("array", items=TEXT_PART, minItems=1)]},
    "name": _is("string")})
BUDGET: Schema = {
    **dict.fromkeys(("total_tokens", "critical_tokens", "width", "depth", "threads",
                     "live_tokens"), COUNT),
    "seconds": _maybe("number", exclusiveMinimum=0, maximum=86400)}
PLAIT = _maybe("object", additionalProperties=False, properties={
    "method": {"enum": ["auto", *METHODS]}, "protocol": _is("string"), "policy": _is("string"),
    "thoughts": {"enum": list(THOUGHTS)}, "attempts": COUNT, "merge": _is("string"),
    "verify": _is("string"), "prompts": {"enum": ["instruct", "reasoning"]}, "threshold": COUNT,
    "window": COUNT, "rounds": _is("array", items=_is("integer", minimum=1), maxItems=64),
    "budget": _maybe("object", additionalProperties=False, properties={
        **BUDGET, "window": COUNT, "rounds": COUNT}), **BUDGET})
SAMPLING: Schema = {
    "model": _is("string", description="A model's name, or plait/WAY:NAME with a way of "
                 + ", ".join(WAYS)),
    "stream": _maybe("boolean"), "temperature": _maybe("number", minimum=0, maximum=2),
    "top_p": _maybe("number", exclusiveMinimum=0, maximum=1),
    "seed": _maybe("integer", minimum=-(1 << 31), maximum=1 << 31), "plait": PLAIT}
LIMITED: Schema = {
    **SAMPLING,
    "max_tokens": COUNT, "stream_options": _maybe("object", properties={
        "include_usage": _is("boolean")}),
    "stop": {"anyOf": [_maybe("string", minLength=1),
                       _is("array", items=_is("string", minLength=1))]}}
CHAT = _is("object", required=["model", "messages"], properties={
    **LIMITED, "messages": _is("array", items=MESSAGE, minItems=1),
    "max_completion_tokens": COUNT})
COMPLETION = _is("object", required=["model", "prompt"], properties={
    **LIMITED, "prompt": _is("string", minLength=1)})
RESPONSE = _is("object", required=["model", "input"], properties={
    **SAMPLING, "input": {"anyOf": [_is("string", minLength=1),
                                    _is("array", items=MESSAGE, minItems=1)]},
    "instructions": _maybe("string"), "max_output_tokens": COUNT,
    "previous_response_id": _maybe("string"), "store": _maybe("boolean")})
FEEDBACK = _is("object", required=["run"], properties={
    "run": _is("string", minLength=1), "rating": _maybe("number", minimum=-1, maximum=1),
    "label": _maybe("string", maxLength=64), "comment": _maybe("string"),
    "answer": _maybe("string"), "coherent": _maybe("boolean")})
ERROR = _is("object", required=["error"], properties={"error": _is(
    "object", required=["message", "type", "param", "code"], properties={
        "message": _is("string"), "type": _is("string"), "param": _maybe("string"),
        "code": _maybe("string")})})


def _reply(words: str, schema: Schema | None = None, kind: str = "application/json") -> Schema:
    return {"description": words, "content": {kind: {"schema": schema or {}}}}


def _operation(words: str, *, body: Schema | None = None, path: str = "", public: bool = False,
               streams: bool = False) -> Schema:
    """One operation. ``path``: the name of its parameter, if it has one."""
    found = _reply("done", _is("object"))
    if streams:
        found["content"]["text/event-stream"] = {"schema": _is("string")}
    operation: Schema = {"summary": words, "responses": {
        "200": found, "default": _reply("an error", ERROR)}}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {
            "application/json": {"schema": body}}}
    if path:
        operation["parameters"] = [{"name": path, "in": "path", "required": True,
                                    "schema": _is("string", minLength=1)}]
    if public:
        operation["security"] = []
    return operation


def description() -> Schema:
    """The description, in OpenAPI 3.1."""
    text = {"responses": {"200": _reply("text", _is("string"), "text/plain")}}
    waiting = {"responses": {"200": _reply("yes", _is("object")),
                             "503": _reply("no", _is("object"))}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "plait gateway", "version": VERSION,
                 "description": "OpenAI's API, answered with parallel threads where that pays."
                                " Everything else below /v1 is passed to the engine as it is."},
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}, {}],
        "paths": {
            "/health": {"get": _operation("It lives", public=True)},
            "/ready": {"get": {**_operation("Can it answer now?", public=True), **waiting}},
            "/version": {"get": _operation("Which plait it is", public=True)},
            "/metrics": {"get": {**_operation("Numbers for Prometheus", public=True), **text}},
            "/v1/models": {"get": _operation("The models, by each way to answer with them")},
            "/v1/models/{name}": {"get": _operation("One model", path="name")},
            "/v1/chat/completions": {"post": _operation("A chat completion", body=CHAT,
                                                        streams=True)},
            "/v1/completions": {"post": _operation("A text completion", body=COMPLETION,
                                                   streams=True)},
            "/v1/responses": {"post": _operation("A response", body=RESPONSE, streams=True)},
            "/v1/responses/{name}": {
                "get": _operation("A response that was kept", path="name"),
                "delete": _operation("Forget a response", path="name")},
            "/v1/responses/{name}/cancel": {
                "post": _operation("Cancel a response", path="name")},
            "/v1/runs/{name}/cancel": {
                "post": _operation("Cancel requests by run or x-request-id", path="name")},
            "/v1/chat/completions/{name}/cancel": {
                "post": _operation("Cancel a chat completion", path="name")},
            "/v1/experiments": {"get": _operation("What live experiments say so far")},
            "/v1/feedback": {"post": _operation("Say something of a run", body=FEEDBACK)},
        }}


async def openapi(gateway: Gateway, exchange: Exchange) -> None:
    """The endpoint."""
    await exchange.reply_json(description())
