"""C3D on OpenVINO: the layer table as a graph of its own, without Keras. float32, bfloat16, and int8 once calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from model_store import c3d, calibration
from model_store.store import Model
from model_store.tensors import StoreError
from service.errors import PrecisionUnavailable
from service.inference.network import Network, outputs_of

Floats = NDArray[np.float32]

# What is computed in where the graph asks for nothing else; in int8 that is the softmax and what little is not quantised.
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenvinoNetwork(Network):
    """C3D on OpenVINO, which runs on the CPU."""

    def __init__(self, model: Model, precision: str = "float32", given: Any = None) -> None:
        """Build the graph, or read the calibrated one, or take the one ``given``, and compile it.

        Raises PrecisionUnavailable where the CPU cannot compute in ``precision``, StoreError where the weights on disk are
        damaged, or where int8 has no calibration of these weights.
        """
        core = ov.Core()
        can = {"float32", "int8"} | ({"bfloat16"} if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else set())
        if precision not in can:
            raise PrecisionUnavailable(
                f"OpenVINO cannot compute in {precision} on this CPU. Use one of {', '.join(sorted(can))}."
            )
        super().__init__(model, precision, f"openvino {ov.__version__.partition('-')[0]} on cpu")
        if given is not None:
            network = given
        elif precision == "int8":
            path, calibrated = calibration.read(model)
            self.calibration_sha256 = calibrated.sha256
            network = core.read_model(path)
            if "pool5" not in {name for output in network.outputs for name in output.names}:
                raise StoreError(f"The calibration was made by an older version, which did not give pool5. {calibration.again()}")
        else:
            network = graph(model)
        self._mean = model.cropped_mean()
        options = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(network, "CPU", options).create_infer_request()

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass over clips uint8 (b, 16, 112, 112, 3) BGR."""
        return self._forward(clips, self._mean)

    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        """The outputs, one row each, for a clip that is zeros BEHIND the mean subtraction: a clip of zeros, and no mean."""
        return self._forward(np.zeros((1, *c3d.CLIP_SHAPE), np.uint8), np.zeros_like(self._mean))

    def _forward(self, clips: NDArray[np.uint8], mean: Floats) -> c3d.ClipOutputs:
        outputs = self._request.infer({"clips": clips, "mean": mean})
        return outputs_of(outputs["pool5"], outputs["fc6"], outputs["fc7"], outputs["fc8"] if self.card.num_classes else None)


def graph(model: Model) -> Any:
    """The layer table in float32: uint8 ``clips`` (b, 16, 112, 112, 3) and float32 ``mean`` in, ``pool5`` to ``fc8`` out.

    The mean is an input, so that zeros behind it can be asked for. Inside, channels come first, as OpenVINO wants them.
    """
    weights = dict(model.tensors())
    clips = _named("clips", op.parameter([-1, *c3d.CLIP_SHAPE], ov.Type.u8))
    subtrahend = _named("mean", op.parameter(c3d.CLIP_SHAPE, ov.Type.f32))
    x = op.transpose(op.subtract(op.convert(clips, ov.Type.f32), subtrahend), (0, 4, 1, 2, 3))
    outputs = []
    for layer in c3d.layers(model.card.pool5):
        if layer.kind == "softmax" and not model.card.num_classes:
            break
        x = _layer(layer, x, weights)
        if layer.name in {*c3d.FEATURE_SIZES, "fc8"}:
            outputs.append(_named(layer.name, op.result(x)))
    return ov.Model(outputs, [clips, subtrahend], "c3d")


def _layer(layer: c3d.Layer, x: Any, weights: dict[str, Any]) -> Any:
    """One row of the table. It takes its weights out of the mapping, so that they are in memory once."""
    argument: Any = layer.argument
    kernel, bias = (weights.pop(f"{layer.name}/{variable}", None) for variable in ("kernel", "bias"))
    match layer.kind:
        case "conv":
            filters = np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2))
            return op.relu(op.add(op.convolution(x, filters, *[[1, 1, 1]] * 4), bias.reshape(1, -1, 1, 1, 1)))
        case "pool":
            return op.max_pool(x, argument, [1, 1, 1], [0, 0, 0], [0, 0, 0], argument).output(0)
        case "pad":
            before, after = ([0, 0, *(pads[i] for pads in argument)] for i in (0, 1))
            return op.pad(x, before, after, "constant", np.float32(0))
        case "flatten":
            return op.reshape(op.transpose(x, (0, 2, 3, 4, 1)), [0, -1], special_zero=True)
        case "dense":
            return op.relu(op.add(op.matmul(x, kernel, transpose_a=False, transpose_b=False), bias))
    return op.softmax(op.add(op.matmul(x, kernel, transpose_a=False, transpose_b=False), bias), 1)


def _named(name: str, node: Any) -> Any:
    """An input or output of the graph, to be asked for by this name."""
    node.output(0).set_names({name})
    return node
