"""What Keras leaves to the engine below it: version, precision and memory, compiling. Each is imported only where it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import DeviceUnavailable, PrecisionUnavailable

log = logging.getLogger(__name__)

CPU_INFO = Path("/proc/cpuinfo")
Forward = Callable[[NDArray[np.uint8]], list[Any]]


class TensorFlow:
    """The default."""

    @staticmethod
    def version() -> str:
        """Of the library."""
        import tensorflow as tf

        return str(tf.__version__)

    @staticmethod
    def configure(precision: str, device: str) -> str:
        """Set the precision; "gpu" or "cpu". Raises DeviceUnavailable, PrecisionUnavailable."""
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        found = chosen_device(precision, device, on_gpu=bool(gpus))
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, enable=True)
        tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
        if precision == "float16" and not gpus:
            raise PrecisionUnavailable("float16 needs a GPU: TensorFlow cannot pool it on a CPU. Use bfloat16.")
        if precision == "bfloat16" and not gpus and not multiplies_bfloat16(CPU_INFO.read_text()):
            raise PrecisionUnavailable(
                "bfloat16 needs AVX-512 or a GPU: on this CPU TensorFlow is far slower with it, and less exact. Use float32."
            )
        if precision == "bfloat16" and not gpus and is_slower_in_bfloat16(CPU_INFO.read_text()):
            log.warning(
                "bfloat16 is slower than float32 on this Intel CPU, which has no AMX or hides it. Use C3D_PRECISION=float32."
            )
        return found

    @staticmethod
    def compile(model: Any) -> Forward:
        """The Keras model as one compiled function, traced once for each shape of its input."""
        import tensorflow as tf

        def forward(clips: Any) -> Any:
            return model(clips, training=False)

        return tf.function(forward, autograph=False)  # type: ignore[no-any-return]


class Jax:
    """JAX."""

    @staticmethod
    def version() -> str:
        """Of the library."""
        import jax

        return str(jax.__version__)

    @staticmethod
    def configure(precision: str, device: str) -> str:
        """Set the precision; "gpu" or "cpu". Raises DeviceUnavailable, PrecisionUnavailable."""
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "tf32" else "highest")
        return chosen_device(precision, device, on_gpu=jax.default_backend() == "gpu")

    @staticmethod
    def compile(model: Any) -> Forward:
        """The Keras model as one compiled function, traced once for each shape of its input."""
        import jax

        def forward(trainable: Any, fixed: Any, clips: Any) -> Any:
            return model.stateless_call(trainable, fixed, clips, training=False)[0]

        weights = [[v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)]
        return partial(jax.jit(forward), *weights)


class Torch:
    """PyTorch."""

    @staticmethod
    def version() -> str:
        """Of the library."""
        import torch

        return str(torch.__version__)

    @staticmethod
    def configure(precision: str, device: str) -> str:
        """Set the precision; "gpu" or "cpu". Raises DeviceUnavailable, PrecisionUnavailable."""
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        return chosen_device(precision, device, on_gpu=torch.cuda.is_available())

    @staticmethod
    def compile(model: Any) -> Forward:
        """The Keras model as one compiled function, traced once for each shape of its input."""
        import torch

        return torch.inference_mode()(partial(model, training=False))  # type: ignore[no-any-return]


ENGINES: dict[str, Any] = {"tensorflow": TensorFlow, "jax": Jax, "torch": Torch}


def multiplies_bfloat16(cpu_info: str) -> bool:
    """Whether TensorFlow leaves bfloat16 to oneDNN on the CPU that /proc/cpuinfo describes so.

    On x86 it does so with AVX-512F or AVX-NE-CONVERT. Without them its own kernels run: on an EPYC with AVX2 alone fc6 was 9 %
    from float32's, where oneDNN's is 2 %, and two clips took half a minute.
    """
    flags = next((line.split() for line in cpu_info.splitlines() if line.startswith("flags")), None)
    return flags is None or not {"avx512f", "avx_ne_convert"}.isdisjoint(flags)  # flags are x86's; others name features


def is_slower_in_bfloat16(cpu_info: str) -> bool:
    """Whether /proc/cpuinfo describes an Intel CPU without AMX: 0.55 of float32's speed was measured on one with AVX-512 BF16.

    AMD's with AVX-512 BF16 are twice as fast in bfloat16 as in float32.
    """
    return "GenuineIntel" in cpu_info and "amx_bf16" not in cpu_info


def chosen_device(precision: str, wanted: str, *, on_gpu: bool) -> str:
    """ "gpu" or "cpu". ``wanted`` is the setting's value; ``on_gpu`` says whether the engine found a GPU.

    Raises DeviceUnavailable, and PrecisionUnavailable where no engine of this file computes so on the device.
    """
    if wanted == "gpu" and not on_gpu:
        raise DeviceUnavailable(
            "C3D_DEVICE=gpu, but the engine finds no GPU here. Check the driver with nvidia-smi, and install the engine for GPUs "
            "(docs/engines.md). C3D_DEVICE=auto runs on the CPU where there is no GPU."
        )
    if precision == "int8":
        raise PrecisionUnavailable("int8 needs C3D_ENGINE=openvino. Use that, or bfloat16.")
    if precision == "tf32" and not on_gpu:
        raise PrecisionUnavailable("tf32 is a mode of NVIDIA GPUs since Ampere; there is no GPU here. Use float32.")
    return "gpu" if on_gpu else "cpu"
