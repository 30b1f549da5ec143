"""Plain NumPy archives: arrays under layer names, in Keras's axes (kernel) or PyTorch's and Caffe's (weight)."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from model_store.formats.canonical import Entry, Found, bounded, told_by_names
from model_store.formats.named import weights_among


def found(path: Path) -> Found | None:
    """What the zip archive holds; None where it is no .npz."""
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if not members or not all(member.endswith(".npy") for member in members):
            return None
        entries = {name.removesuffix(".npy"): _entry(path, archive, name) for name in bounded(members)}
    entries, beside = weights_among(entries)
    return Found("npz", entries, told_by_names(entries), beside)


def _entry(path: Path, archive: zipfile.ZipFile, member: str) -> Entry:
    with archive.open(member) as file:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        shape, _, dtype = read_header(file)
    return Entry(shape, dtype, partial(_load, path, member))


def _load(path: Path, member: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
