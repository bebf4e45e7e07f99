"""Live experiments: the right people get the right policy, what is counted is counted once and in
order, and looking early does not make differences out of nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import orjson
import pytest

from plait.errors import UsageError
from plait.policy import PolicyFile
from plait.server.experiments import (
    Experiments,
    ExperimentSettings,
    lines,
    read_experiments,
    recall,
    report,
)
from plait.server.experiments.counting import Counting, Seen
from plait.server.experiments.live import HOUR, draw
from plait.server.experiments.settings import Arm
from plait.server.feedback import Feedback
from plait.server.store import Limits, Store, StoreSettings
from plait.server.watch import RunInfo, watching
from tests.server.watched import about, play

SPLIT = ExperimentSettings("e", "fixed", share=0.5)
SHADOW = ExperimentSettings("s", "fixed", a="sequential", share=1.0, mode="shadow", at_once=2,
                            per_hour=3)


def run(
    experiments: Experiments, name: str, seconds: float = 1.0, *, answer: str | None = "42",
    model: str = "script", **who: str,
) -> RunInfo:
    """A request that leaves the choice, assigned and played."""
    assigned = experiments.assign(run=name, model=model, **who)
    assert assigned is not None
    info = about(name, model=model, experiment=assigned.experiment, arm=assigned.arm, **who)
    play([experiments], info, answer=answer, seconds=seconds)
    return info


def shadow(experiments: Experiments, info: RunInfo, seconds: float, answer: str = "42") -> bool:
    """Repeat ``info`` in the shadow, if it is to be."""
    taken = experiments.take_shadow(info)
    if taken is None:
        return False
    assert (taken.experiment, taken.arm, taken.policy) == ("s", "B", "fixed")
    again = replace(info, run=f"{info.run}-b", arm="B", shadow_of=info.run)
    play([experiments], again, answer=answer, seconds=seconds)
    return True


def the(experiments: Experiments) -> dict[str, Any]:
    (found,) = report(experiments)
    orjson.dumps(found)
    return found


# --- who gets what -----------------------------------------------------------------------------


def test_a_user_stays_with_one_policy_everywhere_and_shares_are_kept() -> None:
    settings = replace(SPLIT, share=0.2)
    one, other = Experiments([settings]), Experiments([settings])

    def arm(experiments: Experiments, run: str, user: str) -> str:
        assigned = experiments.assign(run=run, model="m", user=user)
        assert assigned is not None
        assert assigned.policy == ("fixed" if assigned.arm == "B" else None)
        return assigned.arm

    arms = [arm(one, f"r{i}", f"user-{i}") for i in range(2000)]
    assert 0.17 < arms.count("B") / 2000 < 0.23
    assert arms == [arm(other, f"again-{i}", f"user-{i}") for i in range(2000)]
    elsewhere = Experiments([replace(settings, name="other")])
    assert arms != [arm(elsewhere, f"r{i}", f"user-{i}") for i in range(2000)]


@pytest.mark.parametrize("by", ["user", "session", "key", "request"])
def test_what_stays_together_is_a_setting(by: Any) -> None:
    experiments = Experiments([replace(SPLIT, by=by)])

    def arms(**who: str) -> set[str]:
        found = [experiments.assign(run=f"r{i}", model="m", **who) for i in range(40)]
        return {a.arm for a in found if a is not None}

    assert len(arms(**({} if by == "request" else {by: "same"}))) == (2 if by == "request" else 1)
    assert len(arms()) == 2


def test_models_choose_the_experiment_and_the_first_that_fits_is_taken() -> None:
    experiments = Experiments([replace(SPLIT, name="x", models=("m1",)),
                               replace(SPLIT, name="y", models=("m1", "m2"))])
    named = [experiments.assign(run="r", model=m) for m in ("m1", "m2", "m3")]
    assert [n and n.experiment for n in named] == ["x", "y", None]


def test_draws_are_even() -> None:
    draws = sorted(draw("e", str(i)) for i in range(4000))
    assert all(abs(d - i / 4000) < 0.03 for i, d in enumerate(draws))


# --- split -------------------------------------------------------------------------------------


def test_a_faster_policy_is_found_and_said() -> None:
    experiments = Experiments([SPLIT])
    random = Random(1)
    for i in range(400):
        assigned = experiments.assign(run=f"r{i}", model="script", user=f"u{i}")
        assert assigned is not None
        faster = 2.0 if assigned.arm == "B" else 10.0
        run(experiments, f"r{i}", faster * random.uniform(0.8, 1.2), user=f"u{i}")
    found = the(experiments)
    assert (found["better"], found["counted"]) == ("B", 400)
    assert found["low"] < 10 / 12 - 10 / 20 < found["high"]
    assert found["low"] > 0
    assert found["p"] < 0.05
    assert found["arms"]["B"]["seconds"]["high"] < found["arms"]["A"]["seconds"]["low"]
    text = "\n".join(lines(experiments))
    assert "e (split): B is better, after 400 units" in text
    assert "valid whenever one looks" in text


def test_looking_after_every_run_claims_a_difference_in_few_experiments_without_one() -> None:
    random, claimed = Random(7), 0
    for trial in range(60):
        counting = Counting(replace(SPLIT, name=f"e{trial}", share=0.3))
        for i in range(100):
            arm: Arm = "B" if draw(f"e{trial}", f"u{i}") < 0.3 else "A"
            counting.end(counting.begin(arm), Seen(True, random.lognormvariate(1, 1), 10))
            if counting.bets.decided:
                claimed += 1
                break
    assert claimed <= 4


def test_a_user_counts_once_with_the_first_run() -> None:
    experiments = Experiments([SPLIT])
    for i in range(5):
        run(experiments, f"r{i}", user="same")
    run(experiments, "r5", user="other")
    assert the(experiments)["counted"] == 2


def test_runs_count_in_the_order_in_which_they_began() -> None:
    experiments = Experiments([SPLIT])
    first = experiments.assign(run="slow", model="script", user="u")
    assert first is not None
    with watching([experiments], about("slow", experiment="e", arm=first.arm, user="u")):
        for i in range(3):
            run(experiments, f"r{i}", user=f"u{i}")
        assert the(experiments)["counted"] == 0
    assert the(experiments)["counted"] == 4


def test_a_run_without_an_answer_is_worth_nothing_however_fast() -> None:
    experiments = Experiments([SPLIT])
    for i in range(300):
        assigned = experiments.assign(run=f"r{i}", model="script", user=f"u{i}")
        assert assigned is not None
        broken = assigned.arm == "B"
        run(experiments, f"r{i}", 0.01 if broken else 5.0, user=f"u{i}",
            answer=None if broken else "42")
    found = the(experiments)
    assert found["better"] == "A"
    assert found["arms"]["B"]["answered"]["estimate"] == 0


def test_ratings_count_once_a_user(tmp_path: Path) -> None:
    experiments = Experiments([replace(SPLIT, metric="rating")])

    async def rate(path: Path) -> None:
        async with Store(path, StoreSettings(limits=Limits(days=None))) as store:
            for i in range(60):
                assigned = experiments.assign(run=f"r{i}", model="script", user=f"u{i % 50}")
                assert assigned is not None
                info = about(f"r{i}", experiment="e", arm=assigned.arm, user=f"u{i % 50}")
                play([store, experiments], info)
                said = Feedback(f"r{i}", 1.0 if assigned.arm == "B" else -1.0)
                experiments.rated(said, await store.run(f"r{i}"))

    anyio.run(rate, tmp_path / "runs.sqlite")
    found = the(experiments)
    assert found["counted"] == 50
    assert found["better"] == "B"


def test_what_is_full_counts_no_more_but_keeps_its_promise() -> None:
    experiments = Experiments([replace(SPLIT, most=10)])
    infos = [run(experiments, f"r{i}", user=f"u{i}") for i in range(30)]
    assert the(experiments)["counted"] == 10
    assert {info.arm for info in infos[10:]} == {"A", "B"}


# --- shadow ------------------------------------------------------------------------------------


def test_a_shadow_is_measured_on_the_same_question() -> None:
    experiments = Experiments([replace(SHADOW, per_hour=1000)])
    random = Random(3)
    for i in range(80):
        info = run(experiments, f"r{i}", 4.0 * random.uniform(0.5, 2))
        assert info.arm == "A"
        assert shadow(experiments, info, 1.0, "42" if i % 4 else "41")
    found = the(experiments)
    assert (found["better"], found["counted"], found["mode"]) == ("B", 80, "shadow")
    assert found["same_answers"]["estimate"] == pytest.approx(0.75)
    assert found["arms"]["A"]["runs"] == found["arms"]["B"]["runs"] == 80
    assert "the same answer in 75 %" in "\n".join(lines(experiments)).replace("%", " %")


def test_shadows_stay_within_their_limits() -> None:
    now, idle = [0.0], [True]
    experiments = Experiments([SHADOW], idle=lambda: idle[0], now=lambda: now[0])
    infos = [run(experiments, f"r{i}") for i in range(9)]
    assert [experiments.take_shadow(i) is not None for i in infos[:3]] == [True, True, False]
    for info in infos[:2]:
        again = replace(info, run=f"{info.run}-b", arm="B", shadow_of=info.run)
        play([experiments], again)
    assert the(experiments)["counted"] == 2
    idle[0] = False
    assert experiments.take_shadow(infos[3]) is None
    idle[0] = True
    assert [shadow(experiments, i, 1.0) for i in infos[4:6]] == [True, False]
    now[0] += HOUR
    assert shadow(experiments, infos[6], 1.0)
    assert experiments.take_shadow(infos[6]) is None
    assert the(experiments)["skipped"] == 3
    assert "3 runs were not repeated, for lack of room" in "\n".join(lines(experiments))


def test_a_client_that_left_and_a_gateway_that_stops_make_no_pairs() -> None:
    experiments = Experiments([SHADOW])

    async def leave(info: RunInfo) -> None:
        with anyio.move_on_after(0), watching([experiments], info):
            await anyio.sleep(1)

    left = about("left", experiment="s", arm="A")
    anyio.run(leave, left)
    assert experiments.take_shadow(left) is None
    info = run(experiments, "r")
    assert experiments.take_shadow(info) is not None
    anyio.run(leave, replace(info, run="r-b", arm="B", shadow_of="r"))
    assert the(experiments)["counted"] == 0


def test_shadows_are_a_share_of_the_runs() -> None:
    experiments = Experiments([replace(SHADOW, share=0.25, per_hour=10_000)])
    taken = [shadow(experiments, run(experiments, f"r{i}"), 1.0) for i in range(400)]
    assert 0.18 < sum(taken) / 400 < 0.32


# --- after a restart ---------------------------------------------------------------------------


@pytest.mark.parametrize("texts", ["keep", "redact"])
def test_a_restart_forgets_nothing(tmp_path: Path, texts: Any) -> None:
    settings = [replace(SPLIT, models=("script",)), replace(SHADOW, models=("other",))]
    keep = StoreSettings(texts=texts, limits=Limits(days=None))

    async def main() -> None:
        before = Experiments(settings)
        async with Store(tmp_path / "runs.sqlite", keep) as store:
            for i in range(20):
                for model in ("script", "other"):
                    assigned = before.assign(run=f"{model}{i}", model=model, user=f"u{i % 15}")
                    assert assigned is not None
                    info = about(f"{model}{i}", model=model, user=f"u{i % 15}",
                                 experiment=assigned.experiment, arm=assigned.arm)
                    play([store, before], info, seconds=1.0 + i)
                    if before.take_shadow(info):
                        play([store, before], replace(info, run=f"{model}{i}-b", arm="B",
                                                      shadow_of=info.run), seconds=2.0)
            await store.flush()
            after = Experiments(settings)
            await recall(after, store, ["e", "s"])
            for old, new in zip(report(before), report(after), strict=True):
                assert {**old, "skipped": 0, "same_answers": None} == {
                    **new, "same_answers": None}
            for experiments in (before, after):
                run(experiments, "later", user="u3")
            assert report(before)[0]["counted"] == report(after)[0]["counted"] == 15

    anyio.run(main)


# --- settings ----------------------------------------------------------------------------------


def test_settings_come_from_a_file_with_policies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(PolicyFile("explore", attempts=3).text())
    (tmp_path / "live.toml").write_text(
        '[[experiment]]\nname = "x"\nb = "b.toml"\nshare = 0.25\nby = "session"\n'
        'metric = "tokens"\nscale = 500\nmodels = ["m"]\n'
        '[[experiment]]\nname = "y"\na = "sequential"\nb = "threshold"\nmode = "shadow"\n')
    one, two = read_experiments(tmp_path / "live.toml")
    assert one == ExperimentSettings("x", PolicyFile("explore", attempts=3), share=0.25,
                                     by="session", metric="tokens", scale=500, models=("m",))
    assert (two.a, two.b, two.mode) == ("sequential", "threshold", "shadow")


@pytest.mark.parametrize(("text", "says"), [
    ("x = 1", "holds no list of experiments"), ("[[experiment]", "are not valid TOML"),
    ('[[experiment]]\nb = "fixed"', "an experiment lacks `name`"),
    ('[[experiment]]\nname = "x"', "an experiment lacks `b`"),
    ('[[experiment]]\nname = "x"\nb = "nope"', "there is no policy `nope`"),
    ('[[experiment]]\nname = "x"\nb = "nope.toml"', "cannot read the policy"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\nshares = 1', "has no `shares`"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\nshare = "1"', "`share` of an experiment cannot be"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\nshare = 1.0', "`share` is 1.0"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\nby = "moon"', "`by` is 'moon'"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\nmost = 0', "`most` is 0"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\nmode = "shadow"\nmetric = "rating"',
     "nobody rates, a shadow's answer"),
    ('[[experiment]]\nname = "x"\nb = "fixed"\n[[experiment]]\nname = "x"\nb = "fixed"',
     "two experiments of the name `x`")])
def test_settings_that_make_no_sense_are_one_clear_line(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "live.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_experiments(file)
    assert says in caught.value.line
