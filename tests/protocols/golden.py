"""One whole transcript a format: our own words in the published grammar, whitespace included.

``tree`` is what it must be read as: the main line's threads as (number, item, own text, threads
inside), block after block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Tree = tuple[tuple[str, str, str, "tuple[Tree, ...]"], ...]


@dataclass(frozen=True)
class Golden:
    text: str
    blocks: tuple[Tree, ...] = ()
    threads: dict[str, str] = field(default_factory=dict)


BLOCKS = {
    "threadweaver": Golden(
        "Two halves.\n<Parallel>\n<Outlines>\n<Outline>1: even numbers</Outline>\n"
        "<Outline>2: odd numbers</Outline>\n</Outlines>\n<Thread>\n1: 2 + 4 = 6</Thread><Thread>\n"
        "2: 1 + 3 = 4\nso 4</Thread>\n</Parallel>\n6 + 4 is 10.\n</think>\n10",
        ((("1", " even numbers", " 2 + 4 = 6", ()),
          ("2", " odd numbers", " 1 + 3 = 4\nso 4", ())),),
    ),
    "parason": Golden(
        "<Parallel>\n<Outlines>\n<Subtask>1: count rows</Subtask>\n<Trial>2: guess</Trial>\n"
        "</Outlines>\n<Thread>\n1: 3 rows</Thread><Thread>\n2: 12?</Thread>\n</Parallel>\n"
        "<Parallel>\n<Outlines>\n<Trial>1: again</Trial>\n</Outlines>\n<Thread>\n1: 12</Thread>\n"
        "</Parallel>12",
        ((("1", " count rows", " 3 rows", ()), ("2", " guess", " 12?", ())),
         (("1", " again", " 12", ()),)),
    ),
    "multiverse": Golden(
        "<Think>\n<Parallel>\n<Goal>\n<Outline>\n1: left side\n</Outline>\n<Outline>\n"
        "2: right side\n</Outline>\n</Goal>\n<Path>\n1: The left side\n<Parallel>\n<Goal>\n"
        "<Outline>\n1.1: its top\n</Outline>\n<Outline>\n1.2: its foot\n</Outline>\n</Goal>\n"
        "<Path>\n1.1: 5\n</Path>\n<Path>\n1.2: 6\n</Path>\n<Conclusion>\n5 and 6\n</Conclusion>\n"
        "</Parallel>\nis 11\n</Path>\n<Path>\n2: 4\n</Path>\n<Conclusion>\n11 against 4\n"
        "</Conclusion>\n</Parallel>\n</Think>\n\nAnswer: the left",
        ((("1", " left side\n", " The left side\n<Parallel>\n<Goal>\n<Outline>\n1.1: its top\n"
           "</Outline>\n<Outline>\n1.2: its foot\n</Outline>\n</Goal>\n<Path>\n1.1: 5\n</Path>\n"
           "<Path>\n1.2: 6\n</Path>\n<Conclusion>\n5 and 6\n</Conclusion>\n</Parallel>\nis 11\n",
           ((("1.1", " its top\n", " 5\n", ()), ("1.2", " its foot\n", " 6\n", ())),)),
          ("2", " right side\n", " 4\n", ())),),
    ),
    "npr": Golden(
        "<guideline>\n<plan>1: add</plan>\n<plan>2: check</plan>\n</guideline>\n<step>\n1: 7\n"
        "</step>\n<step>\n2: fine\n</step>\n<takeaway>\nseven it is\n</takeaway>\n"
        "The answer is \\boxed{7}.",
        ((("1", " add", " 7\n", ()), ("2", " check", " fine\n", ())),),
    ),
    "parallel-r1": Golden(
        "Let me see. <Parallel><Path> by hand: 9</Path><Path> by table: 9</Path></Parallel>\n"
        "<Summary> Both say 9.</Summary>\n\nFinal answer: 9",
        ((("1", "", " by hand: 9", ()), ("2", "", " by table: 9", ())),),
    ),
    "parathinker": Golden(
        "<think1>one way: 3</think1><think2>two ways: 3</think2><think3>3?</think3>"
        "<think4>surely 3</think4><summary>By analyzing multiple reasoning processes above, I"
        " concluded that: The final answer is 3.</summary>",
        ((("1", "", "one way: 3", ()), ("2", "", "two ways: 3", ()), ("3", "", "3?", ()),
          ("4", "", "surely 3", ())),),
    ),
}
ANSWERS = {
    "threadweaver": "10",
    "multiverse": "Answer: the left",
    "npr": "The answer is \\boxed{7}.",
    "parallel-r1": "Final answer: 9",
    "parathinker": "By analyzing multiple reasoning processes above, I concluded that: The final"
                   " answer is 3.",
    "asyncthink": "13",
}

ASYNCTHINK = Golden(
    "I share this. <FORK-1>how many legs has a cow</FORK-1> and <FORK-2>how many have three"
    " cranes</FORK-2> and ears: <JOIN-2>\nsix in all\n</JOIN-2> then <FORK-2>and a snail</FORK-2>"
    " <JOIN-1>\nfour\n</JOIN-1> and <JOIN-2>\nnone\n</JOIN-2> so <ANSWER>13</ANSWER>",
    threads={"1": "A cow walks on <RETURN>four</RETURN>",
             "2": "Cranes have two each <RETURN>six in all</RETURN>"},
)
APR = Golden(
    "\nGenerated Node #0,0: 10:[7, 3] Operation: 4+3=7\n"
    "Generated Node #0,1: 10:[1, 3] Operation: 4-3=1\n"
    "<Sub Searches>\n<No Solution in Sub Search 0 at level 1 at Node #0,1>\n"
    "<Goal Reached in Sub Search 1 at level 1 at Node #0,0>\n7+3=10\n10,10 equal: Goal Reached\n"
    "<End Sub Searches>\n10,10 equal: Goal Reached\n",
    threads={"0,0": "7+3=10 10,10 equal: Goal Reached", "0,1": "No solution found."},
)
EVERY = {**BLOCKS, "asyncthink": ASYNCTHINK, "apr": APR}
