"""Arms by name, what an evaluation will take, how it is going."""

from __future__ import annotations

import pytest

from plait.core import Budget, Request, Sampling
from plait.errors import UsageError
from plait.evals.arms import baseline, make_arms
from plait.evals.estimate import estimate, read_prices
from plait.evals.measures import Prices
from plait.evals.progress import Progress
from plait.evals.runner import Job
from plait.evals.values import Record
from tests.evals.help import ARMS, sums
from tests.evals.test_summary import forked, record

ASKED = Request("?", sampling=Sampling(max_tokens=100), budget=Budget(width=3))


def test_methods_become_arms() -> None:
    arms = make_arms("sequential, native:apr,native,explore", ASKED, "threadweaver")
    assert [(a.name, a.method, a.protocol) for a in arms] == [
        ("sequential", "sequential", None), ("native:apr", "native", "apr"),
        ("native", "native", "threadweaver"), ("explore", "explore", None)]
    assert all(a.sampling.max_tokens == 100 and a.budget.width == 3 for a in arms)
    assert make_arms("native:parathinker:8", ASKED)[0].protocol == "parathinker:8"


@pytest.mark.parametrize(("spec", "message"), [
    ("sequental", "no method `sequental`"), ("native:nothing", "no protocol `nothing`"),
    ("native,native", "named twice"), (" , ", "no method is named")])
def test_unknown_methods_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_arms(spec, ASKED)


def test_sequential_is_the_base_wherever_it_stands() -> None:
    assert baseline(["native", "sequential"]) == "sequential"
    assert baseline(["native", "explore"]) == "native"


def test_progress_tells_rate_time_left_accuracy_and_speedup() -> None:
    progress = Progress(40, ["sequential", "native"], ready=4)
    progress.add_earlier(record("sequential", 0))
    for i in range(1, 11):
        progress.add(record("sequential", i, right=i % 2 == 0), now=float(2 * i))
        progress.add(forked(i), now=float(2 * i + 1))
    assert progress.rate == pytest.approx(1.0)
    assert progress.left == pytest.approx(16.0)
    assert progress.line() == ("24 of 40 · 1.0/s · 16 s left · sequential 55% · native 100%"
                               " 2.00× time 2.50× tokens")
    progress.total = 24
    assert progress.line().startswith("24 of 24 · 1.0/s · sequential"), "nothing is left"
    progress.add(Record("p", "native", 0, "error"), now=22.0)
    assert progress.line().endswith("1 failed")


def test_progress_says_nothing_that_it_does_not_know() -> None:
    progress = Progress(10, ["sequential", "native"])
    assert (progress.rate, progress.left) == (None, None)
    assert progress.line() == "0 of 10 · sequential · native"
    progress.add(forked(1, cached=True, mark="ungraded"), now=1.0)
    assert progress.line() == "1 of 10 · sequential · native"


def test_estimates_come_from_records_or_from_limits() -> None:
    job = Job(sums(100), ARMS, prices=Prices(1.0, 2.0))
    known = [record("sequential", i, prompt_tokens=10, total_tokens=50) for i in range(5)]
    measured, unknown = estimate(job, list(job.tasks())[10:], known)
    assert (measured.tasks, measured.prompt_tokens, measured.generated_tokens) == (95, 950, 4750)
    assert measured.seconds == pytest.approx(95.0)
    assert measured.cost == pytest.approx((950 + 2 * 4750) / 1e6)
    assert not measured.ceiling
    assert (unknown.generated_tokens, unknown.seconds, unknown.cost) == (None, None, None)
    limited = Job(sums(100), make_arms("sequential,explore", ASKED))
    capped, free = estimate(limited, limited.tasks(), [])
    assert (capped.generated_tokens, capped.ceiling) == (10_000, True)
    assert free.generated_tokens is None


def test_prices_are_read() -> None:
    assert read_prices("0.5,1.5") == Prices(0.5, 1.5)
    assert read_prices("1,2,0.1").of(1_000_000, 400_000, 500_000) == pytest.approx(0.6 + 0.04 + 1)
    assert Prices(1, 2).of(1_000_000, 400_000, 0) == pytest.approx(1.0)
    for text in ("1", "a,b", "1,-2", "1,2,3,4"):
        with pytest.raises(ValueError, match=r".*"):
            read_prices(text)
