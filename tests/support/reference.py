"""C3D in plain NumPy: the yardstick that the service is measured against, sharing no code with it.

Written from facts about the authors' Caffe code (facebookarchive/C3D, C3D-v1.0) and the paper (Tran et al.,
ICCV 2015, arXiv 1412.0767) alone. Arrays are channels-last: (frames, rows, columns, channels), channels BGR.
The keyword switches reproduce what ports get wrong, so that a test can show that it would notice.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pool5 = Literal["caffe", "symmetric"]
Fc6Rows = Literal["keras", "caffe"]

CLIP_FRAMES = 16
CROP_SIZE = 112  # rows and columns, pixels

# The convolutions up to each pooling, and that pooling's length in time; in rows and columns it is always 2.
_BLOCKS = (
    (("conv1",), 1),
    (("conv2",), 2),
    (("conv3a", "conv3b"), 2),
    (("conv4a", "conv4b"), 2),
)


class Activations(NamedTuple):
    """What the network computes for b clips, all float32."""

    pool5: Floats  # (b, 8192), in Caffe's order: channel, row, column
    fc6: Floats  # (b, 4096), after ReLU, so never negative
    fc7: Floats  # (b, 4096), after ReLU
    probabilities: Floats  # (b, n_classes), softmax of fc8: each row sums to 1


def preprocess(frames: NDArray[np.uint8], mean: Floats, crop_left: int = 29, crop_top: int = 8) -> Floats:
    """Subtract the mean cube, THEN crop, in Caffe's order; no scaling.

    frames: uint8 (16, 128, 171, 3), BGR grey levels 0..255, already resized.
    mean: float32 (3, 16, 128, 171), channel, frame, row, column as in Caffe's binaryproto, grey levels.
    crop_left, crop_top: the first column and row kept. Caffe's centre crop is 29 = (171 - 112) // 2 and
    8 = (128 - 112) // 2; several ports start at column 30.
    Returns float32 (16, 112, 112, 3), grey levels about zero: one clip for `forward`.
    """
    centred = frames.astype(np.float32) - mean.astype(np.float32).transpose(1, 2, 3, 0)
    return centred[:, crop_top : crop_top + CROP_SIZE, crop_left : crop_left + CROP_SIZE]


def clip_starts(num_frames: int, stride: int = 8) -> list[int]:
    """First frame of every full 16-frame clip of a video; stride 8 (frames) is the paper's, section 3.3.

    Frames after the last full clip belong to none; a video under 16 frames has no clip.
    """
    return list(range(0, num_frames - CLIP_FRAMES + 1, stride))


def conv3d_relu(x: Floats, kernel: Floats, bias: Floats) -> Floats:
    """3x3x3 cross-correlation (no kernel flip), stride 1, zero padding 1, then ReLU.

    x: float32 (T, H, W, Cin); kernel: float32 (3, 3, 3, Cin, Cout), Keras layout; bias: float32 (Cout,).
    Returns float32 (T, H, W, Cout). Each frame is one matrix product over its unrolled neighbourhoods,
    which for C3D take at most 22 MB.
    """
    frames, height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (1, 1), (0, 0)))
    matrix = kernel.reshape(-1, kernel.shape[-1])  # rows in (t, h, w, channel) order
    out = np.empty((frames, height, width, kernel.shape[-1]), np.float32)
    for t in range(frames):
        windows = sliding_window_view(padded[t : t + 3], (3, 3, 3), axis=(0, 1, 2))[0]
        patches = windows.transpose(0, 1, 3, 4, 5, 2).reshape(height * width, -1)
        out[t] = (patches @ matrix + bias).reshape(height, width, -1)
    return np.maximum(out, 0, out=out)


def max_pool(x: Floats, time: int) -> Floats:
    """Caffe's max pooling, in ceil mode, with windows (time, 2, 2) and strides to match.

    A window starts at every multiple of its size and ends where the next one starts; the last ends with the
    axis, cut short where the size does not divide it. Nothing is padded. Only pool5 (7 -> 4) has cut windows.
    x: float32 (T, H, W, C). Returns float32 (ceil(T / time), ceil(H / 2), ceil(W / 2), C).
    """
    for axis, size in ((2, 2), (1, 2), (0, time)):
        x = np.maximum.reduceat(x, np.arange(0, x.shape[axis], size), axis=axis)
    return x


def symmetric_pool5(x: Floats) -> Floats:
    """WRONG pool5 of several ports: padding (0, 1, 1) on both sides, then VALID, which leaves the ninth out.

    x: float32 (2, 7, 7, 512). Returns float32 (1, 4, 4, 512), the right shape.
    """
    return max_pool(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))[:, :8, :8], 2)


def features(clip: Floats, weights: Mapping[str, Floats], *, pool5: Pool5, fc6_rows: Fc6Rows) -> Floats:
    """Run the convolutional part on one clip: float32 (16, 112, 112, 3) -> (8192,), the input of fc6."""
    x = clip.astype(np.float32)
    for names, time in _BLOCKS:
        for name in names:
            x = conv3d_relu(x, weights[f"{name}/kernel"], weights[f"{name}/bias"])
        x = max_pool(x, time)
    for name in ("conv5a", "conv5b"):
        x = conv3d_relu(x, weights[f"{name}/kernel"], weights[f"{name}/bias"])
    x = {"caffe": lambda y: max_pool(y, 2), "symmetric": symmetric_pool5}[pool5](x)
    return x.transpose({"keras": (0, 1, 2, 3), "caffe": (3, 0, 1, 2)}[fc6_rows]).ravel()


def dense(x: Floats, weights: Mapping[str, Floats], name: str) -> Floats:
    """Fully connected layer without activation: float32 (b, K), kernel (K, N), bias (N,) -> (b, N)."""
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def softmax(logits: Floats) -> Floats:
    """Softmax of each row, in float64: float32 (b, N) -> float32 (b, N)."""
    powers: NDArray[np.float64] = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    total: NDArray[np.float64] = powers.sum(axis=1, keepdims=True)
    return (powers / total).astype(np.float32)


def forward(
    clips: Floats,
    weights: Mapping[str, Floats],
    *,
    pool5: Pool5 = "caffe",
    fc6_rows: Fc6Rows = "keras",
) -> Activations:
    """Run the whole network at test time, where dropout is the identity.

    clips: float32 (b, 16, 112, 112, 3), BGR AFTER mean subtraction, as `preprocess` returns them; b >= 1.
    weights: float32 arrays in channels-last Keras layout under "<layer>/kernel" and "<layer>/bias", for
    conv1, conv2, conv3a, conv3b, conv4a, conv4b, conv5a, conv5b (kernel (3, 3, 3, Cin, Cout)), fc6
    (8192, 4096) with rows in (h * 4 + w) * 512 + c order, fc7 (4096, 4096) and fc8 (4096, n_classes).
    pool5: "caffe" is right; "symmetric" pads both sides of rows and columns by one, as several ports do.
    fc6_rows: "keras" flattens pool5 in the kernel's (h, w, c) order; "caffe" wrongly in (c, h, w) order.
    """
    pooled = np.stack([features(clip, weights, pool5=pool5, fc6_rows=fc6_rows) for clip in clips])
    fc6 = np.maximum(dense(pooled, weights, "fc6"), 0)
    fc7 = np.maximum(dense(fc6, weights, "fc7"), 0)
    published = pooled.reshape(len(clips), 4, 4, 512).transpose(0, 3, 1, 2).reshape(len(clips), -1)  # of the kernel's order
    return Activations(published, fc6, fc7, softmax(dense(fc7, weights, "fc8")))


def l2_normalise(x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Divide the last axis by its L2 norm, in float64; a vector of zeros has no direction and gives NaN."""
    wide = x.astype(np.float64)
    norm: NDArray[np.float64] = np.sqrt((wide**2).sum(axis=-1, keepdims=True))
    return wide / norm


def video_descriptor(fc6: Floats) -> Floats:
    """Mean over clips, THEN L2 norm 1 (paper, section 3.3): float32 (n, 4096), n >= 1 -> float32 (4096,)."""
    return l2_normalise(fc6.mean(axis=0, dtype=np.float64)).astype(np.float32)


def l2_then_mean(fc6: Floats) -> Floats:
    """WRONG descriptor: each clip to L2 norm 1, then the mean, not normalised again; shapes as above."""
    return np.asarray(l2_normalise(fc6).mean(axis=0), np.float32)


def video_probabilities(probs: Floats) -> Floats:
    """Mean over clips of their softmax outputs: float32 (n, n_classes), n >= 1 -> float32 (n_classes,)."""
    return np.asarray(probs.mean(axis=0, dtype=np.float64), np.float32)
