"""A case, and what it is given to look at a gateway with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from plait.testing.replies import Reply
from plait.testing.upstream import Upstream
from tests.conformance.gateway.client import Answer, Client, Stream

QUESTION = "What is six times seven?"
ANSWER = "The answer is 42."
CANCEL_SECONDS = 0.1
"""So soon must every upstream call be closed after the client has left."""

Need = Literal["upstream", "parallel", "key", "deadline"]


@dataclass(frozen=True)
class Target:
    """The gateway under test. ``base_url`` ends with ``/v1``.

    ``parallel_model`` is a name under which it makes several calls for one question, None if it
    does no such thing; ``headers`` go with every request, ``parallel_headers`` with those.
    ``deadline`` is the header that sets a deadline in seconds.
    """

    name: str
    base_url: str
    model: str
    parallel_model: str | None = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    parallel_headers: Mapping[str, str] = field(default_factory=dict)
    parallel_fields: Mapping[str, object] = field(default_factory=dict)
    deadline: str | None = None

    @property
    def root(self) -> str:
        """The URL that ``/health`` hangs from."""
        return self.base_url.removesuffix("/v1")


class Fault(Exception):
    """The gateway does not do what the case asks for."""


def expect(condition: object, fault: str) -> None:
    """Raise `Fault` unless the condition holds."""
    if not condition:
        raise Fault(fault)


class Desk:
    """What a case works with: the gateway's client, the upstream behind it, and shorthands."""

    def __init__(self, target: Target, client: Client, upstream: Upstream | None) -> None:
        self.target = target
        self.client = client
        self._upstream = upstream
        self.remark = ""
        """What a case measured, for the table."""

    @property
    def upstream(self) -> Upstream:
        """The server behind the gateway; only for cases that need it."""
        assert self._upstream is not None
        return self._upstream

    def script(self, script: Any) -> None:
        """What the upstream writes from now on."""
        self.upstream.script = script

    def sent(self) -> Mapping[str, Any]:
        """The body of the one call that arrived upstream."""
        bodies = self.upstream.bodies
        expect(len(bodies) == 1, f"{len(bodies)} calls arrived upstream instead of one")
        return bodies[0]

    def body(self, *, parallel: bool = False, **fields: object) -> dict[str, object]:
        """A chat request; a field that is None is left out."""
        model = self.target.parallel_model if parallel else self.target.model
        extra = self.target.parallel_fields if parallel else {}
        body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], **extra,
                **fields}
        return {name: value for name, value in body.items() if value is not None}

    def headers(self, parallel: bool, given: Mapping[str, str] | None) -> dict[str, str]:
        """The headers of a request."""
        kind = self.target.parallel_headers if parallel else self.target.headers
        key = {"Authorization": f"Bearer {self.target.key}"} if self.target.key else {}
        return {**key, **kind, **(given or {})}

    async def chat(
        self, *, parallel: bool = False, headers: Mapping[str, str] | None = None,
        **fields: object,
    ) -> Answer:
        """Ask, and wait for the whole answer."""
        return await self.client.post(
            f"{self.target.base_url}/chat/completions", self.body(parallel=parallel, **fields),
            self.headers(parallel, headers))

    def stream(
        self, *, parallel: bool = False, headers: Mapping[str, str] | None = None,
        path: str = "/chat/completions", **fields: object,
    ) -> AbstractAsyncContextManager[Stream]:
        """Ask for a stream; leaving the context early closes the connection."""
        return self.client.stream(
            f"{self.target.base_url}{path}",
            self.body(parallel=parallel, **{"stream": True, **fields}),
            self.headers(parallel, headers))

    async def read(self, *, parallel: bool = False, **fields: object) -> Stream:
        """Ask for a stream and read it to its end."""
        async with self.stream(parallel=parallel, **fields) as stream:
            await stream.read()
            return stream

    async def get(self, url: str, key: bool = True) -> Answer:
        """Get ``url``, a path under the base URL or a whole one."""
        if url.startswith("/"):
            url = self.target.base_url + url
        return await self.client.get(url, self.headers(False, None) if key else {})


@dataclass(frozen=True)
class Case:
    """One promise. ``checks`` says what is looked at, ``why`` who relies on it."""

    name: str
    checks: str
    why: str
    needs: frozenset[Need]
    check: Callable[[Desk], Awaitable[None]]


CASES: list[Case] = []


def case(
    name: str, checks: str, why: str, *needs: Need
) -> Callable[[Callable[[Desk], Awaitable[None]]], Callable[[Desk], Awaitable[None]]]:
    """Register a case."""
    def register(check: Callable[[Desk], Awaitable[None]]) -> Callable[[Desk], Awaitable[None]]:
        assert all(known.name != name for known in CASES), name
        CASES.append(Case(name, checks, why, frozenset(needs), check))
        return check
    return register


def slow(reply: Reply | str, seconds: float) -> Reply:
    """The same reply, drawn out over so many seconds."""
    return replace(reply if isinstance(reply, Reply) else Reply(reply), seconds=seconds)


def check_error(answer: Answer, *statuses: int) -> Mapping[str, Any]:
    """An error in OpenAI's shape, with one of these statuses; gives the error object."""
    allowed = statuses or tuple(range(400, 600))
    expect(answer.status in allowed,
           f"status {answer.status} instead of {' or '.join(map(str, statuses)) or '4xx, 5xx'}")
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    expect(isinstance(error, dict), f"no error object: {answer.text[:80]!r}")
    assert isinstance(error, dict)
    expect(isinstance(error.get("message"), str) and error["message"], "an error without message")
    expect(isinstance(error.get("type"), str) and error["type"], "an error without type")
    return error
