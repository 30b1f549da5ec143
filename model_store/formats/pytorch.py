"""PyTorch state dicts as torch.save writes them: a zip archive since PyTorch 1.6, pickles in a row before."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from model_store.formats.canonical import CAFFE, Entry, Found, bounded
from model_store.formats.named import weights_among
from model_store.formats.tensor_pickle import Storage, Tensor, leaves, load
from model_store.tensors import StoreError

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # torch/serialization.py
MAX_PICKLE_BYTES = 1 << 26  # of a state dict it has 100 KB; a training log makes it larger
MAX_STORAGE_BYTES = 1 << 30  # fc6, the largest, has 134 MB

ByteOrder = Literal["<", ">"]
Numbers = Callable[[Storage], NDArray[Any]]  # reads a storage: its numbers in a row


def found_in_zip(path: Path) -> Found | None:
    """What the zip archive holds; None where torch.save did not write it."""
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise StoreError(
                f"{path.name} is TorchScript: a program, which is not run here. In PyTorch, save its weights and import them: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')."
            )
        pickled = next((name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"), None)
        if pickled is None:
            return None
        folder = pickled.removesuffix("data.pkl")
        big = f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") == b"big"
        numbers = partial(_from_zip, path, folder, ">" if big else "<")
        content = load(io.BytesIO(_member(archive, pickled, MAX_PICKLE_BYTES)))
    return _found("pytorch-zip", content, numbers)


def found_in_pickles(path: Path) -> Found | None:
    """What the row of pickles holds; None where torch.save did not write it."""
    with path.open("rb") as file:
        if load(file) != LEGACY_MAGIC or load(file) != LEGACY_PROTOCOL:
            return None
        system = load(file)
        byte_order: ByteOrder = "<" if system.get("little_endian", system.get(b"little_endian")) else ">"
        storages: dict[str, Storage] = {}
        content = load(file, storages)
        places = _places(file, [key.decode() if isinstance(key, bytes) else str(key) for key in load(file)], storages, byte_order)
    return _found("pytorch-legacy", content, partial(_from_row, path, places, byte_order))


def _found(form: str, content: Any, numbers: Numbers) -> Found:
    """Raises StoreError where there is no tensor in what was saved."""
    arrays = {
        name: Entry(tensor.shape, tensor.storage.dtype, partial(_view, tensor, numbers))
        for name, tensor in bounded(leaves(content))
        if isinstance(tensor, Tensor)
    }
    if not arrays:
        raise StoreError("The file holds no tensors: import one that torch.save wrote with a model's state_dict.")
    entries, beside = weights_among(arrays)
    keys = [str(key) for key in content if isinstance(key, str)] if isinstance(content, dict) else []
    unused = [key for key in keys if key not in arrays and not any(name.startswith(f"{key}.") for name in arrays)]
    return Found(form, entries, CAFFE, tuple(dict.fromkeys([*beside, *unused])))


def _view(tensor: Tensor, numbers: Numbers) -> NDArray[Any]:
    row = numbers(tensor.storage)
    if row.size < tensor.storage.length:
        raise StoreError(f"The file ends in the middle of its numbers ({row.size:,} of {tensor.storage.length:,}).")
    strides = [step * row.itemsize for step in tensor.strides]
    return as_strided(row[tensor.offset :], tensor.shape, strides, writeable=False)


def _from_zip(path: Path, folder: str, byte_order: ByteOrder, storage: Storage) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        content = _member(archive, f"{folder}data/{storage.key}", MAX_STORAGE_BYTES)
        return np.frombuffer(content, storage.dtype.newbyteorder(byte_order))


def _member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """A member's content. Raises StoreError where it unpacks to more than weights have; zipfile reads no more than it claims."""
    size = archive.getinfo(name).file_size
    if size > max_bytes:
        raise StoreError(f"{name} in the archive unpacks to {size:,} bytes, more than weights have: refused.")
    return archive.read(name)


def _places(file: BinaryIO, keys: list[str], storages: Mapping[str, Storage], byte_order: ByteOrder) -> dict[str, int]:
    """Where the numbers of each storage begin. They follow the pickles in the order of ``keys``, each behind its count."""
    places, at = {}, file.tell()
    for key in keys:
        file.seek(at)
        count = int.from_bytes(file.read(8), "little" if byte_order == "<" else "big")
        if count != storages[key].length:
            raise StoreError(f"The numbers of storage {key} are not where they belong: get the file again.")
        if count * storages[key].dtype.itemsize > MAX_STORAGE_BYTES:
            raise StoreError(f"Storage {key} claims {count:,} numbers, more than weights have: refused.")
        places[key] = at + 8
        at += 8 + count * storages[key].dtype.itemsize
    return places


def _from_row(path: Path, places: Mapping[str, int], byte_order: ByteOrder, storage: Storage) -> NDArray[Any]:
    return np.fromfile(path, storage.dtype.newbyteorder(byte_order), storage.length, offset=places[storage.key])
