"""How each contender is asked: its own code, called as its documentation or its own scripts do.

    python benchmarks/peers/runners.py NAME URL QUESTION

Run by the interpreter that has the contender (see `install.sh`). What is timed is the call alone,
not imports or start-up. Prints one JSON object: seconds and answer. Imports nothing of plait's but
for plait itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

PEERS = Path(__file__).parents[2] / ".live" / "peers"
Ask = Callable[[], str]
ATTEMPTS = 8


def plait(url: str, question: str, method: str, sure: float = 0.95) -> Ask:
    """`plait.solve`, as from a program; ``method`` by its name, ``sure``: see `Explore`."""
    from plait import Request, solve
    from plait.core import Plan
    from plait.engines.openai import OpenAIEngine
    from plait.methods import Explore
    from plait.registry import make_method
    from plait.solve import Runtime

    plan = Plan(method)
    made = Explore(attempts=ATTEMPTS, sure=sure) if method == "explore" else make_method(plan)

    def ask() -> str:
        async def run() -> str:
            runtime = Runtime(OpenAIEngine(f"{url}/v1", "tiny"))
            result = await solve(Request(question), runtime=runtime, method=made, plan=plan)
            if result.fallback:
                raise SystemExit(f"fell back: {result.fallback}")
            return result.answer or ""

        return asyncio.run(run())

    return ask


def sot(url: str, question: str, scheduler: str = "outline") -> Ask:
    """Its outline scheduler over its OpenAI model, with its prompts for ChatGPT."""
    source = PEERS / "sot" / "source"
    sys.path[:0] = [str(source), str(source / "sot")]
    os.environ["OPENAI_API_KEY"] = "none"
    from models import get_model_class_from_name  # type: ignore[import-not-found]
    from schedulers import get_scheduler_class_from_name  # type: ignore[import-not-found]

    model = get_model_class_from_name("openai")(
        api_type="open_ai", api_base=f"{url}/v1", api_version=None, temperature=0.0,
        max_tokens=1000, top_p=1.0, frequency_penalty=0.0, presence_penalty=0.0, engine=None,
        api_model="tiny", system_message="You are a helpful assistant.", timeout=60)
    made = get_scheduler_class_from_name(scheduler)(
        model=model, prompt_file=str(source / "prompts" / "sot_chatgpt.json"))
    return lambda: str(made.get_response(question)["response"])


EXAMPLE = ('Question: What does a garden take?\n1. work("Say what the soil takes.", [])\n'
           '2. work("Say what the plants take.", ["$1"])\n3. join()<END_OF_PLAN>\n###\n')
JOIN = ("Put the parts together to one answer. Thought-Action form:\nThought: ...\n"
        "Action: Finish(the answer)\n")


def llmcompiler(url: str, question: str, *, stream: bool = True) -> Ask:
    """Its engine with one tool, which asks the model, and with its plan streamed or not."""
    sys.path.insert(0, str(PEERS / "llmcompiler" / "source"))
    os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": f"{url}/v1"}
    from langchain.schema.messages import HumanMessage  # type: ignore[import-not-found]
    from src.agents.tools import Tool  # type: ignore[import-not-found]
    from src.llm_compiler.constants import END_OF_PLAN  # type: ignore[import-not-found]
    from src.llm_compiler.llm_compiler import LLMCompiler  # type: ignore[import-not-found]
    from src.utils.logger_utils import enable_logging  # type: ignore[import-not-found]
    from src.utils.model_utils import get_model  # type: ignore[import-not-found]

    enable_logging(False)
    model = get_model("openai", "tiny", None, stream=False)

    async def work(task: str, given: list[str] | None = None) -> str:
        results = "\n".join(given or ())
        prompt = f"{question}\n\nDo this part, and nothing of the others:\n{task}\n{results}"
        return str((await model._call_async([HumanMessage(content=prompt)])).content)

    tool = Tool(name="work", func=work, stringify_rule=lambda args: f"work({args[0]})",
                description="work(task: str, given: list[str]) -> str:\n - Does one part.\n")
    agent = LLMCompiler(
        tools=[tool], planner_llm=get_model("openai", "tiny", None, stream=stream),
        planner_example_prompt=EXAMPLE, planner_example_prompt_replan=None,
        planner_stop=[END_OF_PLAN], planner_stream=stream, agent_llm=model,
        joinner_prompt=JOIN, joinner_prompt_final=None, max_replans=1, benchmark=False)
    return lambda: str(asyncio.run(agent.arun(question)))


def optillm(url: str, question: str) -> Ask:
    """Its self-consistency, with as many samples as the others have."""
    from openai import OpenAI
    from optillm.self_consistency import (  # type: ignore[import-not-found]
        AdvancedSelfConsistency,
    )

    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    method = AdvancedSelfConsistency(client, "tiny", num_samples=ATTEMPTS)

    def ask() -> str:
        found = method.evaluate("You are a helpful assistant.", question)
        return str(found["aggregated_result"]["clusters"][0]["answer"])

    return ask


def its_hub(url: str, question: str, *, adaptive: bool = False) -> Ask:
    """Its self-consistency over its own client; votes on the number behind ``Answer:``."""
    from its_hub.core.algorithms.adaptive_self_consistency import (  # type: ignore[import-not-found]
        AdaptiveSelfConsistency,
    )
    from its_hub.core.algorithms.self_consistency import (  # type: ignore[import-not-found]
        SelfConsistency,
    )
    from its_hub.core.lms.openai_lm import (  # type: ignore[import-not-found]
        OpenAICompatibleLanguageModel,
    )

    def answer(text: str) -> str:
        return (re.findall(r"Answer: (\d+)", text) or [""])[-1]

    model = OpenAICompatibleLanguageModel(f"{url}/v1", "none", "tiny", temperature=1.0)
    kind = AdaptiveSelfConsistency if adaptive else SelfConsistency
    method = kind(consistency_space_projection_func=answer)
    return lambda: answer(asyncio.run(method.ainfer(model, question, ATTEMPTS))["content"])


RUNNERS: dict[str, Callable[[str, str], Ask]] = {
    "plait skeleton": lambda url, question: plait(url, question, "skeleton"),
    "plait plan": lambda url, question: plait(url, question, "plan"),
    "plait explore": lambda url, question: plait(url, question, "explore"),
    "plait explore, sure 0.85": lambda url, question: plait(url, question, "explore", 0.85),
    "SoT": sot,
    "LLMCompiler": llmcompiler,
    "LLMCompiler, plan not streamed": lambda url, question: llmcompiler(
        url, question, stream=False),
    "optillm": optillm,
    "its_hub": its_hub,
    "its_hub, adaptive": lambda url, question: its_hub(url, question, adaptive=True),
}


def main() -> None:
    name, url, question = sys.argv[1:]
    ask = RUNNERS[name](url, question)
    begin = time.perf_counter()
    answer = ask()
    print(json.dumps({"seconds": time.perf_counter() - begin, "answer": answer}), flush=True)


if __name__ == "__main__":
    main()
