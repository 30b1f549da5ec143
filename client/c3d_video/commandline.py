"""What the commands share: the options of the service, exit statuses, Ctrl-C, and one line for what ends a command."""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import difflib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, TypeVar

from c3d_video.client import DEFAULT_URL

DONE, SOME_FAILED, USAGE, UNSERVED, INTERRUPTED = 0, 1, 2, 3, 130  # exit statuses; 3: no service, or stand-in weights
PATIENCE_S = 600.0  # a command may wait longer than a program: a restart of the service, and its start on a slow disk

T = TypeVar("T")


class UsageError(Exception):
    """What was asked for cannot be done; the message says what to change."""


class Stopped(Exception):
    """The command cannot go on; the message says why. ``status``: of the process."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Parser(argparse.ArgumentParser):
    """argparse's, which also says what a mistyped command or option may have meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As argparse's, but an unknown argument ends the parser that reads it: it knows which options there are."""
        self._given = sys.argv[1:] if args is None else list(args)
        read, unknown = super().parse_known_args(self._given, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return read, unknown

    def error(self, message: str) -> NoReturn:
        """End with status 2, the usage, and a sentence."""
        near: list[str] = []
        if wrong := re.search(r"invalid choice: '([^']*)' \(choose from ([^)]*)\)", message):
            near = difflib.get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), 1)
        near = near or [f"--{option}" for option in self._near_options()]
        super().error(f"{message}. Did you mean {near[0]}?" if near else message)

    def _near_options(self) -> list[str]:
        """What the first option given may have meant that this parser does not have, without dashes."""
        known = re.findall(r"--([a-z][\w-]*)", self.format_help())
        given = [word[2:].partition("=")[0] for word in self._given if word.startswith("--")]
        mistyped = next((word for word in given if not any(option.startswith(word) for option in known)), "")
        return difflib.get_close_matches(mistyped, known, 1)


def add_service(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """The options that every command takes; with ``several``, more than one server."""
    more = ", again for more servers" if several else ""
    parser.add_argument(
        "--server", action="append", metavar="URL", help=f"the service{more} (default: C3D_SERVER or {DEFAULT_URL})"
    )
    parser.add_argument("--api-key", default=os.environ.get("C3D_API_KEY"), metavar="KEY", help="default: C3D_API_KEY")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE_S, metavar="S", help="seconds without progress until it gives up (default 600)"
    )


def add_clips(parser: argparse.ArgumentParser) -> None:
    """The options that say which clips of a video are computed."""
    parser.add_argument("--clip-stride", type=count, metavar="N", help="frames between clip starts (default 8)")
    parser.add_argument("--fps", type=float, help="resample to so many frames a second before clips are cut")
    parser.add_argument("--tail", choices=("drop", "pad"), help="drop the frames that fill no clip (default), or pad one more")
    parser.add_argument("--start-sec", type=float, metavar="S", help="only from here on")
    parser.add_argument("--end-sec", type=float, metavar="S", help="only before here")
    parser.add_argument("--max-clips", type=count, metavar="N", help="at most so many clips, evenly spaced")


def count(text: str) -> int:
    """An option's whole number, 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """An option's I/N, as 1/4."""
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N, as 1/4")
    return int(number), int(count)


def servers_of(arguments: argparse.Namespace) -> list[str]:
    """Where the service is, by the options or the environment."""
    return arguments.server or [os.environ.get("C3D_SERVER") or DEFAULT_URL]


def run(work: Callable[[], Coroutine[None, None, int]]) -> int:
    """A whole command; its exit status."""
    return guarded(lambda: asyncio.run(_interruptible(work())))


def guarded(work: Callable[[], int]) -> int:
    """The exit status of ``work``. What ends it early is one line on standard error."""
    try:
        return work()
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped. The same command goes on from here.")
        return INTERRUPTED
    except UsageError as error:
        say(str(error))
        return USAGE
    except Stopped as error:
        say(str(error))
        return error.status
    except BrokenPipeError:  # `| head` has seen enough: nobody reads a message any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at its end
        return SOME_FAILED


async def _interruptible(work: Coroutine[None, None, int]) -> int:
    """SIGINT and SIGTERM end the work in order. Raises CancelledError."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 (this one)
    with contextlib.suppress(NotImplementedError):  # on Windows SIGINT is KeyboardInterrupt
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
    return await work


async def aside(work: Callable[[], T]) -> T:
    """Do what blocks in a thread of its own, for which nothing waits at the end: Ctrl-C must not."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (handed over)
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


def printable(text: str) -> str:
    """As a terminal can print it: names of files may hold any byte."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def say(message: str) -> None:
    """One line on standard error."""
    print(f"c3d-video: {printable(message)}", file=sys.stderr)
