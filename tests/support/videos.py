"""Videos made at test time, by the encoders that PyAV brings."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def picture(index: int, height: int = 96, width: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """Frame ``index`` of a moving pattern, uint8 (height, width, 3) BGR: smooth, different in each channel and each frame."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / (7 + c) + index * (0.3 + 0.1 * c) + seed) + np.cos(y / (9 - c) - index * 0.2) for c in range(3)]
    return (127.5 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)


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
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": title} if title else {})
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.thread_count = 1
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(num_frames):
            image = picture(index, *size, seed) if grey is None else np.full((*size, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


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
