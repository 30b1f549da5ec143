"""One HDF5 file of all videos, as ActivityNet's own: a group `v_...` for each, in it the data set `c3d_features` (n, width).

It is made at the end of a run from the videos' own files, since an HDF5 file that is being written does not survive a kill.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Float32

Float64 = NDArray[np.float64]


def assemble(parts: dict[str, Path], part: Path, output: Path, components: int | None) -> None:
    """Write the groups of ``parts`` to ``part``, then put it at ``output``. ``components``: PCA's, over all clips of all videos.

    Raises OSError; ValueError where there are fewer clips than components.
    """
    import h5py

    reduce = _pca(parts.values(), components) if components else None
    with h5py.File(part, "w") as file:
        for group, path in sorted(parts.items()):
            with np.load(path) as arrays:
                rows, about = arrays["clip_features"], str(arrays["provenance"])
                data = file.create_dataset(f"{group}/c3d_features", data=reduce(rows) if reduce else rows)
                data.attrs["provenance"] = about
                file[group]["start_sec"], file[group]["end_sec"] = arrays["start_sec"], arrays["end_sec"]
    os.replace(part, output)


def _pca(paths: Iterable[Path], components: int) -> Callable[[Float32], Float32]:
    """The projection on the first principal components, from sums over one video at a time: memory is width squared."""
    count, total, squares = 0, None, None
    for path in paths:
        with np.load(path) as arrays:
            rows: Float64 = arrays["clip_features"].astype(np.float64)
        count += len(rows)
        total = rows.sum(axis=0) if total is None else total + rows.sum(axis=0)
        squares = rows.T @ rows if squares is None else squares + rows.T @ rows
    if total is None or squares is None or count < components:
        raise ValueError(f"--pca {components} needs as many clips at least; there are {count}.")
    mean = total / count
    _, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :components]
    return lambda rows: ((rows - mean) @ axes).astype(np.float32)
