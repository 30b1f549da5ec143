"""Vectors on their way to disk, as they come: memory stays the same whatever the video's length."""

from __future__ import annotations

import contextlib
import struct
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Answer, Clip, Float32

HEADER_BYTES = 128  # of an npy file of version 1.0; it leaves room for any number of rows
SPAN = ("start_sec", "end_sec", "start_frame", "end_frame", "num_padded_frames", "num_damaged_frames")


class GrowingFile:
    """An npy file of float32 (n, width) whose n is known at the end. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._num_rows, self._width = 0, 0
        self._file = path.open("wb")
        self._file.write(bytes(HEADER_BYTES))

    def add(self, row: Float32) -> None:
        """One more row, (width,)."""
        self._num_rows, self._width = self._num_rows + 1, row.size
        self._file.write(row.astype("<f4").tobytes())

    def finish(self) -> None:
        """Write the header."""
        described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({self._num_rows}, {self._width}), }}"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10))
        self._file.write(described.ljust(HEADER_BYTES - 11).encode() + b"\n")
        self._file.close()

    def array(self) -> Float32:
        """The rows, float32 (n, width), read from disk as they are used."""
        array: Float32 = np.load(self.path, mmap_mode="r")
        return array

    def discard(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):  # a full disk, where the rest of the buffer finds no room either
            self._file.close()
        self.path.unlink(missing_ok=True)


class Rows:
    """A video's clips: a file of vectors for each layer, and where each row lies in the video.

    ``files``: by the layer's name, which is "" where only one was asked for. ``spans``: by the names of SPAN, a number a clip.
    ``ids``: the clips'. ``class_ids``: of each clip's most probable label, where predictions were asked for. ``answer``: the
    service's last word.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files: dict[str, GrowingFile] = {}
        self.spans = {name: array("d" if name.endswith("_sec") else "q") for name in SPAN}
        self.ids: list[str] = []
        self.class_ids = array("q")
        self.answer: Answer | None = None

    def add(self, clip: Clip) -> None:
        """Take one clip. Raises OSError."""
        vectors = clip.descriptors if clip.descriptor is None else {"": clip.descriptor}
        for layer, vector in vectors.items():
            if layer not in self.files:
                self.files[layer] = GrowingFile(self._path.with_name(f"{self._path.name}{layer}.part"))
            self.files[layer].add(vector)
        self.ids.append(clip.id)
        if clip.predictions:
            self.class_ids.append(clip.predictions[0].class_id)
        for name, values in self.spans.items():
            values.append(getattr(clip, name))

    def finish(self, answer: Answer) -> None:
        """All clips have come. Raises OSError."""
        self.answer = answer
        for file in self.files.values():
            file.finish()

    def named(self, name: str) -> dict[str, GrowingFile]:
        """The files by what their arrays are called: ``name``, or ``name_fc6`` and so on where there are several layers."""
        return {f"{name}_{layer}" if layer else name: file for layer, file in self.files.items()}

    def descriptors(self) -> dict[str, Float32]:
        """The video's own vectors, called in the same way."""
        assert self.answer is not None  # noqa: S101 (finished)
        if self.answer.descriptor is not None:
            return {"descriptor": self.answer.descriptor}
        return {f"descriptor_{layer}": vector for layer, vector in self.answer.descriptors.items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The small arrays of SPAN, each (n,), float64 of seconds, else int64."""
        return {name: np.array(values) for name, values in self.spans.items()}

    def discard(self) -> None:
        """Delete what is there."""
        for file in self.files.values():
            file.discard()
