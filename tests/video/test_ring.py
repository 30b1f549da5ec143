"""Memory that two mappings of one descriptor share."""

from __future__ import annotations

import os

import numpy as np

from service.video import ring


def test_what_one_writes_the_other_reads() -> None:
    descriptor = ring.create()
    ours, theirs = ring.attach(descriptor), ring.attach(descriptor)
    os.close(descriptor)  # the mappings keep it
    theirs[3, 7] = 200
    assert ours.shape == (ring.RING_LENGTH, ring.BLOCK_LENGTH, 112, 112, 3)
    assert ours.dtype == np.uint8
    assert (ours[3, 7] == 200).all()
    assert not ours[:3].any()
