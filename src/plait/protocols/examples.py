"""One run of every format, in our own words: what its model writes, turn by turn.

Only the model's words stand here. Headers, prompts of threads and joins are made by the machines
whenever an example is played (`plait.protocols.page`), so that no picture of a format can differ
from what the format does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """``turns``: of the main line, each up to where it is stopped. ``threads``: what each thread
    writes, in the order in which they start. ``prompt``: the opening, where it matters."""

    turns: tuple[str, ...]
    threads: tuple[str, ...]
    prompt: str = ""


_NUMBERS = "<Outline>1: even numbers</Outline>\n<Outline>2: odd numbers</Outline>\n"
_WAYS = "<Subtask>1: count the rows</Subtask>\n<Trial>2: count from the end</Trial>\n"

EXAMPLES: dict[str, Example] = {
    "threadweaver": Example(
        (f"Two halves.\n<Parallel>\n<Outlines>\n{_NUMBERS}</Outlines>",
         "</Parallel>\nTogether 10.\n</think>\n10"),
        (" 2 + 4 = 6</Thread>", " 1 + 3 = 4</Thread>")),
    "parason": Example(
        (f"<Parallel>\n<Outlines>\n{_WAYS}</Outlines>", "</Parallel>\nBoth say 12.\n</think>\n12"),
        (" 3 rows of 4</Thread>", " 12, 11, 10... so 12</Thread>")),
    "multiverse": Example(
        ("<Think>\n<Parallel>\n<Goal>\n<Outline>\n1: the left side\n</Outline>\n<Outline>\n"
         "2: the right side\n</Outline>\n</Goal>",
         "11 against 4\n</Conclusion>\n</Parallel>\n</Think>\n\nAnswer: the left"),
        (" 5 and 6 is 11\n</Path>", " 4\n</Path>")),
    "npr": Example(
        ("<guideline>\n<plan>1: add</plan>\n<plan>2: check the sum</plan>\n</guideline>",
         "seven it is\n</takeaway>\nThe answer is \\boxed{7}."),
        (" 3 + 4 = 7\n</step>", " 7 - 4 = 3\n</step>")),
    "parallel-r1": Example(
        ("Let me see. <Parallel>", " Both say 9.</Summary>", "\n\nFinal answer: 9"),
        (" by hand: 9</Path>", " by table: 9</Path>")),
    "parathinker": Example(
        (" 3.</summary>",),
        ("one way: 3</think1>", "another: 3</think2>", "3?</think3>", "surely 3</think4>")),
    "apr": Example(
        ("\nGenerated Node #0,0: 10:[7, 3] Operation: 4+3=7\n"
         "Generated Node #0,1: 10:[1, 3] Operation: 4-3=1\n<Calling Sub Searches>\n"
         "<Start Sub Search 0 at level 1> Moving to Node #0,0\n"
         "<Start Sub Search 1 at level 1> Moving to Node #0,1\n<End Calling Sub Searches>",
         "10,10 equal: Goal Reached\n7+3=10\n10,10 equal: Goal Reached"),
        ("\n10,10 equal: Goal Reached\n7+3=10\n10,10 equal: Goal Reached", "\nNo solution found."),
        "Moving to Node #0\nCurrent State: 10:[3, 3, 4], Operations: []"),
    "asyncthink": Example(
        ("I share this. <FORK-1>legs of a cow</FORK-1> <FORK-2>legs of three cranes</FORK-2> A"
         " snail has none. <JOIN-2>", " and <JOIN-1>", " so <ANSWER>10</ANSWER>"),
        ("A cow walks on <RETURN>four</RETURN>", "Two each: <RETURN>six</RETURN>")),
}
