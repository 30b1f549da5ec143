"""What a job extracted: a descriptor and labels for each video, read from its index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Float32
from c3d_video.extract.index import read_index


@dataclass
class Extracted:
    """``outputs``: a file by video key. ``failed``: why, by video key. ``model``: what made them."""

    outputs: dict[str, Path]
    failed: dict[str, str]
    model: dict[str, Any]

    def descriptor(self, key: str) -> Float32:
        """The mean over clips, float32 (width,), made to length 1."""
        with np.load(self.outputs[key]) as arrays:
            mean: Float32 = arrays["descriptor"]
        length = float(np.linalg.norm(mean))
        return (mean / length).astype(np.float32) if length else mean

    def classes(self, key: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Class ids: the video's from the most probable on (k,), and each clip's most probable one (n,)."""
        with np.load(self.outputs[key]) as arrays:
            return arrays["class_ids"], arrays["clip_class_ids"]


def read(out: Path, key_of: Callable[[str], str]) -> Extracted:
    """What lies in ``out``. ``key_of``: a data set's key for a video's name."""
    about, entries = read_index(out)
    done = {key_of(name): out / entry["output"] for name, entry in entries.items() if "output" in entry}
    failed = {key_of(name): str(entry["code"]) for name, entry in entries.items() if "code" in entry}
    return Extracted(done, failed, about["model"] if about else {})
