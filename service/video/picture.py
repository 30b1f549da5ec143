"""One decoded picture as the network sees it: BGR, the right way up, resized, cropped.

The original resized with cv::resize on OpenCV's BGR frames. Converting with libswscale as OpenCV does and resizing with
cv2.resize gives the same bits for 8-bit video.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from model_store import c3d
from service.errors import VideoTooLarge
from service.video.messages import ReadOptions

MAX_RESIZED_PIXELS = 1 << 20  # where the aspect is kept, a picture of few rows and very many columns becomes larger
JPEG_QUALITY = 90  # about 3 kB, in which nobody sees the compression
ALMOST_NONE = 0.01  # of the largest number in a display matrix: sines of right angles that were rounded
# Names of ITU-T H.273's numbers, as FFmpeg spells them.
COLOR_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc"}
COLOR_MATRICES |= {10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp"}
TRANSFERS = {1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4"}
TRANSFERS |= {13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67"}
PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428"}
PRIMARIES |= {11: "smpte431", 12: "smpte432", 22: "ebu3213"}

cv2.setNumThreads(0)  # a thread pool costs more than it gains on frames this small, and each thread is address space


class Orientation(NamedTuple):
    """How a picture is brought upright: swap left and right if ``mirrored``, then turn it by ``rotation`` degrees.

    Counter-clockwise: 0, 90, 180 or 270.
    """

    mirrored: bool = False
    rotation: int = 0

    def apply(self, picture: NDArray[Any]) -> NDArray[Any]:
        """To a picture (height, width, ...)."""
        if self == Orientation():
            return picture
        return np.ascontiguousarray(np.rot90(picture[:, ::-1] if self.mirrored else picture, self.rotation // 90))


def orientation_of(frame: VideoFrame) -> Orientation:
    """What the frame's display matrix says. A picture that is askew by another angle is left so, as OpenCV does."""
    matrices = [np.frombuffer(bytes(each), np.int32) for each in _side_data(frame) if each.type == SideData.DISPLAYMATRIX]
    if not matrices or len(matrices[0]) != 9:
        return Orientation()
    matrix = matrices[0].reshape(3, 3)[:2, :2].astype(np.float64)  # x' = a x + c y and y' = b x + d y, y downwards
    matrix[np.abs(matrix) < ALMOST_NONE * np.abs(matrix).max()] = 0
    (a, b), (c, d) = np.sign(matrix).astype(int).tolist()
    quarter_turns = {(1, 0, 0, 1): 0, (0, -1, 1, 0): 1, (-1, 0, 0, -1): 2, (0, 1, -1, 0): 3}
    if (a, b, c, d) in quarter_turns:
        return Orientation(rotation=90 * quarter_turns[a, b, c, d])
    if (-a, -b, c, d) in quarter_turns:  # the same after x was turned round
        return Orientation(mirrored=True, rotation=90 * quarter_turns[-a, -b, c, d])
    return Orientation()


def _side_data(frame: VideoFrame) -> list[Any]:
    return list(frame.side_data)  # typed as a mapping, and iterated over as a sequence


class PictureMaker:
    """Makes the network's pictures of one video's frames."""

    def __init__(self, options: ReadOptions, orientation: Orientation) -> None:
        self._options, self._orientation = options, orientation
        self._reformatter = VideoReformatter()
        self._spaces: dict[str, Any] = {} if options.honour_color_tags else UNTAGGED
        self.has_unknown_matrix = False  # one that libswscale has not, so that the tag was ignored

    def make(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """uint8 (112, 112, 3). Raises VideoTooLarge."""
        if frame.width * frame.height > self._options.max_pixels:
            size = f"{frame.width}x{frame.height}"
            raise VideoTooLarge(f"A frame has {size} pixels, over the limit of {self._options.max_pixels}.")
        bgr = self._orientation.apply(self._bgr(frame))
        rows, columns, top, left = self._options.framing(*bgr.shape[:2])
        if rows * columns > MAX_RESIZED_PIXELS:
            raise VideoTooLarge(f"The frames are too long and narrow: resized to {columns}x{rows} they would be too large.")
        resized = cv2.resize(bgr, (columns, rows))  # bilinear, as the original
        return np.asarray(resized[top:, left:][: c3d.CROP_SIZE, : c3d.CROP_SIZE], np.uint8)

    def _bgr(self, frame: VideoFrame) -> NDArray[Any]:
        try:
            return self._converted(frame)
        except MemoryError:  # FFmpeg's is an FFmpegError, too
            raise
        except av.FFmpegError:
            if self._spaces:
                raise
            self._spaces, self.has_unknown_matrix = UNTAGGED, True
            return self._converted(frame)

    def _converted(self, frame: VideoFrame) -> NDArray[Any]:
        """BICUBIC is what OpenCV gives libswscale: it decides how chroma is brought to full size."""
        return self._reformatter.reformat(
            frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1, **self._spaces
        ).to_ndarray()


def jpeg_of(picture: NDArray[np.uint8]) -> bytes:
    """A picture of `PictureMaker`, uint8 (112, 112, 3) BGR, as a JPEG."""
    _, encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return encoded.tobytes()


UNTAGGED = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601}  # as older OpenCV took every video
