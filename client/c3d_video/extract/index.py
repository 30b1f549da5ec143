"""What is done: index.jsonl in OUT. One line says what the whole folder holds, one line each video what became of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import IO, Any

from c3d_video.commandline import UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

INDEX, FAILED, PRIVATE = "index.jsonl", "failed.jsonl", ".c3d-video"
FAILURE_FIELDS = ("name", "code", "detail", "status", "request_id")
# What a card or an answer says of a model that does not change its numbers beyond the service's promise.
NOT_IDENTITY = {
    "name", "weights", "backend", "engine", "version", "source", "form", "licence", "created", "labels", "labels_sha256",
    "num_classes", "batch_sizes", "file_sha256", "known_answer", "clips_per_s", "status",
}  # fmt: skip


def identity_of(info: dict[str, Any]) -> dict[str, Any]:
    """What GET /info says of the model and how it is run, in one dict: what `differences` compares."""
    return {**{name: value for name, value in info.items() if name not in {"model", "limits"}}, **info.get("model", {})}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What two models differ in, of all that both say and that changes numbers."""
    return sorted(name for name in (one.keys() & other.keys()) - NOT_IDENTITY if one[name] != other[name])


class Index:
    """OUT's index, held by one process. Raises UsageError where another one holds it."""

    def __init__(self, out: Path) -> None:
        self.out, self.work = out, out / PRIVATE / "work"
        (out / PRIVATE).mkdir(parents=True, exist_ok=True)
        self._lock = locked(out / PRIVATE, out)
        shutil.rmtree(self.work, ignore_errors=True)  # what a killed run left
        self.work.mkdir()
        self.about: dict[str, Any] | None
        self.videos: dict[str, dict[str, Any]]
        self._file = self._opened()

    def begin(self, options: dict[str, Any], model: dict[str, Any]) -> None:
        """Say what this folder holds. Raises UsageError where it holds features of other options or another model."""
        if self.about is None:
            self.about = {"options": options, "model": model}
            self._write(self.about)
            return
        self.check_options(options)
        others = differences(self.about["model"], model)
        if others:
            raise UsageError(
                f"{self.out} holds features of another model: {', '.join(others)} differ. Features of two models do not belong "
                "together: give another folder."
            )

    def check_options(self, options: dict[str, Any]) -> None:
        """Raises UsageError where the folder holds features of other options."""
        if self.about is not None and self.about["options"] != options:
            mine = self.about["options"]
            other = [name for name in sorted({*mine, *options}) if mine.get(name) != options.get(name)]
            said = ", ".join(f"{name}={mine.get(name)} (now {options.get(name)})" for name in other)
            raise UsageError(f"{self.out} holds features with {said}. Give the same options, or another folder.")

    def is_done(self, name: str, source: Path | None) -> bool:
        """Whether the video's output is here and the video still the same: by size and time, else by content."""
        return self._is_same(name, source, failed=False)

    def has_failed(self, name: str, source: Path | None) -> bool:
        """Whether this same video failed before, for a reason of its own."""
        return self._is_same(name, source, failed=True)

    def put(self, entry: dict[str, Any]) -> None:
        """What became of a video. Raises OSError."""
        self._write(entry)
        self.videos[entry["name"]] = entry

    def write_failed(self, transient: list[dict[str, Any]]) -> int:
        """Write failed.jsonl again: the failures in the index, and those of this run that the next one tries again."""
        again = {each["name"] for each in transient}
        failures = [each for each in self.videos.values() if "code" in each and each["name"] not in again] + transient
        part = self.work / FAILED
        lines = [json.dumps({name: each.get(name) for name in FAILURE_FIELDS}) + "\n" for each in failures]
        part.write_text("".join(lines), encoding="utf-8")
        os.replace(part, self.out / FAILED)
        return len(failures)

    def close(self) -> None:
        """Let another run have OUT."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._file.close()
        self._lock.close()

    def _is_same(self, name: str, source: Path | None, *, failed: bool) -> bool:
        entry = self.videos.get(name)
        if entry is None or ("code" in entry) != failed:
            return False
        if not failed and not (self.out / entry["output"]).exists():
            return False
        return source is None or self._is_unchanged(entry, source)

    def _is_unchanged(self, entry: dict[str, Any], source: Path) -> bool:
        try:
            stat = source.stat()
        except OSError:
            return False
        if (stat.st_size, stat.st_mtime_ns) == (entry.get("size"), entry.get("mtime_ns")):
            return True
        if stat.st_size != entry.get("size") or not entry.get("sha256") or _sha256(source) != entry["sha256"]:
            return False
        self.put({**entry, "mtime_ns": stat.st_mtime_ns})
        return True

    def _opened(self) -> IO[bytes]:
        """Read what is there; a last line that a killed run tore is cut off, so that the next one stands alone."""
        file = (self.out / INDEX).open("a+b")
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        self.about, self.videos = read_index(self.out)
        return file

    def _write(self, entry: dict[str, Any]) -> None:
        """One line, whole or not at all. Raises OSError."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
        except OSError:
            os.truncate(self.out / INDEX, end)
            raise


def read_index(out: Path) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]]]:
    """What the folder holds, if it says so, and the last entry of each video by its name."""
    about, videos = None, {}
    for line in (out / INDEX).read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a torn or damaged line: its video is done again
        if "name" in entry:
            videos[entry["name"]] = entry
        elif "options" in entry:
            about = entry
    return about, videos


def locked(folder: Path, out: Path) -> IO[bytes]:
    """A lock in ``folder``, held until the file is closed. Raises UsageError where another process writes to ``out``."""
    file = (folder / "lock").open("ab")
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UsageError(f"Another process writes to {out}. Wait for it, or give another folder.") from error
    return file


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1024 * 1024):
            digest.update(piece)
    return digest.hexdigest()
