"""`python -m corpus` on this machine: real videos through real decoders and a fake network, each once in the rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus.command import main
from service.settings import Settings
from tests.conftest import ROOT
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import fake_app, serving
from tests.support.videos import write_video

pytestmark = pytest.mark.slow
parquet = pytest.importorskip("pyarrow.parquet")

Corpus = Callable[..., int]
Rows = dict[str, dict[str, Any]]


def real(_settings: Settings, _progress: object, **changes: object) -> FakeNetwork:
    """A network that is no stand-in."""
    return FakeNetwork(weights="sports1m", **changes)


def other(settings: Settings, progress: object) -> FakeNetwork:
    return real(settings, progress, weights_sha256="ef" * 32)


def none(_settings: Settings, _progress: object) -> FakeNetwork:
    raise AssertionError("no network is needed")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos, one that is none, and one without a byte."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(5):
        write_video(folder / f"good{number}.mp4", 24 + 8 * number, seed=number)
    (folder / "bad.mp4").write_bytes(b"no video" * 100)
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def corpus(videos: Path, tmp_path: Path) -> Corpus:
    def run(*options: str, load: Any = real, listing: str = str(videos)) -> int:
        return main([listing, str(tmp_path / "out"), "-q", "--batch", "3", *options], load)

    return run


def rows(out: Path) -> Rows:
    """All rows by the file's name; fails where a video has two."""
    found = [
        row for part in sorted(out.glob("parts/**/*.parquet")) for row in parquet.read_table(part, partitioning=None).to_pylist()
    ]
    by_name = {Path(row["path"]).name: row for row in found}
    assert len(by_name) == len(found)
    return by_name


def test_a_folder_becomes_rows_as_the_service_answers(corpus: Corpus, videos: Path, tmp_path: Path) -> None:
    assert corpus("--clips", "--clip-stride", "16") == 1
    found = rows(tmp_path / "out")
    assert {name: row["code"] for name, row in found.items() if row["code"] != "ok"} == {
        "bad.mp4": "undecodable_video",
        "empty.mp4": "empty_file",
    }
    assert len(found) == 7
    (tmp_path / "spool").mkdir()
    with serving(fake_app(tmp_path / "spool", FakeNetwork(weights="sports1m"))) as client:
        for name in ("good0.mp4", "good4.mp4"):
            query = "/features?include=clips&clip_stride=16"
            headers = {"Content-Type": "application/octet-stream"}
            answer = client.post(query, content=(videos / name).read_bytes(), headers=headers).json()
            row = found[name]
            np.testing.assert_allclose(row["descriptor"], answer["descriptor"], atol=1e-5)
            np.testing.assert_allclose(row["clip_features"], [clip["descriptor"] for clip in answer["clips"]], rtol=1e-5)
            assert (row["id"], row["sha256"], row["clips"]) == (answer["id"], answer["video"]["sha256"], len(answer["clips"]))
            assert row["warnings"] == [each["code"] for each in answer["warnings"]]


def test_a_second_run_does_what_is_new_or_asked_for_again(corpus: Corpus, tmp_path: Path, videos: Path) -> None:
    names = ["good0.mp4", "bad.mp4"]
    manifest = tmp_path / "list.txt"
    manifest.write_text("".join(f"{videos / name}\n" for name in names))
    assert corpus(listing=str(manifest)) == 1
    assert corpus(listing=str(manifest), load=none) == 0  # all have rows
    manifest.write_text("".join(f"{videos / name}\n" for name in [*names, "good1.mp4"]))
    assert corpus(listing=str(manifest)) == 0
    assert sorted(rows(tmp_path / "out")) == ["bad.mp4", "good0.mp4", "good1.mp4"]
    assert corpus("--retry", "undecodable_video", listing=str(manifest)) == 1
    assert rows(tmp_path / "out")["bad.mp4"]["code"] == "undecodable_video"


def test_another_model_other_options_and_stand_ins_are_refused(corpus: Corpus, tmp_path: Path, capsys: Any) -> None:
    assert corpus(load=lambda _settings, _progress: FakeNetwork()) == 3
    assert corpus() == 1
    assert corpus("--clip-stride", "16") == 2
    assert corpus("--retry", "empty_file", load=other) == 2
    assert "weights_sha256" in capsys.readouterr().err
    assert corpus("--end-sec", "-1") == 2


def test_addresses_of_a_store_are_fetched(corpus: Corpus, videos: Path, tmp_path: Path) -> None:
    assert corpus(listing=f"file://{videos}") == 1
    found = rows(tmp_path / "out")
    assert len(found) == 7
    assert found["good0.mp4"]["path"] == f"file://{videos}/good0.mp4"


def test_shards_fill_one_folder(corpus: Corpus, tmp_path: Path) -> None:
    statuses = {corpus("--shard", f"{number}/3") for number in (1, 2, 3)}
    assert statuses <= {0, 1}
    assert len(rows(tmp_path / "out")) == 7


DEADLY = """
import os, sys
from corpus.command import main
from tests.corpus.test_run import real
from tests.support.fakes import FakeNetwork

class Deadly(FakeNetwork):
    def run(self, clips):
        if len(clips) and clips[0].mean() > 200:  # the white video
            os._exit(77)
        return super().run(clips)

sys.exit(main(sys.argv[1:], lambda settings, progress: Deadly(weights="sports1m")))
"""


def test_a_video_that_kills_the_worker_gets_a_row_after_two_deaths(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(4):
        write_video(folder / f"good{number}.mp4", 24, seed=number)
    white(folder / "white.mp4")
    command = [sys.executable, "-c", DEADLY, str(folder), str(tmp_path / "out"), "-q", "--batch", "8", "-j", "2"]
    statuses = [subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode for _ in range(3)]
    assert statuses == [77, 77, 1]
    found = rows(tmp_path / "out")
    assert {name: row["code"] for name, row in found.items()} == {
        **{f"good{number}.mp4": "ok" for number in range(4)},
        "white.mp4": "worker_killed",
    }


def white(path: Path) -> None:
    """A white video of 24 frames."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(24):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 255, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}


def test_a_library_that_is_missing_is_named_and_no_traceback_shown() -> None:
    code = "import runpy, sys; sys.modules['c3d_video'] = None; runpy.run_module('corpus', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("python -m corpus needs c3d_video, which is not installed here.")
    assert len(done.stderr.splitlines()) == 1
