"""HDF5 whose arrays have the layers' names and nothing more, as Chainer writes it: conv1/W, conv1/b ..."""

from __future__ import annotations

from typing import Any

import h5py

from model_store.formats.canonical import Found, bounded, told_by_names
from model_store.formats.hdf5 import entry, walk
from model_store.formats.layer_names import split
from model_store.formats.named import weights_among


def found(file: h5py.File) -> Found | None:
    """What the open file holds; None where no array has a layer's name."""
    arrays: dict[str, Any] = {path: node for path, node in bounded(walk(file)) if isinstance(node, h5py.Dataset)}
    if not any(split(path) for path in arrays):
        return None
    entries, beside = weights_among({path: entry(array) for path, array in arrays.items()})
    return Found("hdf5", entries, told_by_names(entries), beside)
