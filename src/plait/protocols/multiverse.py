r"""Multiverse (Yang et al. 2025, arXiv 2506.09991): paths that may hold whole blocks themselves.

    <Parallel>
    <Goal>
    <Outline>
    1: first part
    </Outline>
    <Outline>
    2: second part
    </Outline>
    </Goal>
    <Path>
    1: ...
    </Path>
    <Path>
    2: ...
    </Path>
    <Conclusion>
    ...
    </Conclusion>
    </Parallel>

Each path continues the whole context with ``\n<Path>\nn:``; inside it a block of its own may
stand, numbered 1.1, 1.2... (or from 1 again, both occur). The join begins the conclusion.

The published engine drops one token after ``</Goal>`` and keeps one after ``</Path>``, normally
line breaks; here both tags end the stream and the line breaks are put in, which gives the same
bytes. It forks six levels deep, so does this format, if the request's budget allows that depth.
Where it never answers (no item at all) or adds no close tag (a path that ends early), this machine
goes on as `plait.protocols.blocks` says.
"""

from plait.protocols.blocks import BlockFormat
from plait.protocols.facts import MISMATCH, Facts, pairs

FORMAT = BlockFormat(
    name="multiverse",
    trigger="</Goal>",
    list_open="<Goal>",
    items=("Outline",),
    first="\n<Path>\n{n}:",
    later="\n<Path>\n{n}:",
    open="<Path>",
    close="</Path>",
    mend="\n</Path>",
    suffix="\n<Conclusion>\n",
    depth=6,
    wrap=("<Parallel>", "</Parallel>"),
)

FACTS = Facts(
    name="multiverse",
    title="Multiverse",
    paper="arXiv 2506.09991",
    family="fork",
    nesting="paths may hold blocks, six levels deep",
    joins="all paths in full, then a conclusion that the model writes",
    models=("Multiverse4FM/Multiverse-32B",),
    measure="T/L",
    mismatch=f"Multiverse was {MISMATCH}",
    suffix=" Think step by step and in parallel before answering.",
    temperature=0.6,
    top_p=0.95,
    trained_context=32768,
    tokens=pairs("Think", "Parallel", "Goal", "Outline", "Path", "Conclusion"),
    answer=("<Think>", "</Think>"),
    thoughts=True,
)
