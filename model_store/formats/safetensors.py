"""safetensors: a length, a JSON header that says where each array lies, then the arrays."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.formats.canonical import CAFFE, Entry, Found, bounded
from model_store.formats.named import weights_among
from model_store.tensors import StoreError

MAX_HEADER_BYTES = 1 << 24
DTYPES: dict[str, Any] = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": [("bfloat16", "<u2")], "I64": "<i8", "I32": "<i4"}


def is_safetensors(beginning: bytes) -> bool:
    """Whether a file that begins so is one."""
    return beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") <= MAX_HEADER_BYTES


def found(path: Path) -> Found:
    """What the file holds. Raises StoreError where an array lies outside of it."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    begin, size = 8 + length, path.stat().st_size
    arrays = {}
    for name, entry in bounded(header.items()):
        if name == "__metadata__":
            continue
        dtype, shape = np.dtype(DTYPES.get(entry["dtype"], "V1")), tuple(entry["shape"])
        first, end = entry["data_offsets"]
        if any(type(number) is not int or number < 0 for number in (first, end, *shape)) or begin + end > size:
            raise StoreError(f"{name} lies outside of the file: it is cut off or damaged, get it again.")
        if (dtype.kind != "V" or dtype.names) and end - first != math.prod(shape) * dtype.itemsize:
            raise StoreError(f"{name} says {shape} and holds {end - first:,} bytes: the file is damaged, get it again.")
        arrays[name] = Entry(shape, dtype, partial(_load, path, begin + first, dtype, shape))
    entries, beside = weights_among(arrays)
    return Found("safetensors", entries, CAFFE, beside)


def _load(path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.fromfile(path, dtype, math.prod(shape), offset=offset).reshape(shape)
