"""What people and programs get to see of an analysis, and what the command does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import pytest

from plait.analysis import Call, Options, Traffic, analyse, markdown, terminal_lines, to_dict
from plait.analysis.expect import fit_expected
from plait.cli.main import run
from plait.errors import UsageError
from plait.policy import read_policy
from tests.analysis.planted import Planted, log

PLAN = Planted(calls=60, lines=24)


def as_log(calls: list[Call]) -> bytes:
    return b"".join(orjson.dumps({
        "id": c.id, "task": c.task, "prompt": c.question, "completion": c.text,
        "usage": {"completion_tokens": c.tokens}, "seconds": c.seconds, "correct": c.correct,
    }) + b"\n" for c in calls)


def test_the_recommendation_goes_parallel_where_it_pays_and_says_why() -> None:
    found = analyse(Traffic(tuple(log(PLAN))), Options(protocols=("apr",))).recommendation
    assert (found.method, found.protocol, found.early_stop) == ("native", "apr", True)
    assert found.width == 4
    assert found.threshold is not None
    assert any("the model writes apr" in r for r in found.reasons)


def test_the_recommendation_stays_sequential_where_it_does_not_pay() -> None:
    flat = analyse(Traffic(tuple(log(replace(PLAN, share=0.0)))), Options(protocols=("apr",)))
    assert flat.recommendation.method == "sequential"
    assert "only 1.00 times faster" in flat.recommendation.reasons[0]


def test_without_a_method_that_can_split_the_recommendation_says_so() -> None:
    found = analyse(Traffic(tuple(log(PLAN)))).recommendation
    assert found.method == "sequential"
    assert "no method here splits the work" in found.reasons[1]
    directed = analyse(Traffic(tuple(log(PLAN))), Options(
        methods=("sequential", "plan", "explore"))).recommendation
    assert directed.method == "explore"  # the planted texts try cases one after the other


def test_expected_tokens_are_learned_from_questions() -> None:
    random = Random(3)
    pairs = []
    for _ in range(200):
        numbers = random.choice((3, 4, 5))
        question = "Make 10 from " + " ".join(str(random.randrange(50)) for _ in range(numbers))
        pairs.append((question, round(2.718281828 ** (1 + 1.1 * (numbers + 1)
                                                       + random.gauss(0, 0.2)))))
    expected = fit_expected(pairs)
    assert expected is not None
    ratio = expected.tokens("Make 10 from 1 2 3 4 5") / expected.tokens("Make 10 from 1 2 3 4")
    assert ratio == pytest.approx(2.718281828 ** 1.1, rel=0.1)
    assert fit_expected(pairs[:7]) is None


def test_the_report_names_every_finding_in_all_three_forms() -> None:
    found = analyse(Traffic(tuple(log(PLAN)), (("failed request", 2),)))
    text = "\n".join(line.plain for line in terminal_lines(found))
    for title in ("Recommended start", "Parallel share", "Tasks", "Tokens and latency",
                  "Accuracy against length", "Repeated exploration", "failed request (2)"):
        assert title in text
        assert title in markdown(found)
    data = orjson.loads(orjson.dumps(to_dict(found)))
    assert data["share"] == pytest.approx(found.share)
    assert data["skipped"] == {"failed request": 2}
    assert data["tasks"][0]["task"] == "planted"


def test_foreign_text_cannot_rewrite_the_terminal() -> None:
    call = replace(log(PLAN)[0], task="\x1b[2Jtask", text="\x1b]0;x\x07 12+13=25 and 12+13=25")
    text = "\n".join(line.plain for line in terminal_lines(analyse(Traffic((call,)))))
    assert "\x1b" not in text


def test_the_command_reads_a_log_and_writes_report_and_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_bytes(as_log(log(PLAN)))
    page, policy = tmp_path / "page.md", tmp_path / "policy.toml"
    status = run(["analyze", str(tmp_path / "log.jsonl"), "--protocol", "apr", "--json",
                  "--markdown", str(page), "--policy", str(policy)])
    out = capsys.readouterr()
    assert status == 0, out.err
    assert orjson.loads(out.out)["recommendation"]["width"] == 4
    assert page.read_text(encoding="utf-8").startswith("# Where parallel threads would help")
    assert (read_policy(policy).method, read_policy(policy).width) == ("native", 4)


@pytest.mark.parametrize(("arguments", "says"), [
    ([], "nothing to analyse"),
    (["nowhere.jsonl"], "cannot read nowhere.jsonl"),
    (["{log}", "--threads", "0"], "`threads` is 0"),
    (["{log}", "--slowdown", "0.5"], "`slowdown` is 0.5"),
    (["{log}", "--protocol", "nonsense"], "there is no protocol"),
    (["{log}", "--markdown", "no/such/folder.md"], "cannot write no/such/folder.md"),
    (["{empty}"], "there is no answer to analyse: empty answer (1)"),
])
def test_mistakes_end_in_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_bytes(as_log(log(replace(PLAN, calls=3))))
    (tmp_path / "empty.jsonl").write_bytes(b'{"prompt": "?", "completion": ""}\n')
    paths = {"{log}": str(tmp_path / "log.jsonl"), "{empty}": str(tmp_path / "empty.jsonl")}
    assert run(["analyze", *(paths.get(a, a) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_the_reckoning_refuses_nonsense() -> None:
    with pytest.raises(UsageError, match="no answer"):
        analyse(Traffic(()))
