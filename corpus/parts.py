"""Rows become Parquet files, each whole or not there, and are read back to see what is done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d

OK = "ok"
SUFFIX = ".parquet"


@dataclass
class Row:
    """A video. ``code``: `ok`, or what it failed with, which ``detail`` explains. ``clips``: how many.

    ``descriptor``: float32 (n,) of the video; ``clip_features``: float32 (clips, n) and ``clip_start_sec`` (clips,) where they
    were asked for. ``provenance``: JSON of what the numbers rest on, as in the Parquet files of `c3d-video extract`.
    """

    path: str
    code: str = OK
    detail: str | None = None
    id: str | None = None
    sha256: str | None = None
    size: int | None = None
    clips: int | None = None
    descriptor: NDArray[np.float32] | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: str | None = None
    clip_features: NDArray[np.float32] | None = None
    clip_start_sec: NDArray[np.float64] | None = None


def schema(layer: c3d.FeatureLayer, *, with_clips: bool) -> Any:
    """Of all parts of one OUT."""
    import pyarrow as pa

    vector = pa.list_(pa.float32(), c3d.FEATURE_SIZES[layer])
    names = {name: pa.string() for name in ("path", "code", "detail", "id", "sha256")}
    shapes = {**names, "size": pa.int64(), "clips": pa.int32(), "descriptor": vector}
    shapes |= {"warnings": pa.list_(pa.string()), "provenance": pa.string()}
    if with_clips:
        shapes |= {"clip_features": pa.list_(vector), "clip_start_sec": pa.list_(pa.float64())}
    return pa.schema(list(shapes.items()))


def write(rows: Sequence[Row], path: Path, work: Path, layer: c3d.FeatureLayer, *, with_clips: bool) -> None:
    """A part at ``path``, written in ``work`` first, which is on the same disk. Raises OSError."""
    import pyarrow as pa

    of = schema(layer, with_clips=with_clips)
    table = pa.Table.from_arrays([_column(rows, name, of.field(name).type) for name in of.names], schema=of)
    _put(table, path, work)


def paths_done(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each part, its videos' paths and their codes."""
    from pyarrow import parquet

    for part in sorted(folder.glob(f"*{SUFFIX}")):
        table = parquet.read_table(part, columns=["path", "code"], partitioning=None)
        yield part, table["path"].to_pylist(), table["code"].to_pylist()


def remove(part: Path, codes: set[str], work: Path) -> None:
    """Take the rows with these codes out of a part; an empty part goes. Raises OSError."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    table = parquet.read_table(part, partitioning=None)
    left = table.filter(pc.invert(pc.is_in(table["code"], pa.array(sorted(codes)))))
    if left.num_rows:
        _put(left, part, work)
    else:
        part.unlink()


def _put(table: Any, path: Path, work: Path) -> None:
    from pyarrow import parquet

    beside = work / f"{path.stem}.{os.getpid()}.part"
    try:
        parquet.write_table(table, beside, compression="zstd")
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _column(rows: Sequence[Row], name: str, shape: Any) -> Any:
    import pyarrow as pa

    values = [getattr(row, name) for row in rows]
    if name == "descriptor":
        return _vectors(values, shape)
    if name == "clip_features":
        bounds = np.cumsum([0, *(0 if each is None else len(each) for each in values)], dtype=np.int32)
        whole = [row for each in values if each is not None for row in each]
        return pa.ListArray.from_arrays(pa.array(bounds), _vectors(whole, shape.value_type), type=shape)
    if name == "clip_start_sec":
        values = [None if each is None else each.tolist() for each in values]
    return pa.array(values, shape)


def _vectors(values: Sequence[NDArray[np.float32] | None], shape: Any) -> Any:
    """Fixed-size lists; without a copy through Python's numbers."""
    import pyarrow as pa

    zeros = np.zeros(shape.list_size, np.float32)
    flat = np.concatenate([zeros if each is None else each for each in values]) if values else zeros[:0]
    missing = pa.array([each is None for each in values], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), type=shape, mask=missing)
