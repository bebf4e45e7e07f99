"""What those who run it need: health, version, metrics, request ids, keys, idempotency, time."""

from __future__ import annotations

import asyncio

import anyio

from plait.testing.replies import Reply
from tests.conformance.gateway.case import ANSWER, Desk, case, check_error, expect

ADDED = 0.03


async def reached(desk: Desk, paths: tuple[str, ...]) -> None:
    """One of these paths answers 200 without a key."""
    statuses = [(await desk.get(desk.target.root + path, key=False)).status for path in paths]
    expect(200 in statuses, ", ".join(f"{p}: {s}" for p, s in zip(paths, statuses, strict=True)))


@case("health.alive", "a liveness path answers without a key", "Kubernetes, load balancers")
async def alive(desk: Desk) -> None:
    await reached(desk, ("/health", "/healthz", "/health/liveliness"))


@case("health.ready", "a readiness path answers without a key", "Kubernetes, load balancers")
async def ready(desk: Desk) -> None:
    await reached(desk, ("/ready", "/readyz", "/health/readiness", "/health/ready"))


@case("health.version", "a path tells the version", "who asks for help, and who gives it")
async def version(desk: Desk) -> None:
    for path in ("/version", "/health/readiness"):
        answer = await desk.get(desk.target.root + path, key=False)
        if answer.status == 200 and isinstance(answer.json, dict) and any(
            "version" in name for name in answer.json
        ):
            return
    expect(False, "neither /version nor /health/readiness tells it")


@case("health.metrics", "/metrics is Prometheus text, and requests and tokens are counted there",
      "everybody with a dashboard")
async def metrics(desk: Desk) -> None:
    async def total() -> float:
        answer = await desk.client.get(desk.target.root + "/metrics")  # follows a redirect
        expect(answer.status == 200, f"status {answer.status}")
        rows = [line.rsplit(" ", 1) for line in answer.text.splitlines()
                if line and not line.startswith("#")]
        expect(rows, "nothing is measured")
        return sum(float(value) for name, value in rows if name.partition("{")[0].endswith(
            ("_total", "_count")) and any(w in name for w in ("request", "run", "token")))

    before = await total()
    await desk.chat()
    await asyncio.sleep(0.1)  # counted when the reply is out
    expect(await total() > before, "a request changed no counter of requests, runs or tokens")


@case("header.request_id", "every reply has an x-request-id of its own",
      "support: finding it in logs")
async def request_id(desk: Desk) -> None:
    ids = [(await desk.chat()).headers.get("x-request-id") for _ in range(2)]
    expect(all(ids), "no x-request-id")
    expect(ids[0] != ids[1], "two replies share one")


@case("header.request_id_kept", "the client's own x-request-id is taken over",
      "one id from the browser to the engine")
async def request_id_kept(desk: Desk) -> None:
    answer = await desk.chat(headers={"x-request-id": "mine-17"})
    expect(answer.headers.get("x-request-id") == "mine-17",
           f"it became {answer.headers.get('x-request-id')!r}")


@case("header.request_id_stream", "a stream has it too", "support: finding it in logs")
async def request_id_stream(desk: Desk) -> None:
    async with desk.stream() as stream:
        expect(stream.headers.get("x-request-id"), "no x-request-id")


@case("header.session", "calls upstream carry a session id, so that routers keep them together",
      "prefix caches behind a router", "upstream", "parallel")
async def session(desk: Desk) -> None:
    await desk.chat(parallel=True)
    sessions = {headers.get("X-Session-ID") for headers in desk.upstream.headers}
    expect(len(sessions) == 1 and None not in sessions, f"sessions {sessions}")


@case("key.required", "no key: 401 in OpenAI's shape", "anyone on the network", "key")
async def key_required(desk: Desk) -> None:
    answer = await desk.client.post(f"{desk.target.base_url}/chat/completions", desk.body())
    check_error(answer, 401)


@case("key.wrong", "a wrong key: 401 in OpenAI's shape; a right one: 200",
      "SDKs: AuthenticationError", "key")
async def key_wrong(desk: Desk) -> None:
    check_error(await desk.chat(headers={"Authorization": "Bearer sk-wrong"}), 401)
    expect((await desk.chat()).status == 200, "the right key is refused")


@case("key.kept", "the client's key does not go upstream", "keys of the engine are another matter",
      "key", "upstream")
async def key_kept(desk: Desk) -> None:
    await desk.chat()
    expect(desk.upstream.headers, "nothing arrived upstream")
    for headers in desk.upstream.headers:
        expect(desk.target.key not in str(headers), "the client's key arrived upstream")


@case("idempotency.repeat", "the same Idempotency-Key twice: one call upstream, the same reply",
      "SDK retries after a lost connection", "upstream")
async def idempotency(desk: Desk) -> None:
    headers = {"Idempotency-Key": "once-1"}
    first = await desk.chat(headers=headers)
    second = await desk.chat(headers=headers)
    expect(first.status == second.status == 200, f"status {first.status}, {second.status}")
    calls = desk.upstream.calls.started
    expect(calls == 1, f"{calls} calls upstream")
    expect(first.json == second.json, "the replies differ")


@case("idempotency.other", "the same Idempotency-Key with another question is refused",
      "a key used twice by mistake must not give a wrong answer", "upstream")
async def idempotency_other(desk: Desk) -> None:
    headers = {"Idempotency-Key": "once-2"}
    await desk.chat(headers=headers)
    answer = await desk.chat(headers=headers, messages=[{"role": "user", "content": "Another?"}])
    check_error(answer, 400, 409, 422)


@case("time.added", f"passing a reply on adds less than {ADDED * 1000:g} ms, the best of ten",
      "interactive use; parts of a reply that wait for each other take 40 ms", "upstream")
async def added(desk: Desk) -> None:
    loop, took = asyncio.get_running_loop(), []
    for _ in range(10):
        begin = loop.time()
        answer = await desk.chat()
        took.append(loop.time() - begin)
        expect(answer.status == 200 and answer.content == ANSWER, f"status {answer.status}")
    best = min(took)  # the upstream itself answers at once
    desk.remark = f"{best * 1000:.1f} ms"
    expect(best < ADDED, f"{best * 1000:.1f} ms")


@case("deadline.header", "a deadline of 1 s: a stalled call ends in about that time, with an error",
      "clients that have a deadline of their own", "upstream", "deadline")
async def deadline(desk: Desk) -> None:
    gate = anyio.Event()
    desk.script(Reply(ANSWER, gate=gate))
    begin = asyncio.get_running_loop().time()
    answer = await desk.chat(headers={desk.target.deadline or "": "1"})
    took = asyncio.get_running_loop().time() - begin
    gate.set()
    check_error(answer, 408, 504)
    expect(took < 3, f"after {took:.1f} s")
    desk.remark = f"after {took:.1f} s"
