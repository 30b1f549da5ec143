"""One HDF5 file of all videos, as ActivityNet's own: a group `v_...` for each, in it the data set `c3d_features` (n, width).

It is made at the end of a run from the videos' own files, since an HDF5 file that is being written does not survive a kill.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Float32

FILE = "features.hdf5"
ROWS_AT_ONCE = 1024  # 16 MB of fc6: a film of hours is copied in constant memory
FEATURES = "clip_features"  # in an npz of `forms`

Float64 = NDArray[np.float64]
Reduce = Callable[[Float32], Float32]


def assemble(parts: dict[str, Path], part: Path, output: Path, components: int | None) -> None:
    """Write the groups of ``parts`` to ``part``, then put it at ``output``. ``components``: PCA's, over all clips of all videos.

    Raises OSError; ValueError where there are fewer clips than components.
    """
    import h5py

    reduce = _pca(parts.values(), components) if components else None
    with h5py.File(part, "w") as file:
        for group, path in sorted(parts.items()):
            _copy(path, file.create_group(group), reduce, components)
    os.replace(part, output)


def _copy(path: Path, group: Any, reduce: Reduce | None, components: int | None) -> None:
    """A video's arrays into its group, some rows at a time."""
    with np.load(path) as arrays:
        group["start_sec"], group["end_sec"] = arrays["start_sec"], arrays["end_sec"]
        about, names = str(arrays["provenance"]), [name for name in arrays.files if name.startswith(FEATURES)]
    for name in names:
        with _opened(path, name) as (_, num_rows, width):
            pass
        data = group.create_dataset(name.replace(FEATURES, "c3d_features"), (num_rows, components or width), "<f4")
        data.attrs["provenance"] = about
        start = 0
        for rows in _blocks(path, name):
            data[start : start + len(rows)] = reduce(rows) if reduce else rows
            start += len(rows)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[IO[bytes], int, int]]:
    """An array of an npz behind its header, and its shape (n, width)."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        (num_rows, width), _, _ = np.lib.format.read_array_header_1_0(file)
        yield file, num_rows, width


def _blocks(path: Path, name: str) -> Iterator[Float32]:
    """An array of an npz, float32 (n, width), by at most ROWS_AT_ONCE rows."""
    with _opened(path, name) as (file, num_rows, width):
        for start in range(0, num_rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, num_rows - start)
            yield np.frombuffer(file.read(count * width * 4), "<f4").reshape(count, width)


def _pca(paths: Iterable[Path], components: int) -> Reduce:
    """The projection on the first principal components, from sums over some rows at a time: memory is width squared."""
    count, total, squares = 0, None, None
    for block in (block for path in paths for block in _blocks(path, FEATURES)):
        rows: Float64 = block.astype(np.float64)
        count += len(rows)
        total = rows.sum(axis=0) if total is None else total + rows.sum(axis=0)
        squares = rows.T @ rows if squares is None else np.add(squares, rows.T @ rows, out=squares)
    if total is None or squares is None or count < components:
        raise ValueError(f"--pca {components} needs as many clips at least; there are {count}.")
    mean = total / count
    squares /= count
    squares -= np.outer(mean, mean)
    _, vectors = np.linalg.eigh(squares)
    axes = vectors[:, ::-1][:, :components].copy()  # a view would keep all of them
    return lambda rows: ((rows - mean) @ axes).astype(np.float32)
