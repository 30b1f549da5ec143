"""The real service with a network that takes no time: what is left is the service's own. SIGUSR1 turns its metrics off and on.

Both halves of a comparison run in one process, so that what differs between two processes is no part of it.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from model_store.store import open_model
from service import app, server
from service.http.metrics import Metrics
from service.inference.network import Network, Progress
from service.settings import Settings


class InstantNetwork(Network):
    """Answers at once, with the same numbers for every clip."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        model = open_model(settings.model_store, settings.model)
        super().__init__(model, "float32", "instant on cpu")
        rng = np.random.default_rng(0)
        sizes = (*c3d.FEATURE_SIZES.values(), model.card.num_classes)
        self._rows = [rng.random((1, size), np.float32) for size in sizes]

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """Rows for clips (b, 16, 112, 112, 3)."""
        return c3d.ClipOutputs(*(np.repeat(row, len(clips), axis=0) for row in self._rows))

    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        """The same."""
        return c3d.ClipOutputs(*self._rows)


class SwitchedMetrics(Metrics):
    """Counts, or does nothing where the service would have counted."""

    on = True

    def request_began(self, endpoint: str) -> None:
        """As Metrics."""
        if self.on:
            super().request_began(endpoint)

    def request_ended(self, endpoint: str, code: str, seconds: float, stages: Mapping[str, float]) -> None:
        """As Metrics."""
        if self.on:
            super().request_ended(endpoint, code, seconds, stages)

    def batch_ran(self, size: int, seconds: float) -> None:
        """As Metrics."""
        if self.on:
            super().batch_ran(size, seconds)


def main() -> None:
    """Serve, with the settings of the environment."""

    def switch(*_: object) -> None:
        SwitchedMetrics.on = not SwitchedMetrics.on

    signal.signal(signal.SIGUSR1, switch)
    with mock.patch.object(app, "Metrics", SwitchedMetrics):
        server.serve(Settings(), InstantNetwork)


if __name__ == "__main__":
    main()
