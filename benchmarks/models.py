"""A model of plait-nano's shape with random weights, to compare engines on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from plait.engines.nano.config import read_shape
from plait.engines.nano.weights import Floats

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
