"""What to do about a profile: how the server may be started better, and what to leave to it.

Each piece of advice follows from a check that failed or a number that was measured; the options
are those of vLLM 0.32, SGLang 0.5 and llama.cpp of November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator

from plait.core import EngineProfile

SLOTS = 16
"""Slots that make forks worth while on llama.cpp."""
SLOT_TOKENS = 4096
"""What a slot is given at most by the advice."""
LITTLE = 1.1
"""Twice the threads that bring less than this many times the tokens a second bring little."""


def advice(profile: EngineProfile) -> list[str]:
    """Sentences for people, the most useful first; empty where nothing could be better."""
    found: list[str] = []
    match profile.kind:
        case "vllm":
            found += _vllm(profile)
        case "sglang":
            found += _sglang(profile)
        case "llamacpp":
            found += _llamacpp(profile)
        case "generic":
            found += _generic(profile)
    return [*found, *_any(profile), *_width(profile)]


def tokens_per_second(profile: EngineProfile) -> dict[int, float]:
    """Streams at once -> tokens a second that all of them get together."""
    return {n: n / seconds for n, seconds in sorted(profile.step_seconds.items()) if seconds > 0}


def _vllm(profile: EngineProfile) -> Iterator[str]:
    if profile.can("prefix_cache") is False:
        yield ("Start vLLM with --enable-prefix-caching: without it each thread reads the shared"
               " context again.")
    if profile.can("cache_report") is False:
        yield ("Start vLLM with --enable-prompt-tokens-details: it then says how many tokens of a"
               " prompt were cached, and results count them.")
    if profile.slots is not None and profile.slots < SLOTS:
        yield (f"Start vLLM with a larger --max-num-seqs: it serves {profile.slots} streams at"
               " once, further threads wait.")
    if profile.can("priority") is False:
        yield ("Priorities are ignored; should you want them, start vLLM with"
               " --scheduling-policy priority.")
    if profile.can("chat") is False:
        yield "Start vLLM with --chat-template FILE: the model has no chat template of its own."


def _sglang(profile: EngineProfile) -> Iterator[str]:
    if profile.can("prefix_cache") is False:
        yield ("Start SGLang without --disable-radix-cache: each thread reads the shared context"
               " again.")
    if profile.can("cache_report") is False:
        yield ("Start SGLang with --enable-cache-report: it then says how many tokens of a prompt"
               " were cached, and results count them.")
    if profile.can("priority") is False:
        yield ("Priorities are off; should you want them, start SGLang with"
               " --enable-priority-scheduling.")


def _llamacpp(profile: EngineProfile) -> Iterator[str]:
    slots, window = profile.slots, profile.window
    if slots is not None and slots < SLOTS:
        each = min(window or SLOT_TOKENS, SLOT_TOKENS)
        many = "one slot, so threads run one after the other" if slots == 1 else (
            f"{slots} slots, further threads wait")
        yield (f"Start llama.cpp with --parallel {SLOTS} -c {SLOTS * each} ({each:,} tokens each):"
               f" it has {many}.")
    if profile.can("slot_files") is False:
        yield ("Start llama.cpp with --slot-save-path /dev/shm/plait/ (make the folder first):"
               " forks are cheap then, since a slot can be copied in place of reading the shared"
               " context once a thread.")
    if profile.can("special_shown") is False:
        yield ("Special tokens are hidden, but for the tags of the formats that plait knows, which"
               " it asks for by name; a format of your own needs --special.")
    speeds = tokens_per_second(profile)
    widest = max(speeds, default=1)
    if widest > 1 and speeds[widest] < LITTLE * speeds.get(1, 0.0):
        yield (f"{widest} threads at once get no more tokens a second than one"
               f" ({speeds[widest]:,.0f}, {speeds[1]:,.0f}). On a CPU a unified cache may be why:"
               " start llama.cpp with --no-kv-unified.")


def _generic(profile: EngineProfile) -> Iterator[str]:
    if profile.can("text_prompts") is False:
        yield ("It takes chats only: models are directed by --method plan, explore or tools; wire"
               " formats need text prompts.")
    if profile.can("special_shown") is not True:
        yield ("It is not known whether tags that are special tokens reach plait; a wire format"
               " needs that.")


def _any(profile: EngineProfile) -> Iterator[str]:
    if profile.can("stop_strings") is False:
        yield "Stops are ignored: a wire format cannot be driven here; use --method plan."
    if profile.can("cancellation") is False:
        yield ("What is cancelled runs on: branches that are no longer needed cost as much as the"
               " others, so early stops save nothing.")
    if profile.can("prefix_cache") is False and profile.kind not in ("vllm", "sglang"):
        yield "There is no prefix cache: each thread reads the shared context again."
    if profile.can("window") is False:
        yield "Prompts that are too long are not refused; they may be cut without a word."


def _width(profile: EngineProfile) -> Iterator[str]:
    """Where more threads at once stop paying."""
    speeds = tokens_per_second(profile)
    for n, speed in speeds.items():
        best = max((s for m, s in speeds.items() if m > n), default=None)
        if n > 1 and best is not None and best < LITTLE * speed:
            yield (f"Beyond {n} threads at once there is little to gain ({speed:,.0f} tokens/s,"
                   f" then {best:,.0f} at most): `width = {n}`.")
            return
