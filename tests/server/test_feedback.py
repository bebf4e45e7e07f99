"""Feedback: what is taken, what is refused in one line, and what becomes of it in an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from plait.errors import UsageError
from plait.evals.user_suite import load_user_suite
from plait.server.feedback import LONGEST, Feedback, read_feedback
from plait.server.store import Limits, Store, StoreSettings
from plait.tune.bench import Taken
from plait.tune.goal import Goal, weights_of
from tests.cli.conftest import Shell, shell  # noqa: F401 - a fixture
from tests.server.watched import about, play

KEEP = StoreSettings(limits=Limits(days=None))


def test_everything_that_can_be_said_is_taken() -> None:
    body = {"run": "r1", "rating": -0.5, "label": "wrong", "comment": "No.", "answer": "41",
            "coherent": False}
    assert read_feedback(body, at=5.0, key="alice") == Feedback(
        "r1", -0.5, "wrong", "No.", "41", False, 5.0, "alice")
    assert read_feedback({"run": "r1", "rating": 1, "label": None}, at=0.0).rating == 1
    assert read_feedback({"run": "r1", "coherent": True}, at=0.0).coherent is True


@pytest.mark.parametrize(("body", "says"), [
    ([1], "feedback must be a JSON object"),
    ({"run": "r", "stars": 5}, "feedback has no `stars`"),
    ({"rating": 1}, "feedback must name its `run`"),
    ({"run": 7, "rating": 1}, "feedback must name its `run`"),
    ({"run": "r"}, "the feedback says nothing about the run"),
    ({"run": "r", "rating": None}, "the feedback says nothing about the run"),
    ({"run": "r", "rating": 5}, "`rating` is 5 but must be a number from -1 to 1"),
    ({"run": "r", "rating": True}, "`rating` is True"),
    ({"run": "r", "rating": float("nan")}, "`rating` is nan"),
    ({"run": "r", "rating": "good"}, "`rating` is 'good'"),
    ({"run": "r", "comment": 5}, "`comment` is 5 but must be text"),
    ({"run": "r", "answer": "x" * (LONGEST + 1)}, "`answer` has 20,001 characters"),
    ({"run": "r", "label": "x" * 65}, "`label` has 65 characters but may have 64"),
    ({"run": "r", "coherent": 1}, "`coherent` is 1 but must be true or false")])
def test_what_is_wrong_is_said_in_one_line(body: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_feedback(body, at=0.0)
    assert says in caught.value.line
    assert "\n" not in caught.value.line


def fill(path: Path) -> None:
    """A store with feedback of every kind."""

    async def main() -> None:
        async with Store(path, KEEP) as store:
            for run, question, answer, turns in (
                    ("a", "2+2?", "5", 1), ("b", "2+2?", "4", 1), ("c", "2+2?", "22", 1),
                    ("d", "3+3?", "6", 1), ("e", "Essay?", "word " * 90, 1), ("f", "4+4?", "8", 1),
                    ("g", "And then?", "9", 3)):
                play([store], about(run, question=question, turns=turns), answer=answer)
            play([store], about("h", question="5+5?", texts=False))
            for said in (
                    Feedback("a", -1.0, answer="5.0"), Feedback("b", 1.0),
                    Feedback("c", answer="4", label="sums", coherent=False),
                    Feedback("d", 1.0), Feedback("e", 1.0), Feedback("f", -1.0, comment="No."),
                    Feedback("g", answer="10"), Feedback("h", answer="10")):
                await store.add_feedback(said)
            assert (await store.run("f")).rating == -1.0
            assert [f.comment for f in await store.feedback("f")] == ["No."]
            with pytest.raises(UsageError, match="there is no run `nobody`"):
                await store.add_feedback(Feedback("nobody", 1.0))

    anyio.run(main)


def test_right_answers_become_a_suite_that_evaluations_read(
    tmp_path: Path, shell: Shell,  # noqa: F811
) -> None:
    fill(tmp_path / "runs.sqlite")
    status, out, err = shell("feedback", "export", "runs.sqlite", "--out", "suite", "--json")
    assert status == 0
    assert orjson.loads(out) == {"suite": "suite/feedback.toml", "problems": 2, "left_out": {
        "another answer was said to be right later": 1, "nobody said what is right": 1,
        "the answer that was liked is too long to be compared": 1,
        "the question needs the conversation before it": 1, "the run's texts were not kept": 1}}
    assert "wrote 2 problems: plait eval suite/feedback.toml" in err
    suite = load_user_suite(tmp_path / "suite" / "feedback.toml")
    assert {(s.question, s.target, s.weight, s.group) for s in suite.samples} == {
        ("2+2?", "4", 2.0, "sums"), ("3+3?", "6", 1.0, "")}
    row = orjson.loads((tmp_path / "suite" / "feedback.jsonl").read_bytes().splitlines()[0])
    assert (row["coherent"], row["given"], row["method"]) == (False, "22", "sequential")
    status, out, _ = shell("eval", "suite/feedback.toml", "--methods", "sequential", "--dry-run")
    assert status == 0
    assert "2" in out


@pytest.mark.parametrize(("arguments", "status", "says"), [
    (("none.sqlite", "--out", "x"), 2, "there is no store none.sqlite"),
    (("text.txt", "--out", "x"), 2, "text.txt is no store of plait"),
    (("empty.sqlite", "--out", "x", "--grader", "code"), 2, "the grader `code` compares no"),
    (("empty.sqlite", "--out", "x"), 1, "no feedback in empty.sqlite says what is right")])
def test_an_export_that_cannot_be_made_says_why(
    tmp_path: Path, shell: Shell, arguments: tuple[str, ...],  # noqa: F811
    status: int, says: str,
) -> None:
    (tmp_path / "text.txt").write_text("no store")

    async def make() -> None:
        async with Store(tmp_path / "empty.sqlite"):
            pass

    anyio.run(make)
    ended, _, err = shell("feedback", "export", *arguments)
    assert ended == status
    assert says in err
    assert "Traceback" not in err


def test_a_search_weighs_problems_as_often_as_they_were_asked(tmp_path: Path) -> None:
    rows = [{"q": "a", "a": "1", "w": 3}, {"q": "b", "a": "2", "w": 1}]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "suite.toml").write_text(
        'path = "rows.jsonl"\ngrader = "exact"\n[fields]\nquestion = "q"\nanswer = "a"\n'
        'id = "q"\nweight = "w"\n')
    suite = load_user_suite(tmp_path / "suite.toml")
    goal = Goal(0.0, 0.0, weights_of(suite.samples))
    taken = [Taken("a", True, 1.0, 10, 10, "m"), Taken("b", False, 1.0, 10, 10, "m")]
    scores = goal.scores(taken, taken)
    assert sum(scores) / 2 == pytest.approx(3 / 4)
    assert Goal(0.0).scores(taken, taken) == [1.0, 0.0]
    assert "weighted by problem" in goal.words()
    (tmp_path / "rows.jsonl").write_bytes(orjson.dumps({"q": "a", "a": "1", "w": -1}))
    with pytest.raises(UsageError, match=r"rows.jsonl, row 1: `weight` is '-1'"):
        load_user_suite(tmp_path / "suite.toml")
