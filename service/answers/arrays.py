"""Answers as NumPy's files: npy, one array, and npz, all of them with their provenance. They grow on disk, clip by clip."""

from __future__ import annotations

import zipfile
from array import array
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from starlette.responses import FileResponse, Response

from model_store import c3d
from service.answers.answer import ArraysProvenance, Outputs, Provenance
from service.answers.json_answer import to_json
from service.answers.pooling import Float32
from service.answers.result import Result, provenance_headers
from service.errors import InvalidOption
from service.intake.source import Source
from service.intake.spool import SpoolWriter, in_thread
from service.options import NPY, NPZ
from service.pipeline import ClipDone, Opened, Summary
from service.video.clips import ClipSpan

SPAN = ("start_sec", "end_sec", "start_frame", "end_frame", "num_padded_frames", "num_damaged_frames")


class Rows:
    """An npy file of float32 (n, width) whose n is known at the end: NumPy leaves room for it in the header."""

    def __init__(self, source: Source, name: str, width: int) -> None:
        self._file, self._width, self._count = source.create(name), width, 0
        self.path = Path(self._file.name)
        self._write_header()
        self._writer = SpoolWriter(self._file, source.reserve)

    async def add(self, row: Float32) -> None:
        """Take one, float32 (width,)."""
        self._count += 1
        await self._writer.take(row.astype("<f4", copy=False).tobytes())

    async def finish(self) -> None:
        """Write what waits, and the true header."""
        await self._writer.flush()
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        shape = (self._count, self._width)
        npy_format.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})


class Pictures:
    """An npy file of JPEGs, as NumPy's bytes (n,). They all take as much room as the largest, which is known at the end."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._sizes = source, array("I")
        self._parts, self._file = source.create(f"{name}.parts"), source.create(name)
        self._writer = SpoolWriter(self._parts, source.reserve)
        self.path = Path(self._file.name)

    async def add(self, picture: bytes) -> None:
        """Take one."""
        self._sizes.append(len(picture))
        await self._writer.take(picture)

    async def finish(self) -> None:
        """Write the file itself."""
        await self._writer.flush()
        self._source.reserve(len(self._sizes) * max(self._sizes))
        await in_thread(self._write)

    def _write(self) -> None:
        width = max(self._sizes)
        header = {"descr": f"|S{width}", "fortran_order": False, "shape": (len(self._sizes),)}
        with Path(self._parts.name).open("rb") as parts, open(self._file.fileno(), "wb", closefd=False) as file:
            npy_format.write_array_header_1_0(file, header)
            # NumPy drops the zeros again; a JPEG ends with none.
            file.writelines(parts.read(size).ljust(width, b"\0") for size in self._sizes)


class NpyWriter:
    """One array: the video's descriptor or probabilities, float32 (n,); with include=clips its clips', float32 (clips, n)."""

    def __init__(self, result: Result) -> None:
        """Raises InvalidOption where the answer is to hold more than one."""
        self._result, self._source = result, result.source
        options = result.options
        if set(options.include) - {"clips"} or len(options.layer) > 1:
            named = "layer" if len(options.layer) > 1 else "include"
            raise InvalidOption(f"{named}: an npy file holds one array. Ask for all of them as npz (Accept: {NPZ}).")
        if options.wants("clips") and options.wants("features") and not options.wants_clip_vectors():
            raise InvalidOption("vectors: an npy file of clips holds their vectors. Leave out vectors=video or include=clips.")
        self._rows: Rows | None = None

    def begin(self, opened: Opened) -> None:
        """A file may have any length."""

    async def add(self, done: ClipDone) -> None:
        """Take one clip."""
        if self._result.options.wants("clips"):
            row = self._row(done)
            self._rows = self._rows or Rows(self._source, "clips.npy", len(row))
            await self._rows.add(row)

    async def response(self, opened: Opened, summary: Summary) -> Response:
        """The file."""
        headers = _headers(self._result, self._result.provenance(opened.info, summary), "npy")
        if self._rows is None:
            of_video = (
                self._result.descriptors().values() if self._result.options.wants("features") else [self._result.probabilities()]
            )
            return Response(_npy(next(iter(of_video))), media_type=NPY, headers=headers)
        await self._rows.finish()
        return FileResponse(self._rows.path, media_type=NPY, headers=headers)

    def _row(self, done: ClipDone) -> Float32:
        of_clip = (
            self._result.features_of(done).values() if self._result.options.wants("features") else [done.outputs.probabilities]
        )
        return next(iter(of_clip))


class NpzWriter:
    """All arrays, of each clip (``clip_...``, and where it lies) and of the video, and ``provenance``, a string of JSON."""

    def __init__(self, result: Result) -> None:
        self._result, self._source = result, result.source
        self._rows: dict[str, Rows] = {}
        self._pictures: Pictures | None = None
        self._spans: list[ClipSpan] = []

    def begin(self, opened: Opened) -> None:
        """A file may have any length."""

    async def add(self, done: ClipDone) -> None:
        """Take one clip."""
        self._spans.append(done.span)
        if self._result.options.wants_clip_vectors():
            for name, row in self._named("clip_features", self._result.features_of(done)).items():
                await self._keep(name, row)
        if self._result.options.wants("predictions"):
            await self._keep("clip_probabilities", done.outputs.probabilities)
        if done.thumbnail is not None:
            self._pictures = self._pictures or Pictures(self._source, "clip_pictures.npy")
            await self._pictures.add(done.thumbnail)

    async def response(self, opened: Opened, summary: Summary) -> Response:
        """The file."""
        files: dict[str, Rows | Pictures] = {**self._rows}
        if self._pictures:
            files["clip_pictures"] = self._pictures
        for each in files.values():
            await each.finish()
        provenance = self._result.provenance(opened.info, summary)
        small = {name: _npy(array) for name, array in self._small(provenance).items()}
        self._source.reserve(sum(each.path.stat().st_size for each in files.values()) + sum(map(len, small.values())))
        path = self._source.directory / "arrays.npz"
        await in_thread(partial(_zip, path, {name: each.path for name, each in files.items()}, small))
        return FileResponse(path, media_type=NPZ, headers=_headers(self._result, provenance, "npz"))

    async def _keep(self, name: str, row: Float32) -> None:
        if name not in self._rows:
            self._rows[name] = Rows(self._source, f"{name}.npy", len(row))
        await self._rows[name].add(row)

    def _named(self, name: str, by_layer: Mapping[c3d.FeatureLayer, Float32]) -> dict[str, Float32]:
        """One layer's array has the plain name; of several each has its layer's behind it, as ``descriptor_fc6``."""
        return {name if len(by_layer) == 1 else f"{name}_{layer}": array for layer, array in by_layer.items()}

    def _small(self, rests_on: Provenance) -> dict[str, NDArray[Any]]:
        result = self._result
        ids = [str(result.clip_id(span)) for span in self._spans]
        arrays = {"clip_ids": np.array(ids)} | {name: np.array([getattr(span, name) for span in self._spans]) for name in SPAN}
        if result.options.wants("features"):
            arrays |= self._named("descriptor", result.descriptors())
        if result.options.wants("predictions"):
            arrays |= {"probabilities": result.probabilities(), "labels": np.array(result.labels)}
        segments: Outputs = {"segments": result.segments()} if result.options.wants("segments") else {}
        provenance: ArraysProvenance = {
            **result.ids(),
            "options": result.options.model_dump(),
            **segments,
            **rests_on,
        }
        return {**arrays, "provenance": np.array(to_json(provenance).decode())}


def _npy(array: NDArray[Any]) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _zip(path: Path, files: Mapping[str, Path], small: Mapping[str, bytes]) -> None:
    """As np.savez does it, but from files."""
    with zipfile.ZipFile(path, "x", allowZip64=True) as archive:
        for name, file in files.items():
            archive.write(file, f"{name}.npy")
            file.unlink()
        for name, content in small.items():
            archive.writestr(f"{name}.npy", content)


def _headers(result: Result, provenance: Provenance, suffix: str) -> dict[str, str]:
    attachment = {"Content-Disposition": f'attachment; filename="{result.video_id}.{suffix}"'}
    return attachment | provenance_headers(provenance["model"], provenance["warnings"])
