"""C3D on the winograd engine: float32 on the CPU, several times the speed of a direct convolution, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from model_store.store import Model
from service.errors import PrecisionUnavailable
from service.inference.network import CPU_BATCH_SIZES, Network, outputs_of
from service.inference.winograd import library
from service.inference.winograd.layers import Layers

Floats = NDArray[np.float32]


class WinogradNetwork(Network):
    """C3D in the compiled library. A clip has the same bits in every batch, on any number of threads, on any CPU."""

    def __init__(self, model: Model, precision: str = "float32", threads: int | None = None) -> None:
        """Load the model's weights, on as many threads as there are CPUs for this process.

        Raises ImportError where the library is not built or the CPU cannot run it, PrecisionUnavailable for all but float32,
        StoreError where the weights on disk are damaged.
        """
        if precision != "float32":
            raise PrecisionUnavailable(
                f"The winograd engine computes in float32 only, not in {precision}. Use that, or C3D_ENGINE=tensorflow."
            )
        path = library.find()
        super().__init__(model, precision, f"winograd {path.stem} on cpu")
        self._layers = Layers(path, threads or library.threads(), max(CPU_BATCH_SIZES))
        self._numbers = _add_layers(self._layers, model)
        self._mean = np.ascontiguousarray(model.cropped_mean(), np.float32)

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass over clips uint8 (b, 16, 112, 112, 3) BGR."""
        return self._forward(clips, self._mean)

    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        """The outputs, one row each, for a clip that is zeros BEHIND the mean subtraction: a clip of zeros, and no mean."""
        return self._forward(np.zeros((1, *c3d.CLIP_SHAPE), np.uint8), np.zeros_like(self._mean))

    def _forward(self, clips: NDArray[np.uint8], mean: Floats) -> c3d.ClipOutputs:
        self._layers.run_clips(np.ascontiguousarray(clips), mean)
        pool5, fc6, fc7 = (self._layers.read(self._numbers[name]) for name in c3d.FEATURE_SIZES)
        probabilities = softmax(self._layers.read(self._numbers["fc8"])) if self.card.num_classes else None
        return outputs_of(pool5[:, 0].transpose(0, 3, 1, 2), fc6, fc7, probabilities)  # pool5 is (b, 1, 4, 4, 512) until here


def softmax(logits: Floats) -> Floats:
    """Of each row: float32 (b, n) to float32 (b, n). In float64 between them, which costs nothing on so few numbers."""
    with np.errstate(invalid="ignore"):  # an infinity gives NaN, as in the other engines
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _add_layers(layers: Layers, model: Model) -> dict[str, int]:
    """The layer table, with the model's weights: each layer's number, that of its pooling where one follows a convolution.

    No more than one layer's weights are in memory twice.
    """
    weights = _kernels_and_biases(model)
    table = c3d.layers(model.card.pool5)
    numbers: dict[str, int] = {}
    number, zeros_before = -1, None
    layers.add_clips()
    for layer, following in zip(table, (*table[1:], None), strict=True):
        argument: Any = layer.argument
        match layer.kind:
            case "conv":
                window: Any = following.argument if following and following.kind == "pool" else (1, 1, 1)
                number = layers.add_convolution(*next(weights), window)
            case "pad":
                zeros_before = argument[1][0]
            case "pool" if zeros_before is not None:  # the others went with their convolutions
                number = layers.add_pool(zeros_before, layer.output[1])
            case "dense":
                number = layers.add_dense(*next(weights), relu=True)
            case "softmax" if model.card.num_classes:
                number = layers.add_dense(*next(weights), relu=False)
        numbers[layer.name] = number
    for _ in weights:
        pass  # none is left; asking is what checks the hash of them all
    return numbers


def _kernels_and_biases(model: Model) -> Iterator[tuple[Floats, Floats]]:
    tensors = model.tensors()
    for _, kernel in tensors:
        _, bias = next(tensors)
        yield np.ascontiguousarray(kernel), np.ascontiguousarray(bias)
        del kernel  # or it would be in memory beside the next one: 134 MB of fc6
