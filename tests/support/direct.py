"""C3D by direct convolution in float64: what an engine's rounding is measured against. (In float32: reference.py.)"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def convolution(x: NDArray[Any], kernel: Floats, bias: Floats) -> Doubles:
    """3x3x3, stride 1, padding 1, then ReLU. x: (n, frames, rows, columns, channels), kernel: (3, 3, 3, channels, outputs)."""
    _, frames, rows, columns, channels = x.shape
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((*x.shape[:4], len(bias)))
    for t, h, w in product(range(3), repeat=3):
        window = padded[:, t : t + frames, h : h + rows, w : w + columns].reshape(-1, channels)
        out += (window @ kernel[t, h, w].astype(np.float64)).reshape(out.shape)
    with np.errstate(invalid="ignore"):
        return np.maximum(out + bias, 0)


def max_pool(x: Doubles, window: tuple[int, ...]) -> Doubles:
    """Windows side by side; a row or column that fills none is left out. x: (n, frames, rows, columns, channels)."""
    t, h, w = window
    n, frames, rows, columns, channels = x.shape
    whole = x[:, :, : rows // h * h, : columns // w * w]
    return np.asarray(whole.reshape(n, frames // t, t, rows // h, h, columns // w, w, channels).max((2, 4, 6)))


def forward(centred: NDArray[Any], weights: Mapping[str, Floats], pool5: c3d.Pool5 = "caffe") -> dict[str, Doubles]:
    """The outputs of every layer, by name; fc8 is the probabilities. centred: (n, 16, 112, 112, 3), the mean taken off."""
    outputs = {}
    x: Doubles = centred.astype(np.float64)
    for layer in c3d.layers(pool5):
        kernel, bias = (weights.get(f"{layer.name}/{variable}", np.zeros(0, np.float32)) for variable in ("kernel", "bias"))
        argument: Any = layer.argument
        match layer.kind:
            case "conv":
                x = convolution(x, kernel, bias)
            case "pad":
                x = np.pad(x, ((0, 0), *argument, (0, 0)))
            case "pool":
                x = max_pool(x, argument)
            case "flatten":
                x = x.reshape(len(x), -1)
            case "dense":
                x = np.maximum(x @ kernel.astype(np.float64) + bias, 0)
            case "softmax":
                logits = x @ kernel.astype(np.float64) + bias
                powers = np.exp(logits - logits.max(axis=1, keepdims=True))
                x = powers / powers.sum(axis=1, keepdims=True)
        outputs[layer.name] = x
    return outputs
