"""The method `plan`: a planner divides the problem, threads do the parts side by side, a merger
writes the answer. Two phases as in Skeleton-of-Thought (arXiv 2307.15337), parts that start while
the plan streams as in LLMCompiler (arXiv 2312.04511); unlike both it checks independence, verifies,
settles conflicts, stays in budget, and knows when not to.

    root ── planner ── worker, worker, ...   (and below a worker: its judge)
         │          ├─ judge                 contradictions, dependences
         │          └─ merger
         └─ another planner, if the first one's parts would not agree

A planner that would not split leaves the question to the root, which answers it in one go: the
number of threads adapts from one up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from plait.context import Window, slices
from plait.core import Outcome, Plan, Request, Room, estimate_tokens
from plait.interfaces import Merge, Opening, Thread, Verifier
from plait.methods.plan.conduct import CONFLICT, conduct
from plait.methods.plan.crew import DECLINED
from plait.methods.plan.job import Job, PlanOptions
from plait.methods.sequential import Sequential
from plait.prompts import Prompts, ask, load_prompts, quote, split

LEAST_PLAN = 120
"""Tokens that a plan, or a merged answer, takes at the least."""


class PlanMethod:
    """See the module's docstring. ``merge``: instead of the plan's own way to put parts together.

    ``verifier`` checks the parts, all at once, and the answer; None: nobody does.
    """

    def __init__(
        self, options: PlanOptions | None = None, *, merge: Merge | None = None,
        verifier: Verifier | None = None, prompts: Prompts | None = None,
    ) -> None:
        self._options = options or PlanOptions()
        self._merge = merge
        self._verifier = verifier
        self._prompts = prompts or load_prompts()

    async def run(
        self, root: Thread, request: Request, plan: Plan, opening: Opening
    ) -> Outcome:
        if not opening.prompt.messages:
            return Outcome("failed", reason="a plan needs a model that chats")
        options = self._options
        if why := too_small(root.room, options):
            return Outcome("budget", reason=why)
        before, question = split(request)
        window = Window.within(options.window, root.room.window)
        job = Job(request, plan, self._prompts, options, window, question, before, self._verifier)
        job = await _read_long(root, job)
        if why := does_not_fit(job):
            return Outcome("failed", reason=why)
        outcome = await self._try_plans(root, job)
        if outcome.reason.startswith(DECLINED):
            root.note(f"one thread: {outcome.reason}")
            return await Sequential().run(root, request, plan, opening)
        return outcome

    async def _try_plans(self, root: Thread, job: Job) -> Outcome:
        """Plan; plan differently while the parts of a plan contradict each other for good."""
        rounds = job.options.rounds
        remarks, after = "", tuple[str, ...]()
        while True:
            again = min(rounds, 1)
            rounds -= again
            body = partial(conduct, job=job, merge=self._merge, rounds=again, backtrack=rounds > 0)
            (outcome,) = await root.wait([root.start(job.planner(remarks, after), body)])
            assert outcome is not None
            if not outcome.reason.startswith(CONFLICT):
                return outcome
            rounds -= 1
            about = outcome.reason.removeprefix(CONFLICT)
            root.note(f"another plan is made, since {CONFLICT}{about}", warning=True)
            remarks = ("An earlier plan was followed, and its parts contradicted each other. Divide"
                       " the problem differently, so that one part alone settles what is quoted"
                       f" here:\n{quote(about)}")
            after = (outcome.thread,)


def too_small(room: Room, options: PlanOptions) -> str:
    """Why there is no room for even the smallest plan; "" if there is."""
    least = LEAST_PLAN + 2 * options.least
    what = ""
    if room.tokens is not None and room.tokens < least:
        what = f"{room.tokens} tokens are left, and a plan takes {least}"
    elif room.path is not None and room.path < LEAST_PLAN + options.least:
        what = f"{room.path} tokens are left for the longest path"
    elif room.levels is not None and room.levels < 2:
        what = "a plan needs two levels of threads below the first one"
    elif room.threads is not None and room.threads < 3:
        what = "a plan needs three more threads"
    return f"the budget is too small to finish in parallel: {what}" if what else ""


def does_not_fit(job: Job) -> str:
    """Why the window is too small for any plan, however often it starts clean; "" if it is not."""
    prompt = job.planner().prompt
    taken = prompt.tokens if prompt is not None else 0
    if taken < job.window.tokens:
        return ""
    return (f"the window of {job.window.tokens} tokens is too small: the prompt for a plan takes"
            f" about {taken}")


async def _read_long(root: Thread, job: Job) -> Job:
    """Read a question that is too long for a planner in stretches, each in a clean context that
    holds the notes on those before it. Workers get the stretches that concern them."""
    if estimate_tokens(job.question) <= job.window.tokens // 2:
        return job
    notes = "(none yet)"
    stretches = slices(job.question, job.window.tokens // 4)
    for number, stretch in enumerate(stretches, 1):
        values = {"head": job.question[: job.window.tokens // 4], "notes": notes,
                  "stretch": quote(stretch)}
        outcome = await ask(root, job.prompts["read"], values, role="planner",
                            label=f"read {number} of {len(stretches)}", before=job.before)
        if outcome.value is None:
            root.note(f"stretch {number} of the question could not be read: {outcome.reason}",
                      warning=True)
        else:
            notes = outcome.value
    return replace(job, digest=notes)
