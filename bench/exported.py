"""The network exported to ONNX, and the two engines that run it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bench.inputs import Clips
from bench.weights import Float32, Run, channels_first, mean_of
from model_store import c3d
from model_store.store import Model


def _onnx(model: Model) -> Any:
    """The network as an ONNX graph, the mean subtraction and the change of axes included."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    initializers = [numpy_helper.from_array(value, name) for name, value in channels_first(model).items()]
    initializers.append(numpy_helper.from_array(mean_of(model), "mean"))
    layers: Any = c3d.layers(model.card.pool5)
    padding = next(layer.argument for layer in layers if layer.kind == "pad")  # (before, after) of frames, rows, columns
    pads = [number for side in zip((0, 0), (0, 0), *padding, strict=True) for number in side]  # of all axes before, then after
    initializers.append(numpy_helper.from_array(np.array(pads, np.int64), "pads5"))

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    x = add("Cast", ["clips"], "float", to=TensorProto.FLOAT)
    x = add("Transpose", [add("Sub", [x, "mean"], "centred")], "channels_first", perm=[0, 4, 1, 2, 3])
    for layer in layers:
        weights = [f"{layer.name}/kernel", f"{layer.name}/bias"]
        match layer.kind:
            case "conv":
                x = add("Relu", [add("Conv", [x, *weights], f"{layer.name}/sum", pads=[1] * 6)], layer.name)
            case "pool":
                x = add("MaxPool", [x], layer.name, kernel_shape=layer.argument, strides=layer.argument)
            case "pad":
                x = add("Pad", [x, "pads5"], layer.name)
            case "flatten":
                x = add("Flatten", [x], layer.name)
            case "dense":
                x = add("Relu", [add("Gemm", [x, *weights], f"{layer.name}/sum", transB=1)], layer.name)
            case "softmax":
                x = add("Softmax", [add("Gemm", [x, *weights], "logits", transB=1)], layer.name)
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("fc6", c3d.DESCRIPTOR_SIZE), ("fc8", model.card.num_classes))
    ]
    clips = helper.make_tensor_value_info("clips", TensorProto.UINT8, ["n", *c3d.CLIP_SHAPE])
    graph = helper.make_graph(nodes, "c3d", [clips], outputs, initializers)
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def onnxruntime(model: Model) -> Run:
    """ONNX Runtime, every graph optimisation on, one thread a core, as its performance guide has it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = os.cpu_count() or 1
    session = ort.InferenceSession(_onnx(model).SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(clips: Clips) -> tuple[Float32, Float32]:
        fc6, probabilities = session.run(["fc6", "fc8"], {"clips": clips})
        return fc6, probabilities

    return run


def openvino(model: Model) -> Run:
    """Compiled for a fixed batch, as its guide advises where shapes are known; asynchronous requests would only share it."""
    import openvino as ov

    core = ov.Core()
    network = core.read_model(_onnx(model).SerializeToString())
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled: dict[int, Any] = {}

    def run(clips: Clips) -> tuple[Float32, Float32]:
        if len(clips) not in compiled:
            network.reshape([len(clips), *c3d.CLIP_SHAPE])
            compiled[len(clips)] = core.compile_model(network, "CPU", config)
        found = compiled[len(clips)]([clips])
        return found["fc6"].copy(), found["fc8"].copy()

    return run
