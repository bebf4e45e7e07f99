"""What the endpoints share: engines, keys, admission, requests at work, watchers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from plait.server.exchange import Exchange
from plait.server.experiments import Experiments
from plait.server.kept import KeptResponses
from plait.server.keys import KeyRing
from plait.server.limits import Admission
from plait.server.metrics import GatewayMetrics
from plait.server.models import Models
from plait.server.replays import Replays
from plait.server.settings import GatewaySettings
from plait.server.store import Store
from plait.server.watch import Watcher
from plait.solve import Runtime


@dataclass(eq=False, slots=True)
class Active:
    """A request at work. Cancelling ``scope`` ends it."""

    run: str
    request: str
    key: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Gateway:
    """See the module's docstring. ``store``, ``metrics`` and ``experiments`` are watchers too;
    None: there is no such thing. All that is given is the caller's to close. Inside ``async with``
    it has a `background`, whose tasks end with the block."""

    def __init__(
        self, runtime: Runtime, settings: GatewaySettings | None = None, *,
        store: Store | None = None, metrics: GatewayMetrics | None = None,
        experiments: Experiments | None = None, watchers: Sequence[Watcher] = (),
    ) -> None:
        self.settings = settings or GatewaySettings()
        self.models = Models(runtime)
        self.keys = KeyRing(self.settings.keys)
        self.store, self.metrics, self.experiments = store, metrics, experiments
        own = (w for w in (store, metrics, experiments) if w is not None)
        self.watchers: tuple[Watcher, ...] = (*own, *watchers)
        self.admission = Admission(self.settings.running, self.settings.waiting,
                                   self.settings.queue_seconds)
        self.replays = Replays(self.settings.idempotent, self.settings.idempotent_seconds)
        self.responses = KeptResponses(self.settings.responses)
        self.background: TaskGroup | None = None
        self._active: dict[str, Active] = {}

    async def __aenter__(self) -> Gateway:
        self.background = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        background, self.background = self.background, None
        if background is not None:
            background.cancel_scope.cancel()
            await background.__aexit__(None, None, None)

    @contextmanager
    def at_work(self, run: str, exchange: Exchange) -> Iterator[Active]:
        """``run`` can be cancelled inside the block: whoever does that leaves `Active.scope`."""
        active = Active(run, exchange.request_id, exchange.key.name)
        self._active[run] = active
        try:
            yield active
        finally:
            del self._active[run]

    def cancel(self, name: str, exchange: Exchange) -> list[str]:
        """Cancel the requests that ``name`` means: a run, or what the client called a request.
        Keys reach their own requests only. Gives the runs that were cancelled."""
        mine = [a for a in self._active.values() if name in (a.run, a.request)
                and (exchange.key.admin or a.key == exchange.key.name)]
        for active in mine:
            active.scope.cancel()
        return [active.run for active in mine]
