"""A corpus on a Ray cluster: Ray Data hands batches to one worker a device, and starts workers that die again."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3d_video.commandline import UsageError
from corpus.out import batches
from corpus.worker import Plan, Worker

MAX_RESTARTS = -1  # of a worker: nodes come and go; a video that kills workers is found out by `Attempts`
MAX_TASK_RETRIES = 8  # of a batch: two deaths a poison, and a few nodes lost
LOCAL = "local"  # as Ray calls it. Without any address it would join the cluster that ran here last
ANSWER_S = 30.0  # that a cluster has to answer. ray.init would wait for a dead one for a quarter of an hour


@dataclass(frozen=True)
class Cluster:
    """``address``: of Ray, `auto` for the one here, `local` to start one. Each worker takes ``num_cpus`` and ``num_gpus``."""

    address: str
    num_workers: int
    num_cpus: float
    num_gpus: float
    max_errored_blocks: int


class RayWorker:
    """A worker as Ray Data wants it: made once in its process, called with a batch at a time."""

    def __init__(self, plan: Plan) -> None:
        self._runner = asyncio.Runner()
        self._worker = Worker(plan)
        self._runner.run(self._worker.__aenter__())

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What became of each video; the rows themselves are in a part by then."""
        rows = self._runner.run(self._worker.batch([str(each) for each in batch["path"]]))
        return {"path": np.array([row.path for row in rows]), "code": np.array([row.code for row in rows])}


def check_answers(address: str) -> None:
    """Raises UsageError where no cluster answers at the address."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    command += ["--address", address] if address != "auto" else []
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=ANSWER_S)  # noqa: S603 (Ray's own command)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise UsageError(f"No Ray cluster answers at {address}. Start one (ray start --head), or give --ray local.") from None


def run(todo: list[str], plan: Plan, cluster: Cluster, batch_size: int, on_row: Callable[[str], None]) -> None:
    """All of ``todo``; ``on_row`` gets each video's code. Raises what Ray raises."""
    import pyarrow as pa
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    if cluster.address != LOCAL:
        check_answers(cluster.address)
    ray.init(address=cluster.address, log_to_driver=False, ignore_reinit_error=True)
    context = DataContext.get_current()
    context.max_errored_blocks = cluster.max_errored_blocks
    context.enable_progress_bars = False  # ours knows the videos, Ray's only blocks
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # A block a batch, made here: a manifest in one block would be one worker's, and Ray's own repartition needs a CPU, which
    # workers on all CPUs never leave it.
    blocks = [pa.table({"path": batch}) for batch in batches(todo, batch_size)]
    found = ray.data.from_arrow(blocks).map_batches(
        RayWorker,
        batch_size=None,  # a whole block
        compute=ActorPoolStrategy(size=cluster.num_workers),
        fn_constructor_args=(plan,),
        num_cpus=cluster.num_cpus,
        num_gpus=cluster.num_gpus,
        max_restarts=MAX_RESTARTS,
        max_task_retries=MAX_TASK_RETRIES,
    )
    for batch in found.iter_batches(batch_size=None):
        for code in batch["code"]:
            on_row(str(code))
