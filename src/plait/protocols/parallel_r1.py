"""Parallel-R1 (Zheng et al. 2025, arXiv 2509.07980): the same question, explored side by side.

    <Parallel><Path>...</Path><Path>...</Path></Parallel>
    <Summary>...</Summary>

The *opening* tag is the trigger: there is no list. A fixed number of paths (2 in the paper) start
from the same words and differ only by their seeds, so they are drawn at temperature 1 even where
the request is greedy. At the join the paths stand back to back, and a summary is begun and ends at
``</Summary>`` before the main line goes on. At most four blocks an answer; later ``<Parallel>``
tags are plain text, where the published loop ends the answer.
"""

from plait.protocols.blocks import BlockFormat
from plait.protocols.facts import Facts, pairs

FORMAT = BlockFormat(
    name="parallel-r1",
    trigger="<Parallel>",
    first="<Path>",
    later="<Path>",
    open="<Path>",
    close="</Path>",
    mend="</Path>",
    suffix="</Parallel>\n<Summary>",
    width=2,
    tail_close="</Summary>",
    blocks=4,
    limit=4096,
    temperature=1.0,
    wrap=("<Parallel>", "</Parallel>"),
)

FACTS = Facts(
    name="parallel-r1",
    title="Parallel-R1",
    paper="arXiv 2509.07980",
    family="fork",
    nesting="none",
    joins="all paths in full, then a summary that the model writes",
    models=("Parallel-R1/Parallel-R1-Unseen_Step_200", "Parallel-R1/Parallel-SFT-Unseen"),
    measure="responses with a block",
    caveats=("the `Unseen` models were trained with shared positions; their published rollout is"
             " plain causal text, as it is here",
             "another number of paths: `parallel-r1:N`"),
    system=(
        "Reason step by step. Whenever it helps to look at a step in several ways, write"
        " <Parallel>; independent lines of thought follow, each between <Path> and </Path>, then"
        " </Parallel>, and between <Summary> and </Summary> you draw together what they show and"
        " go on from there. Close with the final answer."),
    temperature=1.0,
    trained_context=5000,
    tokens=pairs("Parallel", "Path", "Summary"),
    answer=("<Summary>", "</Summary>"),
)
