"""The forward step against the plainest one, in every way that tokens can get into the cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from plait.engines.batching import Batch
from plait.engines.nano import WEIGHTS
from plait.engines.nano.kernel import Kernel
from plait.engines.nano.weights import Floats, read_tensors
from tests.engines.nano.tiny import (
    Tiny,
    make_batch,
    make_tiny,
    play,
    random_ids,
    write,
    write_folder,
)

GOLDEN = Path(__file__).parent / "golden.npz"


class Recorder:
    """Keeps each request's last logits, by what was read until then."""

    def __init__(self, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[list[int], Floats]] = []
        run = Kernel.run

        def spy(kernel: Kernel, ids, bundles, slots, last) -> Floats:  # type: ignore[no-untyped-def]
            logits = run(kernel, ids, bundles, slots, last)
            rows = iter(logits)
            for bundle in bundles:
                for member in np.array(bundle.group.members)[bundle._take]:
                    read = int(bundle.group.shared + bundle.group.lens[member.row])
                    if read == len(member.ids):
                        self.seen.append((list(member.ids), next(rows)))
            return logits

        monkeypatch.setattr(Kernel, "run", spy)


def assert_right(tiny: Tiny, recorder: Recorder) -> None:
    for ids, logits in recorder.seen:
        assert np.abs(logits - tiny.logits(ids)[-1]).max() < 1e-4


@pytest.mark.parametrize("changes", [
    {}, {"num_key_value_heads": 2}, {"num_key_value_heads": 4, "tie_word_embeddings": False},
    {"head_dim": 16, "rope_theta": 500.0},
])
def test_logits_are_those_of_the_plain_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    """Short and long prompts, read in chunks, beside siblings that share a prefix."""
    tiny = make_tiny(tmp_path, **changes)
    batch = make_batch(tiny, 200)
    recorder = Recorder(batch, monkeypatch)
    prefix = random_ids(0, 40)
    requests = [write(prefix + random_ids(k, 1 + k % 4), 6) for k in range(10)]
    requests += [write(random_ids(50 + k, 1 + 9 * k), 6) for k in range(5)]
    play(batch, *requests)
    assert len(recorder.seen) == 6 * len(requests)
    assert any(s.cached for s in requests)
    assert_right(tiny, recorder)


def test_siblings_of_one_prefix_are_computed_as_one_group(tiny: Tiny) -> None:
    batch = make_batch(tiny, 400)
    prefix = random_ids(0, 100)
    for k in range(8):
        batch.add(write([*prefix, k + 3], 4))
    groups = set()
    while batch.busy:
        batch.step()
        groups |= {(key[0], len(g.members)) for key, g in batch.forward.stage.groups.items()}
        batch.check()
    assert (100, 8) in groups


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_half_precision_weights_are_read(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    header: dict[str, object] = {}
    data = b""
    for name, tensor in tiny.tensors.items():
        half = tensor.astype(np.float16) if kind == "F16" else \
            (tensor.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16 is a float's upper half
        header[name] = {"dtype": kind, "shape": tensor.shape,
                        "data_offsets": [len(data), len(data) + half.nbytes]}
        data += half.tobytes()
    head = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    for name, tensor in read_tensors(path).items():
        assert tensor.dtype == np.float32
        assert np.abs(tensor - tiny.tensors[name]).max() < 0.02


def test_the_shipped_model_computes_what_pytorch_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    golden = np.load(GOLDEN)
    digest = hashlib.sha256((WEIGHTS / "model.safetensors").read_bytes()).hexdigest()
    assert str(golden["weights_sha256"]) == digest, "run python -m training.golden"
    batch = make_batch(Tiny(WEIGHTS, {}, {}), 600, 16, 256)
    recorder = Recorder(batch, monkeypatch)
    errors: list[np.ndarray] = []
    for k in range(sum(name.startswith("ids_") for name in golden.files)):
        ids: list[int] = golden[f"ids_{k}"].tolist()
        for place, expected in zip(golden[f"places_{k}"], golden[f"logits_{k}"], strict=True):
            batch.add(write(ids[: place + 1], 1))
            while batch.busy:  # without `play`'s checks, which take longer than the model
                batch.step()
            errors.append(np.abs(recorder.seen[-1][1] - expected))
    # logits reach 26, so one float32 rounding is 2e-6; how many meet depends on how prompts are cut
    assert np.quantile(np.concatenate(errors), 0.999) < 1e-4
    assert np.max(np.concatenate(errors)) < 3e-4


def test_scores_beyond_the_range_of_a_float_are_computed_carefully(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of several hundred overflow a plain exponential; the result is right all the same."""
    tiny = make_tiny(tmp_path)
    for name, tensor in tiny.tensors.items():
        if "q_proj" in name:
            tensor *= 200
    write_folder(tiny.folder, tiny.config, tiny.tensors)
    batch = make_batch(tiny, 200)
    recorder = Recorder(batch, monkeypatch)
    play(batch, *(write(random_ids(k, 9), 4) for k in range(3)))
    careful = [bundle.careful for bundle in batch.forward.bundles.values()]
    assert any(careful)
    assert_right(tiny, recorder)
