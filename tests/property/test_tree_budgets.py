"""No tree of threads, whatever its threads and its engine do, exceeds any of its budgets.

Trees, texts, chunkings, failures, rewrites and budgets are drawn at random; what was spent is
counted from the trace alone, by other means than the scheduler's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core import Budget, Outcome, Plan, Price, Request, Result, Sampling
from plait.core.events import Answered, Asked, Ended, Started, Wrote
from plait.errors import EngineError, EngineOverloaded, EngineUnreachable
from plait.interfaces import ChildSpec, Opening, Thread
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, measure
from tests.trace.recount import Graph

PRICE = Price(3.0, 7.0, 1.0)


@dataclass
class Node:
    """What one thread does: write ``words``, start ``below``, join them, write again, rewrite."""

    words: int
    family: str = "spawn"
    role: str = "thread"
    chunk: int = 1
    every: float = 0.01
    fails: int = 0
    cancels: bool = False
    rewrites: bool = False
    below: list[Node] = field(default_factory=list)


nodes = st.recursive(
    st.builds(Node, st.integers(0, 40), st.sampled_from(["fork", "spawn"]),
              st.sampled_from(["thread", "worker", "merger", "judge"]), st.integers(1, 3),
              st.sampled_from([0.001, 0.01, 0.5]), st.integers(0, 3), st.booleans(),
              st.booleans()),
    lambda below: st.builds(
        Node, st.integers(0, 40), st.sampled_from(["fork", "spawn"]),
        st.sampled_from(["thread", "worker", "merger"]), st.integers(1, 3),
        st.sampled_from([0.001, 0.01, 0.5]), st.integers(0, 1), st.booleans(), st.booleans(),
        st.lists(below, max_size=4)),
    max_leaves=10)
budgets = st.builds(
    Budget, total_tokens=st.none() | st.integers(1, 200),
    critical_tokens=st.none() | st.integers(1, 120),
    seconds=st.none() | st.floats(0.05, 5), width=st.none() | st.integers(1, 3),
    depth=st.none() | st.integers(1, 3), threads=st.none() | st.integers(1, 6),
    live_tokens=st.none() | st.integers(8, 120), window=st.none() | st.integers(8, 60),
    cost=st.none() | st.floats(0.00001, 0.002))


class Tree:
    """The method: play ``root``."""

    def __init__(self, root: Node) -> None:
        self.root = root

    async def run(self, root: Thread, request: Request, plan: Plan, opening: Opening) -> Outcome:
        return await self.play(root, self.root)

    async def play(self, thread: Thread, node: Node) -> Outcome:
        key = f" <{id(node)}>"
        thread.append(key)
        await self._write(thread)
        children = []
        for below in node.below:
            async def body(child: Thread, below: Node = below) -> Outcome:
                return await self.play(child, below)

            spec = ChildSpec(below.family, " go", role=below.role)  # type: ignore[arg-type]
            children.append(thread.start(spec, body))
        if node.cancels and children:
            children[0].cancel("not needed")
        await thread.wait(children)
        if node.rewrites:
            thread.rewrite(0, "in short")
        thread.append(key)
        await self._write(thread)
        return Outcome("done", thread.text, "x" if thread.finish == "eos" else None)

    async def _write(self, thread: Thread) -> None:
        async with thread.write() as stream:
            async for _ in stream:
                pass


def make_engine(root: Node, ids: bool) -> ScriptedEngine:
    """Every node writes its words, and fails as often as it is told to."""
    by_key: dict[str, Node] = {}
    open_nodes = [root]
    while open_nodes:
        node = open_nodes.pop()
        by_key[f"<{id(node)}>"] = node
        open_nodes += node.below
    failures: Counter[int] = Counter()

    def script(prompt: str, sampling: Sampling) -> Play:
        at, key = max(((prompt.rfind(k), k) for k in by_key), default=(-1, ""))
        if at < 0:
            return Play("fallback words " * 4)
        node, said = by_key[key], len(prompt[at + len(key):].split())
        failures[id(node)] += 1
        error: EngineError | None = None
        if failures[id(node)] <= node.fails:
            error = EngineOverloaded("busy") if node.chunk == 2 else EngineUnreachable("gone")
        return Play(" w" * max(0, node.words - said), every=node.every, chunk=node.chunk,
                    error=error, error_after=3)

    return ScriptedEngine(script, ids=ids)


def play(root: Node, budget: Budget, ids: bool) -> tuple[Result | None, Trace, ScriptedEngine]:
    engine, trace = make_engine(root, ids), Trace()

    async def main() -> Result | None:
        async with Runtime(engine, prices={engine.model: PRICE}) as runtime:
            try:
                return await solve(Request(prompt="begin", budget=budget), runtime=runtime,
                                   method=Tree(root), plan=Plan("tree"), trace=trace)
            except EngineError:
                return None

    return run_virtual(main), trace, engine


def spent(trace: Trace) -> float:
    """The cost, from what the engine reported."""
    return sum(PRICE.of(prompt=e.prompt - e.cached, cached=e.cached, generated=e.generated)
               for e in trace.events if isinstance(e, Answered))


def misjudged(trace: Trace) -> int:
    """Tokens by which prompts turned out longer than they were reckoned with before."""
    asked: dict[str, int] = {}
    missing = 0
    for event in trace.events:
        if isinstance(event, Asked):
            asked[event.thread] = event.context
        elif isinstance(event, Answered):
            missing += max(0, event.prompt - asked[event.thread])
    return missing


def most_live(trace: Trace) -> int:
    """The most context tokens that open requests held at once."""
    held: dict[str, int] = {}
    most = 0
    for event in trace.events:
        if isinstance(event, Asked):
            held[event.thread] = event.context
        elif isinstance(event, Wrote) and event.thread in held:
            held[event.thread] += event.tokens
        elif isinstance(event, Answered | Ended):
            held.pop(event.thread, None)
        most = max(most, sum(held.values()))
    return most


def widest(trace: Trace) -> int:
    """The most direct children of one thread that had a request open at once."""
    parents: dict[str, str | None] = {}
    open_now: dict[str | None, set[str]] = defaultdict(set)
    most = 0
    for event in trace.events:
        if isinstance(event, Started):
            parents[event.thread] = event.parent
        elif isinstance(event, Asked):
            open_now[parents[event.thread]].add(event.thread)
        elif isinstance(event, Answered | Ended):
            open_now[parents[event.thread]].discard(event.thread)
        most = max(most, *(len(s) for p, s in open_now.items() if p is not None), 0)
    return most


def within(value: float, limit: float | None, slack: float = 0.0) -> bool:
    return limit is None or value <= limit + slack


def check(budget: Budget, trace: Trace, ids: bool) -> None:
    metrics = measure(trace.events)
    longest = Graph(list(trace.events)).critical_path()
    assert within(metrics.total_tokens, budget.total_tokens)
    assert within(longest, budget.critical_tokens)
    assert within(metrics.wall_seconds, budget.seconds, 1e-6)
    assert within(widest(trace), budget.width)
    threads = [e for e in trace.events if isinstance(e, Started) and e.attempt == 0]
    refused = {e.thread for e in trace.events
               if isinstance(e, Ended) and "the limit on" in e.reason}
    ran = [e for e in threads if e.thread not in refused]
    assert within(len(ran), budget.threads)
    assert within(max((e.thread.count(".") for e in ran), default=0), budget.depth)
    chunk = 0 if ids else 3 * max(1, metrics.max_parallel)
    assert within(most_live(trace), budget.live_tokens, chunk)
    for event in trace.events:
        if isinstance(event, Answered) and ids:
            assert within(event.prompt + event.generated, budget.window)
    slack = 0.0 if ids else PRICE.of(prompt=misjudged(trace), generated=3 * len(threads))
    assert within(spent(trace), budget.cost, slack + 1e-9)


@settings(max_examples=150)
@given(nodes, budgets, st.booleans())
def test_no_tree_exceeds_any_of_its_budgets(root: Node, budget: Budget, ids: bool) -> None:
    _, trace, engine = play(root, budget, ids)
    check(budget, trace, ids)
    assert engine.calls.open == 0
    assert measure(trace.events).estimated is not ids


@settings(max_examples=40)
@given(nodes)
def test_without_limits_every_thread_ends_by_itself(root: Node) -> None:
    budget = Budget(width=None, depth=None, threads=None, rounds=None)
    _, trace, engine = play(root, budget, True)
    assert engine.calls.open == 0
    assert not [e for e in trace.events if isinstance(e, Ended) and e.status == "budget"]


def test_each_budget_is_the_one_that_binds_somewhere() -> None:
    """The property would hold of a runtime that does nothing: here every limit is reached."""
    wide = Node(30, below=[Node(30) for _ in range(6)])
    deep: Any = Node(10)
    for _ in range(4):
        deep = Node(10, below=[deep])
    for tree, budget, what in (
        (wide, Budget(total_tokens=100), "total tokens"),
        (wide, Budget(critical_tokens=40), "critical-path tokens"),
        (wide, Budget(seconds=0.2), "seconds"),
        (wide, Budget(threads=3), "the limit on threads is 3"),
        (deep, Budget(depth=2), "the limit on depth is 2"),
        (wide, Budget(window=20), "the context window"),
        (wide, Budget(live_tokens=20), "live context tokens"),
        (wide, Budget(cost=0.0005), "cost"),
    ):
        _, trace, _ = play(tree, budget, True)
        check(budget, trace, True)
        assert any(what in getattr(e, "what", getattr(e, "reason", "")) for e in trace.events), what
