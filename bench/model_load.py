"""How long one model takes from local disk to a warm network: python -m bench.model_load [STORE]. Medians of 5 loads.

Reading and hashing the file, building the layers and setting the weights are measured apart, side by side in one run.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_store.store import open_model

ROUNDS = 5


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print one table."""
    model = open_model(Path(sys.argv[1] if len(sys.argv) > 1 else "model_store/files"))
    size = (model.directory / "weights.npz").stat().st_size
    imported = seconds(lambda: __import__("service.network"))
    from service.network import Network

    reading, loading, warming = [], [], []
    peak_mib = 0.0
    for _ in range(ROUNDS):
        reading.append(seconds(lambda: [None for _ in model.tensors()]))
        started = time.perf_counter()
        network = Network(model)
        loading.append(time.perf_counter() - started)
        warming.append(seconds(network.warm_up))
        peak_mib = peak_mib or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of one load, not of five
    print(f"{model.card.name}, {size / 1e6:.0f} MB, {network.backend}")
    print(f"importing the engine          {imported:6.2f} s (once)")
    print(f"reading and hashing the file  {statistics.median(reading):6.2f} s")
    print(f"the whole load, that included {statistics.median(loading):6.2f} s")
    print(f"warming up, all batch sizes   {statistics.median(warming):6.2f} s")
    print(f"peak memory of the process    {peak_mib:6.0f} MiB")


if __name__ == "__main__":
    main()
