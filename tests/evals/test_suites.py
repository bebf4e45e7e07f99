"""Suites: every known data set in its publisher's layout, the user's own, and what is refused."""

from __future__ import annotations

import base64
import csv
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from plait import puzzles
from plait.errors import UsageError
from plait.evals.datasets import DATASETS
from plait.evals.puzzle_suites import PUZZLES
from plait.evals.rows import Hub, fetch, read_rows
from plait.evals.suites import Choice, describe, load_suite

CASES = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
PACKED = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(CASES)))).decode()
ROWS: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [{"question": "Two and two?", "answer": "They are <<2+2=4>>4.\n#### 1,004"}],
    "math500": [{"problem": "$1+1$?", "solution": "...", "answer": "\\frac{4}{2}", "level": 3,
                 "subject": "Algebra", "unique_id": "test/algebra/1.json"}],
    "aime24": [{"id": 60, "problem": "Find it.", "solution": "...", "answer": "033",
                "url": "", "year": "2024"}],
    "aime25": [{"problem": "Find it.", "answer": "70", "id": "0"}],
    "gpqa-diamond": [{"Question": "Which?", "Correct Answer": "this", "Incorrect Answer 1": "that",
                      "Incorrect Answer 2": "these", "Incorrect Answer 3": "those",
                      "High-level domain": "Physics", "Record ID": "rec06pnAkLOr2t2mp"}],
    "humaneval": [{"task_id": "HumanEval/0", "entry_point": "double", "canonical_solution": "...",
                   "prompt": "from typing import List\n\ndef double(x: int) -> int:\n    '2x'\n",
                   "test": "def check(candidate):\n    assert candidate(2) == 4\n"}],
    "mbpp": [{"task_id": 11, "text": "Write f.", "code": "...", "test_list": ["assert f(1) == 2"],
              "test_setup_code": "", "challenge_test_list": []}],
    "mbpp+": [{"task_id": 2, "prompt": "Write f.", "code": "...", "test_imports": ["import math"],
               "test_list": ["assert f(1) == 2"], "test": "assert f(3) == 4\nassert f(5) == 6"}],
    "livecodebench": [{"question_title": "Sum", "question_content": "Add them.", "platform": "x",
                       "question_id": "1873_A", "starter_code": "", "difficulty": "easy",
                       "public_test_cases": json.dumps(CASES), "private_test_cases": PACKED,
                       "metadata": "{}"}],
}
ROWS["humaneval+"] = ROWS["humaneval"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file of the kind that its name says."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "json"])
@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_read_from_every_kind_of_file(
    name: str, suffix: str, tmp_path: Path
) -> None:
    suite = load_suite(name, data=write(tmp_path / f"rows.{suffix}", ROWS[name]))
    (sample,) = suite.samples
    assert suite.grader == DATASETS[name].grader
    assert sample.question
    assert (sample.target is not None) != bool(sample.tests)


@pytest.mark.parametrize("name", DATASETS)
def test_a_row_of_another_layout_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", [*ROWS[name], {"something": "else"}])
    with pytest.raises(UsageError, match=r"rows\.jsonl, row 2: a row has no `"):
        load_suite(name, data=file)


def test_targets_and_groups_are_the_publishers(tmp_path: Path) -> None:
    def only(name: str) -> Any:
        return load_suite(name, data=write(tmp_path / f"{name}.jsonl", ROWS[name])).samples[0]

    assert only("gsm8k").target == "1004"
    assert (only("math500").target, only("math500").group) == ("\\frac{4}{2}", "level 3")
    assert only("math500").id == "test/algebra/1.json"
    assert (only("aime24").target, only("aime24").group) == ("033", "2024")
    gpqa = only("gpqa-diamond")
    assert gpqa.choices["ABCD".index(gpqa.target)] == "this"
    assert gpqa.question.count("(") >= 4
    assert only("humaneval").setup == "from typing import List\n\n"
    assert only("humaneval").tests.endswith("check(double)\n")
    assert "f(3)" in only("mbpp+").tests
    assert "import math" in only("mbpp+").tests
    assert "f(3)" not in only("mbpp+").question
    assert len(json.loads(only("livecodebench").tests)["cases"]) == 2
    assert only("livecodebench").group == "easy"


def test_csv_is_read_as_gpqa_is_published(tmp_path: Path) -> None:
    suite = load_suite("gpqa-diamond", data=write(tmp_path / "gpqa.csv", ROWS["gpqa-diamond"]))
    assert suite.samples[0].group == "Physics"


def test_a_folder_holds_several_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [{"question": "one?", "answer": "#### 1"}])
    write(tmp_path / "b.jsonl", [{"question": "two?", "answer": "#### 2"}])
    assert [s.target for s in load_suite("gsm8k", data=tmp_path).samples] == ["1", "2"]


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("/tmp/plait-was-here"),)  # type: ignore[return-value]


def test_pickled_cases_never_run_code(tmp_path: Path) -> None:
    row = dict(ROWS["livecodebench"][0])
    row["private_test_cases"] = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(UsageError, match="cannot be unpacked: it asks for"):
        load_suite("livecodebench", data=write(tmp_path / "rows.jsonl", [row]))
    assert not Path("/tmp/plait-was-here").exists()


def test_a_bomb_of_cases_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.evals.livecode.LARGEST", 1000)
    row = dict(ROWS["livecodebench"][0])
    row["private_test_cases"] = base64.b64encode(zlib.compress(b"0" * 10_000)).decode()
    with pytest.raises(UsageError, match="unpacks to more than"):
        load_suite("livecodebench", data=write(tmp_path / "rows.jsonl", [row]))


def test_ids_are_stable_under_shuffle_and_limit(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": f"#### {i}"} for i in range(50)]
    file = write(tmp_path / "rows.jsonl", rows)
    whole = {s.id: s for s in load_suite("gsm8k", data=file).samples}
    some = load_suite("gsm8k", Choice(limit=10, shuffle=True, seed=3), data=file).samples
    assert len(some) == 10
    assert [s.id for s in some] != [s.id for s in list(whole.values())[:10]]
    assert all(whole[s.id] == s for s in some)
    backwards = write(tmp_path / "back.jsonl", rows[::-1])
    assert {s.id: s for s in load_suite("gsm8k", data=backwards).samples} == whole


def test_a_shorter_limit_is_the_beginning_of_a_longer_one() -> None:
    for tier, count in (("easy", 20), ("mixed", 4)):
        long = load_suite("countdown", Choice(tier, count, seed=4)).samples
        assert load_suite("countdown", Choice(tier, 3, seed=4)).samples == long[:3]


def test_countdown_is_held_out_and_of_its_tier() -> None:
    suite = load_suite("countdown", Choice("mixed", 8))
    assert [s.group for s in suite.samples] == ["easy", "natural", "hard", "unsolvable"] * 2
    two = load_suite("countdown", Choice("easy,hard", 4)).samples
    assert [s.group for s in two] == ["easy", "hard"] * 2
    assert set(two) < set(suite.samples)
    for sample in suite.samples:
        problem = puzzles.parse(sample.question)
        assert problem is not None
        assert puzzles.countdown.is_held_out(problem)
        assert (puzzles.tier_of(problem) == "unsolvable") == (sample.group == "unsolvable")
        assert puzzles.is_hard(problem) or sample.group != "hard"
        assert len(problem.numbers) == (3 if sample.group == "easy" else 4)


def test_a_tier_is_a_group(tmp_path: Path) -> None:
    rows = [{"problem": f"{i}?", "answer": "1", "level": i % 3, "unique_id": str(i)}
            for i in range(9)]
    file = write(tmp_path / "rows.jsonl", rows)
    assert len(load_suite("math500", Choice("level 2"), data=file).samples) == 3
    both = load_suite("math500", Choice("level 2, level 0"), data=file)
    assert ({s.group for s in both.samples}, both.tier) == ({"level 0", "level 2"},
                                                            "level 2,level 0")
    with pytest.raises(UsageError, match="no tier `level 9`") as caught:
        load_suite("math500", Choice("level 2,level 9"), data=file)
    assert "level 0, level 1, level 2" in caught.value.hint


def test_repeated_rows_count_once_and_are_told(tmp_path: Path) -> None:
    row = {"question": "one?", "answer": "#### 1"}
    suite = load_suite("gsm8k", data=write(tmp_path / "rows.jsonl", [row, row]))
    assert len(suite.samples) == 1
    assert "1 repeated left out" in suite.source


def test_two_problems_with_one_id_are_refused(tmp_path: Path) -> None:
    rows = [{"problem": p, "answer": "1", "unique_id": "same"} for p in ("a?", "b?")]
    with pytest.raises(UsageError, match="two different problems have the id `same`"):
        load_suite("math500", data=write(tmp_path / "rows.jsonl", rows))


def user_suite(folder: Path, text: str, rows: list[dict[str, Any]]) -> str:
    write(folder / "mine.jsonl", rows)
    (folder / "mine.toml").write_text(text)
    return str(folder / "mine.toml")


MINE = """
path = "mine.jsonl"
grader = "number"
[fields]
question = "{text}\\nHow much? End with `Answer: NUMBER`."
answer = "meta.total"
group = "kind"
"""


def test_a_suite_of_ones_own_takes_ten_lines(tmp_path: Path) -> None:
    rows = [{"text": "2 apples, 3 pears", "meta": {"total": 5}, "kind": "fruit"}]
    suite = load_suite(user_suite(tmp_path, MINE, rows))
    (sample,) = suite.samples
    assert suite.name == "mine"
    assert sample.question.startswith("2 apples, 3 pears\nHow much?")
    assert (sample.target, sample.group) == ("5", "fruit")


@pytest.mark.parametrize(("text", "message"), [
    ("path = ", "not valid TOML"),
    ('grader = "exact"\n[fields]\nquestion = "text"', "has no `path`"),
    ('path = "mine.jsonl"\n[fields]\nquestion = "text"', "has no `grader`"),
    ('path = "mine.jsonl"\ngrader = "exact"', "does not say where the question is"),
    (MINE.replace('"number"', '"guess"'), "there is no grader `guess`"),
    (MINE.replace("answer =", "anser ="), "unknown key `anser`"),
    (MINE.replace("group = \"kind\"", "group = 3"), "the field `group` is no text"),
    (MINE.replace('answer = "meta.total"\n', ""), "needs the field `answer`"),
    (MINE.replace("{text}", "{words}"), r"mine\.jsonl, row 1 has no"),
    (MINE.replace("mine.jsonl", "missing.jsonl"), "cannot read"),
    (MINE.replace("mine.jsonl", "mine.toml"), "is of no known kind"),
])
def test_a_faulty_suite_is_refused_with_what_is_wrong(
    text: str, message: str, tmp_path: Path
) -> None:
    rows = [{"text": "2", "meta": {"total": 5}, "kind": "fruit"}]
    with pytest.raises(UsageError, match=message):
        load_suite(user_suite(tmp_path, text, rows))


@pytest.mark.parametrize(("content", "message"), [
    ("{nope\n", "line 1: not JSON"), ('{"a": 1}\n[2]\n', "line 2: not an object")])
def test_a_broken_line_is_named(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(content)
    with pytest.raises(UsageError, match=message):
        list(read_rows(file))


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"PAR1 but not really")
    with pytest.raises(UsageError, match="cannot read"):
        list(read_rows(file))


def test_an_empty_folder_holds_no_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no data"):
        list(read_rows(tmp_path))


def test_sheets_are_a_suite_and_their_tiers_say_how_wide_they_are() -> None:
    suite = load_suite("sheet", Choice(limit=10))
    assert [s.group for s in suite.samples] == ["chain", "two", "four", "eight", "sixteen"] * 2
    for sample in suite.samples:
        read = puzzles.parse_sheet(sample.question)
        assert read is not None
        assert puzzles.sheet.is_held_out(read)
        assert puzzles.check(sample.question, str(read.answer))
        assert read.width == dict(zip(PUZZLES["sheet"], (1, 2, 4, 8, 16), strict=True))[
            sample.group or ""]


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no suite `countdwn`") as caught:
        load_suite("countdwn")
    assert "Did you mean `countdown`?" in caught.value.hint
    assert {name for name, _, _ in describe()} == {*PUZZLES, *DATASETS}


def test_the_hub_is_asked_for_the_files_and_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options))
        (tmp_path / "main").mkdir()
        write(tmp_path / "main" / "test-00000-of-00001.parquet", ROWS["gsm8k"])
        write(tmp_path / "main" / "train-00000-of-00001.parquet", [{"not": "this"}])
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert load_suite("gsm8k").samples[0].target == "1004"
    assert asked == [("openai/gsm8k", {"repo_type": "dataset", "revision": "main",
                                       "allow_patterns": ["main/test-*.parquet"]})]


def test_a_hub_out_of_reach_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def fail(repository: str, **options: Any) -> str:
        raise OSError("no route\nto host")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(UsageError, match="cannot fetch a/b from the hub: no route") as caught:
        fetch(Hub("a/b", ("*.parquet",)))
    assert "--data" in caught.value.hint
