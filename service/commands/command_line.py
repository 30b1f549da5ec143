"""The commands of `python -m service`: verify, calibrate and sample, their options, and what they print."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from model_store import store
from model_store.tensors import StoreError
from model_store.wording import command
from service.settings import Settings

INSTALL_OPENVINO = "make install REQUIREMENTS=requirements-openvino.txt"
MAX_DRIFT = 0.1  # a descriptor turned by at most 0.1 rad, about 6 degrees


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their options. Without a command, `python -m service` serves."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    verifying = commands.add_parser("verify", help="run the network on zeros: compare with the known answer, or record it")
    verifying.add_argument("--video", type=Path, help="also classify this video, for comparing two installations")
    calibrating = commands.add_parser("calibrate", help="quantise the network to int8 on videos (OpenVINO), measure its drift")
    calibrating.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="typical of those the service will get")
    calibrating.add_argument(
        "--max-drift",
        type=float,
        default=MAX_DRIFT,
        help="largest error of int8 against float32 to accept: relative L2 of a clip's fc6 (default: %(default)s)",
    )
    sampling = commands.add_parser("sample", help="write a video of a flying ball, to try the service with")
    sampling.add_argument("file", nargs="?", default="clip.mp4", help="- writes to standard output; default: %(default)s")
    sampling.add_argument("--seconds", type=int, default=4, choices=range(1, 61), metavar="1..60", help="default: %(default)s")
    for each in (verifying, calibrating):
        each.add_argument("--name", default="", help="of the model; default: C3D_MODEL, else the service's choice")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Run the command given. Returns the exit status: 0 done, 1 it could not be done, and stderr says why."""
    try:
        match options.command:
            case "verify":
                _verify(settings, options.name or settings.model, options.video)
            case "calibrate":
                _calibrate(settings, options.name or settings.model, options.videos, options.max_drift)
            case "sample":
                _sample(options.file, options.seconds)
    except (StoreError, ImportError) as error:
        _say(f"{options.command}: {error}")
    except OSError as error:
        _say(f"{options.command}: {error.strerror or error}: {error.filename or settings.model_store}.")
    else:
        return 0
    return 1


def _sample(file: str, seconds: int) -> None:
    from service.commands import sample

    if file == "-":
        sys.stdout.buffer.write(sample.video(seconds))
        return
    sample.write(Path(file), seconds)
    print(f"Wrote {file}. Ask a running service about it: curl -F file=@{shlex.quote(file)} localhost:8000/classify")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _verify(settings: Settings, name: str, video: Path | None) -> None:
    from service.commands import fingerprint, verify
    from service.inference.build import build

    model = store.open_model(settings.model_store, name)
    verify.report(model, print, lambda read: build(read, settings.engine).known_answer())
    if video:
        fingerprint.report(build(model, settings.engine), model.labels, video, print)


def _calibrate(settings: Settings, name: str, videos: list[Path], max_drift: float) -> None:
    if missing := [str(video) for video in videos if not video.is_file()]:
        raise StoreError(f"There is no file {' or '.join(missing)}.")
    try:
        from service.commands import calibrate
    except ImportError as error:
        raise ImportError(f"OpenVINO and NNCF are not installed here. To install them: {INSTALL_OPENVINO}") from error

    with store.hold(settings.model_store, _say):
        made = calibrate.calibrate(store.open_model(settings.model_store, name), videos, max_drift, _say)
    print(f"Calibrated: {made.sha256[:12]} on {made.num_clips} clips. {made.drift}.")
    serve = command("service", C3D_ENGINE="openvino", C3D_PRECISION="int8")
    print(f"Serve it: {serve}{' REQUIREMENTS=requirements-openvino.txt' if serve.endswith('make serve') else ''}")
