"""C3D as each engine runs it best, by its own documentation: uint8 clips in, float32 fc6 and probabilities out.

Every one is built from the same tensors of the store and from `c3d.layers`, and subtracts the same mean itself. Each class
imports its library when it is made, and nothing else does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import exported
from bench.inputs import Clips
from bench.weights import Float32, Run, channels_first, mean_of
from model_store import c3d
from model_store.store import Model
from service.inference.build import build
from service.inference.network import Network
from service.settings import Settings

BATCH = 4  # clips a pass: the largest batch of the service on a CPU, for everybody


class Engine(NamedTuple):
    """How to make it, the libraries that it needs, and how it is set up, in a line for the table."""

    make: Callable[[Model], Run]
    needs: tuple[str, ...]
    setup: str


def run_of(network: Network) -> Run:
    """What of the service's network is compared."""

    def run(clips: Clips) -> tuple[Float32, Float32]:
        outputs = network.run(clips)
        return outputs.fc6, outputs.probabilities

    return run


def configured(model: Model) -> Run:
    """The service's network as C3D_ENGINE and C3D_PRECISION have it."""
    settings = Settings()
    return run_of(build(model, settings.engine, settings.precision))


def _ours(engine: str, precision: str) -> Callable[[Model], Run]:
    return lambda model: run_of(build(model, engine, precision))


def _int8(model: Model) -> Run:
    """OpenVINO in int8, calibrated here and now on the clips that the drift is not measured on."""
    from service.commands.calibrate import quantise
    from service.inference.openvino_network import OpenvinoNetwork

    clips = np.load(sys.argv[2])  # the worker's
    return run_of(OpenvinoNetwork(model, "int8", given=quantise(model, list(clips[::2]))))


def _torch_module(model: Model) -> Any:
    """As the public PyTorch ports write it: Conv3d, channels first, ReLU and MaxPool3d in a row."""
    import torch

    weights = {name: torch.from_numpy(tensor) for name, tensor in channels_first(model).items()}
    layers: Any = c3d.layers(model.card.pool5)

    class C3D(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.mean = torch.from_numpy(mean_of(model))  # no buffer: it stays float32
            for layer in layers:
                if layer.kind == "conv":
                    kernel = weights[f"{layer.name}/kernel"]
                    module: Any = torch.nn.Conv3d(kernel.shape[1], kernel.shape[0], 3, padding=1)
                elif layer.parameters:
                    kernel = weights[f"{layer.name}/kernel"]
                    module = torch.nn.Linear(kernel.shape[1], kernel.shape[0])
                else:
                    continue
                module.weight.data, module.bias.data = kernel, weights[f"{layer.name}/bias"]
                self.add_module(layer.name, module)

        def forward(self, clips: Any) -> tuple[Any, Any]:
            x = (clips.float() - self.mean).permute(0, 4, 1, 2, 3).to(self.conv1.weight.dtype)
            for layer in layers[:-4]:  # down to pool5
                if layer.kind == "conv":
                    x = torch.relu(getattr(self, layer.name)(x))
                elif layer.kind == "pool":
                    x = torch.max_pool3d(x, layer.argument)
                else:
                    _, rows, columns = layer.argument
                    x = torch.nn.functional.pad(x, (*columns, *rows))  # last axes first
            fc6 = torch.relu(self.fc6(x.flatten(1)))
            return fc6.float(), torch.softmax(self.fc8(torch.relu(self.fc7(fc6))).float(), 1)

    return C3D().eval()


def _torch(model: Model, *, best: bool) -> Run:
    os.environ["TORCHINDUCTOR_FREEZING"] = str(int(best))  # weights become constants, as PyTorch advises for CPUs
    import torch

    module: Any = _torch_module(model)
    if best:
        module = module.to(torch.bfloat16).to(memory_format=torch.channels_last_3d)
        module = torch.compile(module)

    def run(clips: Clips) -> tuple[Float32, Float32]:
        with torch.inference_mode():
            fc6, probabilities = module(torch.from_numpy(clips))
        return fc6.numpy(), probabilities.numpy()

    return run


TENSORFLOW, OPENVINO = ("tensorflow-cpu", "keras"), ("openvino",)
REFERENCE, WINOGRAD = "tensorflow float32", "winograd float32"
ENGINES = {
    REFERENCE: Engine(_ours("tensorflow", "float32"), TENSORFLOW, "the service's reference"),
    WINOGRAD: Engine(_ours("winograd", "float32"), (), "the service's default on a CPU"),
    "tensorflow bfloat16": Engine(_ours("tensorflow", "bfloat16"), TENSORFLOW, "the service's"),
    "openvino float32": Engine(_ours("openvino", "float32"), OPENVINO, "the service's"),
    "openvino bfloat16": Engine(_ours("openvino", "bfloat16"), OPENVINO, "the service's"),
    "openvino int8": Engine(_int8, (*OPENVINO, "nncf"), "the service's, calibrated on clips of the same videos"),
    "openvino, exported": Engine(exported.openvino, (*OPENVINO, "onnx"), "from ONNX, hint LATENCY, float32"),
    "onnx runtime": Engine(exported.onnxruntime, ("onnxruntime", "onnx"), "from ONNX, all optimisations, float32"),
    "pytorch as ported": Engine(lambda model: _torch(model, best=False), ("torch",), "Conv3d, channels first, float32, eager"),
    "pytorch at its best": Engine(
        lambda model: _torch(model, best=True), ("torch",), "channels_last_3d, bfloat16, compiled and frozen"
    ),
}
LONG = {
    "keras on torch": Engine(_ours("torch", "float32"), ("torch",), "the service's, float32"),
    "keras on jax": Engine(_ours("jax", "float32"), ("jax",), "the service's, float32"),
}


def store() -> Path:
    """Where the models are: what C3D_MODEL_STORE says, as for the service."""
    return Path(os.environ.get("C3D_MODEL_STORE", "model_store/files"))
