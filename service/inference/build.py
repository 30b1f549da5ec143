"""The model's network on an engine: the one place that knows there are several."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import logging
import os
from contextlib import suppress
from pathlib import Path

from model_store.store import Model
from service.inference.network import Network
from service.inference.winograd import library

log = logging.getLogger(__name__)

CPU_ENGINES = frozenset({"openvino", "winograd"})  # these never look for a GPU
NVIDIA = Path("/dev/nvidiactl")  # there where the driver is loaded, and in a container that was given a GPU
# What hides GPUs from an engine. Each reads it once, when it is imported.
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


def unavailable(engine: str) -> str | None:
    """Why an engine cannot run here, as far as that shows before it is imported; None where it can."""
    if engine == "winograd":
        try:
            library.load(library.find())
        except ImportError as error:
            return str(error)
        return None
    return None if importlib.util.find_spec(engine) else f"{engine} is not installed here"  # it is called as what it imports


def auto(precision: str, device: str, *, gpu: bool, winograd: bool) -> str:
    """What C3D_ENGINE=auto means. ``gpu``: TensorFlow may find a GPU. ``winograd``: that engine can run."""
    on_gpu = device == "gpu" or (device == "auto" and gpu)
    return "winograd" if winograd and precision == "float32" and not on_gpu else "tensorflow"


def engine_for(engine: str, precision: str, device: str) -> str:
    """The engine that these values of the settings stand for on this machine. Imports none."""
    if engine != "auto":
        return engine
    return auto(precision, device, gpu=_tensorflow_may_find_a_gpu(), winograd=unavailable("winograd") is None)


def _why_not_winograd(chosen: str, precision: str, device: str) -> str | None:
    """Why `auto` did not choose winograd, where it would have if it could."""
    wanted = auto(precision, device, gpu=_tensorflow_may_find_a_gpu(), winograd=True)
    return unavailable("winograd") if wanted != chosen else None


def _tensorflow_may_find_a_gpu() -> bool:
    """There is an NVIDIA driver, and a TensorFlow that is not the one for CPUs."""
    with suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("tensorflow-cpu")
        return False
    return NVIDIA.exists() and importlib.util.find_spec("tensorflow") is not None


def build(model: Model, engine: str = "auto", precision: str = "float32", device: str = "auto") -> Network:
    """The model's network on an engine, which is imported here and not before. The three have the settings' values.

    Raises StoreError, PrecisionUnavailable, DeviceUnavailable; ImportError where the engine is missing.
    """
    if engine == "auto":
        engine = engine_for(engine, precision, device)
        if why := _why_not_winograd(engine, precision, device):
            log.warning("TensorFlow runs the network, four to six times slower than winograd would: %s.", why)
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
        if engine == "tensorflow":
            _map_tensorflow()
        from service.inference.keras_network import KerasNetwork

        return KerasNetwork(model, precision, device)
    except ImportError as error:
        raise ImportError(f"C3D_ENGINE={engine} cannot run here ({error}). docs/engines.md says how to install it.") from error


def _map_tensorflow() -> None:
    """Map TensorFlow's two large libraries, 850 MB, before they are imported.

    `import` would hold Python's lock meanwhile, for a second and more: no signal would be handled and no probe answered. So would
    ctypes.CDLL before Python 3.14; a function that is called by ctypes runs without the lock.
    """
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    found = importlib.util.find_spec("tensorflow")
    for directory in (found and found.submodule_search_locations) or ():
        for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
            dlopen(os.fsencode(Path(directory) / name), os.RTLD_NOW)  # where it fails, the import says what is wrong
