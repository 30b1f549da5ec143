"""The memory in which a decoder process hands over its frames: written there, read here, never copied through a pipe."""

from __future__ import annotations

import mmap
import os

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

BLOCK_LENGTH = 8  # frames handed on at once: half a clip
RING_LENGTH = 4  # blocks decoded ahead of their reader at most: two clips
RING_SHAPE = (RING_LENGTH, BLOCK_LENGTH, c3d.CROP_SIZE, c3d.CROP_SIZE, 3)


def create() -> int:
    """A descriptor of fresh memory, large enough. Nameless: it is gone with the last process that holds it."""
    descriptor = os.memfd_create("c3d-frames")
    os.ftruncate(descriptor, int(np.prod(RING_SHAPE)))
    return descriptor


def attach(descriptor: int) -> NDArray[np.uint8]:
    """The memory behind the descriptor: uint8 (RING_LENGTH, BLOCK_LENGTH, 112, 112, 3). Block n lies at n % RING_LENGTH."""
    return np.frombuffer(mmap.mmap(descriptor, int(np.prod(RING_SHAPE))), np.uint8).reshape(RING_SHAPE)
