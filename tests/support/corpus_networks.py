"""Networks for `corpus`, by name, so that workers in other processes find them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.settings import Settings
from tests.support.fakes import FakeNetwork

DEATHS = "CORPUS_TEST_DEATHS"  # a folder: each death leaves a file in it
WHITE = 200  # a clip that is brighter on the average is the white video's


class Deadly(FakeNetwork):
    """It ends its process at the white video's clips, ``max_deaths`` times."""

    def __init__(self, max_deaths: int, clip_s: float = 0.0) -> None:
        super().__init__(weights="sports1m")
        self._max_deaths, self._clip_s = max_deaths, clip_s

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        time.sleep(self._clip_s * len(clips))
        folder = Path(os.environ.get(DEATHS, os.devnull))
        if any(clip.mean() > WHITE for clip in clips) and len(list(folder.glob("*"))) < self._max_deaths:
            (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
            os._exit(77)
        return super().run(clips)


def real(_settings: Settings, _progress: object) -> FakeNetwork:
    """A network that is no stand-in."""
    return FakeNetwork(weights="sports1m")


def slow(_settings: Settings, _progress: object) -> FakeNetwork:
    """It takes 20 ms a clip, so that a kill hits work that is going on."""
    return Deadly(0, 0.02)


def deadly_once(_settings: Settings, _progress: object) -> FakeNetwork:
    """Its first worker dies."""
    return Deadly(1)


def deadly(_settings: Settings, _progress: object) -> FakeNetwork:
    """Every worker dies."""
    return Deadly(1000)


def other(_settings: Settings, _progress: object) -> FakeNetwork:
    """Another model than all of these."""
    return FakeNetwork(weights="sports1m", weights_sha256="ef" * 32)
