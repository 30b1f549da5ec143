"""torch.save without torch: the opcodes that it writes, one after the other."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Pairs = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]

STORAGES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}
FEATURES = (0, 3, 6, 8, 11, 13, 16, 18)


def davidea(pairs: Pairs, prefix: str = "") -> dict[str, NDArray[Any]]:
    """conv1.weight ... fc8.bias."""
    return {f"{prefix}{layer}.{v}": a for layer, pair in pairs.items() for v, a in zip(("weight", "bias"), pair, strict=True)}


def jfzhang95(pairs: Pairs) -> dict[str, NDArray[Any]]:
    """features.0.weight ..., classifier.0.weight ..."""
    names = [*(f"features.{i}" for i in FEATURES), "classifier.0", "classifier.3", "classifier.6"]
    return davidea(dict(zip(names, pairs.values(), strict=False)))


def mmaction2(pairs: Pairs) -> dict[str, NDArray[Any]]:
    """backbone.conv1a.conv.weight ..., cls_head.fc_cls.weight."""

    def name(layer: str) -> str:
        if layer == "fc8":
            return "cls_head.fc_cls"
        return "backbone." + ({"conv1": "conv1a", "conv2": "conv2a"}.get(layer, layer) + ".conv" if "conv" in layer else layer)

    return davidea({name(layer): pair for layer, pair in pairs.items()})


def text(string: str) -> bytes:
    """BINUNICODE."""
    return b"X" + len(string.encode()).to_bytes(4, "little") + string.encode()


def number(value: int) -> bytes:
    """BININT, or LONG1 where it does not fit."""
    if value < 2**31:
        return b"J" + value.to_bytes(4, "little", signed=True)
    return b"\x8a\x08" + value.to_bytes(8, "little")


def name(module: str, attribute: str) -> bytes:
    """GLOBAL: what could run code."""
    return f"c{module}\n{attribute}\n".encode()


def tensor(array: NDArray[Any], key: str, *, legacy: bool) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())."""
    strides = [step // array.itemsize for step in array.strides]
    storage = text("storage") + name("torch", STORAGES[array.dtype.name]) + text(key) + text("cpu") + number(array.size)
    persistent = b"(" + storage + (b"N" if legacy else b"") + b"tQ"
    axes = b"".join(b"(" + b"".join(map(number, sizes)) + b"t" for sizes in (array.shape, strides))
    hooks = name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + persistent + number(0) + axes + b"\x89" + hooks + b"tR"


def program(content: Mapping[str, Any], *, legacy: bool, first: int = 0) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """The pickle of nested dicts of arrays, numbers and text, and the arrays by storage key, counted from ``first``."""
    storages: dict[str, NDArray[Any]] = {}

    def write(value: Any) -> bytes:
        match value:
            case dict():
                return b"}(" + b"".join(text(key) + write(inner) for key, inner in value.items()) + b"u"
            case int():
                return number(value)
            case str():
                return text(value)
            case bytes():
                return value  # opcodes, as they are
        value = value if value.flags.forc else np.ascontiguousarray(value)
        key = str(first + len(storages))
        storages[key] = value
        return tensor(value, key, legacy=legacy)

    return b"\x80\x02" + write(dict(content)) + b".", storages


def save_zip(content: Mapping[str, Any], path: Path) -> None:
    """PyTorch 1.6 and later."""
    pickled, storages = program(content, legacy=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes("A"))
        archive.writestr("archive/version", "3\n")


def save_legacy(content: Mapping[str, Any], path: Path) -> None:
    """Before 1.6: magic number, protocol, system, the content, the storages' keys, then their numbers."""
    pickled, storages = program(content, legacy=True)
    keys = list(reversed(storages))  # torch sorts them; nothing says that they come in the order of the tensors
    with path.open("wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
            pickle.dump(head, file, protocol=2)
        file.write(pickled)
        pickle.dump(keys, file, protocol=2)
        for key in keys:
            file.write(storages[key].size.to_bytes(8, "little") + storages[key].tobytes("A"))
