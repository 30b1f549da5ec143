"""What runs inside a decoder process: one video after the other, each at the pace of its reader, within limits of its own.

Started by `service.video.pool` as ``python -m service.video.worker FD BYTES``. Frames go into the ring, memory shared through
the file descriptor FD; everything else is JSON lines, in on stdin and out on stdout:

    in   {"path": ..., "reading": {...}}          decode this; ``reading`` are the fields of `video.ReadOptions`
    in   more | stop                              one place of the ring is free again | enough of this video
    out  {"info": ...}, {"block": n, ...}, ...    as `frames.read_video` gives them; block n lies at place n % RING_LENGTH
    out  {"end": ...} | {"error": code, ...}      the last one of a video
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.errors import DecoderFailed, ServiceError
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions, VideoEnd, VideoInfo
from service.video.ring import RING_LENGTH, attach

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
MAX_OPEN_FILES = 32


def confine(address_space_bytes: int) -> None:
    """Bound what a hostile file can make this process do: memory, files, core dumps, privileges, outliving its parent."""
    for limit, value in (
        (resource.RLIMIT_AS, address_space_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),  # no file is written; the ring is memory
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    with suppress(OSError):  # where memory runs out, the kernel is to end this process, not the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides


class Worker:
    """The loop: ``commands`` is where lines come in, ``messages`` where they go out."""

    def __init__(self, frames: NDArray[np.uint8], commands: BinaryIO, messages: BinaryIO) -> None:
        self._ring, self._commands, self._messages = frames, commands, messages

    def run(self) -> None:
        """Until the parent closes its end."""
        for line in self._commands:
            if line.startswith(b"{"):  # else a word about a video that is over
                job = json.loads(line)
                self._answer(Path(job["path"]), ReadOptions(**job["reading"]))

    def _answer(self, path: Path, reading: ReadOptions) -> None:
        try:
            self._decode(path, reading)
        except ServiceError as error:
            self._fail(error, error.__cause__)
        except MemoryError as error:
            self._fail(
                DecoderFailed("Decoding the file needs more memory than a decoder may use. Send a smaller or a repaired file."),
                error,
            )
        except Exception as error:  # noqa: BLE001 (whatever a file does to the libraries is that file's failure)
            self._fail(DecoderFailed("The decoder failed on this file. It is probably damaged: repair or convert it."), error)

    def _fail(self, error: ServiceError, cause: BaseException | None) -> None:
        """The cause goes to the parent's log: this process may write no file, and stderr may be one."""
        where = "".join(traceback.format_tb(cause.__traceback__)[-1:]) if cause else ""
        self._say({"error": error.code, "detail": str(error), "cause": f"{cause!r} {where}"})

    def _decode(self, path: Path, reading: ReadOptions) -> None:
        reader = read_video(path, reading)
        free, number = RING_LENGTH, 0
        message = next(reader)
        while True:
            enough = False
            match message:
                case VideoInfo():
                    self._say({"info": asdict(message)})
                case FrameBlock():
                    while not free and not enough:
                        enough = self._commanded() == b"stop\n"
                        free += not enough
                    if not enough:
                        self._put(number, message)
                        free, number = free - 1, number + 1
                case VideoEnd():
                    self._say({"end": asdict(message)})
                    return
            message = reader.send(enough)

    def _put(self, number: int, block: FrameBlock) -> None:
        count = len(block.frames)
        self._ring[number % RING_LENGTH, :count] = block.frames
        times, damaged = block.start_sec.tolist(), block.damaged.tolist()
        self._say({"block": number, "first": block.first, "start_sec": times, "damaged": damaged})

    def _commanded(self) -> bytes:
        line = self._commands.readline()
        if not line:
            sys.exit(0)  # the parent is gone
        return line

    def _say(self, message: dict[str, Any]) -> None:
        self._messages.write(json.dumps(message).encode() + b"\n")
        self._messages.flush()


def main() -> None:
    """The process's life."""
    descriptor, address_space_bytes = int(sys.argv[1]), int(sys.argv[2])
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get among the messages
    frames = attach(descriptor)
    confine(address_space_bytes)
    Worker(frames, sys.stdin.buffer, messages).run()


if __name__ == "__main__":
    main()
