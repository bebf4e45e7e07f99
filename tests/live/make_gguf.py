"""Writes the model of `tiny_model` as a GGUF file (F16, or F32 with ``--f32``), for llama.cpp.

    python tests/live/make_gguf.py FILE [--f32]      needs gguf, numpy and safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np
import tiny_model as tiny


def interleaved(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Rotary halves of each head as neighbouring pairs, which is how llama.cpp rotates."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(
        rows, columns)


def main(path: Path, *, exact: bool = False) -> None:
    """Write the file."""
    writer = gguf.GGUFWriter(path, "llama")
    words = tiny.vocabulary()
    head = tiny.HIDDEN // tiny.HEADS
    writer.add_name("tiny")
    writer.add_vocab_size(len(words))
    writer.add_context_length(tiny.WINDOW)
    writer.add_embedding_length(tiny.HIDDEN)
    writer.add_block_count(tiny.LAYERS)
    writer.add_feed_forward_length(tiny.INNER)
    writer.add_head_count(tiny.HEADS)
    writer.add_head_count_kv(tiny.KV_HEADS)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(
        gguf.LlamaFileType.ALL_F32 if exact else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    kinds = [gguf.TokenType.NORMAL] * len(words)
    for token in (*tiny.CONTROL, *tiny.TAGS):
        kinds[tiny.token_id(token)] = gguf.TokenType.CONTROL
    writer.add_token_types(kinds)
    writer.add_token_merges(list(tiny.MERGES))
    writer.add_bos_token_id(tiny.token_id(tiny.BOS))
    writer.add_eos_token_id(tiny.token_id(tiny.EOS))
    writer.add_pad_token_id(tiny.token_id(tiny.PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(tiny.TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, tiny.LAYERS)
    for key, value in tiny.weights().items():
        name = names.get_name(key, try_suffixes=(".weight",))
        if "q_proj" in key:
            value = interleaved(value, tiny.HEADS)
        if "k_proj" in key:
            value = interleaved(value, tiny.KV_HEADS)
        writer.add_tensor(name, value.astype(np.float16) if value.ndim > 1 and not exact else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), exact="--f32" in sys.argv[2:])
