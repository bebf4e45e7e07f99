"""Parason (anonymous release of 2026 on top of ThreadWeaver): items say what kind they are.

    <Parallel>
    <Outlines>
    <Subtask>1: a part of the work</Subtask>
    <Trial>2: another way to do it</Trial>
    </Outlines>
    <Thread>
    1: ...</Thread><Thread>
    2: ...</Thread>
    </Parallel>

Everything else, spacing included, is ThreadWeaver's; its ``<Outline>`` is still read.
"""

from dataclasses import replace

from plait.protocols import threadweaver
from plait.protocols.blocks import BlockFormat

FORMAT: BlockFormat = replace(
    threadweaver.FORMAT, name="parason", items=("Subtask", "Trial", "Outline"))

FACTS = replace(
    threadweaver.FACTS,
    name="parason",
    title="Parason",
    paper="Parason release, 2026 (anonymous review)",
    models=("models trained with the Parason recipe",),
    trained_context=None,
)
