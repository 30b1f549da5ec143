"""One file of weights inside a zip archive or behind gzip, as some pages offer it."""

from __future__ import annotations

import gzip
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from model_store.tensors import StoreError

MAX_BYTES = 2 << 30  # of the file inside: a training state of C3D has 1 GB
BLOCK_BYTES = 1 << 20
GZIP = ""  # what `member` gives for a file that has no members


def member(path: Path) -> str | None:
    """The name of the one file of weights in the archive, "" for a gzip; None where the archive itself is a form of weights.

    Keras 3's own archive, .keras, holds its weights under one name.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return GZIP if file.read(2) == b"\x1f\x8b" else None
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    inside = [name for name in names if name.endswith((".h5", ".hdf5", ".pth", ".pt", ".caffemodel", ".npz", ".pickle", ".pkl"))]
    return inside[0] if len(inside) == 1 and not inside[0].endswith("data.pkl") else None


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[Path]:
    """The file inside, in a temporary directory, until the block ends.

    Raises StoreError where it unpacks to more than weights have.
    """
    with tempfile.TemporaryDirectory(prefix="unpacked.") as directory:
        target = Path(directory) / (Path(name).name or path.stem)
        if name == GZIP:
            with gzip.open(path) as packed:
                _copy(packed, target)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(name) as packed:
                _copy(packed, target)
        yield target


def _copy(packed: IO[bytes] | gzip.GzipFile, target: Path) -> None:
    left = MAX_BYTES
    with target.open("wb") as file:
        while block := packed.read(BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise StoreError(f"The archive unpacks to more than {MAX_BYTES:,} bytes, more than weights have: refused.")
            file.write(block)
