"""Vectors on their way to disk, as they come: memory stays the same whatever the video's length."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Answer, Clip, Float32

HEADER_BYTES = 128  # of an npy file of version 1.0; it leaves room for any number of rows
SPAN = ("start_sec", "end_sec", "start_frame", "end_frame", "num_padded_frames", "num_damaged_frames")


class Rows:
    """An npy file of float32 (n, width) whose n is known at the end, and where each row lies in the video.

    ``path``: its file. ``spans``: by the names of SPAN, a list each. ``ids``: the clips'. ``answer``: the service's last word.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spans: dict[str, list[Any]] = {name: [] for name in SPAN}
        self.ids: list[str] = []
        self.answer: Answer | None = None
        self._width = 0
        self._file = path.open("wb")
        self._file.write(bytes(HEADER_BYTES))

    def add(self, clip: Clip) -> None:
        """Take one clip. Raises OSError."""
        assert clip.descriptor is not None  # noqa: S101 (asked for)
        self._width = clip.descriptor.size
        self._file.write(clip.descriptor.astype("<f4").tobytes())
        self.ids.append(clip.id)
        for name, values in self.spans.items():
            values.append(getattr(clip, name))

    def finish(self, answer: Answer) -> None:
        """Write the header. Raises OSError."""
        self.answer = answer
        described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(self.ids)}, {self._width}), }}"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10))
        self._file.write(described.ljust(HEADER_BYTES - 11).encode() + b"\n")
        self._file.close()

    def array(self) -> Float32:
        """The rows, float32 (n, width), read from disk as they are used."""
        array: Float32 = np.load(self.path, mmap_mode="r")
        return array

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The small arrays of SPAN, each (n,)."""
        return {name: np.array(values) for name, values in self.spans.items()}

    def discard(self) -> None:
        """Delete what is there."""
        with contextlib.suppress(OSError):  # a full disk, where the rest of the buffer finds no room either
            self._file.close()
        self.path.unlink(missing_ok=True)
