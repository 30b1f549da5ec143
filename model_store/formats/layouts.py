"""Whatever published form a weights file has, recognised by its content and read into the canonical tensors."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import h5py

from model_store import c3d
from model_store.download.manifest import Form
from model_store.download.page import Page, is_page
from model_store.formats import (
    array_pickle,
    caffe,
    keras_hdf5,
    keras_weights,
    npz,
    plain_hdf5,
    pytorch,
    safetensors,
    tf_checkpoint,
    wrapped,
)
from model_store.formats.canonical import Fc6Rows, Found, Kernels, Order, ShapesOf, converted, tensors
from model_store.formats.layer_names import preset_of
from model_store.preprocessing import Preprocessing
from model_store.tensors import Float32, StoreError

# What the libraries raise on damaged files. StoreError is not among them: it passes through.
DAMAGED = (
    OSError, EOFError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
    pickle.UnpicklingError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
FORMS = "Keras HDF5, Keras .weights.h5, Caffe, PyTorch, safetensors, TensorFlow 1, .npz, .npy or a pickle of arrays"
TORCH7 = (
    "is a Torch 7 file (.t7): load it in Torch 7, or with the package torchfile, and save the layers' arrays with numpy.savez"
)


class Weights(NamedTuple):
    """What a file held: its form, in a word for the card, the canonical tensors, and whose network they seem to be."""

    form: str
    tensors: dict[str, Float32]
    preset: Preprocessing | None
    beside: tuple[str, ...]  # what was left out: no weights
    converted: tuple[str, ...] = ()  # the numbers' types, other than float32, that became it
    assumed: tuple[str, ...] = ()  # what the file does not tell, in sentences


class Asked(NamedTuple):
    """How axes lie, where the file does not tell, or tells the wrong thing. None: as the file tells."""

    kernels: Kernels | None = None  # whether convolutions are mirrored
    fc6_rows: Fc6Rows | None = None  # the inputs of fc6 in (channel, row, column) order, or in (row, column, channel)

    def order(self, of_file: Order) -> Order:
        """The file's order with what was asked for in its place."""
        flipped = of_file.flipped if self.kernels is None else self.kernels == "mirrored"
        channel_rows = of_file.channel_rows if self.fc6_rows is None else self.fc6_rows == "channels-first"
        return of_file._replace(flipped=flipped, channel_rows=channel_rows)


AS_THE_FILE_SAYS = Asked()


def read(
    path: Path, shapes_of: ShapesOf = c3d.weight_shapes, asked: Asked = AS_THE_FILE_SAYS, form: Form | None = None
) -> Weights:
    """Read weights of any form, or of the one form. Not more than one tensor is in memory twice.

    Raises StoreError where the file has no form that is known, is damaged, or does not hold a C3D; OSError where it cannot
    be opened.
    """
    path = checkpoint(path)
    with path.open("rb") as file:
        beginning = file.read(512)
    refuse_by_beginning(path, beginning)
    try:
        inner = wrapped.member(path) if form is None and beginning.startswith(PACKED) else None
        if inner is not None:
            with wrapped.unpacked(path, inner) as file_inside:
                return read(file_inside, shapes_of, asked)
        with _found(path, beginning, form) as found:
            if found is None:
                raise StoreError(f"{path.name} is not in a format that can be read: {FORMS}.")
            made = tensors(found._replace(order=asked.order(found.order)), shapes_of)
            preset = found.preset or preset_of(found.entries, found.beside)
            assumed = () if asked.fc6_rows else found.assumed
            return Weights(found.form, made, preset, found.beside, converted(found.entries), assumed)
    except DAMAGED as error:
        raise StoreError(f"{path.name} is damaged ({type(error).__name__}: {error}): get it again.") from error


PACKED = (b"\x1f\x8b", b"PK\x03\x04")  # gzip, zip
# Of protocol 2 and later; of protocols 0 and 1, a list, a dict, or the name of a class, alone or in a tuple.
PICKLE = rb"\x80[\x02-\x05]|\([ld]p\d|[]}](q.)?\(|\(*c\w[\w.]*\n\w+\n"


def checkpoint(path: Path) -> Path:
    """The file to read where TensorFlow's own name stands for several: a SavedModel's directory, or model.ckpt."""
    if path.is_dir() and (path / "saved_model.pb").exists():
        return path / "variables" / "variables.index"
    index = path.with_name(f"{path.name}.index")
    return index if not path.exists() and index.is_file() else path


Kind = Literal["hdf5", "zip", "npy", "safetensors", "tensorflow", "pickle", "protobuf"]
Readers = tuple[Callable[[Path], Found | None], ...]
# What reads a file that begins so: the first reader that knows what is in it.
READERS: dict[Kind, Readers] = {
    "zip": (npz.found, pytorch.found_in_zip),
    "npy": (array_pickle.found_in_npy,),
    "safetensors": (safetensors.found,),
    "tensorflow": (tf_checkpoint.found,),
    "pickle": (pytorch.found_in_pickles, array_pickle.found),
    "protobuf": (caffe.found,),
}
IN_HDF5 = (keras_hdf5.found, keras_weights.found, plain_hdf5.found)  # of an open file
# The same where a source says what its file is: one reader for each way that it may begin.
READERS_OF: dict[str, dict[Kind, Readers]] = {
    "keras-hdf5": {"hdf5": ()},
    "caffe": {"protobuf": (caffe.found,)},
    "pytorch": {"zip": (pytorch.found_in_zip,), "pickle": (pytorch.found_in_pickles,)},
    "npz": {"zip": (npz.found,)},
}


def _kind(path: Path, beginning: bytes) -> Kind:
    """By the first bytes, or the last; protobuf is what nothing else is."""
    if beginning.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if beginning.startswith(b"PK\x03\x04"):
        return "zip"
    if beginning.startswith(b"\x93NUMPY"):
        return "npy"
    if safetensors.is_safetensors(beginning):
        return "safetensors"
    if tf_checkpoint.is_table(path):
        return "tensorflow"
    return "pickle" if re.match(PICKLE, beginning) else "protobuf"


@contextmanager
def _found(path: Path, beginning: bytes, form: Form | None) -> Iterator[Found | None]:
    """What the file holds, while it is open. Raises StoreError where it is not of the form that its source publishes."""
    kind = _kind(path, beginning)
    readers = READERS if form is None else READERS_OF[form]
    if form is not None and kind not in readers:
        raise StoreError(f"{path.name} is not the {form} file that its source publishes: it was not read.")
    if kind == "hdf5":
        with h5py.File(path) as file:
            known = IN_HDF5 if form is None else IN_HDF5[:1]
            yield next((found for reader in known if (found := reader(file))), None)
    else:
        yield next((found for reader in readers[kind] if beginning and (found := reader(path))), None)


# What begins so cannot be read, and what to do instead.
REFUSED = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository",
    b"MATLAB ": "is a MATLAB file: load it with scipy.io.loadmat and save the layers' arrays with numpy.savez",
    b"\x03\x00\x00\x00": TORCH7, b"\x04\x00\x00\x00": TORCH7, b"4\n1\n": TORCH7, b"3\n1\n": TORCH7,
}  # fmt: skip


def refuse_by_beginning(path: Path, beginning: bytes) -> None:
    """Raises StoreError for a file that is known not to be readable, with what to do."""
    if is_page("", beginning):
        raise StoreError(f'{path.name} is a web page ("{Page(beginning, "").title}"), not weights: download it again.')
    for start, said in REFUSED.items():
        if beginning.startswith(start):
            raise StoreError(f"{path.name} {said}.")
    if ".data-" in path.name:
        raise StoreError(f"{path.name} holds a TensorFlow checkpoint's numbers without their names: import its .index file.")
    if path.suffix == ".meta":
        raise StoreError(f"{path.name} is a TensorFlow graph without weights: import the checkpoint's .index file.")
