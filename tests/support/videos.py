"""Videos made at test time, by the encoders that PyAV brings."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

# Videos that were made before, by whatever made them: encoding was a quarter of the fast tests' time. `make clean` deletes it.
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "videos"
X264 = {"preset": "ultrafast", "bf": "2"}  # four times as fast as the default; with the B-frames that most files have
MAKER = f"{av.__version__} {av.library_versions} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"


def picture(index: int, height: int = 96, width: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """Frame ``index`` of a moving pattern, uint8 (height, width, 3) BGR: smooth, different in each channel and each frame."""
    y, x = np.arange(height, dtype=np.float32)[:, np.newaxis], np.arange(width, dtype=np.float32)
    waves = [np.sin(x / (7 + c) + index * (0.3 + 0.1 * c) + seed) + np.cos(y / (9 - c) - index * 0.2) for c in range(3)]
    return (127.5 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)


class Recipe(NamedTuple):
    """What decides a video's bytes."""

    num_frames: int
    codec: str
    rate: Fraction | int
    pix_fmt: str
    size: tuple[int, int]  # rows, columns
    seed: int
    grey: int | None
    pts: Sequence[int] | None
    options: dict[str, str]
    title: str


def write_video(
    path: Path,
    num_frames: int,
    *,
    codec: str = "libx264",
    rate: Fraction | int = 25,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 128),
    seed: int = 0,
    grey: int | None = None,
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    title: str = "",
) -> Path:
    """A video of `picture` frames, or all of one ``grey``; ``pts`` in 1/1000 s makes its rate variable. Returns ``path``."""
    options = (options or {}) if codec != "libx264" else X264 | (options or {})
    recipe = Recipe(num_frames, codec, rate, pix_fmt, size, seed, grey, pts, options, title)
    made = CACHE / f"{hashlib.sha256(f'{recipe} {MAKER}'.encode()).hexdigest()}{path.suffix}"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:  # renamed when whole: another test process may want it too
            new = Path(unfinished) / made.name
            _encode(new, recipe)
            os.replace(new, made)
    shutil.copyfile(made, path)
    return path


def _encode(path: Path, recipe: Recipe) -> None:
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": recipe.title} if recipe.title else {})
        stream: Any = container.add_stream(recipe.codec, rate=recipe.rate, options=recipe.options)
        stream.height, stream.width, stream.pix_fmt = *recipe.size, recipe.pix_fmt
        stream.codec_context.thread_count = 1
        if recipe.pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(recipe.num_frames):
            grey = recipe.grey
            image = picture(index, *recipe.size, recipe.seed) if grey is None else np.full((*recipe.size, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            if recipe.pts is not None:
                frame.pts, frame.time_base = recipe.pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_audio(path: Path) -> Path:
    """A quarter second of a tone. Returns ``path``."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le" if path.suffix == ".wav" else "aac", rate=8000)
        tone = (8000 * np.sin(np.arange(2048) / 5)).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
