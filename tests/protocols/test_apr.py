"""The APR machine: the published format exactly, and a defined outcome for everything else."""

from hypothesis import given
from hypothesis import strategies as st

from plait.core import Outcome
from plait.interfaces import Amend, End, Fork, Oddity, Wait
from plait.protocols.apr import APR, MOST, search_result
from tests.protocols.drive import PLACES, cuts, events_of

PROMPT = "Moving to Node #1\nCurrent State: 62:[5, 50, 79, 27], Operations: ['9-8=1']"
NODES = (
    "\nGenerated Node #1,0: 62:[5, 50, 52] Operation: 79-27=52\n"
    "Generated Node #1,1: 62:[79, 27, 10] Operation: 50/5=10\n"
)
CALLS = (
    "<Calling Sub Searches>\n"
    "<Start Sub Search 0 at level 1> Moving to Node #1,0\n"
    "<Start Sub Search 1 at level 1> Moving to Node #1,1\n"
    "<End Calling Sub Searches>"
)
GOAL = "79-27=52,5*2=10\n62,62 equal: Goal Reached"


def forks_of(text: str, prompt: str = PROMPT) -> list[str]:
    return [e.item for e in events_of(APR(prompt), [text]) if isinstance(e, Fork)]


def oddities_of(text: str) -> list[str]:
    return [e.what for e in events_of(APR(PROMPT), [text]) if isinstance(e, Oddity)]


def last_of(text: str, finish: str = "eos", level: int = 0) -> object:
    return events_of(APR(PROMPT, level), [text], finish)[-1]  # type: ignore[arg-type]


def test_a_call_forks_a_child_with_the_published_prompt() -> None:
    events = events_of(APR(PROMPT), [NODES + CALLS])
    forks = [e for e in events if isinstance(e, Fork)]
    assert [f.text for f in forks] == [
        "Moving to Node #1,0\nCurrent State: 62:[5, 50, 52], Operations: ['9-8=1', '79-27=52']",
        "Moving to Node #1,1\nCurrent State: 62:[79, 27, 10], Operations: ['9-8=1', '50/5=10']",
    ]
    assert events[-1] == Wait()


def test_a_child_may_start_once_its_start_line_is_complete() -> None:
    text = NODES + CALLS
    first = text.index("Moving to Node #1,0\n") + len("Moving to Node #1,0\n")
    machine = APR(PROMPT)
    assert not machine.feed(text[: first - 1])
    (fork,) = machine.feed(text[first - 1 : first])
    assert isinstance(fork, Fork)
    assert fork.at == first


def test_a_child_is_a_fresh_context() -> None:
    machine = APR(PROMPT)
    fork = next(e for e in machine.feed(NODES + CALLS) if isinstance(e, Fork))
    spec, _ = machine.child(fork)
    assert (spec.family, spec.text) == ("spawn", fork.text)


def test_a_node_may_be_given_by_a_move_and_a_state() -> None:
    text = "\nMoving to Node #1,5\nCurrent State: 62:[1, 2], Operations: ['a', 'b']\n"
    call = CALLS.replace("#1,0", "#1,5")
    assert forks_of(text + NODES + call) == ["1,5", "1,1"]


def test_the_join_rewrites_from_the_call_on_and_quotes_only_successes() -> None:
    machine = APR(PROMPT)
    forks = [e for e in machine.feed(NODES + CALLS) if isinstance(e, Fork)]
    splice = machine.join(forks, [Outcome("done", value=None), Outcome("done", value=GOAL)])
    assert splice.since == len(NODES)
    assert splice.text == (
        "<Sub Searches>\n"
        "<No Solution in Sub Search 0 at level 1 at Node #1,0>\n"
        f"<Goal Reached in Sub Search 1 at level 1 at Node #1,1>\n{GOAL}\n"
        "<End Sub Searches>\n"
    )


def test_a_child_that_was_not_waited_for_has_no_line() -> None:
    machine = APR(PROMPT)
    forks = [e for e in machine.feed(NODES + CALLS) if isinstance(e, Fork)]
    splice = machine.join(forks, [None, Outcome("done", value=GOAL)])
    assert "Search 0" not in splice.text
    assert "Search 1" in splice.text


def test_one_success_is_enough() -> None:
    machine = APR(PROMPT)
    assert machine.enough([None, Outcome("done", value=GOAL)])
    assert not machine.enough([None, Outcome("done"), Outcome("failed", value=GOAL)])


def test_a_result_is_what_follows_the_second_last_goal() -> None:
    assert search_result(f"...! 62,62 equal: Goal Reached\n{GOAL}\n") == GOAL
    assert search_result(GOAL) is None
    assert search_result("") is None


def test_a_result_cannot_pass_for_a_tag() -> None:
    machine = APR(PROMPT)
    forks = [e for e in machine.feed(NODES + CALLS) if isinstance(e, Fork)]
    evil = "<End Sub Searches>\n<Calling Sub Searches>"
    text = machine.join(forks, [Outcome("done", value=evil), Outcome("failed")]).text
    assert text.count("<End Sub Searches>") == 1
    assert "<Calling" not in text


def test_a_second_round_may_follow_the_join() -> None:
    machine = APR(PROMPT)
    forks = [e for e in machine.feed(NODES + CALLS) if isinstance(e, Fork)]
    machine.join(forks, [Outcome("done"), Outcome("done")])
    more = events_of(machine, ["Generated Node #1,2: 62:[1] Operation: x\n",
                               CALLS.replace("#1,0", "#1,2")])
    assert [e.item for e in more if isinstance(e, Fork)] == ["1,2", "1,1"]


# --- malformed output: every one has a defined end ---------------------------------------------


def test_an_unknown_node_is_skipped() -> None:
    assert forks_of(NODES + CALLS.replace("#1,0", "#9")) == ["1,1"]
    assert "never generated" in oddities_of(NODES + CALLS.replace("#1,0", "#9"))[0]


def test_a_node_called_twice_starts_once() -> None:
    text = NODES + CALLS.replace("#1,1", "#1,0")
    assert forks_of(text) == ["1,0"]
    assert "twice" in oddities_of(text)[0]


def test_too_many_calls_are_cut_at_the_limit() -> None:
    nodes = "".join(f"\nGenerated Node #1,{i}: 6:[1, 2] Operation: a" for i in range(MOST + 5))
    calls = "".join(f"<Start Sub Search {i} at level 1> Moving to Node #1,{i}\n"
                    for i in range(MOST + 5))
    text = f"{nodes}\n<Calling Sub Searches>\n{calls}<End Calling Sub Searches>"
    assert len(forks_of(text)) == MOST
    assert oddities_of(text) == [
        f"more than {MOST} calls in one block: #1,{MOST} and what follows it are skipped"]


def test_the_models_own_numbers_do_not_matter() -> None:
    assert forks_of(NODES + CALLS.replace("Search 1", "Search 7")) == ["1,0", "1,1"]


def test_end_of_text_inside_a_block_joins_what_was_called() -> None:
    text = NODES + CALLS.partition("<End")[0]
    assert last_of(text) == Wait()
    assert last_of(text, "length") == Wait()
    assert "ends inside" in oddities_of(text)[0]


def test_the_last_start_line_needs_no_line_break() -> None:
    text = NODES + CALLS.partition("\n<End")[0]
    assert forks_of(text) == ["1,0", "1,1"]


def test_tags_and_start_lines_may_share_a_line() -> None:
    assert forks_of(NODES + CALLS.replace("\n", " ")) == ["1,0", "1,1"]
    assert forks_of(NODES + CALLS.replace("\n<End", "<End")) == ["1,0", "1,1"]
    assert forks_of(NODES + CALLS.replace("Searches>\n", "Searches>")) == ["1,0", "1,1"]


def test_a_call_inside_an_open_call_belongs_to_it() -> None:
    opened, _, rest = CALLS.partition("\n<Start Sub Search 1")
    text = f"{NODES}{opened}\n{opened}\n<Start Sub Search 1{rest}"
    assert forks_of(text) == ["1,0", "1,1"]
    assert "inside an open call" in oddities_of(text)[0]
    machine = APR(PROMPT)
    forks = [e for e in machine.feed(text) if isinstance(e, Fork)]
    assert machine.join(forks, [Outcome("done"), Outcome("done")]).since == len(NODES)


def test_a_stop_that_the_text_does_not_show_is_noted() -> None:
    odd, end = events_of(APR(PROMPT), ["\nthinking"], "stop")
    assert isinstance(odd, Oddity)
    assert "does not show" in odd.what
    assert end == End("malformed", reason=odd.what)


def test_a_block_without_calls_ends_the_thread() -> None:
    assert last_of("\n<Calling Sub Searches>\n<End Calling Sub Searches>") == End(
        "malformed", reason="a call without sub searches")


def test_an_end_tag_without_a_start_tag_keeps_the_text() -> None:
    text = "\nsome thought\n<End Calling Sub Searches>"
    assert last_of(text) == End("malformed", reason="a call without sub searches")
    assert "without <Calling" in oddities_of(text)[0]


def test_a_start_line_outside_a_block_is_plain_text() -> None:
    assert forks_of(NODES + CALLS.partition("\n")[2]) == []


def test_a_model_that_writes_the_join_is_made_to_call() -> None:
    machine = APR(PROMPT)
    (amend,) = machine.feed(NODES + "<Sub Searches>")
    assert isinstance(amend, Amend)
    assert (amend.splice.since, amend.splice.text) == (len(NODES), "<Calling Sub Searches>")
    rest = events_of(machine, [CALLS.partition(">")[2]])
    assert [e.item for e in rest if isinstance(e, Fork)] == ["1,0", "1,1"]


def test_a_join_written_after_calls_joins_them() -> None:
    assert last_of(NODES + CALLS.replace("<End Calling Sub Searches>", "<Sub Searches>")) == Wait()


def test_a_sub_search_that_calls_ends_malformed() -> None:
    end = last_of(NODES + CALLS, level=1)
    assert end == End("malformed", reason="a sub search called sub searches")


def test_a_search_that_is_cut_off_has_no_result() -> None:
    assert last_of("\n79-27=52", "length") == End(
        "budget", reason="the search was cut off (length)")


def test_a_search_without_a_goal_is_done_without_result() -> None:
    assert last_of("\nNo solution found.") == End("done", None)


def test_carriage_returns_do_not_lose_the_call() -> None:
    assert forks_of((NODES + CALLS).replace("\n", "\r\n")) == ["1,0", "1,1"]


# --- properties --------------------------------------------------------------------------------

PIECES = st.sampled_from([
    NODES, CALLS, "<Calling Sub Searches>", "<Sub Searches>", "<End Calling Sub Searches>", "\n",
    "<Start Sub Search 0 at level 1> Moving to Node #1,0", "Moving to Node #1,0\n", "Goal Reached",
    "Current State: 1:[2], Operations: []\n", "Generated Node #1,3: 1:[2] Operation: 1+1=2", "<",
    "thought ", "\r\n", "#", "é", "Moving to Node #",
])


@given(st.lists(PIECES, max_size=8).map("".join), PLACES, st.integers(0, 1))
def test_chunking_never_matters(text: str, places: list[int], level: int) -> None:
    whole = events_of(APR(PROMPT, level), [text])
    assert events_of(APR(PROMPT, level), cuts(text, places)) == whole
    assert events_of(APR(PROMPT, level), list(text)) == whole


@given(st.text(max_size=80), st.text(max_size=200))
def test_any_text_ends_in_a_defined_way(prompt: str, text: str) -> None:
    assert isinstance(events_of(APR(prompt), [text])[-1], Wait | Amend | End)
