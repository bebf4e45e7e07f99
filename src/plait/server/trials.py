"""Live experiments at work: who gets which policy, and runs that are repeated in the shadow.

A request that chooses nothing itself may belong to an experiment. In a split it is answered by one
of two policies; in the shadow everybody gets A's answer, and B answers once more afterwards, for
nobody, while the gateway has room.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from plait.errors import PlaitError
from plait.server.choosing import Choice
from plait.server.exchange import Exchange
from plait.server.experiments import Assignment
from plait.server.gateway import Gateway
from plait.server.jobs import Job, how, policy_name, who
from plait.server.watch import RunInfo, watching
from plait.solve import solve
from plait.trace import Trace

log = logging.getLogger("plait.server")


def assigned(
    gateway: Gateway, exchange: Exchange, body: Mapping[str, Any], choice: Choice
) -> Choice:
    """``choice``, with what an experiment draws for it if it is free."""
    if gateway.experiments is None or not choice.free:
        return choice
    user, session = who(exchange, body)
    found = gateway.experiments.assign(
        run=exchange.run, model=choice.model or gateway.models.engine.model, user=user,
        session=session, key=exchange.key.name)
    if found is None:
        return choice
    return replace(choice, policy=found.policy, experiment=found.experiment, arm=found.arm)


def shadow(gateway: Gateway, info: RunInfo, job: Job | None) -> None:
    """The run ``info`` has ended: repeat it behind the client's back if an experiment wants it."""
    if gateway.experiments is None or job is None or not info.experiment:
        return
    if gateway.background is None:
        return
    found = gateway.experiments.take_shadow(info)
    if found is not None:
        gateway.background.start_soon(_repeat, gateway, info, job, found)


async def _repeat(gateway: Gateway, info: RunInfo, job: Job, found: Assignment) -> None:
    """Answer ``job`` once more, under the policy ``found``. Nobody hears of what goes wrong but
    those who watch."""
    chosen = how(gateway, replace(job.choice, policy=found.policy))
    run, trace = uuid.uuid4().hex[:24], Trace()
    again = replace(info, run=run, started=time.time(), queued=0.0, shadow_of=info.run,
                    arm=found.arm, method=chosen["method"], protocol=chosen["protocol"],
                    policy=policy_name(chosen["policy"]))
    try:
        with watching(gateway.watchers, again) as watched:
            trace.subscribe(watched.event)
            watched.result = await solve(job.request, runtime=job.runtime, trace=trace,
                                         run_id=run, **chosen)
    except PlaitError as error:
        log.info("the shadow of run %s failed: %s", info.run, type(error).__name__)
    except Exception:
        log.exception("the shadow of run %s failed", info.run)
