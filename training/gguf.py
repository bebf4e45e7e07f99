"""Write plait-nano as a GGUF file: `python -m training.gguf OUT.gguf`, for llama.cpp and OpenVINO.

    python -m training.gguf OUT.gguf [--type F16|F32|Q8_0] [--model FOLDER] [--name NAME]

Needs the package `gguf` and no PyTorch. The folder's weights are float16, so F16, the default,
holds exactly what the folder holds. Any folder with a Llama that the embedded engine runs can be
written. The file's name for the model is what plait knows it by.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from plait.engines.nano import WEIGHTS
from plait.engines.nano.config import Shape, read_json, read_shape
from plait.engines.nano.vocabulary import read_vocabulary
from plait.engines.nano.weights import Floats, read_tensors
from plait.errors import UsageError

try:
    import gguf
except ModuleNotFoundError:
    if __name__ != "__main__":
        raise
    sys.exit("writing a GGUF file takes the package gguf: pip install gguf")

TYPES = {"F16": gguf.LlamaFileType.MOSTLY_F16, "F32": gguf.LlamaFileType.ALL_F32,
         "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
BARE = '{% for message in messages %}{{ message.content + "\n" }}{% endfor %}'
"""The chat template of a model that has none: the question as it stands, and a line break. Without
one, llama.cpp takes one that the model has never seen."""


def write_gguf(
    folder: Path, path: Path, kind: str = "F16", name: str = "plait-nano"
) -> None:
    """The model in ``folder`` as the GGUF file ``path``; ``kind``: how its matrices are stored.

    Raises `UsageError` for a folder that the embedded engine could not run.
    """
    shape = read_shape(folder)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.window)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.theta)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_file_type(TYPES[kind])
    _add_tokenizer(writer, folder, shape)
    _add_tensors(writer, folder, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensors(writer: gguf.GGUFWriter, folder: Path, shape: Shape, kind: str) -> None:
    """GGUF's Llama turns neighbouring pairs where Hugging Face's turns halves, so the rows of q
    and k are put in another order."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.layers)
    tensors = read_tensors(folder / "model.safetensors")
    if shape.tied:  # some readers want it twice
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    for name, tensor in tensors.items():
        values = tensor
        if "q_proj" in name or "k_proj" in name:
            values = _neighbours(tensor, shape.heads if "q_proj" in name else shape.kv_heads)
        stored = gguf.GGMLQuantizationType[kind if tensor.ndim == 2 else "F32"]
        base = names.get_name(name.removesuffix(".weight"))
        writer.add_tensor(f"{base}.weight", gguf.quants.quantize(
            np.ascontiguousarray(values, np.float32), stored), raw_dtype=stored)


def _neighbours(matrix: Floats, heads: int) -> Floats:
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, shape: Shape) -> None:
    spec = read_json(folder / "tokenizer.json")
    settings = read_json(folder / "tokenizer_config.json")
    model, added = spec["model"], spec["added_tokens"]
    assert isinstance(model, dict)
    assert isinstance(added, list)
    names = [f"<unused-{k}>" for k in range(shape.vocab)]
    kinds = [int(gguf.TokenType.UNUSED)] * shape.vocab
    for name, number in model["vocab"].items():
        names[number], kinds[number] = name, int(gguf.TokenType.NORMAL)
    for token in added:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        names[token["id"]], kinds[token["id"]] = token["content"], int(kind)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer.add_token_merges(merges or ["a b"])  # readers want at least one merge
    vocabulary = read_vocabulary(folder, shape.vocab, shape.eos)
    writer.add_eos_token_id(min(vocabulary.eos))
    ids = {text: number for number, text in enumerate(names)}
    for frame, add in (("bos_token", writer.add_bos_token_id),
                       ("pad_token", writer.add_pad_token_id)):
        if (number := ids.get(str(settings.get(frame)))) is not None:
            add(number)
    writer.add_add_bos_token(vocabulary.bos is not None)
    writer.add_chat_template(str(settings.get("chat_template") or BARE))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=list(TYPES), default="F16")
    parser.add_argument("--model", type=Path, default=WEIGHTS, help="a model folder")
    parser.add_argument("--name", default=None, help="what the file calls the model")
    given = parser.parse_args()
    own = given.model.resolve() == WEIGHTS.resolve()
    try:
        write_gguf(given.model, given.out, given.type,
                   given.name or ("plait-nano" if own else given.model.resolve().name))
    except (UsageError, OSError) as error:
        sys.exit(error.line if isinstance(error, UsageError) else str(error))
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
