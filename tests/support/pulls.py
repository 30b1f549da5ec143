"""A loopback server, a store, and the manifest that names the one to the other."""

from __future__ import annotations

import bz2
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from model_store import c3d, pull
from model_store.download.manifest import Manifest
from model_store.download.web import Web
from tests.support import layout_writers, loopback, store_fakes

LABELS = "".join(f"sport {i}\n" for i in range(c3d.NUM_CLASSES)).encode()
MEAN = layout_writers.blob(store_fakes.cube())


@cache
def npy_bz2() -> bytes:
    """A mean of UCF101's form: channels last, float64, compressed."""
    file = io.BytesIO()
    np.save(file, store_fakes.cube(50).transpose(1, 2, 3, 0).astype(np.float64))
    return bz2.compress(file.getvalue(), 1)


FORMS = {"mean": "binaryproto", "ucf": "npy-bz2", **dict.fromkeys(("weights", "a", "b"), "keras-hdf5")}


class Case:
    """A loopback server, a store, and the manifest that names the one to the other."""

    def __init__(self, server: loopback.Server, directory: Path) -> None:
        self.server, self.directory, self.out = server, directory, io.StringIO()
        self.weights = [self.source("weights")]
        self.means = [self.source("mean", hash=("sha256", hashlib.sha256(MEAN).hexdigest()))]
        self.labels = [self.source("labels")]

    def source(self, name: str, **changes: Any) -> dict[str, Any]:
        """An entry of the manifest."""
        given = {
            "name": name,
            "file": f"{name}.bin",
            "url": self.server.url(f"/{name}"),
            "form": FORMS.get(name, "text"),
            "licence": "CC BY-NC 3.0",
            "what": f"the {name}",
        }
        return {**given, **changes}

    def manifest(self) -> Manifest:
        """All entries."""
        means = {"sports1m": self.means, "ucf101": [self.source("ucf")]}
        return Manifest.model_validate({"weights": self.weights, "means": means, "labels": self.labels})

    def puller(self) -> pull.Puller:
        """What fetches them."""
        return pull.Puller(self.directory, self.manifest(), Web(), self.out)

    def asked(self) -> list[str]:
        """The paths of the requests so far."""
        return [path for path, _ in self.server.asked]


@contextmanager
def serving(directory: Path) -> Iterator[Case]:
    """A mean for each preprocessing and labels; no weights yet."""
    files = {"/mean": loopback.File(MEAN), "/ucf": loopback.File(npy_bz2()), "/labels": loopback.File(LABELS)}
    with loopback.serve({**files}) as server:
        yield Case(server, directory)
