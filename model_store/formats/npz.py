"""Plain NumPy archives: arrays under layer names, in Keras's axes (kernel) or PyTorch's and Caffe's (weight)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from model_store.formats.canonical import CAFFE, KERAS, Entry, Found, Order
from model_store.formats.layer_names import canonical
from model_store.tensors import StoreError


def found(path: Path) -> Found | None:
    """What the zip archive holds; None where it is no .npz."""
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if not members or not all(member.endswith(".npy") for member in members):
            return None
        entries = {name.removesuffix(".npy"): _entry(path, archive, name) for name in members}
    return Found("npz", entries, _order(entries))


def _entry(path: Path, archive: zipfile.ZipFile, member: str) -> Entry:
    with archive.open(member) as file:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        shape, _, dtype = read_header(file)
    return Entry(shape, dtype, partial(_load, path, member))


def _load(path: Path, member: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _order(entries: Mapping[str, Entry]) -> Order:
    own_name = next((name for name in entries if canonical(name) == "conv1/kernel"), "")
    if not own_name or entries[own_name].shape[:3] == (3, 3, 3):
        return KERAS
    if own_name.endswith("weight"):
        return CAFFE
    raise StoreError(
        f"{own_name} has its filters first, {entries[own_name].shape}, and nothing says whether they are mirrored as Theano's "
        "are. Import the original file; or, where they are not, name the arrays <layer>.weight and <layer>.bias."
    )
