"""`c3d-video classify` against a scripted service: bars and segments for people, three forms for programs, and what fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from c3d_video.__main__ import main
from c3d_video.classify import clock
from tests.conftest import ROOT
from tests.support.scripted_service import ScriptedService, failed, refused

Classify = Callable[..., int]
STAND_IN = {"code": "stand_in_weights", "message": "The numbers mean nothing."}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "v_strike.mp4"
    path.write_bytes(b"a video")
    return path


@pytest.fixture
def classify(service: ScriptedService, clip: Path) -> Classify:
    def run(*options: str, files: tuple[str, ...] = ()) -> int:
        return main(["classify", *(files or (str(clip),)), "--server", service.url, *options])

    return run


def test_bars_and_segments_for_people(classify: Classify, service: ScriptedService, capsys: pytest.CaptureFixture[str]) -> None:
    service.warnings = [STAND_IN]
    assert classify("--top-k", "2", "--clip-stride", "16") == 0
    assert service.asked[0][1] == {"include": "clips,segments", "top_k": "2", "clip_stride": "16"}
    title, bowling, rock, first, second, warning = capsys.readouterr().out.splitlines()
    assert title.endswith("v_strike.mp4")
    assert (bowling.split()[0], bowling.split()[-1]) == ("bowling", "75.0%")
    assert rock.startswith("  [rock] & <roll>")
    assert bowling.count("█") + bowling.count("#") == 22  # three quarters of 30, rounded to even
    assert "00:00:00.0 - 00:00:00.5  bowling 75.0%" in first
    assert "00:00:00.5 - 00:00:01.0  [rock] & <roll> 12.5%" in second
    assert warning == "  warning: stand_in_weights: The numbers mean nothing."


def test_a_terminal_without_unicode_gets_plain_bars(
    classify: Classify, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import sys

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    assert classify() == 0
    assert b"######################........" in written.getvalue()


def test_json_is_a_line_for_each_video(classify: Classify, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify("--json", files=(str(clip), str(clip))) == 0
    one, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one == other
    assert one["predictions"][0] == {"label": "bowling", "score": 0.75, "class_id": 7}
    assert [(each["start_sec"], each["end_sec"], each["predictions"][0]["label"]) for each in one["clips"]] == [
        (0.0, 0.5, "bowling"),
        (0.5, 1.0, "[rock] & <roll>"),
        (1.0, 1.5, "bowling"),
    ]
    assert one["segments"][1] == {"label": "[rock] & <roll>", "class_id": 9, "start_sec": 0.5, "end_sec": 1.0, "score": 0.125}
    assert {"id", "file", "model", "video", "warnings"} <= one.keys()


def test_vtt_is_subtitles(classify: Classify, service: ScriptedService, capsys: pytest.CaptureFixture[str]) -> None:
    service.warnings = [STAND_IN]
    assert classify("--vtt") == 0
    said = capsys.readouterr()
    head, first, second = said.out.split("\n\n")
    assert head == "WEBVTT"
    assert first == "00:00:00.000 --> 00:00:00.500\nbowling (75%)"
    assert second == "00:00:00.500 --> 00:00:01.000\n[rock] &amp; &lt;roll&gt; (12%)\n"
    assert "stand_in_weights" in said.err


def test_activitynets_evaluation_takes_its_form(
    classify: Classify, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(b"another")
    assert classify("--activitynet", files=(str(clip), str(other), "https://example.com/v_far%20away.mp4?x=1")) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"results", "version", "external_data"} <= said.keys()  # without all three it is refused
    rows = [  # its reader's loop over videos and results
        (video, result["segment"][0], result["segment"][1], result["label"], result["score"])
        for video, results in said["results"].items()
        for result in results
    ]
    assert rows[:2] == [("strike", 0.0, 0.5, "bowling", 0.75), ("strike", 0.5, 1.0, "[rock] & <roll>", 0.125)]
    assert [*said["results"]] == ["strike", "other", "far away"]


@pytest.mark.parametrize("option", ["--vtt", "--activitynet"])
def test_two_videos_where_the_form_has_room_for_one_are_refused(
    classify: Classify, service: ScriptedService, clip: Path, option: str
) -> None:
    assert classify(option, files=(str(clip), str(clip))) == 2
    assert service.asked == []


def test_one_form_at_a_time(classify: Classify) -> None:
    with pytest.raises(SystemExit) as ended:
        classify("--vtt", "--json")
    assert ended.value.code == 2


def test_what_fails_is_told_and_the_rest_is_done(
    classify: Classify, service: ScriptedService, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.script = [failed("decoder_failed"), refused(422, "undecodable_video")]
    assert classify("--json", files=(str(clip), str(clip), "nothing.mp4", str(clip))) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert [line.split(": ")[2] for line in said.err.splitlines()] == [
        "decoder_failed",
        "undecodable_video",
        "the file cannot be read",
    ]


@pytest.mark.parametrize(
    ("status", "code", "exit_status"),
    [(401, "unauthorized", 3), (501, "no_class_layer", 3), (503, "weights_missing", 3), (422, "invalid_option", 2)],
)
def test_what_every_video_would_meet_ends_it(
    classify: Classify, service: ScriptedService, clip: Path, status: int, code: str, exit_status: int
) -> None:
    service.script = [refused(status, code)] * 2
    assert classify(files=(str(clip), str(clip))) == exit_status
    assert len(service.asked) == 1


def test_no_service_is_one_line_at_once(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(clip), "--server", "http://127.0.0.1:1"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_busy_service_is_asked_again(classify: Classify, service: ScriptedService) -> None:
    service.script = [refused(429, "overloaded", Retry_After="0")]
    assert classify() == 0
    assert len(service.asked) == 2


@pytest.mark.parametrize(
    ("seconds", "digits", "text"), [(0, 1, "00:00:00.0"), (3725.04, 1, "01:02:05.0"), (59.9996, 3, "00:01:00.000")]
)
def test_clock(seconds: float, digits: int, text: str) -> None:
    assert clock(seconds, digits) == text


@pytest.mark.parametrize("command", [("classify", "--json"), ("extract", "--json", "-o", "out")])
def test_a_reader_that_has_seen_enough_ends_it_in_silence(
    command: tuple[str, ...], service: ScriptedService, clip: Path, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` does
    done = subprocess.run(
        [sys.executable, "-m", "c3d_video", *command, str(clip), "--server", service.url],
        env={**os.environ, "PYTHONPATH": str(ROOT / "client")},
        cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" not in done.stderr


def test_an_address_where_no_c3d_service_answers_is_named(
    classify: Classify, service: ScriptedService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.info_status = 404
    assert classify() == 3
    assert capsys.readouterr().err.splitlines()[-1] == f"c3d-video: No C3D service answers at {service.url}. Check the address."
