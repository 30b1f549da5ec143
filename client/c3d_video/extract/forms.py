"""Rows become a file in the form that somebody's reader wants."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Answer, Float32
from c3d_video.extract import parquet
from c3d_video.extract.rows import Rows

SUFFIXES = {"pool5": "pool5", "fc6": "fc6-1", "fc7": "fc7-1"}  # the original prototxt's names of the layers
NUM_SEGMENTS = 32  # of a video, for the anomaly detector of Sultani et al. (UCF-Crime)


class Form(NamedTuple):
    """``write(rows, path, options)`` makes one video's output; ``has_layers``: it has room for several layers."""

    write: Callable[[Rows, Path, dict[str, Any]], None]
    has_layers: bool


def segments(rows: Float32, *, half_to_even: bool) -> Float32:
    """The (32, width) rows that the anomaly detector reads: means over 32 parts of the clips, each of length 1.

    As in the original code the last clip is left out, and a part without a clip repeats the one where it starts. MATLAB rounds
    a half up; NumPy, and so the PyTorch version, to the even number.
    """
    places = np.linspace(0, len(rows) - 1, NUM_SEGMENTS + 1)
    bounds = (np.round(places) if half_to_even else np.floor(places + 0.5)).astype(int)
    means = np.stack([rows[a : max(a + 1, b)].mean(axis=0) for a, b in itertools.pairwise(bounds)])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.where(lengths, lengths, 1)).astype(np.float32)


def provenance(answer: Answer | None, options: dict[str, Any]) -> str:
    """What the numbers rest on, as JSON."""
    assert answer is not None  # noqa: S101 (finished)
    said = {"id": answer.id, "options": options, "model": answer.model, "video": answer.video}
    return json.dumps({**said, "warnings": [{"code": each.code, "message": each.message} for each in answer.warnings]})


def _npz(rows: Rows, path: Path, options: dict[str, Any]) -> None:
    small: dict[str, NDArray[Any]] = {**rows.arrays(), "clip_ids": np.array(rows.ids), **rows.descriptors()}
    small["provenance"] = np.array(provenance(rows.answer, options))
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, file in rows.named("clip_features").items():
            archive.write(file.path, f"{name}.npy")
        for name, array in small.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def _evaluation(rows: Rows, path: Path, options: dict[str, Any]) -> None:
    """The video's vector and labels, and each clip's first label."""
    answer = rows.answer
    assert answer is not None  # noqa: S101 (finished)
    small: dict[str, NDArray[Any]] = {**rows.descriptors(), "provenance": np.array(provenance(rows.answer, options))}
    small["class_ids"] = np.array([each.class_id for each in answer.predictions], np.int64)
    small["clip_class_ids"] = np.array(rows.class_ids, np.int64)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **small)


def _npy(rows: Rows, path: Path, _options: dict[str, Any]) -> None:
    [file] = rows.files.values()
    os.replace(file.path, path)


def _txt32(rows: Rows, path: Path, options: dict[str, Any]) -> None:
    """The PyTorch reader splits at each space, so no line ends with one."""
    [file] = rows.files.values()
    half_to_even = options.get("preset") == "ucf-crime-pytorch"
    np.savetxt(path, segments(file.array(), half_to_even=half_to_even), "%.9g" if half_to_even else "%f", encoding="ascii")


def _fc6(rows: Rows, path: Path, options: dict[str, Any]) -> None:
    """The original tool's files, `000001.fc6-1` by the clip's first frame: five int32 (num, channels, length, height, width)."""
    path.mkdir()
    for layer, file in rows.files.items():
        suffix = SUFFIXES.get(layer or options.get("layer") or "fc6", layer)
        for start, row in zip(rows.spans["start_frame"], file.array(), strict=True):
            head = struct.pack("<5i", 1, row.size, 1, 1, 1)
            (path / f"{start + 1:06d}.{suffix}").write_bytes(head + row.astype("<f4").tobytes())


def _parquet(rows: Rows, path: Path, options: dict[str, Any]) -> None:
    parquet.write(rows, path, provenance(rows.answer, options))


FORMS = {
    "npz": Form(_npz, has_layers=True),
    "npy": Form(_npy, has_layers=False),
    "txt32": Form(_txt32, has_layers=False),
    "fc6-1": Form(_fc6, has_layers=True),
    "hdf5": Form(_npz, has_layers=True),  # a file for each video, from which the one HDF5 file is made at the end
    "parquet": Form(_parquet, has_layers=True),
    "evaluation": Form(_evaluation, has_layers=False),  # what `evaluate` reads: no vectors of clips, a hundredth of the room
}


def discard(part: Path) -> None:
    """Delete what was written for an output that will not be."""
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def put_in_place(part: Path, output: Path) -> None:
    """What was written becomes the output in one step. Raises OSError."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if part.is_dir():
        shutil.rmtree(output, ignore_errors=True)
    else:
        with part.open("rb") as file:
            os.fsync(file.fileno())
    os.replace(part, output)
