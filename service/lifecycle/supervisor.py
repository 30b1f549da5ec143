"""Watches the worker: a dead or stuck one ends the process; one that fails for everybody is not ready until it works again."""

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
# Canaries in a row that failed, after which the service is not ready. A request whose own clips fail is no reason: only a clip
# that always works shows that the network fails for everybody. Three, so that a passing shortage of memory is no reason either.
MAX_FAILED_CANARIES = 3
PROOF_S = 120.0  # without a batch, after which a canary is run: 0.3 s of processor, which is 0.3 % of a core
WORKER_TIMEOUT_S = 60.0  # for one batch; on two slow cores it takes a second
SECOND_LOOK_S = 5.0  # after which a batch that was stopped with the whole process would be done
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
        self._num_failed_canaries = 0  # in a row, with no batch between them that went well

    async def run(self) -> None:
        """Until the worker is given up, or this is cancelled."""
        while (reason := await self._confirmed()) is None:
            is_suspect = self._batcher.is_failing
            self._num_failed_canaries = self._num_failed_canaries if is_suspect else 0
            self._readiness.set_failing(self._num_failed_canaries >= MAX_FAILED_CANARIES)
            if is_suspect or self._batcher.seconds()[1] > PROOF_S:
                self._send_canary()
            await self._sleep(TICK_S)
        log.error("%s The process ends in %g s.", reason, GRACE_S)
        self._batcher.abandon()
        self._readiness.refuse(WorkerDown("The worker that runs the network has stopped. Ask another instance."))
        await self._sleep(GRACE_S / 2)
        self._readiness.give_up()
        await self._sleep(GRACE_S / 2)
        self._on_death(reason)

    async def _confirmed(self) -> str | None:
        """What only a new process helps against. A stuck worker is looked at twice: `docker pause` stops all but clocks."""
        reason = self._verdict()
        if reason is None or not self._batcher.is_alive():
            return reason
        await self._sleep(SECOND_LOOK_S)
        return self._verdict()

    def _verdict(self) -> str | None:
        if not self._batcher.is_alive():
            return "The worker that runs the network has died."
        if self._batcher.seconds()[0] > self._worker_timeout_s:
            return f"The worker has been running one batch for more than {self._worker_timeout_s:g} s: it is stuck."
        return None

    def _send_canary(self) -> None:
        """Run a clip of zeros, which every network can run, unless one is on its way."""
        if self._canary is None or self._canary.done():
            with suppress(WorkerDown):
                future = self._batcher.submit(self, np.zeros(c3d.CLIP_SHAPE, np.uint8))
                self._canary = asyncio.wrap_future(future)
                self._canary.add_done_callback(self._count_canary)

    def _count_canary(self, canary: asyncio.Future[Done]) -> None:
        if not canary.cancelled():
            self._num_failed_canaries = self._num_failed_canaries + 1 if canary.exception() else 0
