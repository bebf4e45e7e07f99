"""Advice follows from what was found, and there is none where nothing could be better."""

from __future__ import annotations

import pytest

from plait.core import EngineProfile, Finding
from plait.survey import advice


def profile(kind: str, slots: int | None = 64, steps: dict[int, float] | None = None,
            length: int = 8192, **found: bool | None) -> EngineProfile:
    return EngineProfile(
        "http://x", "m", "2026-11-25", window=length, slots=slots, step_seconds=steps or {},
        kind=kind, findings={name: Finding(holds, "so") for name, holds in found.items()})


@pytest.mark.parametrize(("kind", "check", "words"), [
    ("vllm", "cache_report", "--enable-prompt-tokens-details"),
    ("vllm", "prefix_cache", "--enable-prefix-caching"),
    ("vllm", "priority", "--scheduling-policy priority"),
    ("vllm", "chat", "--chat-template FILE"),
    ("sglang", "cache_report", "--enable-cache-report"),
    ("sglang", "prefix_cache", "without --disable-radix-cache"),
    ("sglang", "priority", "--enable-priority-scheduling"),
    ("llamacpp", "slot_files", "--slot-save-path /dev/shm/plait/"),
    ("llamacpp", "special_shown", "--special"),
    ("generic", "text_prompts", "It takes chats only"),
    ("", "stop_strings", "Stops are ignored"),
    ("", "cancellation", "What is cancelled runs on"),
    ("", "prefix_cache", "There is no prefix cache"),
    ("", "window", "may be cut without a word"),
])
def test_a_check_that_failed_has_its_advice(kind: str, check: str, words: str) -> None:
    shown = {"special_shown": True, check: False}
    assert words in " ".join(advice(profile(kind, **shown)))
    assert advice(profile(kind, **{**shown, check: True})) == []
    if check != "special_shown":
        assert advice(profile(kind, **{**shown, check: None})) == []


def test_few_slots() -> None:
    assert advice(profile("llamacpp", slots=1))[0].startswith(
        "Start llama.cpp with --parallel 16 -c 65536 (4,096 tokens each): it has one slot")
    assert "-c 32768 (2,048 tokens each): it has 4 slots" in advice(
        profile("llamacpp", slots=4, length=2048))[0]
    assert "--max-num-seqs" in advice(profile("vllm", slots=8))[0]
    assert advice(profile("llamacpp", slots=16)) == []


def test_where_more_threads_stop_paying() -> None:
    grows = dict.fromkeys((1, 2, 4, 8), 0.01)
    assert advice(profile("vllm", steps=grows)) == []
    flat = {1: 0.01, 2: 0.01, 4: 0.011, 8: 0.022, 16: 0.044}
    assert advice(profile("vllm", steps=flat)) == [
        "Beyond 4 threads at once there is little to gain (364 tokens/s, then 364 at most):"
        " `width = 4`."]
    dent = {1: 0.01, 2: 0.01, 4: 0.03, 8: 0.01}  # one point that was unlucky
    assert advice(profile("vllm", steps=dent)) == []


def test_a_cache_that_all_slots_share_on_a_cpu() -> None:
    slow = {1: 0.001, 4: 0.007, 16: 0.05}
    assert "--no-kv-unified" in advice(profile("llamacpp", steps=slow))[0]
