"""Write the model for the embedded engine: `python -m training.export`.

The folder holds what a Hugging Face Llama holds: config.json, tokenizer.json,
tokenizer_config.json, and model.safetensors in float16. A context opens with the begin token
(id 0), which the tokenizer adds where special tokens are asked for; later pieces are encoded
without.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training.model import Config, Nano
from training.tokenizer import BOS, EOS, PAD, build

RUNS = Path(__file__).parent / "runs"
WEIGHTS = Path(__file__).parents[1] / "src" / "plait" / "weights" / "nano"


def llama_config(config: Config) -> dict[str, object]:
    """The model's shape in the words of Hugging Face's LlamaConfig."""
    ids = build()
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "plait_model": "plait-nano",
        "vocab_size": config.vocab,
        "hidden_size": config.width,
        "intermediate_size": config.inner,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": 1,
        "head_dim": config.head,
        "hidden_act": "silu",
        "max_position_embeddings": config.longest,
        "rms_norm_eps": config.eps,
        "rope_theta": config.theta,
        "rope_scaling": None,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "use_cache": True,
        "torch_dtype": "float16",
        "bos_token_id": ids.token_to_id(BOS),
        "eos_token_id": ids.token_to_id(EOS),
        "pad_token_id": ids.token_to_id(PAD),
    }


def export(checkpoint: Path, out: Path) -> None:
    """Write the folder from a checkpoint of the trainer."""
    saved = torch.load(checkpoint, weights_only=True)
    tokenizer = build()
    config = Config(vocab=tokenizer.get_vocab_size())
    out.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{k}": v.to(torch.float16).contiguous() for k, v in saved["model"].items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # safetensors makes files that only we may read
    (out / "config.json").write_text(json.dumps(llama_config(config), indent=2) + "\n")
    tokenizer.save(str(out / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "add_bos_token": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.longest,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def read(folder: Path) -> Nano:
    """The exported (rounded) model, computed in float32."""
    shape = json.loads((folder / "config.json").read_text())
    model = Nano(Config(vocab=shape["vocab_size"]))
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({k.removeprefix("model."): v.float() for k, v in weights.items()})
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="Export plait-nano.")
    parser.add_argument("--checkpoint", type=Path, default=RUNS / "nano" / "last.pt")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    export(arguments.checkpoint, arguments.out)


if __name__ == "__main__":
    main()
