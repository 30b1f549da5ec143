"""A service whose network does what the clips tell it to: python -m tests.support.faulty_server DIRECTORY WORKER_TIMEOUT_S.

A clip's mean grey is an order, one of those below; any other clip is answered as FakeNetwork does. DIRECTORY holds the named
pipes ``here`` and ``go``, and the file ``broken`` as long as every batch shall fail.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.http import request_log
from service.server import serve
from service.settings import Settings
from tests.support.fakes import FakeNetwork

FAIL, DIE, WAIT = 60, 120, 180
CAUSE = "the device is on fire"


class Killed(BaseException):
    """What no worker survives."""


class FaultyNetwork(FakeNetwork):
    """Obeys its clips."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        orders = {order for grey in clips.mean(axis=(1, 2, 3, 4)) for order in (FAIL, DIE, WAIT) if abs(grey - order) < 8}
        if WAIT in orders:  # each pipe opens when its other end does
            for name, flags in (("here", os.O_WRONLY), ("go", os.O_RDONLY)):
                os.close(os.open(self._directory / name, flags))
        if DIE in orders:
            raise Killed
        if FAIL in orders or (self._directory / "broken").exists():
            raise RuntimeError(CAUSE)
        return super().run(clips)


if __name__ == "__main__":
    settings = Settings()
    request_log.configure(settings)
    network = FaultyNetwork(Path(sys.argv[1]))
    sys.exit(serve(settings, lambda _settings, _progress: network, worker_timeout_s=float(sys.argv[2])))
