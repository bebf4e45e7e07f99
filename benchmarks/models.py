"""The model that the engines are compared on: plait-nano, or random weights of its shape."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from plait.engines.nano.config import Shape, read_json, read_shape
from plait.engines.nano.vocabulary import read_vocabulary
from plait.engines.nano.weights import Floats, read_tensors

FRAMES = ("<|begin|>", "<|end|>", "<|pad|>")


def write_random(folder: Path, window: int = 512, seed: int = 0) -> None:
    """A model of plait-nano's shape with random weights, in the Hugging Face layout."""
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
        "vocab_size": 320, "hidden_size": 256, "intermediate_size": 704,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1,
        "head_dim": 64, "max_position_embeddings": window, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "eos_token_id": 1,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        dict(zip(("bos_token", "eos_token", "pad_token"), FRAMES, strict=True))))
    write_tokenizer(folder)
    shape, rng = read_shape(folder), np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> Floats:
        values = rng.standard_normal((rows, columns)) * 1.2 / math.sqrt(columns)
        return values.astype(np.float32)

    ones = np.ones(shape.width, np.float32)
    tensors = {"model.embed_tokens.weight": matrix(shape.vocab, shape.width),
               "model.norm.weight": ones}
    depth = shape.heads * shape.head
    for k in range(shape.layers):
        at = f"model.layers.{k}."
        tensors |= {
            f"{at}input_layernorm.weight": ones, f"{at}post_attention_layernorm.weight": ones,
            f"{at}self_attn.q_proj.weight": matrix(depth, shape.width),
            f"{at}self_attn.k_proj.weight": matrix(shape.row // 2, shape.width),
            f"{at}self_attn.v_proj.weight": matrix(shape.row // 2, shape.width),
            f"{at}self_attn.o_proj.weight": matrix(shape.width, depth),
            f"{at}mlp.gate_proj.weight": matrix(shape.inner, shape.width),
            f"{at}mlp.up_proj.weight": matrix(shape.inner, shape.width),
            f"{at}mlp.down_proj.weight": matrix(shape.width, shape.inner),
        }
    save_file(tensors, folder / "model.safetensors")


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of bytes and a few tags."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*FRAMES, *alphabet]
    tokenizer = Tokenizer(models.BPE(vocab={n: k for k, n in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(n, special=True) for n in FRAMES])
    tags = [f"<tag-{k}>" for k in range(320 - len(names))]
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in tags])
    tokenizer.save(str(folder / "tokenizer.json"))


BARE = '{% for message in messages %}{{ message.content + "\n" }}{% endfor %}'
"""The chat template of a model that knows no roles: the question as it stands, and a line break."""


def write_gguf(folder: Path, path: Path, precision: type = np.float16) -> None:
    """The model in ``folder`` as a GGUF file, for llama.cpp and OpenVINO; ``precision`` of its
    matrices: float16 or float32.

    GGUF's Llama turns neighbouring pairs where Hugging Face's turns halves, so the rows of q and
    k are permuted. Needs the package `gguf`.
    """
    import gguf

    shape = read_shape(folder)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("plait-nano")
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
    whole = precision is np.float32
    writer.add_file_type(
        gguf.LlamaFileType.ALL_F32 if whole else gguf.LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer, folder, shape)
    writer.add_chat_template(BARE)  # without one, llama.cpp takes one that the model has never seen
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.layers)
    tensors = read_tensors(folder / "model.safetensors")
    if shape.tied:  # some readers want it twice
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    for name, tensor in tensors.items():
        values = tensor
        if "q_proj" in name or "k_proj" in name:
            values = _neighbours(tensor, shape.heads if "q_proj" in name else shape.kv_heads)
        kind = precision if tensor.ndim == 2 else np.float32
        base = names.get_name(name.removesuffix(".weight"))
        writer.add_tensor(f"{base}.weight", np.ascontiguousarray(values.astype(kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _neighbours(matrix: Floats, heads: int) -> Floats:
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _add_tokenizer(writer: object, folder: Path, shape: Shape) -> None:
    import gguf

    assert isinstance(writer, gguf.GGUFWriter)
    spec = read_json(folder / "tokenizer.json")
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
    if vocabulary.bos is not None:
        writer.add_bos_token_id(vocabulary.bos)
    writer.add_add_bos_token(vocabulary.bos is not None)
