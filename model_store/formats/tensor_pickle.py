"""The pickles in PyTorch files, read without torch and without running anything.

A pickle is a program. This one gets to see a handful of names, the containers and tensors of a state dict, each of them
something of ours that it cannot change. Whatever else it asks for ends the reading.
"""

from __future__ import annotations

import collections
import math
import pickle
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np

from model_store.tensors import StoreError


class StorageType(NamedTuple):
    """What stands for torch.FloatStorage and its kind."""

    dtype: Any  # as np.dtype takes it, byte order left open


class Storage(NamedTuple):
    """A row of numbers elsewhere in the file: under which key, of what type, how many."""

    key: str
    dtype: np.dtype[Any]
    length: int


class Tensor(NamedTuple):
    """A view of a storage: its first number, its axes, and how many numbers further the next one of each axis is."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Function:
    """What a pickle may call and cannot change: it has no attributes to set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self._function(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        """Raises AttributeError, always."""
        raise AttributeError(name)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2; what follows (requires_grad, hooks) does not matter here."""
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor without numbers")
    if any(type(number) is not int or number < 0 for number in (offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor with impossible axes")
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.length:
        raise pickle.UnpicklingError("a tensor that reaches beyond its numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


DTYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": [("bfloat16", "u2")],
    "ByteStorage": "u1", "CharStorage": "i1", "ShortStorage": "i2", "IntStorage": "i4", "LongStorage": "i8",
    "BoolStorage": "?",
}  # fmt: skip
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Function(collections.OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(lambda tensor, *_: tensor),
    **{("torch", name): StorageType(dtype) for name, dtype in DTYPES.items()},
}


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes], storages: dict[str, Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Called by pickle for every name. Raises StoreError for one that a state dict does not need."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise StoreError(
                f"The file asks for {module}.{name}, which weights do not need and which might run code: refused. Save "
                "the bare weights with torch.save(model.state_dict(), ...) and import that."
            ) from None

    def persistent_load(self, pid: Any) -> Storage:
        """Called by pickle for what lies outside of it: ("storage", type, key, device, count) and, before 1.6, a view."""
        kind, storage_type, key, _, count, *view = pid
        if kind != "storage" or not isinstance(storage_type, StorageType) or type(count) is not int or any(view):
            raise pickle.UnpicklingError("something else than numbers")
        return self._storages.setdefault(str(key), Storage(str(key), np.dtype(storage_type.dtype), count))


def load(file: IO[bytes], storages: dict[str, Storage] | None = None) -> Any:
    """The next pickle in the file: numbers, strings, containers, `Tensor`. What it keeps elsewhere goes into ``storages``.

    Raises StoreError where it asks for anything else, and what pickle raises where it is damaged.
    """
    return _Reader(file, {} if storages is None else storages).load()
