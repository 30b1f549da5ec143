"""How peers decode: as the recipes for C3D have it, with OpenCV, the whole video at once. Frames as the service's own."""

from __future__ import annotations

import tempfile

import cv2
import numpy as np

from bench.inputs import Clips
from model_store import c3d


def clips_of_bytes(video: bytes, crop_left: int = c3d.CROP_LEFT) -> Clips:
    """Clips uint8 (n, 16, 112, 112, 3) of an encoded video, a clip every 8 frames."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        capture = cv2.VideoCapture(file.name)
        frames = []
        while True:
            found, frame = capture.read()
            if not found:
                break
            small = cv2.resize(frame, c3d.FRAME_SIZE[::-1])
            frames.append(small[c3d.CROP_TOP : c3d.CROP_TOP + c3d.CROP_SIZE, crop_left : crop_left + c3d.CROP_SIZE])
        capture.release()
    starts = range(0, len(frames) - c3d.CLIP_LENGTH + 1, c3d.CLIP_STRIDE)
    return np.stack([frames[start : start + c3d.CLIP_LENGTH] for start in starts]).astype(np.uint8)
