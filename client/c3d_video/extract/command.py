"""The command line of `c3d-video extract`: its arguments become a job."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any, cast

from c3d_video import commandline
from c3d_video.commandline import UsageError
from c3d_video.extract.forms import FORMS
from c3d_video.extract.job import Job, extract
from c3d_video.extract.presets import PATTERNS, PRESETS
from c3d_video.options import Options

OF_FEATURES = ("layer", "clip_stride", "tail", "start_sec", "end_sec", "max_clips", "normalize", "fps")
NEEDS = {"hdf5": ("h5py", "hdf5"), "parquet": ("pyarrow", "parquet")}


def add_parser(commands: Any) -> None:
    """``extract`` among the commands."""
    parser = commands.add_parser("extract", help="features of files, folders, lists and URLs")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, @LIST, @LIST.csv:COLUMN or a URL")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the features and their index")
    commandline.add_service(parser, several=True)
    parser.add_argument("-j", "--jobs", type=commandline.count, default=4, metavar="N", help="videos in flight (default 4)")
    parser.add_argument("--to", choices=PATTERNS, help="form of the output (default npz)")
    parser.add_argument("--name", metavar="PATTERN", help="output name, from {dir} {class} {stem} {id} {name} {ext}")
    parser.add_argument("--preset", choices=PRESETS, help="form, names and options that a data set's readers expect")
    parser.add_argument("--pca", type=commandline.count, metavar="N", help="hdf5: the first N principal components")
    parser.add_argument("--layer", help="fc6 (default), fc7, pool5, or several, as fc6,fc7")
    commandline.add_clips(parser)
    parser.add_argument("--normalize", choices=("l2", "none"), help="of the video's descriptor: length 1 (default), or the mean")
    parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="only names that match")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no names that match")
    parser.add_argument("--shard", type=commandline.shard, metavar="I/N", help="only part I of N, each with an OUT of its own")
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
    return commandline.run(lambda: extract(_job(arguments)))


def _job(arguments: argparse.Namespace) -> Job:
    """All that the arguments ask for. Raises UsageError."""
    to, pattern, options, about = _wanted(arguments)
    return Job(
        arguments.paths,
        arguments.out,
        commandline.servers_of(arguments),
        arguments.api_key,
        arguments.patience,
        to,
        pattern,
        options,
        about,
        num_jobs=arguments.jobs,
        pca=arguments.pca,
        include=arguments.include,
        exclude=arguments.exclude,
        shard=arguments.shard,
        overwrite=arguments.overwrite,
        retry_failed=arguments.retry_failed,
        allow_stand_in=arguments.allow_stand_in,
        dry_run=arguments.dry_run,
        fail_fast=arguments.fail_fast,
        quiet=arguments.quiet,
        as_json=arguments.json,
    )


def _wanted(arguments: argparse.Namespace) -> tuple[str, str, Options, dict[str, Any]]:
    """Form, pattern, options of the service, and all that makes outputs differ. Raises UsageError."""
    preset = PRESETS.get(arguments.preset)
    to = arguments.to or (preset.to if preset else "npz")
    if to in NEEDS and importlib.util.find_spec(NEEDS[to][0]) is None:
        raise UsageError(f"--to {to} needs {NEEDS[to][0]}: pip install 'c3d-video[{NEEDS[to][1]}]'.")
    several = "," in (arguments.layer or "")
    if several and not FORMS[to].has_layers:
        raise UsageError(f"--to {to} holds one array a video. Give one --layer, or --to npz, fc6-1, hdf5 or parquet.")
    if arguments.pca and (to != "hdf5" or several):
        raise UsageError("--pca is for --to hdf5 with one layer.")
    pattern = arguments.name or (preset.name if preset else PATTERNS[to])
    given = {name: getattr(arguments, name) for name in OF_FEATURES if getattr(arguments, name) is not None}
    options = cast("Options", {**(preset.options if preset else {}), **given})
    about = {**options, "to": to, "name": pattern}
    about |= {name: getattr(arguments, name) for name in ("preset", "pca") if getattr(arguments, name)}
    return to, pattern, options, about
