"""Which requests need one thread only, so that the engine alone may answer them, untouched."""

from __future__ import annotations

from plait.core import Request
from plait.deciding import decide_how
from plait.policy import PolicyFile
from plait.protocols import recognise
from plait.registry import AUTO
from plait.server.choosing import Choice
from plait.server.fitting import Misfit
from plait.server.gateway import Gateway
from plait.server.jobs import how

WORD = "one_thread"


async def one_thread(gateway: Gateway, choice: Choice, request: Request) -> Misfit | None:
    """Why plait would answer ``request`` in one thread; None if it would not, or if plait was asked
    for by name, or if there is no server that could answer alone. Raises `ApiError`."""
    server, settings = gateway.models.server, gateway.settings
    if choice.explicit or server is None:
        return None
    method, policy = settings.method, choice.policy or settings.policy
    if isinstance(policy, PolicyFile) or policy not in (None, AUTO):
        return await _by_policy(gateway, choice, request)
    if method not in (None, AUTO):
        return Misfit(WORD, "the server's method is sequential") if method == "sequential" else None
    if settings.protocol not in (None, AUTO):
        return None
    if recognise(choice.model or server.model):
        return None
    return Misfit(WORD, "the policy is auto, and no wire format is known for this model")


async def _by_policy(gateway: Gateway, choice: Choice, request: Request) -> Misfit | None:
    """What a policy says that has to look at the request."""
    runtime = await gateway.models.runtime(choice.model)
    decision = (await decide_how(runtime.engine, request, **how(gateway, choice),
                                 profile=runtime.profile,
                                 step=runtime.limiter.pace.step)).decision
    if decision.plan.method != "sequential":
        return None
    return Misfit(WORD, decision.why or "the policy says so")
