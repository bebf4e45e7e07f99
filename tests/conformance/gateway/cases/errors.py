"""Errors: OpenAI's shape, the right status, what retries need to know."""

from __future__ import annotations

from plait.testing.replies import Reply
from tests.conformance.gateway.case import QUESTION, Desk, case, check_error, expect

TOO_LONG = {"error": {"message": "This model's maximum context length is 4096 tokens.",
                      "type": "invalid_request_error", "param": "messages",
                      "code": "context_length_exceeded"}}


@case("error.upstream_400", "the engine's refusal arrives with its status, message, code and param",
      "agents that shorten the conversation when it is too long", "upstream")
async def upstream_400(desk: Desk) -> None:
    desk.script(Reply(status=400, error=TOO_LONG))
    found = check_error(await desk.chat(), 400)
    expect("maximum context length" in found["message"], f"message {found['message']!r:.60}")
    expect(found.get("code") == "context_length_exceeded", f"code {found.get('code')!r}")
    expect(found.get("param") == "messages", f"param {found.get('param')!r}")


@case("error.upstream_429", "an overloaded engine: 429 with its Retry-After",
      "SDKs wait as long as they are told", "upstream")
async def upstream_429(desk: Desk) -> None:
    desk.script(Reply(status=429, headers={"Retry-After": "1"}, error={"error": {
        "message": "slow down", "type": "rate_limit_error", "param": None, "code": None}}))
    answer = await desk.chat()
    check_error(answer, 429)
    expect(answer.headers.get("Retry-After"), "no Retry-After")


@case("error.upstream_500", "an engine out of order: 5xx in OpenAI's shape",
      "SDK error objects", "upstream")
async def upstream_500(desk: Desk) -> None:
    desk.script(Reply(status=500, error={"error": {"message": "out of order"}}))
    check_error(await desk.chat(), 500, 502, 503)


@case("error.upstream_garbage", "an engine that answers 200 with no JSON: 5xx in OpenAI's shape",
      "a page of a load balancer in between must not look like an answer", "upstream")
async def upstream_garbage(desk: Desk) -> None:
    desk.script(Reply(raw=[b"<html>welcome</html>"], content_type="text/html"))
    check_error(await desk.chat(), 500, 502, 503)


@case("error.upstream_gone", "an engine that hangs up: 5xx in OpenAI's shape",
      "SDK error objects", "upstream")
async def upstream_gone(desk: Desk) -> None:
    desk.script(Reply("one two", break_after=0))
    check_error(await desk.chat(), 500, 502, 503, 504)


@case("error.bad_json", "a body that is no JSON: 400 in OpenAI's shape", "SDK error objects")
async def bad_json(desk: Desk) -> None:
    answer = await desk.client.post(f"{desk.target.base_url}/chat/completions", b'{"model": "ti',
                                    desk.headers(False, None))
    check_error(answer, 400, 422)


@case("error.no_object", "a body that is a list: 400 in OpenAI's shape", "SDK error objects")
async def no_object(desk: Desk) -> None:
    answer = await desk.client.post(f"{desk.target.base_url}/chat/completions", [1, 2],
                                    desk.headers(False, None))
    check_error(answer, 400, 422)


@case("error.no_messages", "a chat without messages: 400 in OpenAI's shape", "SDK error objects")
async def no_messages(desk: Desk) -> None:
    check_error(await desk.chat(messages=None), 400, 422)


@case("error.wrong_type", "messages that are a text: 400 in OpenAI's shape", "SDK error objects")
async def wrong_type(desk: Desk) -> None:
    check_error(await desk.chat(messages=QUESTION), 400, 422)


@case("error.unknown_model", "a model that is not there: 404, code model_not_found",
      "clients that fall back to another model", "upstream")
async def unknown_model(desk: Desk) -> None:
    error = check_error(await desk.chat(model="no-such-model"), 404)
    expect(error.get("code") == "model_not_found", f"code {error.get('code')!r}")


@case("error.unknown_path", "a path that is nowhere: 404 in OpenAI's shape", "SDK error objects")
async def unknown_path(desk: Desk) -> None:
    answer = await desk.client.post(f"{desk.target.base_url}/no/such/path", {"model": "tiny"},
                                    desk.headers(False, None))
    check_error(answer, 404)


@case("error.method", "GET where POST is wanted: 405", "whoever looks for a mistake by browser")
async def method(desk: Desk) -> None:
    check_error(await desk.get("/chat/completions"), 405)


@case("error.request_id", "errors carry x-request-id too", "support: an error to be found in logs",
      "upstream")
async def request_id(desk: Desk) -> None:
    desk.script(Reply(status=400, error=TOO_LONG))
    answer = await desk.chat()
    expect(answer.status == 400, f"status {answer.status}")
    expect(answer.headers.get("x-request-id"), "no x-request-id")


@case("error.keys_hidden", "an error does not show the key of the client or of the engine",
      "keys in logs of clients", "key")
async def keys_hidden(desk: Desk) -> None:
    key = desk.target.key or ""
    for fields in ({"messages": None}, {"model": "no-such-model"}):
        answer = await desk.chat(**fields)
        expect(answer.status >= 400, f"status {answer.status}")
        expect(key not in answer.text, "the key is in the error")
