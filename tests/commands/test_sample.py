"""The video that `make sample` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.__main__ import main
from service.commands import sample
from service.video.inline import clips_of
from service.video.messages import ReadOptions


@pytest.mark.slow
def test_it_is_a_video_that_the_service_reads_and_in_which_something_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ball.mp4"
    assert main(["sample", str(path)]) == 0
    said = capsys.readouterr().out
    assert str(path) in said
    clips = list(clips_of(path, ReadOptions()))
    assert len(clips) == 11  # of 100 frames
    assert "curl -F file=@" in said
    assert np.ptp(clips[0].astype(int), axis=0).max() > 50


def test_a_directory_that_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(tmp_path / "none" / "ball.mp4"), "--seconds", "1"]) == 1
    assert capsys.readouterr().err.startswith("sample: No such file or directory: ")


@pytest.mark.slow
def test_a_longer_one_is_enough_to_calibrate_on(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    assert main(["sample", str(path), "--seconds", "12"]) == 0
    assert len(list(clips_of(path, ReadOptions(clip_stride=16)))) == 18


def test_it_can_be_written_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["sample", "-", "--seconds", "1"]) == 0
    assert capfdbinary.readouterr().out == sample.video(1)


def test_pictures_have_the_size_they_say() -> None:
    assert sample.picture(0).shape == (sample.HEIGHT, sample.WIDTH, 3)
    assert sample.picture(150).shape == (sample.HEIGHT, sample.WIDTH, 3)
