"""One run of `extract`, from the videos that are asked for to its exit status. `evaluate` runs one too."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c3d_video.commandline import DONE, SOME_FAILED, UNSERVED, USAGE, Stopped, UsageError, aside
from c3d_video.extract import hdf5, videos
from c3d_video.extract.index import PRIVATE, Index, differences, identity_of
from c3d_video.extract.report import Report
from c3d_video.extract.run import Plan, Run
from c3d_video.extract.servers import Servers
from c3d_video.extract.videos import Video
from c3d_video.options import Options
from c3d_video.protocol import is_url

LINE_EVERY_S = 30.0


@dataclass
class Job:
    """What is asked for. ``options``: of POST /features; ``about``: all that makes outputs differ, kept in the index."""

    paths: list[str]
    out: Path
    servers: list[str]
    api_key: str | None
    patience_s: float
    to: str
    pattern: str
    options: Options
    about: dict[str, Any]
    num_jobs: int = 4
    pca: int | None = None
    wanted: Callable[[Video], bool] = lambda _video: True
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    shard: tuple[int, int] | None = None
    overwrite: bool = False
    retry_failed: bool = False
    allow_stand_in: bool = False
    dry_run: bool = False
    fail_fast: bool = False
    quiet: bool = False
    as_json: bool = False


async def extract(job: Job) -> int:
    """Do it; the exit status. Raises UsageError, Stopped, CancelledError."""
    found = videos.find(job.paths, job.include, job.exclude, job.out)
    found = [video for video in found if job.wanted(video)]
    if job.shard:
        found = videos.shard(found, *job.shard)
    if not found:
        raise UsageError("There is no video. Folders are searched for common suffixes; --include '*' takes every file.")
    outputs = videos.outputs(found, job.pattern)
    if job.to == "hdf5":
        outputs = {name: f"{PRIVATE}/videos/{output}.npz" for name, output in outputs.items()}
    if job.dry_run and not job.out.exists():
        return _dry(found, outputs)
    job.out.mkdir(parents=True, exist_ok=True)
    index = Index(job.out)
    servers = Servers(job.servers, job.api_key, job.num_jobs, job.patience_s)
    try:
        index.check_options(job.about)
        todo, num_before, num_failed_before = await aside(lambda: _todo(found, index, job))
        if job.dry_run:
            return _dry(todo, outputs)
        report = Report(todo, quiet=job.quiet, as_json=job.as_json)
        run = Run(Plan(todo, outputs, job.to, job.options, job.about, job.num_jobs, job.fail_fast), index, servers, report)
        if todo:
            await _begin(run, job)
        await _reported(run, report, num_before, num_failed_before)
        if job.to == "hdf5" and (run.num_done or not (job.out / hdf5.FILE).exists()):
            await aside(lambda: _assemble(index, job.pca))
        return SOME_FAILED if run.num_failed or num_failed_before else DONE
    finally:
        await servers.close()
        index.close()


async def _reported(run: Run, report: Report, num_before: int, num_failed_before: int) -> None:
    """The work, and what is said of it, whatever ends it."""
    report.begin()
    ticker = asyncio.ensure_future(_lines(report))
    try:
        await run.work()
    finally:
        ticker.cancel()
        report.close()
        with contextlib.suppress(OSError):  # of a full disk, which was reported; the index knows the failures
            run.index.write_failed(run.transient)
        report.summary(num_before, num_failed_before)


async def _lines(report: Report) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        report.line()


async def _begin(run: Run, job: Job) -> None:
    """Ask the servers what they run. Raises Stopped, UsageError."""
    model = identity_of(await run.servers.start())
    for server in run.servers.all:
        others = differences(model, identity_of(server.info)) if server.info else []
        if others:
            raise UsageError(f"The servers run different models: {', '.join(others)} differ.")
        if server.info and server.info["model"].get("weights") == "stand-in" and not job.allow_stand_in:
            raise Stopped(
                f"{server.client.url} runs stand-in weights: random numbers, whose features mean nothing. Give it the real ones, "
                "or try things out with --allow-stand-in.",
                UNSERVED,
            )
    run.index.begin(job.about, model)
    limits = [server.info.get("limits") or {} for server in run.servers.all if server.info]
    sizes = [int(each["max_upload_bytes"]) for each in limits if each.get("max_upload_bytes")]
    run.plan.max_bytes = min(sizes) if sizes else None


def _todo(found: list[Video], index: Index, job: Job) -> tuple[list[Video], int, int]:
    """What is left to do, and how many were done or had failed before. Reads files whose time has changed."""
    todo, num_done, num_failed = [], 0, 0
    for video in found:
        source = None if is_url(video.source) else Path(video.source)
        if not job.overwrite and index.is_done(video.name, source):
            num_done += 1
        elif not job.overwrite and not job.retry_failed and index.has_failed(video.name, source):
            num_failed += 1
        else:
            todo.append(video)
    return todo, num_done, num_failed


def _dry(todo: list[Video], outputs: dict[str, str]) -> int:
    for video in todo:
        print(f"{video.name} -> {outputs[video.name]}")
    return DONE


def _assemble(index: Index, components: int | None) -> None:
    done = {entry["output"]: index.out / entry["output"] for entry in index.videos.values() if "output" in entry}
    folder = f"{PRIVATE}/videos/"
    parts = {output.removeprefix(folder).removesuffix(".npz"): path for output, path in done.items()}
    if not parts:
        return
    try:
        hdf5.assemble(parts, index.work / hdf5.FILE, index.out / hdf5.FILE, components)
    except ValueError as error:
        raise Stopped(str(error), USAGE) from error
    except OSError as error:
        raise Stopped(f"{hdf5.FILE} cannot be written: {error}.", SOME_FAILED) from error
