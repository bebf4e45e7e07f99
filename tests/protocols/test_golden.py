"""Golden transcripts: read into the expected tree, written back, produced by the live runtime."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core import Request, Result, Sampling
from plait.interfaces import Fork, Wait
from plait.protocols import CATALOGUE, BlockFormat
from plait.protocols.check import check
from plait.protocols.transcript import Line, read_transcript
from plait.solve import solve
from plait.testing import ScriptedEngine, run_virtual
from tests.protocols.drive import PLACES, cuts, events_of
from tests.protocols.golden import ANSWERS, ASYNCTHINK, BLOCKS, EVERY, Tree

NAMES = sorted(BLOCKS)
QUESTION = "How many?"


def form_of(name: str) -> BlockFormat:
    form = CATALOGUE[name].form
    assert form is not None
    return form


def trees(line: Line) -> tuple[Tree, ...]:
    return tuple(
        tuple((t.number, t.item, t.line.text.removesuffix(t.line.close), trees(t.line))
              for t in block.threads)
        for block in line.blocks)


def turns(name: str) -> dict[str, str]:
    """Everything that a model writes in the golden run, by what it has read before."""
    form, found = form_of(name), {}

    def follow(line: Line, context: str) -> str:
        for part in line.parts:
            if isinstance(part, str):
                found[context] = found.get(context, "") + part
                context += part
                continue
            joined = context
            for thread in part.threads:
                header = form.first.replace("{n}", thread.number)
                follow(thread.line, context + header)
                joined += thread.text
            context = joined + part.suffix
        if line.close:
            found[context] = line.close
            if line.parts and isinstance(line.parts[-1], str):
                before = context.removesuffix(line.parts[-1])
                found[before] += line.close
        return context

    follow(read_transcript(form, BLOCKS[name].text)[0], "")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_transcript_has_the_expected_tree_and_no_fault(name: str) -> None:
    line, faults = read_transcript(form_of(name), BLOCKS[name].text)
    assert faults == []
    assert trees(line) == BLOCKS[name].blocks


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_is_written_back_byte_for_byte(name: str) -> None:
    line, _ = read_transcript(form_of(name), BLOCKS[name].text)
    assert line.text == BLOCKS[name].text


@pytest.mark.parametrize("name", NAMES)
def test_the_live_runtime_makes_the_golden_bytes_of_what_the_model_writes(name: str) -> None:
    """Every turn of the model is given by what it has read; the joins are the runtime's."""
    script = turns(name)

    def play(prompt: str, sampling: Sampling) -> str:
        context = prompt[prompt.index(QUESTION) + len(QUESTION) :]
        context = context.removeprefix(CATALOGUE[name].facts.suffix).removeprefix("\n")
        if sampling.seed is not None and context.endswith("<Path>"):
            seeds.append(sampling.seed)  # threads of the same words: told apart by seed alone
            return paths[len(seeds) - 1]
        said = [read + words for read, words in script.items()
                if context.startswith(read) and (read + words).startswith(context)]
        assert said, f"the context {context!r} is not in the golden run"
        return max(said, key=len)[len(context) :]

    seeds: list[int] = []
    paths = [t.line.text for block in read_transcript(form_of(name), BLOCKS[name].text)[0].blocks
             for t in block.threads]
    result = run_virtual(_ask, ScriptedEngine(play), name)
    assert result.text == BLOCKS[name].text
    assert result.fallback is None
    assert result.answer == ANSWERS.get(name, result.answer)
    assert len(set(seeds)) == len(seeds)
    assert [w for w in result.warnings if "trained" not in w] == []


async def _ask(engine: ScriptedEngine, name: str) -> Result:
    return await solve(Request(QUESTION), engine=engine, protocol=name)


def test_the_live_runtime_makes_the_golden_asyncthink_text() -> None:
    """The organiser writes past its joins in one chunk; the rest of it is taken out again."""
    returns = {"cow": "four", "cranes": "six in all", "snail": "none"}

    def play(prompt: str, sampling: Sampling) -> str:
        for word, value in returns.items():
            if f"{word}\n" in prompt[-20:]:
                return f"thinking <RETURN>{value}</RETURN>"
        done = prompt[prompt.index(QUESTION) + len(QUESTION) + 1 :]
        assert ASYNCTHINK.text.startswith(done)
        return ASYNCTHINK.text[len(done) :]

    result = run_virtual(_ask, ScriptedEngine(play), "asyncthink")
    assert result.text == ASYNCTHINK.text
    assert result.answer == ANSWERS["asyncthink"]
    assert result.threads == 4


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_golden_transcript_passes_the_checker(name: str) -> None:
    golden = EVERY[name]
    report = check(CATALOGUE[name], golden.text, golden.threads)
    assert report.faults == ()
    assert report.size.blocks >= 1
    assert report.size.longest_path < report.size.total


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_split_in_two_gives_the_same_events(name: str) -> None:
    text, machine = EVERY[name].text, CATALOGUE[name].machine
    whole = events_of(machine(""), [text])
    assert any(isinstance(e, Fork | Wait) for e in whole) or name in ("apr", "parathinker")
    for place in range(len(text) + 1):
        assert events_of(machine(""), [text[:place], text[place:]]) == whole


@given(st.sampled_from(sorted(EVERY)), PLACES, st.integers(0, 300))
@settings(deadline=None)
def test_any_split_of_any_part_gives_the_same_events(
    name: str, places: list[int], start: int
) -> None:
    """Any tail of a transcript, threads included: whole, cut anywhere, or a character at a time."""
    known, text = CATALOGUE[name], EVERY[name].text[start:]
    whole = events_of(known.machine(""), [text])
    assert events_of(known.machine(""), cuts(text, places)) == whole
    assert events_of(known.machine(""), list(text)) == whole
    if known.form is not None:
        fork = Fork("1", "", 0)
        thread = events_of(known.machine("").child(fork)[1], [text])
        assert events_of(known.machine("").child(fork)[1], cuts(text, places)) == thread
        assert events_of(known.machine("").child(fork)[1], list(text)) == thread
