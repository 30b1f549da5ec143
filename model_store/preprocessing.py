"""What a network expects of its clips and how it pools them: the original's way, and those of the ports, by name.

A port's numbers are taken from its own files: how its network is built, and how its test or demo reads frames. A model's card
holds them, so that every engine and the decoder follow the card and know no port.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from model_store import c3d

Preprocessing = Literal["c3d-sports1m", "c3d-ucf101-mean", "c3d-pytorch", "mmaction2", "jfzhang95", "c3d-tensorflow"]
ChannelOrder = Literal["BGR", "RGB"]
LongSide = Literal["rounded", "next"]  # what becomes of the other side where the aspect is kept: int(x + 0.5), or int(x + 1)


class Preset(NamedTuple):
    """One way from a decoded picture to the network's input, and pool5. Rows and columns in pixels."""

    mean: str  # a cube's name in the manifest, or three grey levels in the channels' order
    channel_order: ChannelOrder = "BGR"
    keep_aspect: bool = False  # the short side becomes `frame_rows`, and the crop is central
    frame_rows: int = c3d.FRAME_SIZE[0]
    frame_columns: int = c3d.FRAME_SIZE[1]
    crop_top: int = c3d.CROP_TOP
    crop_left: int = c3d.CROP_LEFT
    long_side: LongSide = "rounded"
    pool5: c3d.Pool5 = "caffe"

    @property
    def mean_behind_crop(self) -> bool:
        """Whether the mean is of cropped frames."""
        return self.mean == UCF101_CROP


UCF101_CROP = "ucf101-crop"
PRESETS: dict[Preprocessing, Preset] = {
    # The authors' Caffe code.
    "c3d-sports1m": Preset("sports1m"),
    # axon-research/c3d-keras: rows 8..119, columns 30..141, the mean cube of UCF101.
    "c3d-ucf101-mean": Preset("ucf101", crop_left=30),
    # DavideA/c3d-pytorch, predict.py: RGB, 112x200 whatever the aspect, columns 44..155, nothing subtracted.
    "c3d-pytorch": Preset("0,0,0", "RGB", frame_rows=112, frame_columns=200, crop_top=0, crop_left=44, pool5="symmetric"),
    # open-mmlab/mmaction2, configs/recognition/c3d: RGB, short side 128, centre crop.
    "mmaction2": Preset("104,117,128", "RGB", keep_aspect=True, pool5="symmetric"),
    # jfzhang95/pytorch-video-recognition, inference.py: BGR, 128x171, columns 30..141.
    "jfzhang95": Preset("90,98,102", crop_left=30, pool5="symmetric"),
    # hx173149/C3D-tensorflow, input_data.py: RGB, short side 112, the other one int(x + 1), centre crop; crop_mean.npy is
    # UCF101's cube behind the crop, its blue subtracted from red and its red from blue.
    "c3d-tensorflow": Preset(UCF101_CROP, "RGB", keep_aspect=True, frame_rows=112, crop_top=0, long_side="next"),
}


def describe(preprocessing: Preprocessing) -> str:
    """The preset in a few words."""
    preset = PRESETS[preprocessing]
    size = f"short side {preset.frame_rows}" if preset.keep_aspect else f"{preset.frame_columns}x{preset.frame_rows}"
    crop = "centre crop" if preset.keep_aspect else f"crop from row {preset.crop_top}, column {preset.crop_left}"
    return f"{preset.channel_order}, {size}, {crop}, mean {preset.mean}, {preset.pool5} pool5"
