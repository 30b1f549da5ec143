"""What makes an array part of a C3D: its hash, its shape, its numbers. And the error that says what is wrong with one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

Float32 = NDArray[np.float32]


class StoreError(Exception):
    """What is wrong with a model or a file, in a sentence that says what to do. Safe to show to a user."""


class ModelMissing(StoreError):
    """The store holds no model, or not the one asked for."""


def update(digest: hashlib._Hash, name: str, tensor: NDArray[np.generic]) -> None:
    """Hash one tensor: its name, dtype and shape as JSON, then its row-major bytes."""
    digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
    digest.update(np.ascontiguousarray(tensor).data)


def tensor_sha256(tensors: Mapping[str, NDArray[np.generic]]) -> str:
    """SHA-256 over names, dtypes, shapes and row-major bytes, in the mapping's order: whatever file held them."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        update(digest, name, tensor)
    return digest.hexdigest()


def identity(tensors: Mapping[str, Float32]) -> str:
    """``weights_sha256``: `tensor_sha256` over the canonical tensors in their canonical order."""
    return tensor_sha256({name: tensors[name] for name in c3d.weight_shapes(num_classes(tensors))})


def num_classes(tensors: Mapping[str, Float32]) -> int:
    """How many classes the weights know: 0 where they have no class layer."""
    return int(tensors["fc8/bias"].shape[0]) if "fc8/bias" in tensors else 0


def check_tensor(name: str, tensor: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    """Raises StoreError, naming the tensor, where dtype or shape is wrong or a value is not finite."""
    if tensor.dtype != np.float32 or tensor.shape != shape:
        raise StoreError(f"{name} is {tensor.dtype} {tensor.shape}, not float32 {shape}.")
    with np.errstate(over="ignore", invalid="ignore"):
        total = tensor.sum()  # quick, and needs no second array
    if not np.isfinite(total) and not np.isfinite(tensor).all():
        raise StoreError(f"{name} holds values that are not finite.")


def check_mean(mean: NDArray[np.generic]) -> None:
    """Raises StoreError unless it is a finite float32 cube of grey levels, of whole frames or of their crop."""
    check_tensor("The mean", mean, c3d.MEAN_CROP_SHAPE if mean.shape == c3d.MEAN_CROP_SHAPE else c3d.MEAN_SHAPE)
    if mean.min() < 0 or mean.max() > 255:
        raise StoreError(f"The mean ranges over {mean.min()}..{mean.max()}, which are no grey levels 0..255.")


def check_labels(labels: tuple[str, ...], classes: int) -> None:
    """Raises StoreError unless there is one label for each class."""
    if len(labels) != classes:
        raise StoreError(f"The number of labels is {len(labels)}, the number of classes {classes}: they must be the same.")
