"""Whatever published form a weights file has, recognised by its content and read into the canonical tensors."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py

from model_store import c3d
from model_store.download.page import Page, is_page
from model_store.formats import caffe, keras_hdf5, keras_weights, npz, pytorch
from model_store.formats.canonical import Found, ShapesOf, tensors
from model_store.formats.layer_names import preset_of
from model_store.preprocessing import Preprocessing
from model_store.tensors import Float32, StoreError

# What the libraries raise on damaged files. StoreError is none of them: it passes through.
DAMAGED = (
    OSError, EOFError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
    pickle.UnpicklingError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
FORMS = "Keras HDF5, Keras .weights.h5, Caffe (C3D's own), a PyTorch state dict, .npz"


class Weights(NamedTuple):
    """What a file held: its form, in a word for the card, the canonical tensors, and whose network they seem to be."""

    form: str
    tensors: dict[str, Float32]
    preset: Preprocessing | None
    beside: tuple[str, ...]  # what was left out: no weights


def read(path: Path, shapes_of: ShapesOf = c3d.weight_shapes) -> Weights:
    """Read weights of any form. Not more than one tensor is in memory twice.

    Raises StoreError where the file has no form that is known, is damaged, or does not hold a C3D; OSError where it cannot
    be opened.
    """
    with path.open("rb") as file:
        beginning = file.read(512)
    if is_page("", beginning):
        raise StoreError(f'{path.name} is a web page ("{Page(beginning, "").title}"), not weights: download it again.')
    try:
        with _found(path, beginning) as found:
            if found is None:
                raise StoreError(f"{path.name} has none of the forms that can be read: {FORMS}.")
            preset = preset_of(found.entries, found.beside)
            return Weights(found.form, tensors(found, shapes_of), preset, found.beside)
    except DAMAGED as error:
        raise StoreError(f"{path.name} is damaged ({type(error).__name__}: {error}): get it again.") from error


@contextmanager
def _found(path: Path, beginning: bytes) -> Iterator[Found | None]:
    if beginning.startswith(b"\x89HDF\r\n\x1a\n"):
        with h5py.File(path) as file:
            yield keras_hdf5.found(file) or keras_weights.found(file)
    elif beginning.startswith(b"PK\x03\x04"):
        yield _in_zip(path)
    elif beginning.startswith(b"\x80"):
        yield pytorch.found_in_pickles(path)
    else:
        yield caffe.found(path) if beginning else None


def _in_zip(path: Path) -> Found | None:
    with zipfile.ZipFile(path) as archive:
        if "model.weights.h5" in archive.namelist():
            raise StoreError(f"{path.name} is a .keras archive: unzip it and import the model.weights.h5 in it.")
    readers: tuple[Callable[[Path], Found | None], ...] = (npz.found, pytorch.found_in_zip)
    return next((found for reader in readers if (found := reader(path))), None)
