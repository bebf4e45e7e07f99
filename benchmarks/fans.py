"""What `benchmarks.overhead` compares, each to be run in a process of its own.

    python benchmarks/fans.py NAME URL WIDTH TOKENS WAVES

A wave asks one model ``WIDTH`` times at once, reads every stream to its end token by token, and
joins the texts. Prints one JSON object: seconds and CPU seconds of each wave. Imports nothing
of plait's but for plait itself: the others are run by interpreters that do not have it.
"""

import asyncio  # no annotations from __future__: LangGraph reads the types of a graph's state
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

QUESTION = "What is six times seven?"
Wave = Callable[[], Awaitable[int]]
"""One wave; gives the tokens that were read."""


def header(number: int) -> str:
    """What thread ``number`` alone has in its prompt."""
    return f"Thread {number}:"


def body(number: int) -> dict[str, object]:
    """One thread's request."""
    return {"model": "tiny", "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": QUESTION},
                         {"role": "assistant", "content": header(number)}]}


async def bare(url: str, width: int) -> Wave:
    """Sockets that look for nothing but the end: what the upstream can give at the most."""
    where = urlsplit(url)
    loop = asyncio.get_running_loop()

    class Reader(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def ask(self, raw: bytes) -> asyncio.Future[int]:
            self.done: asyncio.Future[int] = loop.create_future()
            self.tail, self.tokens = b"", 0
            self.transport.write(raw)  # type: ignore[attr-defined]
            return self.done

        def data_received(self, data: bytes) -> None:
            self.tokens += data.count(b'{"content":" ')
            self.tail = (self.tail + data)[-64:]
            if self.tail.endswith(b"0\r\n\r\n"):
                self.done.set_result(self.tokens)

    readers = [(await loop.create_connection(Reader, where.hostname, where.port))[1]
               for _ in range(width)]
    posts = []
    for number in range(width):
        content = json.dumps(body(number)).encode()
        posts.append(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                     % (len(content), content))

    async def wave() -> int:
        return sum(await asyncio.gather(*(r.ask(p) for r, p in zip(readers, posts, strict=True))))

    return wave


async def by_hand(url: str, width: int) -> Wave:
    """The loop that a careful person writes with asyncio and aiohttp."""
    read = await reader(url, width)

    async def wave() -> int:
        done = await asyncio.gather(*(read(number) for number in range(width)))
        text = "\n\n".join(text for text, _ in done)
        assert text
        return sum(tokens for _, tokens in done)

    return wave


async def reader(url: str, width: int) -> Callable[[int], Awaitable[tuple[str, int]]]:
    """Ask and read one stream with aiohttp: its text, and how many tokens it had."""
    import aiohttp
    import orjson

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width))

    async def read(number: int) -> tuple[str, int]:
        parts, tokens = [], 0
        async with session.post(f"{url}/v1/chat/completions", data=orjson.dumps(body(number)),
                                headers={"Content-Type": "application/json"}) as response:
            response.raise_for_status()
            async for line in response.content:
                if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                    continue
                data = orjson.loads(line[6:])
                if "error" in data:
                    raise RuntimeError(data["error"])
                if data["choices"]:
                    content = data["choices"][0]["delta"].get("content")
                    if content:
                        parts.append(content)
                        tokens += 1
        return "".join(parts), tokens

    return read


async def plait(url: str, width: int) -> Wave:
    """A method that forks ``width`` threads and joins them: budgets, admission, trace and all."""
    from plait.core import Budget, Outcome, Plan, Request
    from plait.engines.openai import OpenAIEngine
    from plait.interfaces import ChildSpec, Opening, Thread
    from plait.scheduler import Limiter
    from plait.solve import Runtime, solve
    from plait.trace import Trace

    class FanOut:
        async def run(self, root: Thread, request: Request, plan: Plan,
                      opening: Opening) -> Outcome:
            async def write(thread: Thread) -> Outcome:
                async with thread.write() as stream:
                    async for _ in stream:
                        pass
                return Outcome("done", thread.text, thread.text)

            children = [root.start(ChildSpec("fork", header(n)), write) for n in range(width)]
            outcomes = await root.wait(children)
            return Outcome("done", value="\n\n".join(o.text for o in outcomes if o is not None))

    runtime = Runtime(OpenAIEngine(url))
    runtime.limiter = Limiter(start=width, ceiling=width)
    request = Request(prompt=QUESTION, budget=Budget(width=None, threads=None))

    async def wave() -> int:
        result = await solve(request, runtime=runtime, method=FanOut(), plan=Plan("fan out"),
                             trace=Trace())
        assert result.answer
        return result.total_tokens

    return wave


async def langgraph(url: str, width: int, *, chat: bool = False) -> Wave:
    """A graph with one node that is sent ``width`` times; nodes read with the loop above, or with
    LangChain's own client (``chat``)."""
    import operator
    from typing import Annotated, Any, TypedDict

    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    class Texts(TypedDict):
        texts: Annotated[list[Any], operator.add]

    read = await (chat_reader if chat else reader)(url, width)

    async def write(state: dict[str, int]) -> dict[str, list[tuple[str, int]]]:
        return {"texts": [await read(state["number"])]}

    graph = StateGraph(Texts)
    graph.add_node("write", write)
    graph.add_conditional_edges(
        START, lambda state: [Send("write", {"number": n}) for n in range(width)], ["write"])
    graph.add_edge("write", END)
    compiled = graph.compile()

    async def wave() -> int:
        done = (await compiled.ainvoke({"texts": []}))["texts"]
        assert "\n\n".join(text for text, _ in done)
        return sum(tokens for _, tokens in done)

    return wave


async def chat_reader(url: str, width: int) -> Callable[[int], Awaitable[tuple[str, int]]]:
    """Ask and read one stream with langchain-openai."""
    import httpx
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_openai import ChatOpenAI

    limits = httpx.Limits(max_connections=width, max_keepalive_connections=width)
    model = ChatOpenAI(model="tiny", base_url=f"{url}/v1", api_key="none", temperature=0,
                       http_async_client=httpx.AsyncClient(limits=limits, timeout=120))

    async def read(number: int) -> tuple[str, int]:
        parts = []
        async for chunk in model.astream([HumanMessage(QUESTION), AIMessage(header(number))]):
            if chunk.content:
                parts.append(chunk.content)
        return "".join(parts), len(parts)

    return read


async def langgraph_chat(url: str, width: int) -> Wave:
    """LangGraph as its documentation has it, with LangChain's client."""
    return await langgraph(url, width, chat=True)


CONTENDERS = {"bare": bare, "by hand": by_hand, "plait": plait, "LangGraph": langgraph,
              "LangGraph, ChatOpenAI": langgraph_chat}


async def play(name: str, url: str, width: int, tokens: int, waves: int) -> dict[str, list[float]]:
    """One wave to get warm, then ``waves`` timed ones."""
    wave = await CONTENDERS[name](url, width)
    took: dict[str, list[float]] = {"seconds": [], "cpu": []}
    for number in range(waves + 1):
        begin, cpu = time.perf_counter(), time.process_time()
        read = await wave()
        if read != width * tokens:
            raise SystemExit(f"{name} read {read} tokens, not {width * tokens}")
        if number:
            took["seconds"].append(time.perf_counter() - begin)
            took["cpu"].append(time.process_time() - cpu)
    return took


if __name__ == "__main__":
    given = sys.argv[1:]
    print(json.dumps(asyncio.run(play(given[0], given[1], *map(int, given[2:])))), flush=True)
    os._exit(0)  # connections are left open on purpose: who closes them says nothing here
