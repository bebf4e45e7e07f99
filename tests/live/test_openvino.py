"""The engine over the real OpenVINO GenAI: plait-nano from a GGUF file, and from a folder in
OpenVINO's own format that it writes itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from plait.core import Prompt, Sampling
from plait.engines.nano import WEIGHTS, NanoEngine
from plait.engines.openvino import OpenVINOEngine
from plait.errors import UsageError
from plait.methods.plan.subtask import SCHEMA
from tests.conformance.engines.cases import CASES, LONG, OPENING, SHORT, Case, read, text_of
from tests.live.agreement import prompts
from training.gguf import write_gguf

pytestmark = [
    pytest.mark.live, pytest.mark.timeout(400),
    pytest.mark.skipif(not find_spec("openvino_genai"), reason="pip install 'plait[openvino]'")]


@pytest.fixture(scope="module")
def engine(nano_gguf: Path) -> Iterator[OpenVINOEngine]:
    engine = OpenVINOEngine(nano_gguf, threads=1)
    yield engine
    engine._worker.stop()


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_does_what_every_engine_does(case: Case, engine: OpenVINOEngine) -> None:
    await case(engine)


def test_text_is_cut_into_the_tokens_that_the_model_was_trained_on(engine: OpenVINOEngine) -> None:
    nano = NanoEngine()
    for text in (*prompts(), "é <Parallel>\n\N{SNOWMAN} <think>", "  ", "x<|end|>"):
        assert engine.encode(text, opening=True) == nano.encode(text, opening=True)


@pytest.mark.anyio
async def test_a_left_request_is_gone_from_openvino(engine: OpenVINOEngine) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(read, engine, OPENING, LONG)
        async with engine.stream(Prompt(OPENING), LONG) as stream:
            await anext(stream)
        group.cancel_scope.cancel()
    with anyio.fail_after(5):
        await anyio.to_thread.run_sync(engine._worker.wait_idle)
    pipeline = engine._pipeline._pipeline
    assert not pipeline.has_non_finished_requests()
    pipeline.step()  # it counts before it frees
    assert (pipeline.get_metrics().requests, pipeline.get_metrics().cache_usage) == (0, 0.0)


@pytest.mark.anyio
async def test_a_schema_is_kept(engine: OpenVINOEngine) -> None:
    one = await read(engine, OPENING, Sampling(max_tokens=40, schema={"enum": ["yes"]}))
    assert (text_of(one), one[-1].finish) == ('"yes"', "eos")
    plan = await read(engine, OPENING, Sampling(max_tokens=40, schema=SCHEMA))
    assert text_of(plan).startswith("{")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plait-nano in OpenVINO's own format."""
    place = tmp_path_factory.mktemp("ir") / "plait-nano"
    place.mkdir()
    write_gguf(WEIGHTS, place / "model.gguf")
    program = (
        "import sys, openvino_genai as g\n"
        "g.Tokenizer(sys.argv[1], enable_save_ov_model=True)\n"
        "s = g.SchedulerConfig()\ns.cache_size = 1\n"
        "g.ContinuousBatchingPipeline(sys.argv[1], s, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32',"
        " 'enable_save_ov_model': True})\n")
    subprocess.run([sys.executable, "-c", program, str(place / "model.gguf")], check=True)
    (place / "model.gguf").unlink()
    (place / "config.json").write_text((WEIGHTS / "config.json").read_text())
    return place


@pytest.mark.anyio
async def test_a_folder_of_openvino_writes_the_same(folder: Path, engine: OpenVINOEngine) -> None:
    other = OpenVINOEngine(folder, threads=1)
    assert (other.model, other.capabilities.window) == ("plait-nano", 4096)
    ids = tuple(engine.encode(OPENING, opening=True))
    theirs = await read(other, Prompt(ids=ids), SHORT)
    assert text_of(theirs) == text_of(await read(engine, Prompt(ids=ids), SHORT))
    await other.aclose()


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_the_command_line_forks_on_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    subprocess.run([sys.executable, "-m", "training.gguf", str(path), "--type", kind], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "plait.cli", "solve", "--engine", str(path), "--json",
         "Make 92 from 46, 39, 29 and 20"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert (result["correct"], result["protocol"], result["fallback"]) == (True, "apr", None)
    assert result["threads"] > 8


def test_what_openvino_cannot_run_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(WEIGHTS, path, "F32")
    with pytest.raises(UsageError) as refused:
        OpenVINOEngine(path)
    assert "Unsupported quantization type" in refused.value.line
    assert "its matrices are F32" in refused.value.line
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(UsageError, match="is no whole GGUF file"):
        OpenVINOEngine(path)
