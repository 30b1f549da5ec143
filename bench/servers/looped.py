"""The real service, and in the same process the bare loop over its network: python -m bench.servers.looped CLIPS.npy.

Two processes that do the same differ by 1 to 3 % for as long as they live (bench/tried.md); so what is held against each other
runs in one. stdin and stdout are those of `bench.engine_worker`, answered once the network is loaded.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np

from bench.contenders import run_of
from bench.engine_worker import Work, answer_lines, answers
from service import server
from service.inference.network import Network, Progress
from service.lifecycle.loading import load_network
from service.settings import Settings


def main() -> None:
    """Serve, with the settings of the environment."""
    out = answers()
    clips = np.load(Path(sys.argv[1]))

    def load(settings: Settings, progress: Progress) -> Network:
        network = load_network(settings, progress)
        threading.Thread(target=answer_lines, args=(Work(run_of(network), clips), out), daemon=True).start()
        return network

    server.serve(Settings(), load)


if __name__ == "__main__":
    main()
