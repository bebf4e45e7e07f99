"""A tiny random Llama for the live tests, in the form that vLLM loads.

Random weights write nonsense, but they write the same nonsense every time, and every server that
is right writes the same. The tokenizer is byte-level BPE with a handful of merges, so that some
tokens are longer than a character and most are pieces of UTF-8; the tags of ThreadWeaver are
added tokens, control tokens and the chat template are there. Needs numpy and safetensors only.

    python tests/live/tiny_model.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, WINDOW = 4, 256, 704, 8, 4, 4096
BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"
CONTROL = (BOS, EOS, PAD, "<|system|>", "<|user|>", "<|assistant|>")
TAGS = ("<Parallel>", "</Parallel>", "<Thread>", "</Thread>", "<Outlines>", "</Outlines>",
        "<Outline>", "</Outline>")
MERGES = ("t h", "th e", "i n", "a n", "e r", "o n", "Ġ t", "Ġ a", "Ġt h", "in g", "an d", "> Ċ")
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte in a byte-level vocabulary (GPT-2's map)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(spare)) for b in range(256)]


def vocabulary() -> list[str]:
    """All tokens in the order of their ids: bytes, merges, control tokens, tags."""
    return [*byte_letters(), *(m.replace(" ", "") for m in MERGES), *CONTROL, *TAGS]


def token_id(token: str) -> int:
    """The id of a token of `vocabulary`."""
    return vocabulary().index(token)


def tokenizer_json() -> dict[str, object]:
    """The tokenizer as the `tokenizers` library stores it."""
    words = vocabulary()
    first_added = len(words) - len(CONTROL) - len(TAGS)
    added = [
        {"id": first_added + i, "content": t, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for i, t in enumerate((*CONTROL, *TAGS))
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": {t: i for i, t in enumerate(words[:first_added])},
            "merges": [m.split(" ") for m in MERGES],
        },
    }


def config() -> dict[str, object]:
    """The model's configuration."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HIDDEN // HEADS, "max_position_embeddings": WINDOW, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": False, "vocab_size": len(vocabulary()),
        "bos_token_id": token_id(BOS), "eos_token_id": token_id(EOS),
        "pad_token_id": token_id(PAD), "dtype": "float32", "torch_dtype": "float32",
        "attention_bias": False, "mlp_bias": False,
    }


def weights(seed: int = 7) -> dict[str, np.ndarray]:
    """Random weights. The end-of-text row is kept small, so that texts run on to their limit."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.normal(0, 0.08, (rows, columns)).astype(np.float32)

    words, narrow = len(vocabulary()), HIDDEN // HEADS * KV_HEADS
    head = matrix(words, HIDDEN)
    head[-len(CONTROL) - len(TAGS):] *= 0.05
    tensors = {"model.embed_tokens.weight": matrix(words, HIDDEN), "lm_head.weight": head,
               "model.norm.weight": np.ones(HIDDEN, np.float32)}
    for n in range(LAYERS):
        at = f"model.layers.{n}."
        tensors |= {
            f"{at}self_attn.q_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{at}self_attn.k_proj.weight": matrix(narrow, HIDDEN),
            f"{at}self_attn.v_proj.weight": matrix(narrow, HIDDEN),
            f"{at}self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{at}mlp.gate_proj.weight": matrix(INNER, HIDDEN),
            f"{at}mlp.up_proj.weight": matrix(INNER, HIDDEN),
            f"{at}mlp.down_proj.weight": matrix(HIDDEN, INNER),
            f"{at}input_layernorm.weight": np.ones(HIDDEN, np.float32),
            f"{at}post_attention_layernorm.weight": np.ones(HIDDEN, np.float32),
        }
    return tensors


def save(folder: Path) -> None:
    """Write the model to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
        "pad_token": PAD, "clean_up_tokenization_spaces": False, "model_max_length": WINDOW,
        "chat_template": TEMPLATE,
    }
    files = {"config.json": config(), "tokenizer.json": tokenizer_json(),
             "tokenizer_config.json": settings}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))
    save_file(weights(), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    save(Path(sys.argv[1]))
