"""Every kind of log gives the same calls, and nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import orjson
import pytest

from plait.analysis import Call, read_traffic
from plait.core.events import Event
from plait.errors import PlaitError, UsageError
from plait.evals import Arm, Sample, Suite
from plait.evals.graders import Grader
from plait.evals.runner import Evaluation, Job, plan_of
from plait.evals.store import Store
from plait.solve import Runtime, solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, write_trace

CHAT = {"object": "chat.completion",
        "choices": [{"message": {"role": "assistant", "reasoning_content": "2+2=4",
                                 "content": "four"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}]


def write(path: Path, *items: object) -> Path:
    path.write_bytes(b"\n".join(orjson.dumps(i) for i in items) + b"\n")
    return path


def read_one(path: Path) -> Call:
    (call,) = read_traffic([path]).calls
    return call


def test_a_request_with_its_response(tmp_path: Path) -> None:
    entry = {"id": "q1", "task": "sums", "request": {"model": "m", "messages": ASKED},
             "response": CHAT, "latency_ms": 1500, "correct": True}
    assert read_one(write(tmp_path / "log.jsonl", entry)) == Call(
        "q1", "sums", "What is 2+2?", "2+2=4\nfour", 5, False, 9, 1.5, True)


def test_batch_output_names_its_entries_and_counts_failures(tmp_path: Path) -> None:
    good = {"custom_id": "a", "response": {"status_code": 200, "body": CHAT}, "error": None}
    bad = {"custom_id": "b", "response": {"status_code": 500, "body": {}}, "error": None}
    traffic = read_traffic([write(tmp_path / "batch.jsonl", good, bad)])
    assert [c.id for c in traffic.calls] == ["a"]
    assert traffic.skipped == (("failed request", 1),)


def test_a_bare_response_and_a_stored_conversation(tmp_path: Path) -> None:
    talk = {"messages": [*ASKED, {"role": "assistant", "content": [
        {"type": "reasoning", "reasoning": "2+2=4"}, {"type": "text", "text": "four"}]}]}
    bare, stored = read_traffic([write(tmp_path / "log.jsonl", CHAT, talk)]).calls
    assert bare.text == stored.text == "2+2=4\nfour"
    assert (bare.tokens, bare.estimated, bare.seconds, bare.correct) == (5, False, None, None)
    assert (stored.question, stored.tokens, stored.estimated) == ("What is 2+2?", 6, True)


def test_prompt_and_completion(tmp_path: Path) -> None:
    entry = {"prompt": "2+2?", "completion": "4", "score": 0.0, "duration": 2}
    call = read_one(write(tmp_path / "log.jsonl", entry))
    assert (call.question, call.text, call.seconds, call.correct) == ("2+2?", "4", 2.0, False)


def test_an_inspect_log_as_json_and_as_an_archive(tmp_path: Path) -> None:
    sample = {"id": 7, "epoch": 1, "input": "What is 2+2?", "target": "4",
              "output": {"choices": [{"message": {"content": "2+2=4"}}], "time": 1.25,
                         "usage": {"input_tokens": 8, "output_tokens": 5}},
              "scores": {"match": {"value": "C"}}}
    failed = {"id": 8, "epoch": 1, "input": "?", "error": {"message": "boom"}, "output": {}}
    header = {"version": 2, "status": "success", "eval": {"task": "lib/sums"}}
    whole = tmp_path / "log.json"
    whole.write_bytes(orjson.dumps({**header, "samples": [sample, failed]},
                                   option=orjson.OPT_INDENT_2))
    packed = tmp_path / "log.eval"
    with ZipFile(packed, "w") as archive:
        archive.writestr("header.json", orjson.dumps(header))
        archive.writestr("samples/7_epoch_1.json", orjson.dumps(sample))
        archive.writestr("samples/8_epoch_1.json", orjson.dumps(failed))
    expected = Call("7", "sums", "What is 2+2?", "2+2=4", 5, False, 8, 1.25, True)
    for path in (whole, packed):
        traffic = read_traffic([path])
        assert traffic.calls == (expected,)
        assert traffic.skipped == (("failed request", 1),)


def test_an_lm_eval_sample_log_with_two_filters(tmp_path: Path) -> None:
    line = {"doc_id": 3, "doc": {"question": "What is 2+2?"}, "target": "4",
            "arguments": {"gen_args_0": {"arg_0": "Q: What is 2+2?", "arg_1": {}}},
            "resps": [["2+2=4\n#### 4"]], "filtered_resps": ["4"], "filter": "strict-match",
            "metrics": ["exact_match"], "exact_match": 1.0}
    path = tmp_path / "samples_gsm8k_2026-01-01T00-00-00.000.jsonl"
    traffic = read_traffic([write(path, line, {**line, "filter": "flexible-extract"})])
    (call,) = traffic.calls
    assert (call.id, call.task, call.question, call.correct) == ("3", "gsm8k", "What is 2+2?", True)
    assert call.estimated
    assert traffic.skipped == (("same answer under another filter", 1),)


def recorded(text: str) -> tuple[Event, ...]:
    trace = Trace()

    async def go() -> None:
        engine = ScriptedEngine(lambda prompt, sampling: Play(text, every=0.5))
        await solve("What is 2+2?", engine=engine, method="sequential", trace=trace)

    run_virtual(go)
    return trace.events


def test_a_folder_of_plait_traces(tmp_path: Path) -> None:
    write_trace(tmp_path / "a.jsonl", recorded("2+2=4 so four"))
    write_trace(tmp_path / "b.jsonl", recorded("no")[:-1])
    traffic = read_traffic([tmp_path])
    (call,) = traffic.calls
    assert (call.question, call.text, call.tokens, call.seconds) == (
        "What is 2+2?", "2+2=4 so four", 3, 1.5)
    assert traffic.skipped == (("unfinished run", 1),)


def test_the_folder_of_an_evaluation_gives_its_sequential_answers(tmp_path: Path) -> None:
    problems = (Sample("a", "What is 2+2?", "4", "sums"), Sample("b", "What is 2+3?", "6", "sums"))
    arms = (Arm("alone", "sequential"), Arm("woven", "native", "threadweaver"))
    job = Job(Suite("mine", problems, "exact"), arms)

    async def go() -> None:
        engine = ScriptedEngine(lambda prompt, sampling: Play("2+2=4 </think>4", every=0.5))
        async with Runtime(engine) as runtime:
            with Store(tmp_path, plan_of(job, "scripted", None, {}), resume=False) as store:
                await Evaluation(job, runtime, Grader("exact"), store).run()

    run_virtual(go)
    traffic = read_traffic([tmp_path])
    assert [(c.id, c.task, c.correct, c.tokens, c.seconds) for c in sorted(
        traffic.calls, key=lambda c: c.id)] == [("a", "sums", True, 4, 2.0),
                                                ("b", "sums", False, 4, 2.0)]
    assert traffic.skipped == (("run that was not sequential", 2),)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", CHAT, CHAT)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_traffic([path]).calls) == 1


@pytest.mark.parametrize(("data", "says"), [
    (b'{"completion": "4"}\n{"b\n{"c": 1}\n', "line 2 is no JSON"),
    (b"hello\nworld\n", "line 1 is no JSON"),
    (b'{"a": 1}\n', "entry 1 is of no known kind"),
    (b"[1, 2]\n", "entry 1 is no JSON object"),
    (b"PK\x03\x04nonsense", "cannot read the archive"),
    (b'{"plait_trace": 1, "version": "0"}\n{"kind": "nonsense"}\n', "unknown kind of event"),
])
def test_what_cannot_be_read_is_named_with_its_place(
    data: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(data)
    with pytest.raises(PlaitError, match=says):
        read_traffic([path])


def test_missing_files_and_empty_folders_are_the_users(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_traffic([tmp_path / "nowhere.jsonl"])
    with pytest.raises(UsageError, match="holds no log"):
        read_traffic([tmp_path])
