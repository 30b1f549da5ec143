"""A video to try the service with: a ball that flies over a striped ground."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FPS = 25  # as the videos that the network was trained on
SECONDS = 4
FLIGHT = 100  # frames from one side of the picture to the other
HEIGHT, WIDTH = 240, 320
RADIUS = 24


def write(path: Path, seconds: int = SECONDS) -> None:
    """Write the video as H.264 in an MP4. Raises OSError where the disk refuses."""
    path.write_bytes(video(seconds))


def video(seconds: int = SECONDS) -> bytes:
    """The video's file."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * seconds):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


def picture(number: int) -> NDArray[np.uint8]:
    """Frame ``number``: uint8 (240, 320, 3) RGB."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    frame[:] = (120, 170, 220)  # sky
    ground = rows > 170
    frame[ground] = (60, 140, 60)
    frame[ground & ((columns + 4 * number) // 40 % 2 == 0)] = (80, 170, 80)  # it moves by, as when a camera follows
    x = 40 + 2.4 * (FLIGHT - abs(number % (2 * FLIGHT) - FLIGHT))  # to the right, and back again
    y = 150 - 110 * abs(np.sin(number / FLIGHT * 2 * np.pi))
    frame[(rows - y) ** 2 + (columns - x) ** 2 < RADIUS**2] = (230, 90, 40)
    return frame
