"""Watches the worker: a dead or stuck one ends the process, a failing one makes it not ready until it has proved itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np

from model_store import c3d
from service.errors import WorkerDown
from service.inference.batcher import Batcher, Done
from service.lifecycle.readiness import Readiness

log = logging.getLogger(__name__)

TICK_S = 1.0
MAX_FAILURES = 3  # batches in a row that raised, after which the service is not ready until one does not
PROOF_S = 120.0  # without a batch, after which a clip of nothing is run: 0.3 s of processor, which is 0.3 % of a core
WORKER_TIMEOUT_S = 60.0  # for one batch; on two slow cores it takes a second
GRACE_S = 5.0  # between "not ready" and the end, for the load balancer to notice and the answers to leave

Sleep = Callable[[float], Awaitable[None]]


class Supervisor:
    """Looks at the batcher once a second. ``on_death`` is called with a sentence when only a new process will help."""

    def __init__(
        self,
        batcher: Batcher,
        readiness: Readiness,
        on_death: Callable[[str], None],
        worker_timeout_s: float = WORKER_TIMEOUT_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._batcher, self._readiness, self._on_death, self._sleep = batcher, readiness, on_death, sleep
        self._worker_timeout_s = worker_timeout_s
        self._canary: asyncio.Future[Done] | None = None

    async def run(self) -> None:
        """Until the worker is given up, or this is cancelled."""
        while (reason := self._verdict()) is None:
            self._readiness.doubt(self._batcher.failures >= MAX_FAILURES)
            if self._batcher.failures >= MAX_FAILURES or self._batcher.seconds()[1] > PROOF_S:
                self._send_canary()
            await self._sleep(TICK_S)
        log.error("%s The process ends in %g s.", reason, GRACE_S)
        self._batcher.abandon()
        self._readiness.refuse(WorkerDown("The worker that runs the network has stopped. Ask another instance."))
        await self._sleep(GRACE_S / 2)
        self._readiness.give_up()
        await self._sleep(GRACE_S / 2)
        self._on_death(reason)

    def _verdict(self) -> str | None:
        if not self._batcher.is_alive():
            return "The worker that runs the network has died."
        if self._batcher.seconds()[0] > self._worker_timeout_s:
            return f"The worker has been running one batch for more than {self._worker_timeout_s:g} s: it is stuck."
        return None

    def _send_canary(self) -> None:
        """Run a clip of nothing, unless one is on its way. How it ends is seen in the batcher's count of failures."""
        if self._canary is None or self._canary.done():
            with suppress(WorkerDown):
                future = self._batcher.submit(self, np.zeros(c3d.CLIP_SHAPE, np.uint8))
                self._canary = asyncio.wrap_future(future)
                self._canary.add_done_callback(lambda done: done.cancelled() or done.exception())
