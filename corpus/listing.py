"""Which videos: a folder, a manifest, or an object store's prefix become absolute paths and addresses, one after the other."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from c3d_video.commandline import UsageError
from c3d_video.extract.videos import SUFFIXES, find
from c3d_video.protocol import is_url

COLUMNS = ("path", "url", "video")  # of a manifest where none is named: the first of these that it has
ROWS_AT_ONCE = 10_000  # of a Parquet manifest


def sources(listing: str, out: Path) -> Iterator[str]:
    """Absolute paths, http addresses and addresses of object stores, in an order that stays the same.

    ``listing``: a folder; LIST.txt, LIST.csv or LIST.parquet, with `:COLUMN` behind it where the column is not called `path`,
    `url` or `video`; or an address such as s3://bucket/prefix. Raises UsageError.
    """
    if "://" in listing:
        yield from _in_store(listing)
        return
    path, column = Path(listing), ""
    if not path.exists() and ":" in listing:
        name, _, column = listing.rpartition(":")
        path = Path(name)
    if path.is_dir():
        yield from (str(Path(video.source).absolute()) for video in find([str(path)], [], [], out))
    elif path.suffix in MANIFESTS and path.exists():
        folder = path.absolute().parent
        for entry in MANIFESTS[path.suffix](path, column):
            if entry:
                yield entry if "://" in entry else str(folder / entry)
    else:
        raise UsageError(
            f"{listing} is neither a folder, nor a manifest (.txt, .csv, .parquet), nor an address such as s3://bucket/prefix."
        )


def shard(found: Iterable[str], number: int, count: int) -> Iterator[str]:
    """Part ``number`` of ``count``, from 1 on. A video stays in its part when others come or go."""
    return (each for each in found if zlib.crc32(each.encode("utf-8", "surrogateescape")) % count == number - 1)


def is_in_store(source: str) -> bool:
    """Whether the source lies in an object store: neither a path nor an http address."""
    return "://" in source and not is_url(source)


def opened(source: str) -> tuple[Any, str]:
    """The file system of an address in an object store, and the path in it. Raises OSError, ValueError."""
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(source)
    return system, path


def _in_store(listing: str) -> Iterator[str]:
    from pyarrow import fs

    scheme, _, _ = listing.partition("://")
    try:
        system, root = opened(listing)
        found = system.get_file_info(fs.FileSelector(root, recursive=True))
    except (OSError, ValueError) as error:
        raise UsageError(f"{listing} cannot be listed: {error}.") from error
    paths = sorted(each.path for each in found if each.is_file)
    yield from (f"{scheme}://{path}" for path in paths if PurePosixPath(path).suffix.lower() in SUFFIXES)


def _txt(path: Path, _column: str) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from (line.strip() for line in file if not line.startswith("#"))


def _csv(path: Path, column: str) -> Iterator[str]:
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.DictReader(file)
        column = _column_of(path, column, rows.fieldnames or ())
        yield from ((row[column] or "").strip() for row in rows)


def _parquet(path: Path, column: str) -> Iterator[str]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    column = _column_of(path, column, file.schema_arrow.names)
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
        yield from (str(value or "") for value in batch.column(0).to_pylist())


def _column_of(path: Path, column: str, names: Iterable[str]) -> str:
    names = list(names)
    if not column:
        column = next((each for each in COLUMNS if each in names), "")
    if column not in names:
        raise UsageError(f"{path} has no column {column or ', '.join(COLUMNS)}: it has {', '.join(names)}. Give {path}:COLUMN.")
    return column


MANIFESTS = {".txt": _txt, ".csv": _csv, ".parquet": _parquet}
