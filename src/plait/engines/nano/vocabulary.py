"""The tokenizer of a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from plait.engines.batching import Vocabulary
from plait.engines.nano.config import read_json
from plait.errors import UsageError

_FRAMES = ("bos_token", "eos_token", "pad_token")


def read_vocabulary(folder: Path, size: int, eos: Sequence[int]) -> Vocabulary:
    """The tokenizer in ``folder`` for a model of ``size`` tokens. Raises `UsageError`."""
    path = folder / "tokenizer.json"
    read_json(path)
    settings_path = folder / "tokenizer_config.json"
    settings = read_json(settings_path) if settings_path.exists() else {}
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not a tokenizer ({error})") from None
    frames = {name: _frame(tokenizer, settings.get(name)) for name in _FRAMES}
    known = [i for i in frames.values() if i is not None]
    return Vocabulary(
        tokenizer, size, where=str(path), silent=known,
        bos=frames["bos_token"] if settings.get("add_bos_token") else None,
        eos={*eos} if frames["eos_token"] is None else {*eos, frames["eos_token"]})


def _frame(tokenizer: Tokenizer, value: object) -> int | None:
    text = value.get("content") if isinstance(value, dict) else value
    found: int | None = tokenizer.token_to_id(text) if isinstance(text, str) else None
    return found
