"""The network in other, equally exact forms, for bench/gpu.py to hold against the service's own. Needs Keras.

Each gives the same numbers but for rounding. What a measurement shows to be faster is to be taken over into network.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from service.inference.engines import ENGINES, Forward

Tensors = Mapping[str, NDArray[np.float32]]
PADDED_CHANNELS = 8  # tensor cores want a multiple of 8


class Form(NamedTuple):
    """What is done differently."""

    pad_channels: bool = False  # the 3 input channels, and conv1's kernel, are filled up to 8 with zeros
    pool_first: bool = False  # max(relu(x + b)) is relu(max(x) + b), on a quarter or an eighth of the values
    same_pool5: bool = False  # pool5's own "same" padding, which ignores what lies outside, instead of zeros
    channels_first: bool = False  # layers see (channels, frames, rows, columns)
    compiler: bool = False  # TensorFlow: XLA; PyTorch: CUDA graphs and cuDNN's search; JAX: nothing, it compiles anyway


POOL5: c3d.Pool5 = "caffe"  # of the stand-ins, whose tensors these are; "same" pooling pads as Caffe does
FORMS = {
    "as in network.py": Form(),
    "8 input channels": Form(pad_channels=True),
    "bias and ReLU after the pool": Form(pool_first=True),
    "same pooling for pool5": Form(same_pool5=True),
    "channels first": Form(channels_first=True),
    "compiler": Form(compiler=True),
    "compiler, channels first": Form(channels_first=True, compiler=True),
    "compiler, the first three": Form(pad_channels=True, pool_first=True, same_pool5=True, compiler=True),
    "all": Form(*[True] * 5),
}


def build(form: Form, tensors: Tensors, mean: NDArray[np.float32], dtype: str) -> Forward:
    """The network in this form, on Keras's engine: clips uint8 (b, 16, 112, 112, 3) to float32 fc6, fc7, probabilities.

    ``tensors`` are the canonical ones, ``mean`` is float32 (16, 112, 112, 3), ``dtype`` one of Keras's.
    """
    clips = keras.Input(c3d.CLIP_SHAPE, dtype="uint8")
    x = keras.ops.subtract(keras.ops.cast(clips, "float32"), mean)
    if form.pad_channels:
        zeros = keras.ops.zeros_like(x)  # put beside: a `pad` before a convolution is fused by TensorFlow, which then fails
        x = keras.ops.concatenate([x, zeros, zeros[..., : PADDED_CHANNELS - 6]], axis=-1)
    if form.channels_first:
        x = keras.ops.transpose(x, (0, 4, 1, 2, 3))
    x = _features(form, x, tensors, dtype)
    outputs = []
    for layer in c3d.layers(POOL5):
        if layer.kind in {"dense", "softmax"}:
            is_last = layer.kind == "softmax"
            options = {"activation": "softmax" if is_last else "relu", "dtype": "float32" if is_last else dtype}
            x = keras.layers.Dense(layer.argument, **options, **_named(layer))(x)
            outputs.append(keras.ops.cast(x, "float32"))
    model = keras.Model(clips, outputs)
    _assign(model, tensors)
    compile_model: Callable[..., Forward] = _compiled if form.compiler else ENGINES[keras.backend.backend()].compile
    return compile_model(model)


def _features(form: Form, x: Any, tensors: Tensors, dtype: str) -> Any:
    """Convolutions and pools, then flat."""
    order = _order(form)
    late_bias = None  # of a convolution whose bias and ReLU come after the pool
    pooled_next = {"conv1", "conv2", "conv3b", "conv4b", *(["conv5b"] if form.same_pool5 else [])}
    for layer in c3d.layers(POOL5):
        match layer.kind:
            case "conv":
                late_bias = tensors[f"{layer.name}/bias"] if form.pool_first and layer.name in pooled_next else None
                x = _conv(form, layer, dtype, whole=late_bias is None)(x)
            case "pad" if not form.same_pool5:
                x = keras.layers.ZeroPadding3D(layer.argument, dtype=dtype, data_format=order)(x)
            case "pool":
                padding = "same" if form.same_pool5 and layer.name == "pool5" else "valid"
                x = keras.layers.MaxPooling3D(layer.argument, padding=padding, dtype=dtype, data_format=order)(x)
                if late_bias is not None:
                    bias = late_bias.reshape(-1, 1, 1, 1) if form.channels_first else late_bias
                    x = keras.ops.relu(keras.ops.add(x, keras.ops.cast(bias, dtype)))
    if form.channels_first:
        x = keras.ops.transpose(x, (0, 2, 3, 4, 1))
    return keras.layers.Flatten(dtype=dtype)(x)


def _order(form: Form) -> str:
    return "channels_first" if form.channels_first else "channels_last"


def _named(layer: c3d.Layer) -> dict[str, str]:
    return {"name": layer.name, "kernel_initializer": "zeros", "bias_initializer": "zeros"}


def _conv(form: Form, layer: c3d.Layer, dtype: str, *, whole: bool) -> Any:
    options = {"padding": "same", "activation": "relu" if whole else None, "use_bias": whole, "data_format": _order(form)}
    return keras.layers.Conv3D(layer.argument, 3, dtype=dtype, **options, **_named(layer))


def _assign(model: Any, tensors: Tensors) -> None:
    for layer in model.layers:
        for variable in layer.weights:
            tensor = tensors[f"{layer.name}/{variable.name}"]
            missing = variable.shape[-2] - tensor.shape[-2] if variable.name == "kernel" else 0
            variable.assign(np.pad(tensor, [(0, 0)] * 3 + [(0, missing), (0, 0)]) if missing else tensor)


def _compiled(model: Any) -> Any:
    """The model through the engine's own compiler, as far as it has one beside what it does anyway."""
    engine = keras.backend.backend()
    if engine == "torch":
        return _graphed(ENGINES[engine].compile(model))
    if engine == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda clips: model(clips, training=False), autograph=False, jit_compile=True)
    return ENGINES[engine].compile(model)


def _graphed(forward: Forward) -> Any:
    """PyTorch's forward pass recorded once for each batch size and replayed, without Python in between. On a GPU; else as it is.

    (torch.compile takes Keras's layers apart into pieces, each compiled again, until it gives up.)
    """
    import torch

    torch.backends.cudnn.benchmark = True
    if not torch.cuda.is_available():
        return forward
    recorded: dict[int, tuple[Any, Any, Any]] = {}

    def run(clips: Any) -> Any:
        if len(clips) not in recorded:
            given, beside = clips.clone(), torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(3):
                    forward(given)
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = forward(given)
            recorded[len(clips)] = graph, given, outputs
        graph, given, outputs = recorded[len(clips)]
        given.copy_(clips)
        graph.replay()
        return outputs

    return run
