"""Pickled NumPy arrays: Lasagne's list of parameters, a dict of arrays, either of them in an .npy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from model_store.formats.canonical import Entry, Found, bounded, told_by_shapes
from model_store.formats.named import weights_among
from model_store.formats.tensor_pickle import PickledArray, leaves, load


def found(path: Path) -> Found | None:
    """What the pickle holds; None where there is no array in it."""
    with path.open("rb") as file:
        content = load(file)
    return _found("pickle", content)


def found_in_npy(path: Path) -> Found | None:
    """What the .npy holds, if it is one of objects: a pickle behind NumPy's header; None where it holds one array."""
    with path.open("rb") as file:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        if not read_header(file)[2].hasobject:
            return None
        content = load(file)
    return _found("npy", content)


def _found(form: str, content: Any) -> Found | None:
    arrays = {name: _entry(array) for name, array in bounded(leaves(content)) if isinstance(array, PickledArray)}
    if not arrays:
        return None
    entries, beside = weights_among(arrays)
    return Found(form, entries, told_by_shapes(entries), beside)


def _entry(array: PickledArray) -> Entry:
    dtype: np.dtype[Any] = array.dtype.made()
    return Entry(array.shape, dtype, array.numbers)
