"""The checks in their order, and what they come to: the profile of an engine."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from plait.core import EngineProfile, Finding, Sampling
from plait.engines.openai import OpenAIEngine
from plait.errors import EngineError, EngineRefused, EngineUnreachable, UsageError
from plait.interfaces import Engine, Served
from plait.survey import checks, servers, serving
from plait.survey.asking import Asker
from plait.survey.checks import Look
from plait.survey.speed import LONG, ROUNDS, Steps, measure_steps, read_long_prompts, step_cost
from plait.version import VERSION

LABELS: Mapping[str, str] = {
    "text_prompts": "text prompts", "chat": "chats", "id_prompts": "token-id prompts",
    "output_ids": "token ids of answers", "logprobs": "log probabilities",
    "stop_strings": "stop strings", "special_shown": "special tokens shown",
    "special_stops": "special tokens as stops", "stop_ids": "stop token ids",
    "json_schema": "JSON schemas", "continuous_usage": "running token counts",
    "window": "context window", "prefix_cache": "prefix cache",
    "cache_report": "cached-token report", "cache_salt": "cache salts",
    "cancellation": "cancelling frees a slot", "parallel": "parallel streams",
    "priority": "priorities", "slot_files": "saving slots"}
"""Every check by its name, in the order in which they are made, and what it is called."""
CHECK_SECONDS = 60.0
"""A check that takes longer tells nothing."""
QUESTION = 20
"""Tokens of a short question, about."""
OTHERS = 2000
"""Tokens that all checks but the step times generate, if a stream can only be left after all."""
_WORDS = 90
"""Characters of a reason."""

Check = Callable[[], Awaitable[Finding]]
Tell = Callable[[str, Finding], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens that checks take."""

    prompt: int
    generated: int


def expected(*, speed: bool) -> Cost:
    """What a survey takes at most, about; ``speed``: with step times."""
    streams, generated = step_cost() if speed else (0, 0)
    reading = (2 * ROUNDS + 2) * LONG * 5 // 4  # characters are only about tokens
    return Cost(reading + (30 + streams) * QUESTION, generated + OTHERS)


class Survey:
    """Finds out about ``engine``, which is called ``server`` in the profile.

    ``tell`` takes each finding as it is made; ``doing`` takes what is under way, for people who
    wait. ``speed``: measure step times as well, which takes most of the tokens.
    """

    def __init__(
        self, engine: Engine, server: str, *, speed: bool = True,
        tell: Tell = lambda name, found: None, doing: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._engine = engine
        self._server = server
        self._speed = speed
        self._tell = tell
        self._doing = doing
        self._asker = Asker(engine)
        self._findings: dict[str, Finding] = {}

    @property
    def cost(self) -> Cost:
        """What it has taken so far, as far as the engine counts."""
        return Cost(self._asker.prompt_tokens, self._asker.generated)

    async def run(self) -> EngineProfile:
        """Make all checks. Raises `EngineUnreachable` if the engine is, or goes, away, and
        `EngineError` or `UsageError` if it answers nothing at all."""
        engine = self._engine
        if isinstance(engine, Served):
            await engine.connect()
        self._doing("a first answer")
        greedy = await self._asker.settle()
        look = Look(self._asker, greedy, secrets.token_hex(4), engine.capabilities.slots)
        await self._run(self._singly(look))
        self._doing("long prompts")
        try:
            look.prefill = await read_long_prompts(self._asker, look.nonce)
        except EngineError as error:
            await self._still_there(error)
        await self._run(self._cached(look))
        steps = await self._steps(look)
        look.slots = look.slots or steps.slots
        await self._run(self._together(look, steps))
        capabilities = engine.capabilities
        server = engine if isinstance(engine, OpenAIEngine) else None
        return EngineProfile(
            server=self._server, model=engine.model,
            checked=datetime.now(UTC).isoformat(timespec="seconds"),
            window=capabilities.window, slots=look.slots,
            kv_tokens=(await engine.load()).kv_tokens,
            step_seconds=steps.seconds,
            prefill_tokens_per_second=look.prefill.rate if look.prefill else None,
            kind=capabilities.server, version=await servers.version(server) if server else "",
            plait=VERSION, findings=dict(self._findings))

    def _singly(self, look: Look) -> dict[str, Check]:
        names = ("text_prompts", "chat", "id_prompts", "output_ids", "logprobs", "stop_strings",
                 "special_shown", "special_stops", "stop_ids", "json_schema")
        found = _of(look, names)
        if isinstance(server := self._engine, OpenAIEngine):
            found["continuous_usage"] = lambda: servers.continuous_usage(look, server)
        return found

    def _cached(self, look: Look) -> dict[str, Check]:
        return _of(look, ("window", "prefix_cache", "cache_report", "cache_salt"))

    def _together(self, look: Look, steps: Steps) -> dict[str, Check]:
        async def parallel() -> Finding:
            return serving.parallel(look, steps)

        found: dict[str, Check] = {"cancellation": lambda: serving.cancellation(look)}
        if self._speed:
            found["parallel"] = parallel
        found["priority"] = lambda: serving.priority(look)
        server = self._engine
        if isinstance(server, OpenAIEngine) and server.capabilities.server == "llamacpp":
            found["slot_files"] = lambda: servers.slot_files(server)
        return found

    async def _steps(self, look: Look) -> Steps:
        if not self._speed:
            return Steps({}, None)
        return await measure_steps(
            self._asker, lambda width: self._doing(f"step time of {width} at once"))

    async def _run(self, wanted: Mapping[str, Check]) -> None:
        for name, check in wanted.items():
            self._doing(LABELS[name])
            self._findings[name] = found = await self._one(check)
            self._tell(name, found)

    async def _one(self, check: Check) -> Finding:
        with anyio.move_on_after(CHECK_SECONDS):
            try:
                return await check()
            except (EngineRefused, UsageError) as error:
                return Finding(False, _clause(error))
            except EngineError as error:
                await self._still_there(error)
                return Finding(None, _clause(error))
        return Finding(None, f"it took longer than {CHECK_SECONDS:g} s")

    async def _still_there(self, error: EngineError) -> None:
        """Raise ``error`` if the engine answers nothing any more."""
        if isinstance(error, EngineUnreachable):
            try:
                await self._asker.ask(self._asker.question, Sampling(max_tokens=1))
            except EngineError:
                raise error from None


def _of(look: Look, names: tuple[str, ...]) -> dict[str, Check]:
    """The checks ``names`` of `checks`, put to ``look``."""
    def bound(name: str) -> Check:
        check: Callable[[Look], Awaitable[Finding]] = getattr(checks, name)
        return lambda: check(look)

    return {name: bound(name) for name in names}


def _clause(error: Exception) -> str:
    """A message as one clause of a sentence."""
    words = " ".join(str(error).split()).rstrip(".")
    return words if len(words) <= _WORDS else f"{words[:_WORDS - 3]}..."
