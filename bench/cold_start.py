"""From the start of the process to ready, and what takes the time: python -m bench.cold_start. Medians over the rounds.

The whole is seen from outside, by asking a real service. The steps are those of its start one after the other in a process of
their own (python -m bench.cold_start --steps prints them); the service itself answers probes meanwhile. The weights come from
the local disk, and from memory after the first time.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import claims, processes, usage
from bench.claims import Claim, Options, Table, at_most
from bench.processes import ROOT

STARTS = 3
ALIVE, READY = "until /livez answers", "until /readyz is 200"


def steps() -> dict[str, float]:
    """Seconds of each step, in order, in this process; and the peak memory after loading, in MiB."""
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    with step("import the service"):
        from service import server  # noqa: F401 (to have it)
        from service.lifecycle.loading import load_network  # noqa: F401
        from service.settings import Settings
        from service.video.pool import DecoderPool

        settings = Settings()
    with step("import TensorFlow"):
        from service.inference.keras_network import Network
    with step("read and hash the weights"):
        from model_store.store import open_model

        model = open_model(settings.model_store, settings.model)
        for _ in model.tensors():
            pass
    with step("load the model, that included"):
        network = Network(model)
    peak = usage.peak_mib(usage.SELF)
    with step("warm up every batch size"):
        network.warm_up()
    with step("ask the known answer"):
        network.known_answer()

    async def decoders() -> None:
        pool = DecoderPool(settings.max_decoders)
        await pool.start()
        await pool.close()

    with step("start and end the decoders"):
        asyncio.run(decoders())
    return seconds | {"peak MiB": peak}


def start() -> dict[str, float]:
    """Seconds until a real service answers /livez, and /readyz; and its processor until then."""
    port = processes.free_port()
    started = time.perf_counter()
    with processes.process([sys.executable, "-m", "service"], processes.at_port(port), stdin=subprocess.DEVNULL) as running:
        processes.wait_until_ready(running, port, "/livez")
        alive = time.perf_counter() - started
        processes.wait_until_ready(running, port)
        ready = time.perf_counter() - started
        return {ALIVE: alive, READY: ready, "processor until then": usage.family_cpu_s(running.pid)}


def measure(options: Options, directory: Path) -> Claim:
    """Real starts and the steps of one, in turn."""
    found: list[dict[str, float]] = []
    for _ in range(STARTS):
        whole = start()
        command = [sys.executable, "-m", "bench.cold_start", "--steps"]
        printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found.append({**whole, **json.loads(printed.splitlines()[-1])})
    medians = {name: statistics.median(each[name] for each in found) for name in found[0]}
    table = Table("From the start of the process to ready", ("step", "s"))
    peak = medians.pop("peak MiB")
    table.rows = [[name, f"{seconds:.2f}"] for name, seconds in medians.items()]
    table.note = f"The first three rows are a whole service, seen from outside. Peak memory of loading: {peak:.0f} MiB."
    aims = [at_most("cold start", 12, medians[READY], "s")]
    return Claim("cold start", [table], {"seconds": medians, "peak_loading_mib": peak}, aims)


if __name__ == "__main__":
    if sys.argv[1:] == ["--steps"]:
        print(json.dumps(steps()))
    else:
        claims.run(measure, __doc__)
