"""305 MiB, killed in the middle and pulled again."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model_store import c3d, store
from model_store.tensors import identity
from tests.conftest import ROOT
from tests.support import layout_writers, loopback
from tests.support.pulls import Case, serving

pytestmark = pytest.mark.slow


class Weights:
    """A Keras 2 file of full-size weights, and their identity."""

    def __init__(self, path: Path) -> None:
        tensors = layout_writers.seeded(c3d.weight_shapes())
        layout_writers.ALL["keras 2"](tensors, path)
        self.content, self.sha256 = path.read_bytes(), identity(tensors)


def start(case: Case, *more: str) -> subprocess.Popen[str]:
    """A pull in its own process, into the case's store."""
    manifest = case.directory / "manifest.json"
    manifest.write_text(case.manifest().model_dump_json())
    environment = {**os.environ, "C3D_MODEL_STORE": str(case.directory / "store")}
    command = [sys.executable, "-m", "model_store", "pull", "--manifest", str(manifest), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def kill_in_the_middle(case: Case, content: bytes) -> None:
    """Pull from a server that stops half way, and end the process there."""
    arrived, killed = threading.Event(), threading.Event()

    def stall(request: loopback.Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("ETag", '"v1"')
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])
        arrived.set()
        killed.wait()

    case.server.files["/weights"] = stall
    with start(case) as process:
        assert arrived.wait(60)
        process.send_signal(signal.SIGKILL)
    killed.set()


def test_killed_pull_run_again(tmp_path: Path) -> None:
    """Run again twice at once; then once more for the other preprocessing."""
    weights = Weights(tmp_path / "w.h5")
    with serving(tmp_path) as case:
        kill_in_the_middle(case, weights.content)
        assert store.names(case.directory / "store") == []

        case.server.files["/weights"] = loopback.File(weights.content)
        both = [start(case), start(case)]
        said = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        asked = [ranged for path, ranged in case.server.asked if path == "/weights"]
        assert len(asked) == 2
        assert 0 < int((asked[1] or "").removeprefix("bytes=").removesuffix("-")) <= len(weights.content) // 2
        card = store.open_model(case.directory / "store").card
        assert (card.weights_sha256, card.known_answer, card.labels) == (weights.sha256, 184, "sports1m")
        assert card.file_sha256 == hashlib.sha256(weights.content).hexdigest()

        again = start(case, "--preprocessing", "c3d-ucf101-mean")
        out, _ = again.communicate()
        assert again.returncode == 0
        assert out.startswith("Pulled: sports1m ")
        assert case.asked() == ["/mean", "/labels", "/weights", "/weights", "/ucf"]
        card = store.open_model(case.directory / "store").card
        assert (card.preprocessing, card.crop_left, card.mean) == ("c3d-ucf101-mean", 30, "ucf101")
        assert card.weights_sha256 == weights.sha256
