"""Fork by calling tools: for any model that calls tools, whether it was trained to fork or not.

The model is offered ``spawn_threads`` and ``join_threads`` over the chat endpoint, in the manner
of Kimi's agent swarm (K2.5 report, 2026) and of the hosted option ``multi_agent`` of OpenAI's
Responses API. A thread is a conversation of its own that opens with its task and what the parent
passes on, and sees nothing else; what it answers is the result of the parent's join. A thread may
start threads itself as far as the budget's depth allows.

A child starts the moment its task is complete, while the call that it stands in is still written;
after the call the parent's next turn begins at once, and only a join waits. What goes wrong is
told to the model as the call's result, and noted as a warning:

    arguments that are no JSON, or no list of tasks     what was complete is at work, the rest is
                                                        an error
    no task, an empty one, more than `MOST`             an error; the other tasks are started
    a limit on threads or depth                         an error that names the limit
    a thread that ran out of tokens or failed           its status and what it had
    a join of an unknown id, or of one joined before    an error, beside the results of the others
    a tool that does not exist                          an error that names those that do
    an answer while threads are open                    they are waited for, and the model is told
                                                        what they found and answers again
    more rounds of calls than the budget has            one more turn, in which it may call nothing
    the end of tokens inside a call                     an error, if anything is left to go on with

A server that refuses tools, or passes calls on as text, leads to sequential reasoning by the
run's fallback, whose warning says why. What threads return is quoted as JSON, so it cannot pass
for anything but a result.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial

from plait.core import Message, Outcome, Plan, Prompt, Request, Sampling, ToolCall
from plait.core.reading import after_thinking, split_thoughts
from plait.core.text import CALLS, RETURNS
from plait.errors import EngineRefused
from plait.interfaces import Child, ChildSpec, Opening, Thread
from plait.methods.calls import (
    JOIN,
    SPAWN,
    TOOLS,
    Calls,
    Task,
    ids_in,
    read_object,
    tasks_in,
)

WORKER = ("You are one of several workers. Think about the task you are given, which is part of a"
          " larger one, and answer with what you found, short and complete.")
_NO_MORE = "this was the last round of calls: answer now, without calling anything"
_PASSED_ON = re.compile(
    rf'"name"\s*:\s*"(?:{SPAWN}|{JOIN})"|<function=(?:{SPAWN}|{JOIN})|functions\.(?:{SPAWN}|{JOIN})')


def offer(opening: Opening, request: Request) -> Opening:
    """``opening`` as a conversation with the tools, read as that one's last turn."""
    messages = opening.prompt.messages or request.messages or (Message("user", request.prompt),)
    return replace(opening, prompt=Prompt(messages=messages, tools=TOOLS), read=read_last_turn)


def read_last_turn(text: str) -> str | None:
    """The answer in the text of a conversation: what its last turn says, unless that calls."""
    last = f"\n{text}".rpartition(f"\n{RETURNS}")[2]
    if last != f"\n{text}":  # a result is JSON, one line
        last = last.partition("\n")[2]
    return None if f"\n{CALLS}" in last else after_thinking(last)


class Tools:
    """The method. The opening's prompt has to hold the tools; see `offer`."""

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        try:
            return await _Conversation(root, request).run()
        except EngineRefused as error:
            if root.tokens:
                raise
            return Outcome("failed", reason=f"a request with tools was refused: {error}")


@dataclass(slots=True)
class _Spawned:
    """A thread that was started."""

    child: Child
    joined: bool = False


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the model wrote at a stretch; ``cut``: a limit ended it."""

    text: str
    calls: list[ToolCall]
    cut: bool


class _Conversation:
    """One thread of the method: turn after turn up to the answer."""

    def __init__(self, thread: Thread, request: Request) -> None:
        self._thread = thread
        self._request = request
        self._spawned: dict[str, _Spawned] = {}
        self._started: dict[tuple[int, int], str] = {}
        """What came of the tasks of this turn's calls, by call and place: an id or a refusal."""
        self._rounds = 0
        self._best: str | None = None

    @property
    def _last(self) -> bool:
        """Is no round of calls left?"""
        most = self._request.budget.rounds
        return most is not None and self._rounds >= most

    async def run(self) -> Outcome:
        """Turns until one calls nothing and leaves nothing open."""
        while True:
            turn = await self._write()
            if turn.calls and not self._last:
                self._count_round()
                replies = [await self._reply(number, call)
                           for number, call in enumerate(turn.calls)]
                self._close(turn, replies)
            elif turn.cut or self._last or not self._open:
                return self._end(turn)
            else:
                self._count_round()
                await self._insist(turn)

    def _count_round(self) -> None:
        self._rounds += 1
        if self._last:
            self._thread.note(f"stopped after {self._rounds} rounds of calls", warning=True)

    async def _write(self) -> _Turn:
        """One turn of the model; threads start on the way."""
        thread, calls, text = self._thread, Calls(), ""
        self._started = {}
        async with thread.write(sampling=self._sampling()) as stream:
            async for chunk in stream:
                text += chunk.text
                for delta in chunk.calls:
                    for number, task in calls.feed(delta):
                        self._start(number, task)
        cut = thread.finish not in ("eos", "stop")
        return _Turn(text, calls.close(self._rounds), cut)

    def _sampling(self) -> Sampling:
        """As asked; in the turn after the last round the model may call nothing. The tools are
        still named, since earlier turns call them and a cache holds them."""
        sampling = self._request.sampling
        if not self._last:
            return sampling
        return replace(sampling, extra={**sampling.extra, "tool_choice": "none"})

    # --- the end of a turn ---------------------------------------------------------------------

    def _end(self, turn: _Turn) -> Outcome:
        """The answer, or what there is of one."""
        thread, answer = self._thread, after_thinking(turn.text)
        if self._open:
            thread.note(f"the answer does not wait for {', '.join(self._open)}", warning=True)
        if turn.calls:
            return Outcome("budget", thread.text, answer or self._best, "rounds")
        if turn.cut:
            why = f"the answer was cut off ({thread.finish})"
            return Outcome("budget", thread.text, answer or self._best, why)
        if answer is None:
            why = "the text holds no answer"
            return Outcome("malformed", thread.text, self._best, why)
        if not self._rounds and _PASSED_ON.search(answer) and not _PASSED_ON.search(
                self._request.question):
            return Outcome("malformed", thread.text, reason=(
                "the server passes calls of tools on as text; start it with a parser for them"
                " (vLLM and SGLang: --tool-call-parser)"))
        return Outcome("done", thread.text, answer)

    def _close(self, turn: _Turn, replies: list[Message]) -> None:
        """Put the turn and the results of its calls into the conversation."""
        thoughts, content = split_thoughts(turn.text)
        calls = tuple(_sendable(call) for call in turn.calls)
        self._thread.turn(Message("assistant", content, calls, thoughts=thoughts), *replies)

    async def _insist(self, turn: _Turn) -> None:
        """The model answered while threads were open: tell it what they found."""
        left = self._open
        self._best = after_thinking(turn.text) or self._best
        self._thread.note(f"the answer does not wait for {', '.join(left)}", warning=True)
        told: dict[str, object] = {
            "error": f"you ended your turn while threads were open: {', '.join(left)}."
                     " Here is what they found; give the whole answer now.",
            "results": await self._results(left)}
        self._close(turn, [Message("user", _json(told))])

    # --- calls ---------------------------------------------------------------------------------

    async def _reply(self, number: int, call: ToolCall) -> Message:
        """The result of a call; what is wrong with it is noted, too."""
        if call.name == SPAWN:
            told, faults = self._spawn(number, call)
        elif call.name == JOIN:
            told, faults = await self._join(call)
        else:
            told = {}
            faults = [f"there is no tool `{call.name}`, only {SPAWN} and {JOIN}"]
        for fault in faults:
            self._thread.note(f"{call.name or 'a call without a name'}: {fault}", warning=True)
        if faults:
            told["error"] = "; ".join(faults)
        if self._last:
            told["notice"] = _NO_MORE
        return Message("tool", _json(told), call_id=call.id)

    def _spawn(self, number: int, call: ToolCall) -> tuple[dict[str, object], list[str]]:
        """Start what was not started while the call was written, and say what came of each."""
        tasks, faults = tasks_in(call.arguments)
        for task in tasks:  # all of them have started, unless something was read otherwise so far
            self._start(number, task)
        mine = {place: name for (at, place), name in self._started.items() if at == number}
        refused = [f"task {place} was not started: {name}" for place, name in sorted(mine.items())
                   if name not in self._spawned]
        threads = [name for _, name in sorted(mine.items()) if name in self._spawned]
        if threads and not tasks:
            faults.append("only the tasks that could be read were started")
        return {"threads": threads}, faults + refused

    def _start(self, number: int, task: Task) -> None:
        """Start a thread for a task of this turn that has none yet."""
        if (number, task.place) in self._started:
            return
        if self._last:
            self._started[number, task.place] = "no round of calls is left"
            return
        name = f"t{len(self._spawned) + 1}"
        words = f"{task.text}\n\n{task.context}" if task.context else task.text
        depth = self._request.budget.depth
        deeper = depth is None or self._thread.name.count(".") + 2 <= depth
        prompt = Prompt(messages=(Message("system", WORKER), Message("user", words)),
                        tools=TOOLS if deeper else ())
        spec = ChildSpec("spawn", prompt=prompt, label=f"{name}: {task.text}")
        child = self._thread.start(spec, partial(_work, request=self._request))
        refused = child.peek()
        if refused is None:
            self._spawned[name] = _Spawned(child)
        self._started[number, task.place] = name if refused is None else refused.reason

    async def _join(self, call: ToolCall) -> tuple[dict[str, object], list[str]]:
        """Wait for the threads that are named, and say what they found."""
        ids = ids_in(call.arguments)
        if isinstance(ids, str):
            return {}, [ids]
        faults, wanted = [], []
        for name in self._open if ids is None else ids:
            if name not in self._spawned:
                faults.append(f"there is no thread {name}; {self._say_open()}")
            elif self._spawned[name].joined:
                faults.append(f"thread {name} was joined before; {self._say_open()}")
            else:
                wanted.append(name)
        if ids is None and not wanted:
            faults.append("no thread is open")
        return {"results": await self._results(wanted)}, faults

    async def _results(self, names: list[str]) -> list[dict[str, object]]:
        """What the threads came to, once all of them ended."""
        if not names:
            return []
        spawned = [self._spawned[name] for name in names]
        outcomes = await self._thread.wait([s.child for s in spawned])
        for one in spawned:
            one.joined = True
        return [_result(name, outcome) for name, outcome in zip(names, outcomes, strict=True)]

    @property
    def _open(self) -> list[str]:
        return [name for name, one in self._spawned.items() if not one.joined]

    def _say_open(self) -> str:
        left = self._open
        return f"open: {', '.join(left)}" if left else "none is open"


def _sendable(call: ToolCall) -> ToolCall:
    """The call as servers take it back: they refuse arguments that are no object."""
    good = call.arguments and isinstance(read_object(call.arguments), dict)
    return ToolCall(call.id, call.name or "unknown", call.arguments if good else "{}")


async def _work(thread: Thread, request: Request) -> Outcome:
    """What a thread does with its task: a conversation like the root's."""
    return await _Conversation(thread, request).run()


def _result(name: str, outcome: Outcome | None) -> dict[str, object]:
    """A thread's outcome as the model is told it."""
    assert outcome is not None  # none is cancelled while it is waited for
    told: dict[str, object] = {"id": name, "status": outcome.status}
    if outcome.value is not None:
        told["result"] = outcome.value
    if not outcome.ok:
        told["reason"] = outcome.reason
    return told


def _json(value: object) -> str:
    """``value`` on one line."""
    return json.dumps(value, ensure_ascii=False)
