r"""ThreadWeaver (Lian et al. 2025, arXiv 2512.07843): threads share the parent's whole context.

    <Parallel>
    <Outlines>
    <Outline>1: first part</Outline>
    <Outline>2: second part</Outline>
    </Outlines>
    <Thread>
    1: ...</Thread><Thread>
    2: ...</Thread>
    </Parallel>

The model writes up to ``</Outlines>`` and stops. Each thread continues the whole context with the
header ``\n<Thread>\nn:`` and ends at ``</Thread>``; it sees all outlines and no sibling. At the
join all thread texts follow in the order of the outlines: the first keeps the header's line
break, later ones are glued to the ``</Thread>`` before, a line break ends the list, and the model
itself writes ``</Parallel>``. That spacing is what the published models were trained on.

The two published clients differ on malformed output; `plait.protocols.blocks` lists what this one
does, which is what kept most answers.
"""

from plait.protocols.blocks import BlockFormat
from plait.protocols.facts import Facts, pairs

FORMAT = BlockFormat(
    name="threadweaver",
    trigger="</Outlines>",
    list_open="<Outlines>",
    items=("Outline",),
    first="\n<Thread>\n{n}:",
    later="<Thread>\n{n}:",
    open="<Thread>",
    close="</Thread>",
    mend="\n</Thread>",
    suffix="\n",
    wrap=("<Parallel>", "</Parallel>"),
)
MOST = FORMAT.most
ThreadWeaver = FORMAT.machine

FACTS = Facts(
    name="threadweaver",
    title="ThreadWeaver",
    paper="arXiv 2512.07843",
    family="fork",
    nesting="none",
    joins="all threads in full, then the model goes on",
    models=("plait-nano", "models trained with the public ThreadWeaver recipe"),
    measure="1 - L/T",
    temperature=0.6,
    top_p=0.95,
    trained_context=40960,
    tokens=pairs("Parallel", "Outlines", "Outline", "Thread"),
)
