"""What differs between the servers that all call themselves OpenAI-compatible, as data.

The runtime needs three things that OpenAI's own API does not have: the text with its tags and its
stop string left in, which stop was hit, and token ids. Each server has its own fields for them:

                        vLLM                        SGLang          llama.cpp        generic
    tags stay visible   skip_special_tokens=false   the same        preserved_tokens -
    stop text           include_stop_str_in_output  no_stop_trim    put back by us   put back
    which stop          stop_reason                 matched_stop    stopping_word    guessed
    tokens of a text    /tokenize                   the same        its own          -
    stop by id          stop_token_ids              the same        watched by us    -
    ids of the text     return_token_ids            the same        return_tokens    -
    text after messages continue_final_message      the same        /apply-template  last message
    no limit            max_tokens=null             a number        nothing          nothing
    thoughts sent back  reasoning                   reasoning_content  the same      -

llama.cpp is spoken to through its native ``/completion``, since its OpenAI endpoints do not say
which stop was hit; only tools need its chat endpoint. On a generic server the stop is guessed
(`assemble.guess_stop`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Name = Literal["vllm", "sglang", "llamacpp", "generic"]

TAGS = tuple(
    f"<{slash}{word}>"
    for word in ("think", "Think", "Parallel", "Outlines", "Outline", "Subtask", "Trial", "Thread",
                 "Conclusion", "Goal", "Path", "Plan", "Summary", "guideline", "plan", "step",
                 "takeaway", "summary", *(f"think{n}" for n in range(1, 9)))
    for slash in ("", "/")
)
"""Tags of the known wire formats. Models have them as control tokens, which llama.cpp leaves out
of the text unless a request names them."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """Names of the metrics that tell how busy a server is. ``kv_tokens``: the metric that says how
    many context tokens the KV holds; ``kv_labels``: its labels whose product says that, those of
    newer versions first (none: the metric itself does). ``kv_fact``: the path and the field that
    say it without metrics."""

    running: str
    waiting: str
    cache: tuple[str, ...] = ()
    kv_tokens: str = ""
    kv_labels: tuple[tuple[str, ...], ...] = ()
    kv_fact: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server is spoken to; see the module's docstring."""

    name: Name
    fields: Mapping[str, object] = field(default_factory=dict)
    """Sent with every request."""
    prefill: Mapping[str, object] = field(default_factory=dict)
    """Sent when the last message is the beginning of the answer."""
    native: bool = False
    """Completions go to llama.cpp's own endpoint."""
    keeps_stop: bool = False
    """The text holds the stop string that ended it."""
    token_ids: bool = False
    """Prompts may be token ids, and each chunk has all of its own. (llama.cpp takes ids as well,
    but leaves out those of tokens that it held back, and shows that of the end of text.)"""
    stop_ids: bool = False
    """The server ends a stream at given token ids."""
    exact_counts: bool = False
    reports_cache: bool = False
    tokenizes: bool = False
    """It has ``/tokenize`` (for messages too) and ``/detokenize``. (llama.cpp has one for text.)"""
    schemas: bool | None = None
    """It constrains replies to a JSON schema; None: unknown, so it is tried."""
    unlimited: Literal["omit", "null", "number"] = "omit"
    """How "as much as fits" is said in a completion request; OpenAI's default is 16 tokens."""
    gauges: Gauges | None = None
    thoughts: tuple[str, ...] = ()
    """Fields of an assistant's message that its chat template may read its thoughts from."""


_VISIBLE = {"skip_special_tokens": False, "return_token_ids": True}
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}

VLLM = Dialect(
    "vllm",
    fields={**_VISIBLE, "include_stop_str_in_output": True, "spaces_between_special_tokens": False},
    prefill=_CONTINUE,
    keeps_stop=True, token_ids=True, stop_ids=True, exact_counts=True, reports_cache=True,
    tokenizes=True, unlimited="null", schemas=True,
    gauges=Gauges("vllm:num_requests_running", "vllm:num_requests_waiting",
                  ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
                  "vllm:cache_config_info",
                  (("kv_cache_size_tokens",), ("num_gpu_blocks", "block_size"))),
    thoughts=("reasoning", "reasoning_content"),
)
SGLANG = Dialect(
    "sglang",
    fields={**_VISIBLE, "no_stop_trim": True},
    prefill=_CONTINUE,
    keeps_stop=True, token_ids=True, stop_ids=True, exact_counts=True, reports_cache=True,
    tokenizes=True, unlimited="number", schemas=True,
    gauges=Gauges("sglang:num_running_reqs", "sglang:num_queue_reqs", ("sglang:token_usage",),
                  "sglang:max_total_num_tokens",
                  kv_fact=("/server_info", "max_total_num_tokens")),
    thoughts=("reasoning_content",),
)
LLAMACPP = Dialect(
    "llamacpp",
    native=True, exact_counts=True, reports_cache=True, schemas=True,
    gauges=Gauges("llamacpp:requests_processing", "llamacpp:requests_deferred",
                  ("llamacpp:kv_cache_usage_ratio",)),
    thoughts=("reasoning_content",),
)
GENERIC = Dialect("generic")

BY_NAME: Mapping[str, Dialect] = {d.name: d for d in (VLLM, SGLANG, LLAMACPP, GENERIC)}
OWNERS: Mapping[str, Dialect] = {"vllm": VLLM, "sglang": SGLANG, "llamacpp": LLAMACPP}
"""``owned_by`` in ``/v1/models`` gives a server away."""
