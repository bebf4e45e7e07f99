"""Sample logs of the evaluation harnesses inspect and lm-eval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plait.analysis.call import Call, count_words
from plait.analysis.read_openai import Obj, content, first, number, obj, positive, verdict

_METRICS = ("exact_match", "acc", "math_verify", "pass@1", "correct", "score")


def from_inspect(log: Obj) -> Iterator[Call | str]:
    """The samples of an inspect log, in their order. An epoch is a repeat of its problem."""
    about = obj(log.get("eval")) or {}
    task = str(about.get("task") or "inspect").rpartition("/")[2]
    samples = log.get("samples")
    for item in samples if isinstance(samples, Sequence) else ():
        sample = obj(item)
        if sample is not None:
            yield _inspect_sample(sample, task)


def _inspect_sample(sample: Obj, task: str) -> Call | str:
    if sample.get("error"):
        return "failed request"
    output = obj(sample.get("output")) or {}
    choices = output.get("choices")
    message = None
    if isinstance(choices, Sequence) and choices:
        message = obj((obj(choices[0]) or {}).get("message"))
    text = content((message or {}).get("content")) or str(output.get("completion") or "")
    if not text.strip():
        return "empty answer"
    usage = obj(output.get("usage")) or {}
    tokens, prompt = positive(usage.get("output_tokens")), positive(usage.get("input_tokens"))
    seconds = number(first(output, ("time",)) or first(sample, ("working_time", "total_time")))
    metadata = obj(sample.get("metadata")) or {}
    group = first(metadata, ("task", "category", "subject", "level"))
    return Call(
        id=str(sample.get("id")), task=str(group or task), question=_input(sample.get("input")),
        text=text, tokens=count_words(text) if tokens is None else tokens,
        estimated=tokens is None, prompt_tokens=prompt,
        seconds=seconds, correct=_inspect_verdict(sample))


def _inspect_verdict(sample: Obj) -> bool | None:
    """What the first scorer says."""
    scores = obj(sample.get("scores")) or {}
    for score in scores.values():
        return verdict(score.get("value") if isinstance(score, Mapping) else score)
    return None


def _input(value: object) -> str:
    if isinstance(value, str):
        return value
    messages = [m for m in map(obj, value) if m] if isinstance(value, Sequence) else []
    users = [content(m.get("content")) for m in messages if m.get("role") == "user"]
    return users[-1] if users else ""


def from_lm_eval(item: Obj, task: str) -> Call | str:
    """One line of an lm-eval sample log. It has no times and no counts of tokens."""
    text = _innermost(item.get("resps"))
    if text is None or not text.strip():
        return "empty answer"
    metrics = item.get("metrics")
    names = [str(m) for m in metrics] if isinstance(metrics, Sequence) else list(_METRICS)
    return Call(
        id=str(item.get("doc_id")), task=_task(item, task), question=_lm_prompt(item), text=text,
        tokens=count_words(text), estimated=True, correct=verdict(first(item, names)))


def _task(item: Obj, task: str) -> str:
    """``samples_gsm8k_2026-01-01T00-00-00.0.jsonl`` is of the task gsm8k."""
    named = item.get("task_name")
    return named if isinstance(named, str) else task.rpartition("_20")[0] or task


def _lm_prompt(item: Obj) -> str:
    found = _innermost(item.get("arguments"))
    doc = obj(item.get("doc")) or {}
    asked = first(doc, ("question", "problem", "prompt", "input", "query"))
    return asked if isinstance(asked, str) else found or ""


def _innermost(value: object) -> str | None:
    """The first text in nested lists and objects, as lm-eval wraps prompts and responses."""
    while not isinstance(value, str):
        if isinstance(value, Mapping):
            value = next(iter(value.values()), None)
        elif isinstance(value, Sequence) and value:
            value = value[0]
        else:
            return None
    return value
