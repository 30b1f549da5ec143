"""The model's network on an engine: the one place that knows there are several."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from model_store.card import Card
from model_store.store import Model

Progress = Callable[[float], None]


class LoadedNetwork(Protocol):
    """What the service needs of a network; `network.Network` is the real one."""

    card: Card
    labels: tuple[str, ...]
    precision: str
    backend: str  # engine, version, device
    calibration_sha256: str | None  # of int8
    batch_sizes: tuple[int, ...]

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass."""


class ProvableNetwork(LoadedNetwork, Protocol):
    """What `load_network` needs beyond that, to prove the network before it is served."""

    def warm_up(self, progress: Progress) -> None:
        """Run every batch size once; ``progress`` hears the share done, 0..1."""

    def known_answer(self) -> tuple[int, float] | None:
        """Class and probability of zeros behind the mean subtraction; None without a class layer."""


def build(model: Model, engine: str = "tensorflow", precision: str = "float32") -> ProvableNetwork:
    """The model's network on an engine: the one place that knows there are several.

    Raises StoreError, PrecisionUnavailable; ImportError where the engine is missing.
    """
    try:
        if engine == "openvino":
            from service.inference.openvino_network import OpenvinoNetwork

            return OpenvinoNetwork(model, precision)
        os.environ["KERAS_BACKEND"] = engine  # Keras reads it once, when it is imported
        from service.inference.keras_network import Network

        return Network(model, precision)
    except ImportError as error:
        raise ImportError(
            f"C3D_ENGINE={engine} is not installed here ({error}). docs/engines.md says how to install it."
        ) from error
