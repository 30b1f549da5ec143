"""OUT: what it holds, what is done in it, and which batch is at work."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from c3d_video.commandline import UsageError
from c3d_video.extract.index import differences, locked
from corpus import parts

ABOUT, PARTS, PRIVATE = "corpus.json", "parts", ".corpus"
RUN = "run"  # of the work folder: whose turn it is


class Out:
    """One OUT, or one shard's part of it. ``options``: all that makes rows differ beside the model."""

    def __init__(self, root: Path, options: dict[str, Any], shard: tuple[int, int] | None) -> None:
        name = f"shard-{shard[0]:05d}-of-{shard[1]:05d}" if shard else ""
        self.root, self.options = root, {**options, "shards": shard[1] if shard else 1}
        self.parts, self.work = root / PARTS / name, root / PRIVATE / name
        self.parts.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(parents=True, exist_ok=True)

    def lock(self) -> IO[bytes]:
        """Keep other runs out until it is closed. Raises UsageError."""
        return locked(self.work, self.root)

    def begin(self) -> str:
        """This run's mark. From now on an earlier run's workers, which may outlive their driver for a moment, write nothing."""
        mark = uuid4().hex
        (self.work / RUN).write_text(mark, encoding="utf-8")
        return mark

    def is_running(self, mark: str) -> bool:
        """Whether no later run has begun."""
        return (self.work / RUN).read_text(encoding="utf-8") == mark

    def check_options(self) -> None:
        """Raises UsageError where OUT holds rows made with other options."""
        about = self._about()
        if about and about["options"] != self.options:
            mine = about["options"]
            other = ", ".join(f"{name}={mine.get(name)}" for name in self.options if mine.get(name) != self.options[name])
            raise UsageError(f"{self.root} holds rows made with {other}. Give the same options, or another OUT.")

    def check_model(self, model: dict[str, Any]) -> None:
        """Say that OUT holds this model's rows. Raises UsageError where it holds another one's."""
        try:
            with (self.root / ABOUT).open("x", encoding="utf-8") as file:
                json.dump({"options": self.options, "model": model}, file)
        except FileExistsError:
            about = self._about() or {"model": {}}
            others = differences(about["model"], model)
            if others:
                raise UsageError(f"{self.root} holds rows of another model: {', '.join(others)} differ.") from None

    def todo(self, sources: Iterable[str], retry: set[str]) -> Iterator[str]:
        """Those without a row. Rows with a code of ``retry`` are taken out first."""
        done: set[bytes] = set()
        for part, paths, codes in parts.paths_done(self.parts):
            if retry & set(codes):
                parts.remove(part, retry, self.work)
            done.update(_digest(path) for path, code in zip(paths, codes, strict=True) if code not in retry)
        for source in sources:
            digest = _digest(source)
            if digest not in done:
                done.add(digest)  # what a manifest names twice is one row
                yield source

    def part(self, batch: list[str]) -> Path:
        """Where a batch's rows go: a name of the batch alone, so that a batch that is done twice still is there once."""
        return self.parts / f"part-{_name(batch)}{parts.SUFFIX}"

    def attempts(self, batch: list[str]) -> Attempts:
        """What earlier tries of this batch left behind."""
        return Attempts(self.work / f"{_name(batch)}.attempts")

    def _about(self) -> dict[str, Any] | None:
        try:
            about: dict[str, Any] = json.loads((self.root / ABOUT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(
                f"{self.root / ABOUT} is damaged. Delete it if you know which model and options OUT holds."
            ) from error
        return about


class Attempts:
    """Which videos of a batch were at work when a worker died, so that one that kills workers is found out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: set[str] = set()
        try:
            left = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            left = {"running": [], "deaths": {}}
        self.deaths: dict[str, int] = dict(left["deaths"])
        for source in left["running"]:
            self.deaths[source] = self.deaths.get(source, 0) + 1

    def begins(self, source: str) -> None:
        """Work on the video starts. Raises OSError."""
        self._running.add(source)
        self._write()

    def ended(self, source: str) -> None:
        """The worker has survived it. Raises OSError."""
        self._running.discard(source)
        self._write()

    def forget(self) -> None:
        """The batch is done."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        beside = self._path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"running": sorted(self._running), "deaths": self.deaths}), encoding="utf-8")
        os.replace(beside, self._path)


def batches(sources: Iterable[str], size: int) -> Iterator[list[str]]:
    """The sources by ``size``."""
    left = iter(sources)
    while batch := list(islice(left, size)):
        yield batch


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _name(batch: list[str]) -> str:
    return hashlib.blake2b("\n".join(batch).encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
