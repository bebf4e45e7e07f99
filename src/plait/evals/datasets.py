"""The known data sets: where they lie, and how one row of each becomes a `Sample`.

Each entry reads the rows as their publishers lay them out; rows of another layout are refused with
the name of the field that is missing. Ids are the publisher's where there are any, else a hash of
the question, so that they do not depend on order or number. Licences differ: nothing of them is
shipped with plait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from plait.errors import UsageError
from plait.evals.livecode import live_code
from plait.evals.rows import Hub, Row
from plait.evals.values import Sample

BOXED = "\n\nReason step by step, and put the final answer in \\boxed{}."
CHOOSE = ("\n\nReason step by step, and end with a line `Answer: X`, where X is the letter of the"
          " right choice.")
CODE = ("\n\nEnd with the whole program, imports included, in one ```python block. Do not call it"
        " and do not read input.")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A known data set. ``about`` is one line for people."""

    about: str
    hub: Hub
    grader: str
    read: Callable[[Row], Sample]


def field(row: Row, *names: str) -> str:
    """The first of ``names`` that the row has, as text. Raises `UsageError` if it has none."""
    for name in names:
        value = row.get(name)
        if value is not None:
            return str(value)
    raise UsageError(f"a row has no `{names[0]}`", hint=f"It has {', '.join(row) or 'nothing'}.")


def content_id(text: str) -> str:
    """An id that depends on the text alone."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def samples(dataset: Dataset, rows: Iterable[Row], where: str) -> Iterator[Sample]:
    """The samples of ``rows``. Raises `UsageError`, with the number of the row."""
    for number, row in enumerate(rows, start=1):
        try:
            yield dataset.read(row)
        except UsageError as error:
            raise UsageError(f"{where}, row {number}: {error}", hint=error.hint) from error


def _gsm8k(row: Row) -> Sample:
    question, answer = field(row, "question"), field(row, "answer")
    target = answer.rpartition("####")[2].strip().replace(",", "")
    return Sample(content_id(question), question + BOXED, target)


def _math(row: Row) -> Sample:
    problem = field(row, "problem")
    level = "" if row.get("level") is None else str(row["level"]).lower().removeprefix("level ")
    return Sample(str(row.get("unique_id") or content_id(problem)), problem + BOXED,
                  field(row, "answer"), f"level {level}" if level else "")


def _aime(row: Row) -> Sample:
    problem = field(row, "problem", "Problem", "question")
    year = str(row.get("year") or row.get("Year") or "")
    return Sample(str(row.get("ID") or content_id(problem)), problem + BOXED,
                  field(row, "answer", "Answer").strip(), year)


def _gpqa(row: Row) -> Sample:
    """The choices are shuffled by the question, so that they stay put from run to run."""
    question = field(row, "Question")
    right = field(row, "Correct Answer").strip()
    choices = [right, *(field(row, f"Incorrect Answer {i}").strip() for i in (1, 2, 3))]
    Random(content_id(question)).shuffle(choices)
    listed = "\n".join(f"({letter}) {text}" for letter, text in zip("ABCD", choices, strict=True))
    name = str(row.get("Record ID") or content_id(question))
    return Sample(name, f"{question.strip()}\n\n{listed}{CHOOSE}", "ABCD"[choices.index(right)],
                  str(row.get("High-level domain") or row.get("Subdomain") or ""), tuple(choices))


def _human_eval(row: Row) -> Sample:
    prompt, entry = field(row, "prompt"), field(row, "entry_point")
    setup = prompt[: max(0, prompt.find(f"def {entry}"))]
    question = f"Complete this function.\n\n```python\n{prompt.rstrip()}\n```{CODE}"
    return Sample(field(row, "task_id"), question, setup=setup,
                  tests=f"{field(row, 'test')}\n\ncheck({entry})\n")


def _mbpp(row: Row) -> Sample:
    """``full``, ``sanitized`` and MBPP+, which brings longer tests in ``test``."""
    text, listed = field(row, "text", "prompt"), _lines(row.get("test_list"))
    if not listed:
        raise UsageError("a row has no `test_list`", hint=f"It has {', '.join(row)}.")
    imports = _lines(row.get("test_imports")) + _lines(row.get("test_setup_code"))
    more = str(row.get("test") or "\n".join(listed))
    shown = "\n".join(listed[:3])
    question = f"{text.strip()}\nIt must pass:\n\n```python\n{shown}\n```{CODE}"
    return Sample(f"mbpp/{field(row, 'task_id')}", question, tests="\n".join([*imports, more, ""]))


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [str(v) for v in value] if isinstance(value, list | tuple) else []


def _year(year: str, repository: str, files: tuple[str, ...]) -> Dataset:
    return Dataset(f"AIME {year}: 30 competition problems", Hub(repository, files), "number", _aime)


_PARQUET = ("data/test-*.parquet",)
DATASETS: dict[str, Dataset] = {
    "gsm8k": Dataset("school mathematics, 1,319 word problems",
                     Hub("openai/gsm8k", ("main/test-*.parquet",)), "number", _gsm8k),
    "math500": Dataset("500 competition problems in 5 levels",
                       Hub("HuggingFaceH4/MATH-500", ("test.jsonl",)), "math", _math),
    "aime24": _year("2024", "HuggingFaceH4/aime_2024", ("data/train-*.parquet",)),
    "aime25": _year("2025", "math-ai/aime25", ("test.jsonl",)),
    "gpqa-diamond": Dataset("198 graduate questions with four choices (gated)",
                            Hub("Idavidrein/gpqa", ("gpqa_diamond.csv",)), "choice", _gpqa),
    "humaneval": Dataset("164 functions to complete",
                         Hub("openai/openai_humaneval", ("openai_humaneval/test-*.parquet",)),
                         "code", _human_eval),
    "humaneval+": Dataset("the same with 80 times the tests",
                          Hub("evalplus/humanevalplus", _PARQUET), "code", _human_eval),
    "mbpp": Dataset("500 short programs",
                    Hub("google-research-datasets/mbpp", ("full/test-*.parquet",)), "code", _mbpp),
    "mbpp+": Dataset("378 of them with 35 times the tests",
                     Hub("evalplus/mbppplus", _PARQUET), "code", _mbpp),
    "livecodebench": Dataset("contest problems in 3 levels",
                             Hub("livecodebench/code_generation_lite", ("test*.jsonl",)), "cases",
                             live_code),
}
