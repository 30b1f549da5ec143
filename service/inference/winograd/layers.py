"""Layers in the compiled library. Every array's shape is checked here, before the library sees its address."""

from __future__ import annotations

import ctypes
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.inference.winograd import library

Floats = NDArray[np.float32]
FAULTS = {1: MemoryError, 2: ValueError, 3: RuntimeError}  # winograd.cpp: enum Code


class Layers:
    """A stack of layers, which run one after the other and keep what they computed. Not to be used by two threads at once.

    First comes `add_clips` or `add_frames`. Each other ``add_`` puts a layer behind the last one; it gives the layer's number.
    Outputs have the shape (clips, frames, rows, columns, channels), or (clips, outputs) of dense layers.
    """

    def __init__(self, path: Path, threads: int, max_clips: int) -> None:
        """``path``: of a library that this CPU can run. Raises MemoryError, ValueError (threads or clips out of range)."""
        self._library = library.load(path)
        self._handle = ctypes.c_void_p()
        self._shapes: list[tuple[int, ...]] = []  # of each layer's output, for one clip
        self._input: tuple[int, ...] = ()
        self._ran = 0
        self._call("new", threads, max_clips, ctypes.byref(self._handle))
        self._max_clips = max_clips
        # Not at exit, when a thread that Python does not wait for may still be inside.
        weakref.finalize(self, self._library.winograd_free, self._handle).atexit = False

    def add_clips(self) -> None:
        """Read clips: uint8 (n, 16, 112, 112, 3), a mean taken off."""
        self._call("add_clips", self._handle)
        self._input = c3d.CLIP_SHAPE

    def add_frames(self, frames: int, size: int, channels: int) -> int:
        """Read float32 (n, frames, size, size, channels)."""
        self._call("add_frames", self._handle, channels, frames, size)
        self._input = (frames, size, size, channels)
        return self._added(self._input)

    def add_convolution(self, kernel: Floats, bias: Floats, pool: tuple[int, int, int] = (1, 1, 1)) -> int:
        """3x3x3, stride 1, padding 1, ReLU, then max pooling over ``pool``: (1, 1, 1), (1, 2, 2) or (2, 2, 2).

        kernel: float32 (3, 3, 3, channels, outputs). bias: (outputs,). Raises ValueError for shapes that do not fit.
        """
        frames, rows, columns, channels = self._spatial()
        outputs = len(bias)
        time, space, _ = pool
        self._call(
            "add_convolution", self._handle, outputs, time, space,
            _address(kernel, (3, 3, 3, channels, outputs)), _address(bias, (outputs,)),
        )  # fmt: skip
        return self._added((frames // time, rows // space, columns // space, outputs))

    def add_pool(self, before: int, size: int) -> int:
        """Max pooling over 2x2x2 to ``size`` rows and columns, ``before`` rows and columns of zeros standing before the first."""
        frames, _, _, channels = self._spatial()
        self._call("add_pool", self._handle, before, size)
        return self._added((frames // 2, size, size, channels))

    def add_dense(self, kernel: Floats, bias: Floats, *, relu: bool) -> int:
        """kernel: float32 (inputs, outputs), inputs in the order frame, row, column, channel. bias: (outputs,)."""
        inputs = int(np.prod(self._shapes[-1]))
        outputs = len(bias)
        self._call("add_dense", self._handle, outputs, relu, _address(kernel, (inputs, outputs)), _address(bias, (outputs,)))
        return self._added((outputs,))

    def run_clips(self, clips: NDArray[np.uint8], mean: Floats) -> None:
        """Run all layers. clips: uint8 (n, 16, 112, 112, 3). mean: float32 (16, 112, 112, 3)."""
        shape = self._batch(clips)
        self._call("run_clips", self._handle, _address(clips, shape, np.uint8), _address(mean, self._input), len(clips))
        self._ran = len(clips)

    def run_frames(self, frames: Floats) -> None:
        """Run all layers. frames: float32, of the shape that `add_frames` was given."""
        shape = self._batch(frames)
        self._call("run_frames", self._handle, _address(frames, shape), len(frames))
        self._ran = len(frames)

    def read(self, layer: int) -> Floats:
        """What a layer computed in the last run: float32 (n, ...)."""
        out = np.empty((self._ran, *self._shapes[layer]), np.float32)
        self._call("read", self._handle, layer, out.ctypes.data, out[0].size)
        return out

    def _batch(self, array: NDArray[Any]) -> tuple[int, ...]:
        if not 1 <= len(array) <= self._max_clips:
            raise ValueError(f"1 to {self._max_clips} clips, not {len(array)}")
        return (len(array), *self._input)

    def _spatial(self) -> tuple[int, ...]:
        shape = self._shapes[-1] if self._shapes else self._input
        if len(shape) != 4:
            raise ValueError(f"there are no frames to read, but {shape}")
        return shape

    def _added(self, shape: tuple[int, ...]) -> int:
        self._shapes.append(shape)
        return len(self._shapes) - 1

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, f"winograd_{name}")(*arguments)
        if code:
            raise FAULTS[code](f"winograd_{name} failed: {FAULTS[code].__name__}")


def _address(array: NDArray[Any], shape: tuple[int, ...], dtype: type = np.float32) -> int:
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"expected {np.dtype(dtype)} {shape} in C order, got {array.dtype} {array.shape}")
    return array.ctypes.data
