"""PyTorch state dicts as torch.save writes them: a zip archive since PyTorch 1.6, pickles in a row before."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from model_store.formats.canonical import CAFFE, Entry, Found
from model_store.formats.tensor_pickle import Storage, Tensor, load
from model_store.tensors import StoreError

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # torch/serialization.py
NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts put the state dict

ByteOrder = Literal["<", ">"]
Numbers = Callable[[Storage], NDArray[Any]]  # reads a storage: its numbers in a row


def found_in_zip(path: Path) -> Found | None:
    """What the zip archive holds; None where torch.save did not write it."""
    with zipfile.ZipFile(path) as archive:
        pickled = next((name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"), None)
        if pickled is None:
            return None
        folder = pickled.removesuffix("data.pkl")
        big = f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") == b"big"
        numbers = partial(_from_zip, path, folder, ">" if big else "<")
        with archive.open(pickled) as file:
            content = load(file)
    return Found("pytorch-zip", _entries(content, numbers), CAFFE)


def found_in_pickles(path: Path) -> Found | None:
    """What the row of pickles holds; None where torch.save did not write it."""
    with path.open("rb") as file:
        if load(file) != LEGACY_MAGIC or load(file) != LEGACY_PROTOCOL:
            return None
        byte_order: ByteOrder = "<" if load(file)["little_endian"] else ">"
        storages: dict[str, Storage] = {}
        content = load(file, storages)
        places = _places(file, [str(key) for key in load(file)], storages, byte_order)
    return Found("pytorch-legacy", _entries(content, partial(_from_row, path, places, byte_order)), CAFFE)


def _entries(content: Any, numbers: Numbers) -> Mapping[str, Entry]:
    state = next((content[key] for key in NESTED if isinstance(content.get(key), dict)), content)
    entries = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise StoreError(f"{name} is no tensor: import a file that holds a state dict, bare or under state_dict.")
        entries[str(name)] = Entry(tensor.shape, tensor.storage.dtype, partial(_view, tensor, numbers))
    return entries


def _view(tensor: Tensor, numbers: Numbers) -> NDArray[Any]:
    row = numbers(tensor.storage)
    if row.size < tensor.storage.length:
        raise StoreError(f"The file ends in the middle of its numbers ({row.size:,} of {tensor.storage.length:,}).")
    strides = [step * row.itemsize for step in tensor.strides]
    return as_strided(row[tensor.offset :], tensor.shape, strides, writeable=False)


def _from_zip(path: Path, folder: str, byte_order: ByteOrder, storage: Storage) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        return np.frombuffer(archive.read(f"{folder}data/{storage.key}"), storage.dtype.newbyteorder(byte_order))


def _places(file: BinaryIO, keys: list[str], storages: Mapping[str, Storage], byte_order: ByteOrder) -> dict[str, int]:
    """Where the numbers of each storage begin. They follow the pickles in the order of ``keys``, each behind its count."""
    places, at = {}, file.tell()
    for key in keys:
        file.seek(at)
        count = int.from_bytes(file.read(8), "little" if byte_order == "<" else "big")
        if count != storages[key].length:
            raise StoreError(f"The numbers of storage {key} are not where they belong: get the file again.")
        places[key] = at + 8
        at += 8 + count * storages[key].dtype.itemsize
    return places


def _from_row(path: Path, places: Mapping[str, int], byte_order: ByteOrder, storage: Storage) -> NDArray[Any]:
    return np.fromfile(path, storage.dtype.newbyteorder(byte_order), storage.length, offset=places[storage.key])
