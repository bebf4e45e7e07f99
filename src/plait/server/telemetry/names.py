"""The names of OpenTelemetry's conventions for generative AI, in one table.

They are still in development and change from release to release (``cache_creation`` became
``cache_write``, workflow spans became agent spans), so this is the only place that knows them.
Followed: release 0.1.0 of open-telemetry/semantic-conventions-genai, the documents *GenAI spans*
and *GenAI agent spans*. What the conventions have no word for is under ``plait.``.
"""

from __future__ import annotations

from plait.core.text import Finish

CONVENTIONS = "semantic-conventions-genai 0.1.0"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_STREAM = "gen_ai.request.stream"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
"""Seconds."""
INPUT_TOKENS = "gen_ai.usage.input_tokens"
"""Those that were cached included."""
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
ERROR = "error.type"

WORKFLOW, INVOKE, PLAN = "invoke_workflow", "invoke_agent", "plan"
CHAT, COMPLETION = "chat", "text_completion"
"""Values of `OPERATION`: a run, a thread, a planner; a call with messages, one with a text."""

RUN, THREAD, ATTEMPT, OUTCOME = "plait.run", "plait.thread", "plait.attempt", "plait.outcome"
FALLBACK, KEY, POLICY = "plait.fallback", "plait.key", "plait.policy"
CRITICAL_PATH, THREADS = "plait.critical_path_tokens", "plait.threads"

FINISHES: dict[Finish, str] = {
    "eos": "stop", "stop": "stop", "length": "length", "budget": "length", "window": "length",
    "left": "left", "error": "error"}
"""`FINISH_REASONS` of a call by how its stream ended; ``left``: its reader had enough, or was
cancelled."""
