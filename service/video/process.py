"""One decoder process, as its parent sees it: commands go in, messages and frames come out, until it fails."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service import errors
from service.errors import DecoderFailed, DecodeTimeout
from service.video import ring
from service.video.memory import MemoryBudget
from service.video.messages import FrameBlock, Message, ReadOptions, VideoEnd, VideoInfo, Working

LOOKS = 4  # at the processor time of a silent process, in the time that it may work without a message
STUCK_SHARE = 0.9  # of that time, from which on it is stuck: a process alone on its core gets no more
MAX_IDLE_LOOKS = 2  # in a row: at the first one after the whole machine was paused, nothing has had time to work
MAX_LINE_BYTES = 1024 * 1024  # of a message: a block may have a thumbnail for each frame, 20 kB where it is all noise

# Each thread of a thread pool costs address space. The two malloc settings keep frames from being mapped and unmapped one by
# one, which costs up to 3 ms a frame of 1080p; they only help together. A decoder gets nothing else of our environment.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "PYTHONPATH": str(Path(__file__).parent.parent),
}
CRASHED = "The file made the decoder crash. It is damaged or malicious: repair or convert it."
STUCK = "The decoder worked for too long without finding a frame. The file is probably damaged: repair or convert it."


class DecoderHalted(Exception):
    """The process got no processor time, so that its silence says nothing about its file: it was stopped, or waits for a disk."""


class Decoded(NamedTuple):
    """One message of `frames.read_video`, and the seconds until it came."""

    message: Message
    seconds: float


class DecoderProcess:
    """A decoder process and the ring it writes into. One video at a time."""

    def __init__(self, process: Process, descriptor: int, files: socket.socket, timeout_s: float, memory: MemoryBudget) -> None:
        assert process.stdin is not None  # noqa: S101 (it was started with pipes)
        assert process.stdout is not None  # noqa: S101
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._files, self._timeout_s = files, timeout_s
        self._memory, self._taken_bytes = memory, 0
        self._ring = ring.attach(descriptor)
        self._is_decoding = False  # whether messages of a video are still to come
        self._is_broken = False

    @classmethod
    async def start(
        cls, address_space_bytes: int, timeout_s: float, memory: MemoryBudget, *, sandboxed: bool = True
    ) -> DecoderProcess:
        """Start a process with so much address space.

        While it decodes, it may work for ``timeout_s`` seconds of processor time without a message. ``memory``: of which each
        video takes its part. ``sandboxed``: it locks itself in, as far as the kernel can, before it is given a file.
        """
        with ExitStack() as ours:
            descriptor = ring.create()
            ours.callback(os.close, descriptor)  # the mapping keeps the memory
            files, theirs = socket.socketpair()
            with theirs, ExitStack() as unless_started:
                unless_started.callback(files.close)
                arguments = (descriptor, theirs.fileno(), address_space_bytes, int(sandboxed))
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "service.video.worker", *map(str, arguments)),
                    stdin=PIPE,
                    stdout=PIPE,
                    env=ENVIRONMENT,
                    pass_fds=(descriptor, theirs.fileno()),
                    limit=MAX_LINE_BYTES,
                )
                unless_started.pop_all()
            return cls(process, descriptor, files, timeout_s, memory)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def is_usable(self) -> bool:
        """Whether another video can be given to it."""
        return not self._is_broken and self._process.returncode is None and not self._stdout.at_eof()

    async def decode(self, path: Path, options: ReadOptions) -> AsyncGenerator[Decoded]:
        """What `frames.read_video` gives from its VideoInfo on, and at most a ring of frames ahead of its reader.

        To be read to its end, or followed by `reset`. Raises what `frames.read_video` raises, DecoderFailed where the process
        fails or dies, DecodeTimeout where it gets stuck, DecoderHalted where it gets no processor time.
        """
        self._give(path)
        self._is_decoding = True
        self._command(json.dumps({"options": asdict(options)}))
        while self._is_decoding:
            started = time.perf_counter()
            with self._broken_by_nonsense():
                line = await self._message()
                if "memory_bytes" in line:
                    await self._take_memory(line["memory_bytes"])
                    continue
                message = self._parsed(line)
            yield Decoded(message, time.perf_counter() - started)

    async def reset(self) -> None:
        """Have the process drop its video, if it is in the middle of one."""
        if self._is_decoding:
            self._command("stop")
        with suppress(errors.ServiceError, DecoderHalted), self._broken_by_nonsense():  # `is_usable` shows a failure
            while self._is_decoding:
                await self._message()
        if self.is_usable():
            self._give_back_memory()

    async def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._is_broken = True
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()
        self._files.close()
        self._give_back_memory()

    async def _take_memory(self, num_bytes: int) -> None:
        """Let the process decode a video that takes so much, once there is so much."""
        await self._memory.take(num_bytes)
        self._taken_bytes = num_bytes
        self._command("go")

    def _give_back_memory(self) -> None:
        self._memory.give_back(self._taken_bytes)
        self._taken_bytes = 0

    def _give(self, path: Path) -> None:
        """The file, opened here: the process itself can open none."""
        file = os.open(path, os.O_RDONLY)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # a dead process is noticed when it does not answer
                socket.send_fds(self._files, [b"v"], [file])
        finally:
            os.close(file)

    def _command(self, line: str) -> None:
        self._stdin.write(line.encode() + b"\n")  # a dead process takes it in silence, and is noticed when it does not answer

    @contextmanager
    def _broken_by_nonsense(self) -> Iterator[None]:
        """What no healthy process sends, a line cut off by its death for example, breaks the process. Raises DecoderFailed."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self._break()
            raise DecoderFailed(CRASHED) from error

    async def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._line())
        self._is_decoding = not message.keys() & {"end", "stopped", "error"}
        if "error" in message:
            self._is_broken = not message["healthy"]
            raise errors.BY_CODE[message["error"]](message["detail"]) from RuntimeError(message["cause"])
        return message

    async def _line(self) -> bytes:
        """The next line. A silent process is judged by the processor time that it has used, looked at every few seconds."""
        first = last = self._worked_s()
        num_idle = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s / LOOKS):
                    return await self._stdout.readline()
            now = self._worked_s()
            num_idle, last = (num_idle + 1 if now == last else 0), now
            if now - first >= STUCK_SHARE * self._timeout_s:
                self._break()
                raise DecodeTimeout(STUCK)
            if num_idle >= MAX_IDLE_LOOKS:
                self._break()
                raise DecoderHalted

    def _worked_s(self) -> float:
        """Seconds of processor time that the process has used, in whole ticks: proc(5), utime and stime."""
        with suppress(OSError):  # it is gone, which its silence will show
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def _break(self) -> None:
        self._is_decoding, self._is_broken = False, True
        with suppress(ProcessLookupError):
            self._process.kill()

    def _parsed(self, message: dict[str, Any]) -> Message:
        if "working" in message:
            return Working()
        if "info" in message:
            return VideoInfo(**message["info"])
        if "end" in message:
            return VideoEnd(**message["end"])
        numbers = np.array(message["numbers"], np.int64)
        frames = self._ring[message["block"] % ring.RING_LENGTH, : len(numbers)].copy()
        self._command("more")
        return FrameBlock(
            first_in_part=message["first_in_part"],
            numbers=numbers,
            frames=frames,
            start_sec=np.array(message["start_sec"], np.float64),
            end_sec=np.array(message["end_sec"], np.float64),
            damaged=np.array(message["damaged"], np.bool_),
            before_gap=np.array(message["before_gap"], np.bool_),
            thumbnails={int(at): base64.b64decode(each) for at, each in message["thumbnails"].items()},
        )
