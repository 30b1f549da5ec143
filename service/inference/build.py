"""The model's network on an engine: the one place that knows there are several."""

from __future__ import annotations

import importlib.util
import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from model_store.card import Card
from model_store.store import Model
from service.inference.network import Network
from service.inference.winograd import library


class LoadedNetwork(Protocol):
    """What serving needs of a network: a `network.Network`, or one that only answers, as benches and tests have it."""

    card: Card
    labels: tuple[str, ...]
    precision: str
    backend: str  # engine, version, device
    calibration_sha256: str | None  # of int8
    batch_sizes: tuple[int, ...]

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass: clips uint8 (b, 16, 112, 112, 3) BGR to their outputs, one row a clip."""


CPU_ENGINES = frozenset({"openvino", "winograd"})  # these never look for a GPU
# What hides GPUs from an engine. Each reads it once, when it is imported.
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


def unavailable(engine: str) -> str | None:
    """Why an engine cannot run here, as far as that shows before it is imported; None where it can."""
    if engine == "winograd":
        try:
            library.find()
        except ImportError as error:
            return str(error)
        return None
    return None if importlib.util.find_spec(engine) else f"{engine} is not installed here"  # it is called as what it imports


def build(model: Model, engine: str = "tensorflow", precision: str = "float32", device: str = "auto") -> Network:
    """The model's network on an engine, which is imported here and not before. ``device`` is the setting's value.

    Raises StoreError, PrecisionUnavailable, DeviceUnavailable; ImportError where the engine is missing.
    """
    if device == "cpu":
        os.environ.update(WITHOUT_GPU)
    try:
        if engine == "openvino":
            from service.inference.openvino_network import OpenvinoNetwork

            return OpenvinoNetwork(model, precision)
        if engine == "winograd":
            from service.inference.winograd.network import WinogradNetwork

            return WinogradNetwork(model, precision)
        os.environ["KERAS_BACKEND"] = engine  # Keras reads it once, when it is imported
        from service.inference.keras_network import KerasNetwork

        return KerasNetwork(model, precision, device)
    except ImportError as error:
        raise ImportError(f"C3D_ENGINE={engine} cannot run here ({error}). docs/engines.md says how to install it.") from error
