"""The service with a network that takes a fixed time for each clip: python -m tests.support.steady_server SECONDS."""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.http import request_log
from service.server import serve
from service.settings import Settings
from tests.support.fakes import FakeNetwork


class SteadyNetwork(FakeNetwork):
    """FakeNetwork at a known speed, so that a kill hits work that is going on."""

    def __init__(self, clip_s: float) -> None:
        super().__init__()
        self._clip_s = clip_s

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        time.sleep(self._clip_s * len(clips))
        return super().run(clips)


if __name__ == "__main__":
    settings = Settings()
    request_log.configure(settings)
    sys.exit(serve(settings, lambda _settings, _progress: SteadyNetwork(float(sys.argv[1]))))
