"""What a decoder process says to what it is told, without the process."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.video import ring
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions
from service.video.worker import Worker
from tests.support.videos import write_video


class Run:
    """One life: the lines it hears, and what it then has said."""

    def __init__(self, *lines: str, is_healthy: bool = True) -> None:
        self.ring = np.zeros(ring.RING_SHAPE, np.uint8)
        messages = io.BytesIO()
        commands = io.BytesIO("".join(f"{line}\n" for line in lines).encode().replace(b"}\n", b"}\ngo\n"))
        paths = iter([json.loads(line)["path"] for line in lines if line.startswith("{")])
        try:
            Worker(self.ring, commands, messages, lambda: os.open(next(paths), os.O_RDONLY), lambda: is_healthy).run()
        except SystemExit:
            self.exited = True
        else:
            self.exited = False
        self.said: list[dict[str, Any]] = [json.loads(line) for line in messages.getvalue().splitlines()]

    def kinds(self) -> list[str]:
        return [next(iter(message)) for message in self.said]


def job(path: Path, **options: Any) -> str:
    return json.dumps({"path": str(path), "options": asdict(ReadOptions(**options))})


def test_says_what_it_reads_and_puts_the_frames_into_the_ring(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 32)
    run = Run(job(path))
    assert run.kinds() == ["memory_bytes", "info", "block", "block", "block", "block", "end"]
    blocks = [message for message in read_video(path) if isinstance(message, FrameBlock)]
    assert all(np.array_equal(run.ring[number], block.frames) for number, block in enumerate(blocks))
    assert [message["numbers"][0] for message in run.said[2:-1]] == [0, 8, 16, 24]


def test_waits_for_a_free_place_before_it_overwrites_one(clip_mp4: Path) -> None:
    assert Run(job(clip_mp4)).kinds() == ["memory_bytes", "info", *["block"] * ring.RING_LENGTH]  # it waits for more
    assert Run(job(clip_mp4)).exited  # until nobody is there
    assert Run(job(clip_mp4), "more").kinds() == ["memory_bytes", "info", *["block"] * 5, "end"]


def test_drops_its_video_when_the_reader_leaves(tmp_path: Path) -> None:
    run = Run(job(write_video(tmp_path / "a.mp4", 80)), "stop")
    assert run.kinds() == ["memory_bytes", "info", *["block"] * ring.RING_LENGTH, "stopped"]
    assert not run.exited


def test_ends_by_itself_where_its_clips_end(tmp_path: Path) -> None:
    run = Run(job(write_video(tmp_path / "a.mp4", 400), max_clips=1, end_sec=2.0))
    assert run.kinds() == ["memory_bytes", "info", "block", "block", "end"]
    assert [number for message in run.said[2:-1] for number in message["numbers"]] == list(range(16, 32))
    assert run.said[-2]["end_sec"][-1] == 32 / 25
    assert run.said[-1]["end"]["whole"] is False


def test_words_about_a_video_that_is_over_mean_nothing(clip_mp4: Path) -> None:
    run = Run(job(clip_mp4, end_sec=0.2), "more", "stop", job(clip_mp4, end_sec=0.2), "more")
    assert run.kinds() == ["memory_bytes", "info", "block", "end"] * 2


@pytest.mark.parametrize(("limits", "code"), [({}, "undecodable_video"), ({"max_pixels": 1}, "video_too_large")])
def test_a_refusal_is_said_and_the_next_video_is_read(tmp_path: Path, clip_mp4: Path, limits: dict[str, int], code: str) -> None:
    (tmp_path / "video").write_bytes(b"no video")
    run = Run(job(clip_mp4 if limits else tmp_path / "video", **limits), job(clip_mp4, end_sec=0.2))
    assert run.kinds() == ["error", "memory_bytes", "info", "block", "end"]
    assert run.said[0]["error"] == code


def test_a_large_video_begins_when_it_may(clip_mp4: Path) -> None:
    run = Run(job(clip_mp4), "stop")  # the word after go is for the blocks
    assert run.said[0] == {"memory_bytes": 128 * 96 * (12 * 3 // 2 + 3)}


@pytest.mark.parametrize("is_healthy", [True, False])
def test_a_file_that_takes_too_much_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch, clip_mp4: Path, *, is_healthy: bool
) -> None:
    def too_much(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("service.video.frames.Decoder.frames", too_much)
    run = Run(job(clip_mp4), is_healthy=is_healthy)
    assert run.said[-1]["error"] == "decoder_failed"
    assert run.said[-1]["healthy"] is is_healthy


def test_whatever_else_goes_wrong_is_that_files_failure(clip_mp4: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(
        json.dumps({"path": str(clip_mp4), "options": asdict(ReadOptions()) | {"crop_left": 100}}), job(clip_mp4, end_sec=0.2)
    )
    assert run.kinds() == ["memory_bytes", "info", "error", "memory_bytes", "info", "block", "end"]
    assert run.said[2]["error"] == "decoder_failed"
    assert "ValueError" in run.said[2]["cause"]
    assert capsys.readouterr().err == ""  # which may be a file, and this process may write none
