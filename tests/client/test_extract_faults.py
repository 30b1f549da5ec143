"""`c3d-video extract` on the real service: clients and services killed under load, 429 storms, full disks, Ctrl-C.

Real processes, real sockets, real decoders, 64 videos with broken ones among them; only the network is a fake of a known speed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.service_process import Service, start
from tests.support.videos import write_video

pytestmark = pytest.mark.slow

NUM_GOOD, NUM_BAD = 56, 8
STEADY = ("-m", "tests.support.steady_server", "0.01")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 videos of which 8 are none."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(NUM_GOOD):
        write_video(folder / f"good{number:02d}.mp4", 48 + number, seed=number)
    for number in range(NUM_BAD):
        (folder / f"bad{number}.mp4").write_bytes(b"no video " * number)
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services; they end with the test."""
    services: list[Service] = []

    def one(**settings: str) -> Service:
        spool = tmp_path / f"spool{len(services)}"
        spool.mkdir()
        services.append(start(spool, *STEADY, **settings))
        return services[-1]

    yield one
    for service in services:
        service.process.kill()
        service.process.wait()


class Client:
    """A running `c3d-video extract`."""

    def __init__(self, corpus: Path, out: Path, *servers: str, **popen: Any) -> None:
        self.out = out
        options = [option for server in servers for option in ("--server", server)]
        command = [
            sys.executable,
            "-m",
            "c3d_video",
            "extract",
            str(corpus),
            "-o",
            str(out),
            *options,
            "-j",
            "8",
            "--allow-stand-in",
            "--json",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen
        )

    def done(self) -> list[dict[str, Any]]:
        index = self.out / "index.jsonl"
        content = index.read_bytes() if index.exists() else b""
        lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        return [line for line in lines if "output" in line]

    def until_done(self, count: int) -> None:
        """Until so many more videos are."""
        assert self.process.stdout
        while count:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            count -= "output" in json.loads(line)

    def wait(self, timeout_s: float = 180) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, said


def assert_whole(out: Path) -> None:
    """All good videos are there, each once and readable; all bad ones are told; nothing half-done stays."""
    failures = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    own = [each for each in failures if not each["name"].startswith("bad")]
    assert own == [], "a good video failed"
    assert sorted(each["name"] for each in failures) == [f"bad{number}.mp4" for number in range(NUM_BAD)]
    entries = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()[1:]]
    done = [entry["name"] for entry in entries if "output" in entry]
    assert sorted(done) == [f"good{number:02d}.mp4" for number in range(NUM_GOOD)]
    for number in range(NUM_GOOD):
        with np.load(out / f"good{number:02d}.npz") as arrays:
            assert len(arrays["clip_features"]) == len(arrays["start_sec"]) == (48 + number - 16) // 8 + 1
    assert [path.name for path in out.rglob("*.part")] == []


def test_a_killed_client_goes_on_where_it_stopped(corpus: Path, tmp_path: Path, serve: Callable[..., Service]) -> None:
    url = serve().url
    client = Client(corpus, tmp_path / "out", url)
    client.until_done(10)
    client.process.kill()
    client.wait()
    before = {entry["name"] for entry in client.done()}
    again = Client(corpus, tmp_path / "out", url)
    status, said = again.wait()
    assert status == 1, said
    assert f"{len(before)} were done before" in said
    assert_whole(tmp_path / "out")


def test_a_killed_service_loses_no_video(corpus: Path, tmp_path: Path, serve: Callable[..., Service]) -> None:
    service = serve()
    port = service.url.rpartition(":")[2]
    client = Client(corpus, tmp_path / "out", service.url)
    for count in (10, 20):
        client.until_done(count)
        service.process.kill()
        service.process.wait()
        service = serve(C3D_PORT=port)
    status, said = client.wait()
    assert status == 1, said
    assert_whole(tmp_path / "out")


def test_one_of_two_servers_dies(corpus: Path, tmp_path: Path, serve: Callable[..., Service]) -> None:
    one, other = serve(), serve()
    client = Client(corpus, tmp_path / "out", one.url, other.url)
    client.until_done(20)
    one.process.kill()
    status, said = client.wait()
    assert status == 1, said
    assert_whole(tmp_path / "out")


def test_a_storm_of_refusals_loses_no_video(corpus: Path, tmp_path: Path, serve: Callable[..., Service]) -> None:
    client = Client(corpus, tmp_path / "out", serve(C3D_MAX_REQUESTS="1").url)
    status, said = client.wait()
    assert status == 1, said
    assert_whole(tmp_path / "out")


def test_ctrl_c_ends_the_work_at_once(corpus: Path, tmp_path: Path, serve: Callable[..., Service]) -> None:
    service = serve()
    client = Client(corpus, tmp_path / "out", service.url)
    client.until_done(5)
    client.process.send_signal(signal.SIGINT)
    status, said = client.wait(timeout_s=2)  # 0.2 to 0.4 s on a machine that does other things too
    assert (status, "Traceback" in said) == (130, False)
    assert not list((tmp_path / "out").rglob("*.part"))
    service.wait_for("client_left")
    status, _ = Client(corpus, tmp_path / "out", service.url).wait()
    assert status == 1
    assert_whole(tmp_path / "out")


def test_a_full_disk_stops_the_run_in_one_line_and_it_goes_on_later(
    corpus: Path, tmp_path: Path, serve: Callable[..., Service]
) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    url = serve().url
    client = Client(corpus, tmp_path / "out", url, preexec_fn=small_files)
    status, said = client.wait()
    assert (status, "Traceback" in said) == (1, False)
    assert "There is no room left" in said
    assert not list((tmp_path / "out").rglob("*.part"))
    assert Client(corpus, tmp_path / "out", url).wait()[0] == 1
    assert_whole(tmp_path / "out")
