"""A video to try the service with: a ball that flies over a striped ground."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

NUM_FRAMES, FPS = 100, 25  # 4 s, like the clips that the network was trained on
HEIGHT, WIDTH = 240, 320
RADIUS = 24


def write(path: Path) -> None:
    """Write the video as H.264 in an MP4. Raises OSError where the disk refuses."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(NUM_FRAMES):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def picture(number: int) -> NDArray[np.uint8]:
    """Frame ``number``: uint8 (240, 320, 3) RGB."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    frame[:] = (120, 170, 220)  # sky
    ground = rows > 170
    frame[ground] = (60, 140, 60)
    frame[ground & ((columns + 4 * number) // 40 % 2 == 0)] = (80, 170, 80)  # it moves by, as when a camera follows
    x = 40 + 2.4 * number
    y = 150 - 110 * abs(np.sin(number / NUM_FRAMES * 2 * np.pi))
    frame[(rows - y) ** 2 + (columns - x) ** 2 < RADIUS**2] = (230, 90, 40)
    return frame
