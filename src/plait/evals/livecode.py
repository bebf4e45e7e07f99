"""LiveCodeBench rows: contest problems with public and private cases.

Private cases are published as base64 of zlib of a *pickle* of JSON text. Unpickling can run code,
so the reader here knows no classes at all: it gives the text or fails.
"""

from __future__ import annotations

import base64
import io
import pickle
import zlib
from typing import Any

import orjson

from plait.errors import UsageError
from plait.evals.values import Sample

LARGEST = 512 << 20
"""Bytes that private cases may unpack to."""
_STDIN = ("\n\nRead from standard input and write to standard output. End with the whole program"
          " in one ```python block.")
_FUNCTION = ("\n\nComplete this program:\n\n```python\n{starter}\n```\n\nEnd with the whole program"
             " in one ```python block. Do not call it.")


class _TextOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def live_code(row: dict[str, Any]) -> Sample:
    """A row of ``livecodebench/code_generation_lite``. Raises `UsageError` for another layout."""
    for name in ("question_content", "question_id", "public_test_cases"):
        if not isinstance(row.get(name), str):
            raise UsageError(f"a row has no `{name}`", hint=f"It has {', '.join(row)}.")
    public = _json(row["public_test_cases"], "public_test_cases")
    cases = [*public, *_private(str(row.get("private_test_cases") or "[]"))]
    metadata = _json(str(row.get("metadata") or "{}"), "metadata")
    function = metadata.get("func_name") if isinstance(metadata, dict) else None
    starter = str(row.get("starter_code") or "")
    ask = _FUNCTION.format(starter=starter.rstrip()) if function else _STDIN
    tests = orjson.dumps({"function": function, "cases": [
        {"input": str(c["input"]), "output": str(c["output"])} for c in cases]}).decode()
    return Sample(row["question_id"], row["question_content"].strip() + ask,
                  group=str(row.get("difficulty") or ""), tests=tests)


def _private(text: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        return list(_json(text, "private_test_cases"))
    try:
        packed = zlib.decompressobj()
        data = packed.decompress(base64.b64decode(text), LARGEST)
        if packed.unconsumed_tail:
            raise UsageError(f"`private_test_cases` unpacks to more than {LARGEST >> 20} MB")
        inner = _TextOnly(io.BytesIO(data)).load()
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, IndexError) as error:
        raise UsageError(f"`private_test_cases` cannot be unpacked: {error}") from error
    return list(_json(inner, "private_test_cases"))


def _json(text: str | bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise UsageError(f"`{name}` is no JSON: {error}") from error
