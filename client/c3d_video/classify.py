"""`c3d-video classify`: the labels of videos, as bars and segments for people, or as JSON, WebVTT or ActivityNet's form."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from c3d_video import commandline
from c3d_video.answers import Answer, Event
from c3d_video.async_client import AsyncClient, gathered
from c3d_video.commandline import DONE, SOME_FAILED, UNSERVED, USAGE, Stopped, UsageError, printable
from c3d_video.errors import NO_SERVICE, REFUSES_ALL, C3DError
from c3d_video.options import Options
from c3d_video.protocol import is_url

BAR_WIDTH = 30
OF_CLASSIFY = ("top_k", "score_threshold", "clip_stride", "tail", "start_sec", "end_sec", "max_clips", "fps")


def add_parser(commands: Any) -> None:
    """``classify`` among the commands."""
    parser = commands.add_parser("classify", help="the labels of a video, and when they are seen")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file or a URL")
    commandline.add_service(parser, several=False)
    parser.add_argument("--top-k", type=int, metavar="N", help="how many labels (default 5)")
    parser.add_argument("--score-threshold", type=float, metavar="P", help="only labels at least so probable, 0 to 1")
    commandline.add_clips(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", dest="form", const="json", help="a JSON line for each video")
    form.add_argument("--vtt", action="store_const", dest="form", const="vtt", help="segments as WebVTT subtitles")
    form.add_argument("--activitynet", action="store_const", dest="form", const="activitynet", help="ActivityNet's results")
    parser.set_defaults(run=run, form="text")


def run(arguments: argparse.Namespace) -> int:
    """The whole command; the exit status."""
    return commandline.run(lambda: _classify(arguments))


async def _classify(arguments: argparse.Namespace) -> int:
    if arguments.form == "vtt" and len(arguments.files) > 1:
        raise UsageError("--vtt is for one video: subtitles of two would overlap.")
    if arguments.form == "activitynet" and len({video_id(name) for name in arguments.files}) < len(arguments.files):
        raise UsageError("Two of the files have one id, their name without its suffix: ActivityNet's form has room for one.")
    urls = commandline.servers_of(arguments)
    if len(urls) > 1:
        raise UsageError("classify asks one server. Give --server once.")
    options = cast("Options", {name: getattr(arguments, name) for name in OF_CLASSIFY} | {"include": "clips,segments"})
    found: list[tuple[str, Answer]] = []
    async with AsyncClient(urls[0], arguments.api_key, patience_s=arguments.patience) as client:
        await _check(client)
        for name in arguments.files:
            try:
                events = client.stream_labels(name, **options)
                answer = await _watched(events, name)
            except (C3DError, OSError) as error:
                _failed(name, error)
                continue
            found.append((name, answer))
            FORMS[arguments.form](name, answer)
    if arguments.form == "activitynet":
        print(json.dumps(activitynet(found)))
    return DONE if len(found) == len(arguments.files) else SOME_FAILED


async def _check(client: AsyncClient) -> None:
    """A service that is not there is said at once; one that is starting is waited for later. Raises Stopped."""
    try:
        await client.info()
    except C3DError as error:
        if error.code == NO_SERVICE or error.code in REFUSES_ALL:
            raise Stopped(error.detail, UNSERVED) from error


def _failed(name: str, error: C3DError | OSError) -> None:
    """One line on why; all the others are tried unless they would fail alike. Raises Stopped."""
    if isinstance(error, OSError):
        commandline.say(f"{name}: the file cannot be read: {error.strerror}.")
        return
    if error.code == "invalid_option":
        raise Stopped(f"The service refuses the options: {error.detail}", USAGE) from error
    if error.code in REFUSES_ALL or error.is_retryable:  # patience has ended
        raise Stopped(error.detail, UNSERVED) from error
    commandline.say(f"{name}: {error.code}: {error.detail}")


async def _watched(events: AsyncGenerator[Event, None], name: str) -> Answer:
    """The answer of a whole stream, with its clips; until then a bar on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(printable(name)[-40:]), total=1.0)
        return await gathered(events, keep=True, on_clip=lambda clip: bar.update(task, completed=clip.progress))


def _text(name: str, answer: Answer) -> None:
    """Bars for the labels, a line for each segment, and what is odd about the video."""
    console = Console(highlight=False, soft_wrap=True)
    full, empty = ("#", ".") if console.options.ascii_only else ("\u2588", "\u2591")
    console.print(f"[bold]{escape(printable(name))}[/]")
    width = max((len(each.label) for each in answer.predictions), default=0)
    for each in answer.predictions:
        filled = round(each.score * BAR_WIDTH)
        bar = f"[green]{full * filled}[/][dim]{empty * (BAR_WIDTH - filled)}[/]"
        console.print(f"  {escape(each.label.ljust(width))}  {bar} {each.score:6.1%}")
    for segment in answer.segments:
        times = f"{clock(segment.start_sec)} - {clock(segment.end_sec)}"
        console.print(f"  {times}  {escape(segment.label)} {segment.score:.1%}")
    for warning in answer.warnings:
        console.print(f"  [yellow]warning: {escape(f'{warning.code}: {warning.message}')}[/]")


def _json(name: str, answer: Answer) -> None:
    """A line of JSON, with the labels of every clip."""
    spans = zip(answer.start_sec.tolist(), answer.end_sec.tolist(), answer.clip_predictions, strict=True)
    said = {
        "file": printable(name),
        "id": answer.id,
        "predictions": [asdict(each) for each in answer.predictions],
        "segments": [asdict(each) for each in answer.segments],
        "clips": [{"start_sec": a, "end_sec": b, "predictions": [asdict(each) for each in c]} for a, b, c in spans],
        "warnings": [asdict(each) for each in answer.warnings],
        "model": answer.model,
        "video": answer.video,
    }
    print(json.dumps(said), flush=True)


def _vtt(_name: str, answer: Answer) -> None:
    """Subtitles that a player shows over the video."""
    _warn(answer)
    cues = [
        f"{clock(each.start_sec, 3)} --> {clock(each.end_sec, 3)}\n{_cue(each.label)} ({each.score:.0%})\n"
        for each in answer.segments
    ]
    print("\n".join(["WEBVTT\n", *cues]), end="")


def _later(_name: str, answer: Answer) -> None:
    """ActivityNet's form is one object for all videos."""
    _warn(answer)


def activitynet(found: list[tuple[str, Answer]]) -> dict[str, Any]:
    """What ActivityNet's own evaluation reads: `results` by video id, and the two fields that it insists on."""
    results = {}
    for name, answer in found:
        results[video_id(name)] = [
            {"label": each.label, "score": each.score, "segment": [round(each.start_sec, 3), round(each.end_sec, 3)]}
            for each in answer.segments
        ]
    weights = sorted({str(answer.model.get("weights_sha256")) for _, answer in found})
    return {"version": "VERSION 1.3", "results": results, "external_data": {"used": True, "details": f"C3D, weights {weights}"}}


def video_id(name: str) -> str:
    """ActivityNet's id of a video: the file's name without its suffix and without the `v_` before it."""
    return PurePath(unquote(urlsplit(name).path) if is_url(name) else name).stem.removeprefix("v_")


def clock(seconds: float, digits: int = 1) -> str:
    """Hours, minutes and seconds, as 00:01:02.5."""
    units = round(seconds * 10**digits)
    whole, rest = divmod(units, 10**digits)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:0{digits}d}"


def _cue(label: str) -> str:
    return label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _warn(answer: Answer) -> None:
    for warning in answer.warnings:
        commandline.say(f"warning: {warning.code}: {warning.message}")


FORMS: dict[str, Callable[[str, Answer], None]] = {"text": _text, "json": _json, "vtt": _vtt, "activitynet": _later}
