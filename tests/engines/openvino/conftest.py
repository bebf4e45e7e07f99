from collections.abc import Iterator
from pathlib import Path

import pytest

from plait.engines.nano import WEIGHTS
from plait.engines.openvino import OpenVINOEngine
from tests.engines.openvino import fake
from training.gguf import write_gguf


@pytest.fixture(scope="session")
def nano_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plait-nano as its export writes it."""
    path = tmp_path_factory.mktemp("gguf") / "some-file.gguf"
    write_gguf(WEIGHTS, path)
    return path


@pytest.fixture
def genai(monkeypatch: pytest.MonkeyPatch) -> type[fake.FakePipeline]:
    """OpenVINO GenAI, played; ``made`` are the pipelines that were opened."""
    fake.install(monkeypatch)
    return fake.FakePipeline


@pytest.fixture
def engine(genai: type[fake.FakePipeline], nano_gguf: Path) -> Iterator[OpenVINOEngine]:
    engine = OpenVINOEngine(nano_gguf)
    yield engine
    engine._worker.stop()
