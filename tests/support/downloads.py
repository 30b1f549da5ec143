"""One file, one server, one directory: what the tests of downloads share."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_store.download.download import Downloader
from model_store.download.manifest import Source
from model_store.download.web import Web
from tests.support import loopback

CONTENT = bytes(range(251)) * 2000  # 502,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Case:
    """A server, a directory, a source at /w and what is said while it is fetched."""

    def __init__(self, server: loopback.Server, directory: Path) -> None:
        self.server, self.directory, self.out = server, directory, io.StringIO()
        self.clock: Callable[[], float] = lambda: 0.0

    def source(self, **changes: Any) -> Source:
        """The source of /w, or another."""
        given = {
            "name": "here",
            "file": "w.h5",
            "url": self.server.url("/w"),
            "form": "keras-hdf5",
            "licence": "none",
            "what": "weights",
        }
        return Source.model_validate({**given, "hash": ("sha256", SHA256), **changes})

    def fetch(self, **changes: Any) -> Path:
        """Fetch it."""
        return Downloader(self.directory, Web(), self.out, self.clock).fetch(self.source(**changes))

    @property
    def file(self) -> loopback.File:
        """The file at /w."""
        file = self.server.files["/w"]
        assert isinstance(file, loopback.File)
        return file

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [asked for _, asked in self.server.asked]

    def names(self) -> list[str]:
        """What lies in the directory."""
        return sorted(path.name for path in self.directory.iterdir())


@contextmanager
def serving(directory: Path) -> Iterator[Case]:
    """`CONTENT` at /w, to be fetched into the directory."""
    with loopback.serve({"/w": loopback.File(CONTENT)}) as server:
        yield Case(server, directory)
