"""A network that sleeps so long for each clip in place of computing, in the real service and in workers of `python -m corpus`.

python -m bench.servers.sleeping                  the service
python -m bench.servers.sleeping ARGUMENT...      `python -m corpus` with these arguments

Each network writes down when it ran what: lines "start end clips" in a file of its own in the folder that BENCH_RUNS names.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bench.servers.instant import InstantNetwork
from model_store import c3d
from service import server
from service.inference.network import Progress
from service.settings import Settings

RUNS = "BENCH_RUNS"
CLIP_S = 0.15  # as long as a network on two cores takes


class SleepingNetwork(InstantNetwork):
    """Answers after a while."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        super().__init__(settings, progress)
        self._runs = Path(os.environ[RUNS]) / uuid4().hex

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """Rows for clips (b, 16, 112, 112, 3)."""
        began = time.time()
        time.sleep(CLIP_S * len(clips))
        with self._runs.open("a") as file:
            file.write(f"{began} {time.time()} {len(clips)}\n")
        return super().run(clips)


def main(arguments: list[str]) -> int:
    """Either of the two."""
    if not arguments:
        return server.serve(Settings(), SleepingNetwork)
    from corpus import command  # needs the client, which the service does not

    return command.main(arguments, SleepingNetwork)


if __name__ == "__main__":
    # By this name Ray's workers find the network: in them __main__ is another.
    from bench.servers import sleeping  # noqa: PLW0406

    sys.exit(sleeping.main(sys.argv[1:]))
