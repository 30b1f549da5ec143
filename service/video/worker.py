"""What runs inside a decoder process: it decodes one video after the other, each as fast as its reader takes the frames.

Started by `service.video.process` as ``python -m service.video.worker RING FILES BYTES SANDBOX``. Frames go into the ring, which
is memory shared through the descriptor RING. The videos come as open descriptors through the Unix socket FILES: behind its
sandbox this process can open nothing. Everything else is lines, of JSON or of one word, in on stdin and out on stdout:

    in   {"options": {...}}                       decode the next file; ``options`` are the fields of `ReadOptions`
    in   more                                     the reader has copied a block: its part of the ring is free again
    in   go                                       there is as much memory as was asked for
    in   stop                                     the reader has left: drop this video
    out  {"memory_bytes": n}                      about so much will decoding take; wait for go
    out  {"working": true}                        a sign of life
    out  {"info": ...}, {"block": n, ...}, ...    what `frames.read_video` gives; block n is in ring[n % RING_LENGTH]
    out  {"end": ...} | {"error": code, ...} | {"stopped": true}    the last line about a video
"""

from __future__ import annotations

import base64
import ctypes
import gc
import json
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model_store.formats import kernel
from service.errors import DecoderFailed, ServiceError
from service.video import sandbox
from service.video.frames import read_video
from service.video.messages import Demand, FrameBlock, Message, ReadOptions, VideoEnd, VideoInfo, Working
from service.video.ring import RING_LENGTH, attach

MAX_OPEN_FILES = 32  # the video, three pipes, the socket, the ring, and what Python opens to import modules
# A GIF of one white pixel.
PICTURE = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
FREE_SHARE = 0.5  # of the address space that was free at first, that must be free again: the allocator keeps some
OUT_OF_MEMORY = "Decoding the file needs more memory than a decoder may use. Send a smaller or a repaired one."
FAILED = "The decoder failed on this file. It is probably damaged: repair or convert it."


def confine(address_space_bytes: int) -> None:
    """Limit what a hostile file can make this process do: memory, files, core dumps, privileges. It dies with its parent."""
    for limit, value in (
        (resource.RLIMIT_AS, address_space_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),  # this process writes no file; the ring is memory
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    with suppress(OSError):  # if memory runs out, the kernel shall end this process and not the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides


def picture_file() -> int:
    """A descriptor of a picture: this process can make no file once it is confined."""
    file = os.memfd_create("picture")
    os.write(file, PICTURE)
    return file


def decode(file: int) -> None:
    """For its own sake: of a picture, so that no library has to load anything later, when it cannot."""
    for _ in read_video(file, ReadOptions(thumbnails=True)):
        pass


def address_space_used() -> int:
    """Bytes: proc(5), statm."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


def has_recovered(picture: int, free_bytes: int) -> bool:
    """Whether this process, which ran out of memory, has most of what was free again, and decodes the file ``picture``."""
    gc.collect()  # what the failed file left may hang in circles
    ctypes.CDLL(None).malloc_trim(0)
    try:
        mmap.mmap(-1, max(1, int(FREE_SHARE * free_bytes))).close()
        decode(picture)
    except Exception:  # noqa: BLE001 (whatever it is, a new process is better)
        return False
    return True


class Worker:
    """The loop. It reads ``commands`` and writes ``messages``; ``ring`` is uint8 (RING_LENGTH, BLOCK_LENGTH, 112, 112, 3)."""

    def __init__(
        self,
        ring: NDArray[np.uint8],
        commands: BinaryIO,
        messages: BinaryIO,
        next_file: Callable[[], int | None],
        has_recovered: Callable[[], bool],
    ) -> None:
        """``next_file`` gives the next video as a descriptor, which is closed here; None where the parent is gone.

        ``has_recovered``: asked after memory ran out.
        """
        self._ring, self._commands, self._messages = ring, commands, messages
        self._next_file, self._has_recovered = next_file, has_recovered

    def run(self) -> None:
        """Decode what is sent, until the parent closes its end."""
        for line in self._commands:
            if line.startswith(b"{"):  # the words that are left concern a video that is over
                file = self._next_file()
                if file is None:
                    return
                try:
                    self._answer(file, ReadOptions(**json.loads(line)["options"]))
                finally:
                    os.close(file)

    def _answer(self, file: int, options: ReadOptions) -> None:
        try:
            with closing(read_video(file, options)) as messages:
                self._send(messages)
        except ServiceError as error:
            self._fail(error, error.__cause__)
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # they hold the decoder
            self._fail(DecoderFailed(OUT_OF_MEMORY), error, is_healthy=self._has_recovered())
        except Exception as error:  # noqa: BLE001 (whatever a file makes the libraries raise is that file's failure)
            self._fail(DecoderFailed(FAILED), error, is_healthy=False)

    def _fail(self, error: ServiceError, cause: BaseException | None, *, is_healthy: bool = True) -> None:
        """Send the error, with its cause for the parent's log: stderr may be a file, and this process may write none."""
        where = "".join(traceback.format_tb(cause.__traceback__)[-1:]) if cause else ""
        self._say({"error": error.code, "detail": str(error), "cause": f"{cause!r} {where}", "healthy": is_healthy})

    def _send(self, messages: Iterable[Message]) -> None:
        """Send them all, or as many as the reader wants."""
        num_free, number = RING_LENGTH, 0  # blocks of the ring that may be written; the next block's number
        for message in messages:
            match message:
                case Demand():
                    self._say({"memory_bytes": message.memory_bytes})
                    if self._next_word() == b"stop":
                        self._say({"stopped": True})
                        return
                case Working():
                    self._say({"working": True})
                case VideoInfo():
                    self._say({"info": asdict(message)})
                case VideoEnd():
                    self._say({"end": asdict(message)})
                case FrameBlock():
                    while not num_free:
                        if self._next_word() == b"stop":
                            self._say({"stopped": True})
                            return
                        num_free += 1
                    self._put(number, message)
                    num_free, number = num_free - 1, number + 1

    def _put(self, number: int, block: FrameBlock) -> None:
        count = len(block.frames)
        self._ring[number % RING_LENGTH, :count] = block.frames
        arrays = {name: getattr(block, name).tolist() for name in ("numbers", "start_sec", "end_sec", "damaged", "before_gap")}
        thumbnails = {at: base64.b64encode(each).decode() for at, each in block.thumbnails.items()}
        self._say({"block": number, "first_in_part": block.first_in_part, **arrays, "thumbnails": thumbnails})

    def _next_word(self) -> bytes:
        line = self._commands.readline()
        if not line:
            sys.exit(0)  # the parent is gone
        return line.strip()

    def _say(self, message: dict[str, Any]) -> None:
        self._messages.write(json.dumps(message).encode() + b"\n")
        self._messages.flush()


def main() -> None:
    """Run the process until its parent ends it."""
    ring_descriptor, files_descriptor, address_space_bytes, is_sandboxed = map(int, sys.argv[1:])
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to stderr, not among the messages
    ring = attach(ring_descriptor)
    files = socket.socket(fileno=files_descriptor)
    picture = picture_file()
    decode(picture)
    free_bytes = address_space_bytes - address_space_used()
    confine(address_space_bytes)
    if is_sandboxed:
        sandbox.enter()

    def next_file() -> int | None:
        _, descriptors, _, _ = socket.recv_fds(files, 1, 1)
        return descriptors[0] if descriptors else None

    Worker(ring, sys.stdin.buffer, messages, next_file, partial(has_recovered, picture, free_bytes)).run()


if __name__ == "__main__":
    main()
