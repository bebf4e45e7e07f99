"""Small random models of many architectures, as folders of Hugging Face's library."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.live import tiny_model

MARKS = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not importlib.util.find_spec("transformers"),
                       reason="needs pip install 'plait[transformers]'"),
]
COMMON: dict[str, object] = {
    "vocab_size": len(tiny_model.vocabulary()), "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "max_position_embeddings": 512, "bos_token_id": tiny_model.token_id(tiny_model.BOS),
    "eos_token_id": tiny_model.token_id(tiny_model.EOS),
    "pad_token_id": tiny_model.token_id(tiny_model.PAD)}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "phi3": {},
    "olmo2": {},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},  # learned positions
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "mistral": {"sliding_window": 20},
    "gemma2": {"sliding_window": 20},                                       # capped scores
    "gemma3_text": {"sliding_window": 20, "num_hidden_layers": 6},
    "qwen3_moe": EXPERTS,
    "gpt_oss": {"sliding_window": 20, "num_local_experts": 4,               # sinks
                "num_experts_per_tok": 2},
    "deepseek_v3": {"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16,  # v != k
                    "qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 24,
                    "n_routed_experts": 8, "n_group": 2, "topk_group": 1,
                    "num_experts_per_tok": 2, "moe_intermediate_size": 32,
                    "first_k_dense_replace": 1},
}
"""Architecture -> what its config has besides `COMMON`."""


def write_tokenizer(folder: Path) -> None:
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": tiny_model.BOS,
                "eos_token": tiny_model.EOS, "pad_token": tiny_model.PAD}
    for name, content in (("tokenizer.json", tiny_model.tokenizer_json()),
                          ("tokenizer_config.json", settings)):
        (folder / name).write_text(json.dumps(content))


def write_model(folder: Path, kind: str, **changes: object) -> Any:
    """A model of this architecture in ``folder``; returned as transformers itself runs it."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(kind, **{**COMMON, **KINDS.get(kind, {}), **changes})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 0.2)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return model


def generate(model: Any, prompt: list[int], count: int) -> list[int]:
    """What `model.generate` writes after ``prompt`` alone, greedily."""
    torch = pytest.importorskip("torch")
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count,
                         do_sample=False, eos_token_id=None, pad_token_id=0)
    written: list[int] = out[0, len(prompt):].tolist()
    return written
