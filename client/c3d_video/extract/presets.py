"""What a data set's readers expect, by its name."""

from __future__ import annotations

from typing import NamedTuple

from c3d_video.options import Options


class Preset(NamedTuple):
    """A form, a pattern of names, and options of POST /features."""

    to: str
    name: str
    options: Options


PRESETS = {
    # Sultani et al., CVPR 2018: fc6 of clips that do not overlap, 32 parts a video.
    "ucf-crime": Preset("txt32", "{stem}_C.txt", {"clip_stride": 16}),
    # Its PyTorch version reads CLASS/NAME.txt, as its annotation files name the videos.
    "ucf-crime-pytorch": Preset("txt32", "{class}/{stem}.txt", {"clip_stride": 16}),
    # ActivityNet's published C3D features: fc7, 8 frames apart; there PCA took them to 500 numbers (--pca 500).
    "activitynet": Preset("hdf5", "v_{id}", {"layer": "fc7", "clip_stride": 8}),
}
PATTERNS = {
    "npz": "{dir}/{stem}.npz",
    "npy": "{dir}/{stem}.npy",
    "txt32": "{dir}/{stem}.txt",
    "fc6-1": "{dir}/{stem}",
    "hdf5": "{dir}/{stem}",
    "parquet": "features/{dir}/{stem}.parquet",
}
