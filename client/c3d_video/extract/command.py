"""The command line of `c3d-video extract`, from its arguments to its exit status."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
from pathlib import Path
from typing import Any, cast

from c3d_video import commandline
from c3d_video.commandline import DONE, SOME_FAILED, UNSERVED, USAGE, Stopped, UsageError
from c3d_video.extract import hdf5, videos
from c3d_video.extract.forms import FORMS
from c3d_video.extract.index import PRIVATE, Index, differences
from c3d_video.extract.presets import HDF5_FILE, PATTERNS, PRESETS
from c3d_video.extract.report import Report
from c3d_video.extract.run import Plan, Run
from c3d_video.extract.servers import Servers
from c3d_video.extract.videos import Video
from c3d_video.options import Options
from c3d_video.protocol import is_url

OF_FEATURES = ("layer", "clip_stride", "tail", "start_sec", "end_sec", "max_clips", "normalize", "fps")
NEEDS = {"hdf5": ("h5py", "hdf5"), "parquet": ("pyarrow", "parquet")}


def add_parser(commands: Any) -> None:
    """``extract`` among the commands."""
    parser = commands.add_parser("extract", help="features of files, folders, lists and URLs")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, @LIST, @LIST.csv:COLUMN or a URL")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the features and their index")
    commandline.add_service(parser, several=True)
    parser.add_argument("-j", "--jobs", type=commandline.count, default=4, metavar="N", help="videos in flight (default 4)")
    parser.add_argument("--to", choices=FORMS, help="form of the output (default npz)")
    parser.add_argument("--name", metavar="PATTERN", help="output name, from {dir} {class} {stem} {id} {name} {ext}")
    parser.add_argument("--preset", choices=PRESETS, help="form, names and options that a data set's readers expect")
    parser.add_argument("--pca", type=commandline.count, metavar="N", help="hdf5: the first N principal components")
    parser.add_argument("--layer", help="fc6 (default), fc7, or another layer the service knows")
    commandline.add_clips(parser)
    parser.add_argument("--normalize", choices=("l2", "none"), help="of the video's descriptor: length 1 (default), or the mean")
    parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="only names that match")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no names that match")
    parser.add_argument("--shard", type=_shard, metavar="I/N", help="only part I of N, each with an OUT of its own")
    parser.add_argument("--overwrite", action="store_true", help="do again what is done")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed for a reason of its own")
    parser.add_argument("--allow-stand-in", action="store_true", help="accept random weights, whose features mean nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first video that fails")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell of failures only")
    parser.add_argument("--json", action="store_true", help="a JSON line for each video on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The whole command; the exit status."""
    return commandline.run(_extract(arguments))


async def _extract(arguments: argparse.Namespace) -> int:
    to, pattern, options, about = _wanted(arguments)
    found = videos.find(arguments.paths, arguments.include, arguments.exclude, arguments.out)
    if arguments.shard:
        found = videos.shard(found, *arguments.shard)
    if not found:
        raise UsageError("There is no video. Folders are searched for common suffixes; --include '*' takes every file.")
    outputs = videos.outputs(found, pattern)
    if to == "hdf5":
        outputs = {name: f"{PRIVATE}/videos/{output}.npz" for name, output in outputs.items()}
    if arguments.dry_run and not arguments.out.exists():
        return _dry(found, outputs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    index = Index(arguments.out)
    servers = Servers(commandline.servers_of(arguments), arguments.api_key, arguments.jobs, arguments.patience)
    try:
        index.check_options(about)
        todo, num_before, num_failed_before = await _todo(found, index, arguments)
        if arguments.dry_run:
            return _dry(todo, outputs)
        plan = Plan(todo, outputs, to, options, about, arguments.jobs, arguments.fail_fast, None)
        report = Report(todo, quiet=arguments.quiet, as_json=arguments.json)
        run = Run(plan, index, servers, report)
        if todo:
            await _begin(run, arguments)
        await _reported(run, report, num_before, num_failed_before)
        if to == "hdf5" and (run.num_done or not (arguments.out / HDF5_FILE).exists()):
            await asyncio.to_thread(_assemble, index, arguments.pca)
        return SOME_FAILED if run.num_failed or num_failed_before else DONE
    finally:
        await servers.close()
        index.close()


async def _reported(run: Run, report: Report, num_before: int, num_failed_before: int) -> None:
    """The work, and what is said of it, whatever ends it."""
    report.begin()
    try:
        await run.work()
    finally:
        report.close()
        with contextlib.suppress(OSError):  # of a full disk, which is told already; the index knows the failures
            run.index.write_failed(run.transient)
        report.summary(num_before, num_failed_before)


async def _begin(run: Run, arguments: argparse.Namespace) -> None:
    """Ask the servers what they run. Raises Stopped, UsageError."""
    info = await run.servers.start()
    model = _model(info)
    for server in run.servers.all:
        others = differences(model, _model(server.info)) if server.info else []
        if others:
            raise UsageError(f"The servers run different models: {', '.join(others)} differ.")
        if server.info and server.info["model"].get("weights") == "stand-in" and not arguments.allow_stand_in:
            raise Stopped(
                f"{server.client.url} runs stand-in weights: random numbers, whose features mean nothing. Give it the real ones, "
                "or try things out with --allow-stand-in.",
                UNSERVED,
            )
    run.index.begin(run.plan.about, model)
    limits = [server.info.get("limits") or {} for server in run.servers.all if server.info]
    sizes = [int(each["max_upload_bytes"]) for each in limits if each.get("max_upload_bytes")]
    run.plan.max_bytes = min(sizes) if sizes else None


def _model(info: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in info.items() if name not in {"model", "limits"}}, **info.get("model", {})}


def _wanted(arguments: argparse.Namespace) -> tuple[str, str, Options, dict[str, Any]]:
    """Form, pattern, options of the service, and all that makes outputs differ. Raises UsageError."""
    preset = PRESETS.get(arguments.preset)
    to = arguments.to or (preset.to if preset else "npz")
    if to in NEEDS and importlib.util.find_spec(NEEDS[to][0]) is None:
        raise UsageError(f"--to {to} needs {NEEDS[to][0]}: pip install 'c3d-video[{NEEDS[to][1]}]'.")
    if arguments.pca and to != "hdf5":
        raise UsageError("--pca is for --to hdf5.")
    pattern = arguments.name or (preset.name if preset else PATTERNS[to])
    given = {name: getattr(arguments, name) for name in OF_FEATURES if getattr(arguments, name) is not None}
    options = cast("Options", {**(preset.options if preset else {}), **given})
    about = {**options, "to": to, "name": pattern}
    about |= {name: getattr(arguments, name) for name in ("preset", "pca") if getattr(arguments, name)}
    return to, pattern, options, about


async def _todo(found: list[Video], index: Index, arguments: argparse.Namespace) -> tuple[list[Video], int, int]:
    """What is left to do, and how many were done or had failed before."""
    todo, num_done, num_failed = [], 0, 0
    for video in found:
        await asyncio.sleep(0)  # so that Ctrl-C is heard between two files that must be read
        source = None if is_url(video.source) else Path(video.source)
        if not arguments.overwrite and index.is_done(video.name, source):
            num_done += 1
        elif not arguments.overwrite and not arguments.retry_failed and index.has_failed(video.name, source):
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
        hdf5.assemble(parts, index.work / HDF5_FILE, index.out / HDF5_FILE, components)
    except ValueError as error:
        raise Stopped(str(error), USAGE) from error
    except OSError as error:
        raise Stopped(f"{HDF5_FILE} cannot be written: {error}.", SOME_FAILED) from error


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N, as 1/4")
    return int(number), int(count)
