"""Which videos: files, folders, lists and URLs become names, and each name becomes one output."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from string import Formatter
from urllib.parse import unquote, urlsplit

from c3d_video.commandline import UsageError
from c3d_video.protocol import is_url

# Of the files in a folder, those with these suffixes are taken; --include takes others.
SUFFIXES = {
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
}  # fmt: skip
FIELDS = ("dir", "class", "stem", "id", "name", "ext")  # id: the stem without the v_ that ActivityNet puts before it


@dataclass(frozen=True)
class Video:
    """One input. ``name``: its path below the folder it was found in, with slashes, or its URL; unique in a run."""

    name: str
    source: str  # a path or a URL

    def output(self, pattern: str) -> str:
        """The output's path below OUT. Raises UsageError for a pattern that cannot be filled or leads out of OUT."""
        path = PurePosixPath(unquote(urlsplit(self.name).path).lstrip("/") if is_url(self.name) else self.name)
        directory = "" if is_url(self.name) or str(path.parent) == "." else str(path.parent)
        values = {"dir": directory, "class": path.parent.name, "stem": path.stem, "name": path.name, "ext": path.suffix[1:]}
        values["id"] = path.stem.removeprefix("v_")
        filled = PurePosixPath(pattern.format(**values).lstrip("/"))
        if ".." in filled.parts or not filled.name:
            raise UsageError(f"--name {pattern} gives no file name below OUT for {self.name}.")
        return str(filled)


def stat_of(video: Video) -> dict[str, int]:
    """``size`` in bytes and ``mtime_ns`` of a file; {} of a URL, and of a file that is not there."""
    if is_url(video.source):
        return {}
    try:
        stat = Path(video.source).stat()
    except OSError:
        return {}
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def check_pattern(pattern: str) -> None:
    """Raises UsageError for an unknown field."""
    try:
        fields = {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise UsageError(f"--name {pattern} cannot be read: {error}.") from error
    if fields - set(FIELDS):
        raise UsageError(f"--name {pattern}: there is {', '.join('{' + name + '}' for name in FIELDS)}.")


def outputs(videos: Iterable[Video], pattern: str) -> dict[str, str]:
    """The output of each video by its name. Raises UsageError where two would have the same."""
    check_pattern(pattern)
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for video in videos:
        output = video.output(pattern)
        if owners.setdefault(output, video.name) != video.name or video.name in found:
            raise UsageError(
                f"{owners[output]} and {video.name} would both be written to {output}. Give --name a pattern that tells them "
                "apart, as '{dir}/{name}.npz', or leave one of them out."
            )
        found[video.name] = output
    return found


def find(paths: Iterable[str], include: list[str], exclude: list[str], out: Path) -> list[Video]:
    """All videos, in the order of the names in each folder. Raises UsageError for a path where there is nothing."""
    found: dict[str, Video] = {}
    for video in (video for path in paths for video in _of(path, include, out)):
        if (include and not _matches(video.name, include)) or _matches(video.name, exclude):
            continue
        known = found.setdefault(video.name, video)
        if Path(known.source).absolute() != Path(video.source).absolute():
            raise UsageError(f"{known.source} and {video.source} are both called {video.name}. Give the folder above them.")
    return list(found.values())


def shard(videos: list[Video], number: int, count: int) -> list[Video]:
    """Part ``number`` of ``count``, from 1 on. A video stays in its part when others come or go."""
    return [video for video in videos if zlib.crc32(os.fsencode(video.name)) % count == number - 1]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(PurePosixPath(name).name, pattern) for pattern in patterns)


def _of(path: str, include: list[str], out: Path) -> Iterator[Video]:
    if path.startswith("@"):
        yield from _listed(path[1:])
    elif is_url(path):
        yield Video(path, path)
    elif Path(path).is_dir():
        yield from _in_folder(Path(path), out, any_suffix=bool(include))
    elif Path(path).exists():
        yield Video(Path(path).name, path)
    else:
        raise UsageError(f"{path}: there is no such file or folder.")


def _in_folder(folder: Path, out: Path, *, any_suffix: bool) -> Iterator[Video]:
    seen: set[str] = set()
    for directory, directories, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen or real == str(out.resolve()):
            directories.clear()
            continue
        seen.add(real)
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            path = Path(directory, name)
            if not name.startswith(".") and (any_suffix or path.suffix.lower() in SUFFIXES):
                yield Video(path.relative_to(folder).as_posix(), str(path))


def _listed(name: str) -> Iterator[Video]:
    """A list's videos: a path or a URL a line, or with `@list.csv:column` a CSV's column. Paths start at the list's folder."""
    path, _, column = (name, "", "") if Path(name).exists() else name.rpartition(":")
    try:
        with Path(path or column).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            entries = _column(file, column, path) if path and column else [line.strip() for line in file]
    except OSError as error:
        raise UsageError(f"@{name}: the list cannot be read.") from error
    folder = Path(path).parent
    for entry in entries:
        if is_url(entry):
            yield Video(entry, entry)
        elif entry and not entry.startswith("#"):
            full = folder / entry
            if not full.exists():
                raise UsageError(f"@{name}: there is no file {entry}.")
            inside = not Path(entry).is_absolute() and ".." not in Path(entry).parts
            yield Video(Path(entry).as_posix() if inside else full.name, str(full))


def _column(file: Iterable[str], column: str, path: str) -> list[str]:
    rows = csv.DictReader(file)
    if column not in (rows.fieldnames or ()):
        raise UsageError(f"{path} has no column {column}. It has {', '.join(rows.fieldnames or ())}.")
    return [(row[column] or "").strip() for row in rows]
