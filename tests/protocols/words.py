"""What a model of each format writes: a block of two threads, a thread, the rest, and mistakes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from plait.core import Sampling
from plait.protocols import CATALOGUE
from plait.protocols.asyncthink import WORKER
from plait.testing import Play

QUESTION = "Why is it so?"
COUNTDOWN = "Moving to Node #0\nCurrent State: 9:[2, 3, 4], Operations: []"


@dataclass(frozen=True)
class Words:
    """One format's words. ``item`` has ``{n}`` where its number stands."""

    name: str
    block: str
    thread: str
    after: str
    threads: int = 2
    opener: str = ""
    item: str = ""
    trigger: str = ""
    nodes: str = ""
    """What has to be written before the first block."""
    rest: str = ""
    """What is written behind a summary, where its end halts the stream."""

    @property
    def question(self) -> str:
        return COUNTDOWN if self.name == "apr" else QUESTION

    def of(self, *numbers: str) -> str:
        """A block with items of these numbers."""
        return self.nodes + self.opener + "".join(
            self.item.replace("{n}", n) for n in numbers) + self.trigger

    def written(self, prompt: str) -> str:
        """What stands behind the question."""
        return prompt.rpartition(self.question)[2]

    def in_thread(self, prompt: str) -> bool:
        """Is this the context of a thread?"""
        if self.name == "apr":
            return prompt.startswith("Moving to Node #0,")
        if self.name == "asyncthink":
            return WORKER in prompt
        form = CATALOGUE[self.name].form
        assert form is not None
        opens, closes = (re.escape(tag).replace(r"\{n\}", r"\d+")
                         for tag in (form.open, form.close))
        text = self.written(prompt)
        return len(re.findall(opens, text)) > len(re.findall(closes, text))

    def joined(self, prompt: str) -> bool:
        """Has the first block been joined?"""
        ends = {"apr": "<End Sub Searches>", "asyncthink": "</JOIN-2>"}
        form = CATALOGUE[self.name].form
        end = form.suffix.strip() or form.close if form else ends[self.name]
        return end in self.written(prompt)


def nodes(count: int) -> str:
    """Lines that name so many nodes of an APR search."""
    return "".join(f"\nGenerated Node #0,{i}: 9:[{i}, 4] Operation: 2+3={i}"
                   for i in range(count))


def _listed(name: str, opener: str, item: str, trigger: str, thread: str, after: str,
            before: str = "") -> Words:
    block = before + opener + item.replace("{n}", "1") + item.replace("{n}", "2") + trigger
    return Words(name, block, thread, after, opener=opener, item=item, trigger=trigger,
                 nodes=before)


_START = "<Start Sub Search {n} at level 1> Moving to Node #0,{n}\n"
_GOAL = "\n5+4=9\n9,9 equal: Goal Reached\n5+4=9\n9,9 equal: Goal Reached"

WORDS = {words.name: words for words in (
    _listed("threadweaver", "So.\n<Parallel>\n<Outlines>\n", "<Outline>{n}: part</Outline>\n",
            "</Outlines>", " thought</Thread>", "</Parallel>\n</think>five"),
    _listed("parason", "So.\n<Parallel>\n<Outlines>\n", "<Trial>{n}: part</Trial>\n",
            "</Outlines>", " thought</Thread>", "</Parallel>\n</think>five"),
    _listed("multiverse", "<Think>\n<Parallel>\n<Goal>\n", "<Outline>\n{n}: part\n</Outline>\n",
            "</Goal>", " thought\n</Path>",
            "so\n</Conclusion>\n</Parallel>\n</Think>\nAnswer: five"),
    _listed("npr", "<guideline>\n", "<plan>{n}: part</plan>\n", "</guideline>", " thought\n</step>",
            "so\n</takeaway>\nfive"),
    Words("parallel-r1", "So <Parallel>", " thought</Path>", " so</Summary>",
          trigger="<Parallel>", rest="\nfive"),
    Words("parathinker", "", "thought</think{n}>", " five</summary>", threads=4),
    _listed("apr", "\n<Calling Sub Searches>\n", _START, "<End Calling Sub Searches>", _GOAL, _GOAL,
            nodes(3)),
    Words("asyncthink", "Parts: <FORK-1>part</FORK-1> <FORK-2>part</FORK-2> <JOIN-1>",
          "thinking <RETURN>thought</RETURN>", " so <ANSWER>five</ANSWER>",
          opener="Parts: ", item="<FORK-{n}>part</FORK-{n}> ", trigger="<JOIN-1>"),
)}

Turn = Play | str


@dataclass
class Model:
    """A model of one format: what it writes first, in its threads, and after the join.

    Each is a list of turns, used one after the other as the model is asked; when a list is used
    up the model writes what is right in its format.
    """

    words: Words
    first: list[Turn] = field(default_factory=list)
    thread: list[Turn] = field(default_factory=list)
    after: list[Turn] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def __call__(self, prompt: str, sampling: Sampling) -> Turn:
        self.prompts.append(prompt)
        words = self.words
        if words.in_thread(prompt):
            number = (re.findall(r"<think(\d)>", prompt) or [""])[-1]
            turn = self.thread.pop(0) if self.thread else words.thread
            return turn.replace("{n}", number) if isinstance(turn, str) else turn
        if words.joined(prompt):
            if self.after:
                return self.after.pop(0)
            return words.rest if words.rest and prompt.endswith("</Summary>") else words.after
        if words.name == "asyncthink" and prompt.endswith("</JOIN-1>"):
            return " <JOIN-2>"
        return self.first.pop(0) if self.first else words.block
