"""An agent of openai-agents with one tool: python agent.py BASE_URL KEY chat|responses

Run by the interpreter of ``.live/clients``. Prints one JSON object.
"""

import asyncio
import json
import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

asked: list[str] = []


@function_tool
def weather(place: str) -> str:
    """The weather of a place."""
    asked.append(place)
    return f"rain in {place}"


async def main(base_url: str, key: str, kind: str) -> None:
    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        model = (OpenAIChatCompletionsModel if kind == "chat" else OpenAIResponsesModel)(
            "tiny", client)
        agent = Agent("forecaster", instructions="Use the tool.", tools=[weather], model=model)
        whole = await Runner.run(agent, "The weather in Bern?")
        streamed = Runner.run_streamed(agent, "The weather in Bern?")
        events = [event.type async for event in streamed.stream_events()]
    print(json.dumps({"answer": whole.final_output, "streamed": streamed.final_output,
                      "events": len(events), "asked": asked,
                      "tokens": whole.context_wrapper.usage.total_tokens}))


asyncio.run(main(*sys.argv[1:]))
