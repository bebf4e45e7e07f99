"""From a question to the merged answer: streaming start, needs, waves, splits, stragglers."""

import pytest

from plait.context import report_contexts
from plait.core import Budget
from plait.core.events import Ended, Rewrote, Started, Wrote
from plait.errors import EngineUnreachable, UsageError
from plait.methods import PlanOptions
from plait.testing import Play
from tests.methods.plan.model import QUESTION, Model, item, plan, show

SIX = [item(n) for n in ("walls", "roof", "doors", "paint", "heating", "garden")]
SLOW_PLAN = Play(plan(*SIX), every=0.02)


def test_parts_are_done_side_by_side_and_merged() -> None:
    shown = show(Model([plan(*SIX)]))
    assert (shown.result.answer, shown.result.fallback) == ("the merged answer", None)
    assert shown.result.finish == "answered"
    assert len(shown.started("worker")) == 6
    assert shown.result.max_parallel == 6
    (merge,) = shown.model.prompts("was worked on in parts")
    for name in ("walls", "garden"):
        assert f"> {name} is ready" in merge
    assert shown.result.warnings == ()


def test_subtasks_start_while_the_plan_still_streams() -> None:
    shown = show(Model([SLOW_PLAN]))
    events = [(type(e), e.thread) for e in shown.trace.events if isinstance(e, Wrote | Started)]
    first = events.index((Started, "0.0.0"))
    assert (Wrote, "0.0") in events[first:]
    assert (Wrote, "0.0.0") in events[: events.index((Started, "0.0.5"))]
    at = [e.at for e in shown.started("worker")]
    assert at == sorted(at)
    assert 0 < at[0] < at[-1]


def test_every_prompt_begins_with_the_question_so_that_its_prefix_is_shared() -> None:
    shown = show(Model([plan(*SIX)]))
    directed = [p for p in shown.model.asked if "---" in p]
    assert len(directed) == 8
    assert all(p.startswith(f"user: {QUESTION}\n\n---\n") for p in directed)


def test_a_part_gets_the_results_it_needs_and_no_others() -> None:
    shown = show(Model([plan(item("walls"), item("roof", "walls"), item("garden"))]))
    (roof,) = shown.model.prompts("Work out roof.")
    assert "> walls is ready" in roof
    assert "garden" not in roof
    (start,) = [e for e in shown.started("worker") if e.label == "roof"]
    assert start.after == ("0.0.0",)


def test_a_plan_that_names_a_later_part_is_repaired() -> None:
    shown = show(Model([plan(item("roof", "walls"), item("garden"), item("walls"))]))
    (roof,) = [e for e in shown.started("worker") if e.label == "roof"]
    assert roof.after == ("0.0.1",)
    assert [e.label for e in shown.started("worker")] == ["garden", "walls", "roof"]
    assert "> walls is ready" in shown.model.prompts("Work out roof.")[0]
    assert (shown.result.fallback, shown.result.warnings) == (None, ())


def test_an_undeclared_reference_makes_a_part_wait() -> None:
    roofing = item("roof", task="Take the result of walls, add 2.")
    shown = show(Model([plan(item("walls"), roofing)]))
    (roof,) = shown.model.prompts("nothing of the others:\nTake")
    assert "> walls is ready" in roof
    assert shown.noted("`roof` speaks of `walls`")


def test_what_has_started_and_depends_on_a_later_one_is_cancelled_and_requeued() -> None:
    first = item("roof", task="Work out how W1 bears the roof.")
    later = item("walls", task="Find the strength of the walls; call it W1.")
    shown = show(Model([Play(plan(first, item("garden"), later), every=0.02)],
                       {"how W1 bears the roof": Play("it does", every=0.5)}))
    assert shown.ended("roof") == ["cancelled", "done"]
    again = [e for e in shown.started("worker") if e.label == "roof"][1]
    assert again.after == ("0.0.2",)
    assert shown.result.answer == "the merged answer"


def test_a_thread_that_lacks_something_moves_to_a_later_wave() -> None:
    def roof(prompt: str) -> str:
        return "it fits" if "> walls is ready" in prompt else "LACKS: the result of walls"

    shown = show(Model([plan(item("roof"), item("walls"), item("garden"))], {"roof": roof}))
    assert shown.ended("roof") == ["malformed", "done"]
    again = [e for e in shown.started("worker") if e.label == "roof"][1]
    assert again.after == ("0.0.1",)
    assert shown.result.fallback is None


def test_a_thread_that_lacks_something_unnamed_waits_for_all_others() -> None:
    def roof(prompt: str) -> str:
        return "it fits" if "End of the quotations" in prompt else "LACKS: too much"

    shown = show(Model([plan(item("roof"), item("walls"), item("garden"))], {"roof": roof}))
    again = [e for e in shown.started("worker") if e.label == "roof"][1]
    assert set(again.after) == {"0.0.1", "0.0.2"}


def test_a_thread_that_lacks_something_for_ever_fails_and_the_answer_survives() -> None:
    shown = show(Model([plan(*SIX)], {"roof": "LACKS: courage"}))
    assert shown.result.answer == "the merged answer"
    assert shown.noted("part `roof` failed: it lacks courage")
    assert "The part `roof` is missing" in shown.model.prompts("was worked on in parts")[0]


def test_a_model_may_find_dependences_that_the_plan_hides() -> None:
    shown = show(Model([plan(*SIX)], {"roof": Play("done", every=2.0)},
                       other={"does not say so?": "roof needs walls\nwalls needs ghost"}),
                 PlanOptions(check=True))
    assert shown.ended("roof") == ["cancelled", "done"]
    assert shown.noted("`roof` depends on `walls`")


def test_trifles_are_gathered_and_a_plan_of_one_part_is_answered_in_one_thread() -> None:
    shown = show(Model([plan(*(item(n, tokens=12) for n in "abcd"))]))
    assert shown.result.answer == "the sequential answer"
    assert shown.result.fallback is None
    assert not shown.started("worker")
    assert shown.noted("one thread: the planner would not split it: the plan has one part")


def test_small_subtasks_share_a_thread() -> None:
    shown = show(Model([plan(*(item(n, tokens=30) for n in "abcd"))]))
    assert [e.label for e in shown.started("worker")] == ["a+b", "c+d"]


def test_a_planner_that_would_not_split_leaves_one_thread() -> None:
    shown = show(Model(['{"split": false, "why": "it is short", "subtasks": []}']))
    assert (shown.result.answer, shown.result.fallback) == ("the sequential answer", None)
    assert shown.noted("one thread: the planner would not split it: it is short")


def test_a_chain_saves_nothing_and_is_not_split_where_gain_is_asked_for() -> None:
    chain = plan(item("a"), item("b", "a"), item("c", "b"))
    assert show(Model([chain]), gain=True).result.answer == "the sequential answer"
    assert show(Model([chain])).result.answer == "the merged answer"
    assert show(Model([plan(*(item(n, tokens=900) for n in "abcd"))]), gain=True
                ).result.answer == "the merged answer"


def test_a_part_that_is_too_large_is_planned_itself() -> None:
    inner = plan(item("left"), item("right"))
    shown = show(Model([plan(item("walls", tokens=900), item("roof")), inner],
                       merge=lambda p: "walls merged" if "left is ready" in p else "all"),
                 PlanOptions(split_above=500))
    assert shown.result.answer == "all"
    assert [e.thread for e in shown.started("planner")] == ["0.0", "0.0.0"]
    assert [e.label for e in shown.started("worker") if e.parent == "0.0.0"] == ["left", "right"]
    assert "> walls merged" in shown.model.prompts("roof is ready")[-1]


def test_splitting_ends_at_its_depth() -> None:
    huge = plan(item("a", tokens=900), item("b", tokens=900))
    shown = show(Model([huge]), PlanOptions(split_above=500, levels=1))
    assert len(shown.started("planner")) == 3
    assert {e.thread.count(".") for e in shown.started("worker")} == {3}
    assert show(Model([huge]), PlanOptions(split_above=500, levels=0)).result.depth == 2


def test_a_part_that_says_it_is_too_large_is_planned_itself() -> None:
    inner = plan(item("left"), item("right"))
    shown = show(Model([plan(item("walls"), item("roof")), inner], {"walls": "TOO LARGE"}))
    assert len(shown.started("planner")) == 2
    assert shown.result.answer == "the merged answer"


def test_a_part_whose_planner_would_not_split_is_done_in_one_thread() -> None:
    no = '{"split": false, "why": "no", "subtasks": []}'
    shown = show(Model([plan(item("walls", tokens=900), item("roof")), no]),
                 PlanOptions(split_above=500))
    assert shown.ended("walls") == ["malformed", "done"]
    assert shown.result.fallback is None


SLOW = {"garden": lambda prompt: Play("the garden is ready", every=5.0)}


def test_a_straggler_is_hedged_and_the_faster_thread_counts() -> None:
    calls: list[str] = []

    def garden(prompt: str) -> Play:
        calls.append(prompt)
        return Play("the garden is ready", every=5.0 if len(calls) == 1 else 0.01)

    shown = show(Model([plan(*SIX)], {"garden": garden}))
    assert shown.ended("garden") == ["cancelled", "done"]
    assert shown.noted("a second thread for `garden`")
    assert shown.result.wall_seconds < 5
    assert shown.engine.calls.left == 1


def test_a_straggler_whose_hedge_is_slow_as_well_is_given_up() -> None:
    shown = show(Model([plan(*SIX)], SLOW))
    assert shown.ended("garden") == ["cancelled", "cancelled"]
    assert shown.result.wall_seconds < 8
    assert shown.noted("part `garden` failed: it took longer than 2 times the 75% of its siblings")


def test_a_straggler_is_cut_where_that_is_wanted_and_left_alone_where_not() -> None:
    cut = show(Model([plan(*SIX)], SLOW), PlanOptions(straggler="cut"))
    assert cut.ended("garden") == ["cancelled"]
    assert cut.engine.calls.left == 1
    assert cut.result.wall_seconds < 8
    off = show(Model([plan(*SIX)], SLOW), PlanOptions(straggler="off"))
    assert off.ended("garden") == ["done"]
    assert off.result.wall_seconds > 15


def test_a_worker_that_outgrows_its_window_resets() -> None:
    def long(prompt: str) -> str:
        if prompt.rstrip().endswith("State:"):
            return "half is known"
        return "the rest" if "half is known" in prompt else "word " * 600

    shown = show(Model([plan(*SIX)], {"roof": long}), PlanOptions(window=700))
    resets = {e.thread for e in shown.of(Rewrote) if e.reset}
    assert resets == {"0.0.1"}
    assert "> the rest" in shown.model.prompts("was worked on in parts")[0]
    assert report_contexts(shown.trace.events).peak <= 700


def test_a_planner_that_outgrows_its_window_goes_on_from_the_plan_so_far() -> None:
    twenty = [item(f"part{i}", task=f"Work out part{i} of the house, " + "with care " * 20)
              for i in range(20)]

    def planner(prompt: str) -> str:
        known = [i for i in range(20) if f"> part{i} (needs" in prompt]
        return plan(*twenty[(known[-1] + 1 if known else 0):])

    model = Model([""], other={"Plan how several people": planner})
    shown = show(model, PlanOptions(window=1600, most=32))
    assert {e.thread for e in shown.of(Rewrote) if e.reset} == {"0.0"}
    assert [e.label for e in shown.started("worker")] == [f"part{i}" for i in range(20)]
    assert shown.result.wasted_tokens == 0


def test_a_planner_that_thinks_too_long_writes_its_state_down() -> None:
    def planner(prompt: str) -> str:
        if prompt.rstrip().endswith("State:"):
            return "six parts"
        return "that is it</think>" + plan(*SIX) if "six parts" in prompt else (
            "<think>" + "hm " * 3000)

    shown = show(Model([""], other={"Plan how several people": planner}),
                 PlanOptions(window=1200))
    assert len(shown.started("worker")) == 6
    assert shown.result.answer == "the merged answer"


def test_a_merge_that_does_not_fit_goes_on_in_clean_contexts() -> None:
    parts = {name: f"{name} " * 400 for name in ("walls", "roof", "doors", "paint")}
    shown = show(Model([plan(*(item(n) for n in parts))], parts), PlanOptions(window=1000))
    mergers = shown.started("merger")
    assert len(mergers) > 1
    assert mergers[-1].thread in [e.thread for e in shown.of(Ended) if e.status == "done"]
    assert "the parts so far" in shown.model.prompts("was worked on in parts")[-1]
    assert shown.noted("clean contexts, one after the other")
    assert report_contexts(shown.trace.events).peak <= 1000


def test_an_answer_that_outgrows_the_mergers_window_is_kept_whole() -> None:
    def merge(prompt: str) -> str:
        if prompt.rstrip().endswith("State:"):
            return "the list goes on"
        said = [int(w) for w in prompt.rpartition("Answer: ...")[2].split() if w.isdecimal()]
        return "".join(f" {n}" for n in range((said[-1] if said else 0) + 1, 801))

    shown = show(Model([plan(item("walls"), item("roof"))], merge=merge,
                       other={"State:": merge}), PlanOptions(window=900))
    assert shown.result.answer is not None
    assert [int(w) for w in shown.result.answer.split()] == list(range(1, 801))
    assert {e.thread for e in shown.of(Rewrote) if e.reset} == {"0.0.2"}


def test_a_question_that_is_too_long_is_read_in_stretches() -> None:
    chapters = "\n".join(f"Chapter {i}: {name} {'and so on ' * 60}" for i, name in enumerate(
        ["walls", "roofs", "gardens", "cellars", "stairs", "towers", "kitchens", "windows"]))
    model = Model([plan(item("g", task="Work out the gardens."), item("c"))],
                  other={"is read in stretches": "notes on all"})
    shown = show(model, PlanOptions(window=1000), question=chapters)
    reads = [e.label for e in shown.started("planner") if e.label.startswith("read")]
    assert len(reads) >= 4
    (planned,) = model.prompts("Plan how several people")
    assert "notes on all" in planned
    assert "and so on" not in planned
    (gardens,) = model.prompts("nothing of the others:\nWork out the gardens.")
    assert "Chapter 2: gardens" in gardens
    assert "Chapter 3: cellars" not in gardens
    assert report_contexts(shown.trace.events).peak <= 1000


def test_a_part_that_the_engine_fails_is_tried_again_alone() -> None:
    failed: list[str] = []

    def roof(prompt: str) -> Play:
        failed.append(prompt)
        broken = EngineUnreachable("gone") if len(failed) == 1 else None
        return Play("a roof", error=broken)

    shown = show(Model([plan(*SIX)], {"roof": roof}))
    assert len(failed) == 2
    assert shown.result.answer == "the merged answer"
    assert shown.engine.calls.started == 9


def test_tokens_of_a_directed_run_add_up() -> None:
    shown = show(Model([SLOW_PLAN]))
    written = sum(e.tokens for e in shown.of(Wrote))
    assert shown.result.total_tokens == written
    assert shown.result.critical_path_tokens < written
    merge_after = next(e for e in shown.started("merger"))
    assert set(merge_after.after) == {f"0.0.{i}" for i in range(6)}


def test_width_bounds_the_parts_at_work() -> None:
    shown = show(Model([plan(*SIX)]), budget=Budget(width=2))
    assert shown.engine.calls.most <= 3
    assert shown.result.answer == "the merged answer"


@pytest.mark.parametrize(("options", "says"), [
    ({"least": 0}, "`least` of a plan is 0 but must be at least 1"),
    ({"percentile": 1.5}, "above 0 and at most 1"), ({"straggler": "shoot"}, "hedge, cut or off"),
])
def test_options_out_of_range_are_usage_errors(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        PlanOptions(**options)  # type: ignore[arg-type]


def test_options_are_read_from_a_line() -> None:
    assert PlanOptions.parse("") == PlanOptions()
    assert PlanOptions.parse("judge, check=off,straggler = cut,percentile=0.9,split_above=500",
                             2048) == PlanOptions(judge=True, straggler="cut", percentile=0.9,
                                                  split_above=500, window=2048)


@pytest.mark.parametrize(("text", "says"), [
    ("jugde", "`jugde` is no option of a plan"), ("judge=maybe", "must be on or off"),
    ("window=9", "`window` is no option of a plan"), ("most=few", "must be a whole number"),
    ("factor=", "must be a number"), ("straggler=shoot", "hedge, cut or off"),
])
def test_a_line_of_options_that_makes_no_sense_is_a_usage_error(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        PlanOptions.parse(text)
