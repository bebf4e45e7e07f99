r"""NPR, Native Parallel Reasoner (2025, arXiv 2512.07461): plan, steps, takeaway.

    <guideline>
    <plan>1: first part</plan>
    <plan>2: second part</plan>
    </guideline>
    <step>
    1: ...
    </step>
    <step>
    2: ...
    </step>
    <takeaway>
    ...
    </takeaway>

Each step continues the whole context with ``\n<step>\nn:``; the join begins the takeaway. One to
five plans; rounds may follow one another, then comes the final text. The published engine ends
the answer when there are none or more than five; here the model goes on with the first five.
"""

from plait.protocols.blocks import BlockFormat
from plait.protocols.facts import MISMATCH, Facts, pairs

FORMAT = BlockFormat(
    name="npr",
    trigger="</guideline>",
    list_open="<guideline>",
    items=("plan",),
    first="\n<step>\n{n}:",
    later="\n<step>\n{n}:",
    open="<step>",
    close="</step>",
    mend="\n</step>",
    suffix="\n<takeaway>\n",
    most=5,
)

FACTS = Facts(
    name="npr",
    title="NPR",
    paper="arXiv 2512.07461",
    family="fork",
    nesting="none",
    joins="all steps in full, then a takeaway that the model writes",
    models=("bigai-NPR/NPR-4B",),
    measure="parallel share",
    caveats=("inside steps the published engine samples with repetition penalty 1.02",),
    mismatch=f"NPR was {MISMATCH}",
    system=(
        "Reason in rounds. Open each round with <guideline>, list one to five independent lines"
        " of work in it, each as <plan>n: what to do</plan> with n counting from 1, and close it"
        " with </guideline>. Then work on every plan by itself between <step> and </step>,"
        " beginning with its number and a colon, without looking at the other steps. After the"
        " steps put what they show together between <takeaway> and </takeaway>, comparing and"
        " correcting them. Write nothing between these parts. When a takeaway settles the"
        " question, write the solution with the final answer in \\boxed{}."),
    temperature=1.0,
    top_p=0.7,
    trained_context=30000,
    tokens=pairs("guideline", "plan", "step", "takeaway"),
    answer=("<takeaway>", "</takeaway>"),
)
