"""The command line of `python -m corpus`."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from c3d_video import commandline
from c3d_video.commandline import DONE, SOME_FAILED, UNSERVED, Stopped, UsageError
from c3d_video.errors import C3DError
from corpus import listing, local, on_ray
from corpus.out import batches
from corpus.parts import OK, Row
from corpus.worker import Plan, Worker
from service.errors import ServiceError
from service.lifecycle.loading import LoadNetwork, load_network

OF_FEATURES = ("layer", "clip_stride", "tail", "start_sec", "end_sec", "max_clips", "normalize", "fps")
BATCH = 64  # videos a part: half an hour of one CPU is lost at most where a machine goes, and 10^6 videos are 16,000 files


def parser() -> commandline.Parser:
    """The whole command line."""
    whole = commandline.Parser(prog="python -m corpus", description="C3D features of very many videos, into Parquet.")
    whole.add_argument(
        "listing", metavar="LISTING", help="a folder, LIST.txt, LIST.csv, LIST.parquet (:COLUMN), or s3://bucket/prefix"
    )
    whole.add_argument("out", metavar="OUT", type=Path, help="folder for the rows; of a cluster, one that all machines see")
    whole.add_argument("--clips", action="store_true", help="each clip's vector and start too")
    whole.add_argument("--layer", help="fc6 (default), fc7 or pool5")
    commandline.add_clips(whole)
    whole.add_argument("--normalize", choices=("l2", "none"), help="of the video's descriptor")
    whole.add_argument("--shard", type=commandline.shard, metavar="I/N", help="only part I of N; all N may write to one OUT")
    whole.add_argument("--retry", action="append", default=[], metavar="CODE", help="do again the rows with this code")
    whole.add_argument("--batch", type=commandline.count, default=BATCH, metavar="N", help=f"videos a part (default {BATCH})")
    whole.add_argument(
        "-j", "--jobs", type=commandline.count, default=8, metavar="N", help="videos at once a network (default 8)"
    )
    whole.add_argument("--allow-stand-in", action="store_true", help="accept random weights, whose features mean nothing")
    whole.add_argument("-q", "--quiet", action="store_true", help="no progress")
    cluster = whole.add_argument_group("on a Ray cluster")
    cluster.add_argument("--ray", metavar="ADDRESS", help="of the cluster; `auto`: the one here; `local`: start one")
    cluster.add_argument("--workers", type=commandline.count, default=1, metavar="N", help="networks, one a device (default 1)")
    cluster.add_argument("--cpus", type=float, default=1, metavar="N", help="of each (default 1)")
    cluster.add_argument("--gpus", type=float, default=0, metavar="N", help="of each (default 0)")
    cluster.add_argument("--max-errors", type=int, default=10, metavar="N", help="batches that may be given up (default 10)")
    return whole


def main(argv: Sequence[str] | None = None, load: LoadNetwork = load_network) -> int:
    """Run it; the exit status: that of `c3d-video extract`."""
    arguments = parser().parse_args(argv)
    return commandline.guarded(lambda: _run(arguments, load))


def _run(arguments: argparse.Namespace, load: LoadNetwork) -> int:
    given = {name: getattr(arguments, name, None) for name in OF_FEATURES}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    options |= {"clips": True} if arguments.clips else {}
    root = arguments.out.absolute()  # a cluster's workers start elsewhere
    plan = Plan(root, options, arguments.shard, arguments.jobs, arguments.allow_stand_in, load)
    plan.features()  # refused now rather than by each worker
    out = plan.out()
    with contextlib.closing(out.lock()):
        out.check_options()
        found = listing.sources(arguments.listing, arguments.out)
        if arguments.shard:
            found = listing.shard(found, *arguments.shard)
        plan = replace(plan, mark=out.begin())
        todo = list(out.todo(found, set(arguments.retry)))
        codes: Counter[str] = Counter()
        with tqdm(total=len(todo), unit="video", disable=arguments.quiet or not todo) as bar:

            def count(code: str) -> None:
                codes[code] += 1
                bar.update()

            if todo and arguments.ray:
                _on_ray(arguments, plan, todo, count)
            elif todo:
                status = commandline.run(lambda: _locally(plan, batches(todo, arguments.batch), count))
                if status != DONE:
                    return status
    return _told(codes, len(todo))


async def _locally(plan: Plan, todo: Iterable[list[str]], count: Callable[[str], None]) -> int:
    def on_row(row: Row) -> None:
        count(row.code)

    try:
        async with Worker(plan) as worker:
            await local.run(worker, todo, on_row)
    except (ServiceError, C3DError) as error:
        raise Stopped(str(error), UNSERVED) from error
    except OSError as error:
        raise Stopped(f"{plan.root} cannot be written: {error}.", SOME_FAILED) from error
    return DONE


def _on_ray(arguments: argparse.Namespace, plan: Plan, todo: list[str], count: Callable[[str], None]) -> None:
    try:
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install -r requirements-corpus.txt.") from error
    cluster = on_ray.Cluster(arguments.ray, arguments.workers, arguments.cpus, arguments.gpus, arguments.max_errors)
    try:
        on_ray.run(todo, plan, cluster, arguments.batch, count)
    except ray.exceptions.RayError as error:
        raise Stopped(f"Ray gave up: {str(error).strip().splitlines()[-1]}", SOME_FAILED) from error


def _told(codes: Counter[str], num_todo: int) -> int:
    """The last words, and the exit status."""
    failed = {code: number for code, number in codes.items() if code != OK}
    why = f" ({', '.join(f'{code} {number}' for code, number in sorted(failed.items()))})" if failed else ""
    lost = num_todo - codes.total()
    commandline.say(
        f"{codes[OK]} done, {sum(failed.values())} failed{why}." + (f" {lost} were given up; run it again." if lost else "")
    )
    return SOME_FAILED if failed or lost else DONE
