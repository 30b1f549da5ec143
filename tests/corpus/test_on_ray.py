"""A corpus on Ray, in real clusters on this machine: drivers, workers and nodes are killed, and each video has one row.

Run alone: `python -m pytest -m ray`, where requirements-corpus.txt is installed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.corpus.test_run import Rows, rows, white
from tests.support.corpus_networks import DEATHS
from tests.support.videos import write_video

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="requirements-corpus.txt is not installed"),
]

NUM_GOOD = 14
NOBODY = "127.0.0.1:9"  # discard: nobody listens there
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good ones, one of them white, and hostile ones."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_GOOD):
        write_video(folder / f"good{number:02d}.mp4", 24 + 8 * (number % 4), seed=number)
    white(folder / "white.mp4")
    (folder / "bad.mp4").write_bytes(b"no video" * 100)
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def start(videos: Path, tmp_path: Path) -> Start:
    """Start `python -m corpus`, with a network by its name."""
    (tmp_path / "deaths").mkdir()

    def one(network: str, *options: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.support.corpus_process", network, str(videos), str(tmp_path / "out")]
        command += ["--batch", "2", "-q", *options]
        given = environment(tmp_path / "deaths") | variables
        return subprocess.Popen(command, cwd=ROOT, env=given, stderr=subprocess.PIPE, text=True)

    return one


def environment(deaths: Path) -> dict[str, str]:
    """Workers of Ray run at the lowest priority, where a busy machine starves them."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    return {**os.environ, "PYTHONPATH": paths, DEATHS: str(deaths), "RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled"}


class Cluster:
    """Two nodes with a worker's room each."""

    def __init__(self, deaths: Path) -> None:
        command = [sys.executable, "-m", "tests.support.ray_cluster"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(deaths), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self._said("address ").split()[1]

    def lose_a_node(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self._said("removed")

    def close(self) -> None:
        assert self.process.stdin
        with self.process:
            self.process.stdin.close()

    def _said(self, what: str) -> str:
        assert self.process.stdout
        return next(line for line in self.process.stdout if line.startswith(what))


@pytest.fixture
def cluster(tmp_path: Path, start: Start) -> Iterator[Cluster]:
    running = Cluster(tmp_path / "deaths")
    yield running
    running.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit status, and what it said."""
    _, said = process.communicate()
    return process.returncode, said


def until_parts(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many parts are there."""
    while len(list(out.glob("parts/*.parquet"))) < count:
        with pytest.raises(subprocess.TimeoutExpired):  # else it has ended early
            process.wait(timeout=0.2)


def assert_whole(out: Path, white_code: str = "ok") -> Rows:
    """A row for each video, and its right code."""
    found = rows(out)
    bad = {"bad.mp4": "undecodable_video", "empty.mp4": "empty_file", "white.mp4": white_code}
    assert {name: row["code"] for name, row in found.items()} == {f"good{n:02d}.mp4": "ok" for n in range(NUM_GOOD)} | bad
    return found


def test_a_cluster_gives_what_a_bare_loop_gives(start: Start, tmp_path: Path) -> None:
    assert ended(start("real", "--ray", "local", "--workers", "2", RAY_ADDRESS=NOBODY))[0] == 1
    on_cluster = assert_whole(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "cluster")
    assert ended(start("real"))[0] == 1
    for name, row in assert_whole(tmp_path / "out").items():
        if row["code"] == "ok":
            np.testing.assert_array_equal(row["descriptor"], on_cluster[name]["descriptor"])
        assert row["id"] == on_cluster[name]["id"]


def test_a_worker_that_dies_loses_nothing(start: Start, tmp_path: Path) -> None:
    assert ended(start("deadly_once", "--ray", "local", "--workers", "2"))[0] == 1
    assert len(list((tmp_path / "deaths").iterdir())) == 1
    assert_whole(tmp_path / "out")


def test_a_video_that_kills_every_worker_gets_a_row(start: Start, tmp_path: Path) -> None:
    assert ended(start("deadly", "--ray", "local", "--workers", "2"))[0] == 1
    assert len(list((tmp_path / "deaths").iterdir())) == 2
    assert_whole(tmp_path / "out", "worker_killed")


def test_a_killed_driver_goes_on_where_it_stopped(start: Start, tmp_path: Path, cluster: Cluster) -> None:
    driver = start("slow", "--ray", cluster.address, "--workers", "2")
    until_parts(tmp_path / "out", 2, driver)
    driver.send_signal(signal.SIGKILL)
    ended(driver)
    assert len(rows(tmp_path / "out")) < NUM_GOOD
    status, _ = ended(start("slow", "--ray", cluster.address, "--workers", "2"))
    assert status in {0, 1}  # 0 where the bad videos had their rows before the kill
    assert_whole(tmp_path / "out")


def test_a_lost_node_loses_nothing(start: Start, tmp_path: Path, cluster: Cluster) -> None:
    driver = start("slow", "--ray", cluster.address, "--workers", "2")
    until_parts(tmp_path / "out", 2, driver)
    cluster.lose_a_node()
    assert ended(driver)[0] == 1
    assert_whole(tmp_path / "out")


def test_another_model_is_refused_and_nothing_hangs(start: Start, tmp_path: Path) -> None:
    assert ended(start("real"))[0] == 1
    status, said = ended(start("other", "--ray", "local", "--retry", "empty_file"))
    assert status == 1
    assert "weights_sha256" in said


def test_a_cluster_that_does_not_answer_is_said_so(start: Start) -> None:
    status, said = ended(start("real", "--ray", NOBODY))
    assert status == 2
    assert f"No Ray cluster answers at {NOBODY}" in said
