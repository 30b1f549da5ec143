"""``.weights.h5`` as Keras 3 writes it: no list of layers, arrays without names.

Each layer is a group (``layers/conv3d``, ``layers/conv3d_1``, named after its class, whatever the model calls it) that holds
a group ``vars``: arrays ``0``, the kernel, and ``1``, the bias. Keras 3.15
writes the layer's own name, too, as an attribute; older ones do not.
"""

from __future__ import annotations

import re
from typing import Any

import h5py

from model_store.formats.canonical import KERAS, Entry, Found, bounded
from model_store.formats.hdf5 import child, entry, walk
from model_store.formats.layer_names import WITH_WEIGHTS, canonical

VARIABLES = {"0": "kernel", "1": "bias"}


def found(file: h5py.File) -> Found | None:
    """What the open file holds; None where it is not of this form."""
    groups = {
        path.removesuffix("/vars"): node
        for path, node in bounded(walk(file))
        if path.endswith("/vars") and len(node) and not path.startswith("optimizer")
    }
    if not groups:
        return None
    names = {path: node.attrs.get("name", "") for path, node in groups.items()}
    if not any(canonical(f"{name}/kernel") for name in names.values()):
        names = _by_order(groups)
    entries: dict[str, Entry] = {}
    for path, node in groups.items():
        for key in node:
            name = f"{names[path] or path}/{VARIABLES.get(key, key)}"
            name = name if name not in entries else f"{path}/{key}"
            entries[name] = entry(child(node, key))
    return Found("keras-3-weights-h5", entries, KERAS)


def _by_order(groups: dict[str, Any]) -> dict[str, str]:
    """Names for layers without: convolutions, then dense layers, each by the number that Keras put behind the class."""

    def key(path: str) -> tuple[int, int]:
        number = re.search(r"_(\d+)$", path)
        return -groups[path]["0"].ndim if "0" in groups[path] else 0, int(number[1]) if number else 0

    paths = sorted(groups, key=key)
    if len(paths) not in {len(WITH_WEIGHTS), len(WITH_WEIGHTS) - 1}:
        return {path: path for path in paths}
    return dict(zip(paths, WITH_WEIGHTS, strict=False))
