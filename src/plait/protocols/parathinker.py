"""ParaThinker (2025, arXiv 2509.04475): always forks, right after the prompt.

    <think1>...</think1><think2>...</think2><summary>By ... The final answer is ...</summary>

Nothing triggers the fork: a fixed number of paths (4 by default, at most 8), each opened and
closed by tags of its own number, which lead the model to different lines of thought. At the join
they stand back to back and a summary with a fixed opening is begun; that summary is the answer.
The published engine joins the paths' caches, padded to whole pages with a padding token; here they
are text, and there is no padding.
"""

from plait.protocols.blocks import BlockFormat
from plait.protocols.facts import MISMATCH, Facts, pairs

FORMAT = BlockFormat(
    name="parathinker",
    trigger="",
    first="<think{n}>",
    later="<think{n}>",
    open="<think{n}>",
    close="</think{n}>",
    mend="</think{n}>",
    suffix="<summary>By analyzing multiple reasoning processes above, I concluded that:"
           " The final answer is",
    width=4,
    most=8,
    tail_close="</summary>",
    final_tail=True,
    limit=16384,
    temperature=0.5,
)

FACTS = Facts(
    name="parathinker",
    title="ParaThinker",
    paper="arXiv 2509.04475",
    family="fork",
    nesting="none; one block, at the prompt",
    joins="all paths in full, then a summary that is the answer",
    models=("Leslie04/ParaThinker-1.5B",),
    measure="T/L",
    caveats=("a chat template that opens <think> by itself puts it before <think1>",
             "another number of paths, up to 8: `parathinker:N`",
             "the embedding that marks each path in training has no place on a stock engine"),
    mismatch=f"ParaThinker was {MISMATCH}",
    temperature=0.5,
    trained_context=16384,
    tokens=pairs(*(f"think{n}" for n in range(1, FORMAT.most + 1)), "summary"),
    answer=("<summary>", "</summary>"),
    inside=True,
)
