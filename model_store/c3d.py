"""What the C3D paper and its authors' Caffe code say: constants, the layer table, the shape of the outputs.

Sources: Tran, Bourdev, Fergus, Torresani, Paluri, "Learning Spatiotemporal Features with 3D Convolutional
Networks", ICCV 2015 (arXiv 1412.0767), and the authors' C3D-v1.0 (facebookarchive/C3D on GitHub), below "Caffe".
Pure data: this file makes no arrays and imports nothing of ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLIP_LENGTH = 16  # frames; paper section 3.3
CLIP_STRIDE = 8  # frames between clip starts: "a 8-frame overlap between two consecutive clips", section 3.3
FRAME_SIZE = (128, 171)  # rows, columns every frame is resized to, whatever its aspect ratio; section 3.3
CROP_SIZE = 112  # rows and columns of the centre crop; section 3.3
CROP_TOP = (FRAME_SIZE[0] - CROP_SIZE) // 2  # 8
CROP_LEFT = (FRAME_SIZE[1] - CROP_SIZE) // 2  # 29, as Caffe's integer division; several Keras ports use 30
CLIP_SHAPE = (CLIP_LENGTH, CROP_SIZE, CROP_SIZE, 3)  # frames, rows, columns, channels in OpenCV's order B, G, R
MEAN_SHAPE = (3, CLIP_LENGTH, *FRAME_SIZE)  # the mean cube as Caffe stores it: channel, frame, row, column
MEAN_CROP_SHAPE = (3, CLIP_LENGTH, CROP_SIZE, CROP_SIZE)  # of a mean that is subtracted behind the crop
TRAINING_FPS = (25.0, 30.0)  # about what the Sports-1M videos ran at; frames are taken at the video's own rate

DESCRIPTOR_SIZE = 4096  # fc6 after its ReLU (Caffe computes the ReLU in place, so the published features have it)
POOL5_SHAPE = (512, 4, 4)  # channels, rows, columns: the order in which Caffe writes pool5, and so the published features
NUM_CLASSES = 487  # Sports-1M
KNOWN_ANSWER = 184  # "sandboarding": what the Sports-1M weights see in a clip of zeros after mean subtraction
NUM_PARAMETERS = 79_991_015


class Layer(NamedTuple):
    """One row of the network: its name, its kind, its one argument, and what it must come to.

    ``kind`` and ``argument``: "conv" and the number of filters (3x3x3, stride 1, zero padding 1, then ReLU);
    "pool" and the window, which is also the stride (max, no padding); "pad" and (before, after) zeros for time,
    rows, columns; "flatten"; "dense" and the number of outputs (then ReLU); "softmax" and the number of classes
    (dense, then softmax). ``output`` is the shape for one clip, channels last; ``parameters`` the count of weights and biases.
    """

    name: str
    kind: str
    argument: int | tuple[int, ...] | tuple[tuple[int, int], ...] | None
    output: tuple[int, ...]
    parameters: int = 0


# Paper figure 3. Dropout (0.5 before fc7 and fc8) is the identity when a trained network is used, so it has no row.
LAYERS = (
    Layer("conv1", "conv", 64, (16, 112, 112, 64), 5_248),
    Layer("pool1", "pool", (1, 2, 2), (16, 56, 56, 64)),
    Layer("conv2", "conv", 128, (16, 56, 56, 128), 221_312),
    Layer("pool2", "pool", (2, 2, 2), (8, 28, 28, 128)),
    Layer("conv3a", "conv", 256, (8, 28, 28, 256), 884_992),
    Layer("conv3b", "conv", 256, (8, 28, 28, 256), 1_769_728),
    Layer("pool3", "pool", (2, 2, 2), (4, 14, 14, 256)),
    Layer("conv4a", "conv", 512, (4, 14, 14, 512), 3_539_456),
    Layer("conv4b", "conv", 512, (4, 14, 14, 512), 7_078_400),
    Layer("pool4", "pool", (2, 2, 2), (2, 7, 7, 512)),
    Layer("conv5a", "conv", 512, (2, 7, 7, 512), 7_078_400),
    Layer("conv5b", "conv", 512, (2, 7, 7, 512), 7_078_400),
    # Caffe pools in ceil mode, 7 -> 4, windows cut at the right and bottom edge. Behind a ReLU that equals one row
    # and one column of zeros on the right and bottom only; padding both sides has the same shape and other numbers.
    Layer("zeropad5", "pad", ((0, 0), (0, 1), (0, 1)), (2, 8, 8, 512)),
    Layer("pool5", "pool", (2, 2, 2), (1, 4, 4, 512)),
    Layer("flatten", "flatten", None, (8192,)),
    Layer("fc6", "dense", 4096, (4096,), 33_558_528),
    Layer("fc7", "dense", 4096, (4096,), 16_781_312),
    Layer("fc8", "softmax", NUM_CLASSES, (NUM_CLASSES,), 1_995_239),
)


Pool5 = Literal["caffe", "symmetric"]
FeatureLayer = Literal["pool5", "fc6", "fc7"]


def layers(pool5: Pool5 = "caffe") -> tuple[Layer, ...]:
    """`LAYERS`, or where pool5 is "symmetric", as PyTorch ports pad it: a row and a column of zeros on both sides.

    Behind both stands a pooling that leaves an odd row or column out, so 9 rows become 4 as 8 do.
    """
    if pool5 == "caffe":
        return LAYERS
    padded = Layer("zeropad5", "pad", ((0, 0), (1, 1), (1, 1)), (2, 9, 9, 512))
    return tuple(padded if layer.name == padded.name else layer for layer in LAYERS)


def weight_shapes(num_classes: int = NUM_CLASSES) -> dict[str, tuple[int, ...]]:
    """The canonical tensors in their order: "conv1/kernel", "conv1/bias", ... "fc8/bias" and their shapes.

    Channels last, as Keras stores them: convolutions (3, 3, 3, inputs, filters), dense layers (inputs, outputs), the rows
    of fc6 in (row, column, channel) order. ``num_classes`` 0 leaves fc8 out: a network for descriptors only.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = CLIP_SHAPE[-1]
    for layer in LAYERS:
        outputs = num_classes if layer.kind == "softmax" else layer.output[-1]
        if layer.parameters and outputs:
            window = (3, 3, 3) if layer.kind == "conv" else ()
            shapes[f"{layer.name}/kernel"] = (*window, inputs, outputs)
            shapes[f"{layer.name}/bias"] = (outputs,)
        inputs = outputs
    return shapes


class ClipOutputs(NamedTuple):
    """What one forward pass gives for b clips: float32 arrays, whatever precision computed them, one row a clip.

    The border of every engine. The first fields are the layers that can be asked for as features: `FEATURE_SIZES`.
    """

    pool5: NDArray[np.float32]  # (b, 8192), in the order of POOL5_SHAPE: not negative
    fc6: NDArray[np.float32]  # (b, 4096), after the ReLU: not negative
    fc7: NDArray[np.float32]  # (b, 4096), after the ReLU: not negative
    probabilities: NDArray[np.float32]  # (b, 487), each row adds up to 1; (b, 0) where the weights have no class layer


# The layers that give features, in the network's order, and how many numbers each has for a clip.
FEATURE_SIZES: dict[FeatureLayer, int] = {"pool5": math.prod(POOL5_SHAPE), "fc6": DESCRIPTOR_SIZE, "fc7": DESCRIPTOR_SIZE}
