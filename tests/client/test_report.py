"""How a run tells of itself: bars on a terminal, a plain line now and then elsewhere, no colours where nobody wants them."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from c3d_video.errors import C3DError
from c3d_video.extract.report import Report
from c3d_video.extract.videos import Video
from tests.conftest import ROOT
from tests.support.scripted_service import ScriptedService, refused

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


@pytest.fixture
def two(tmp_path: Path) -> list[Video]:
    """A file of 300 bytes and one of 100."""
    for name, size in (("a.mp4", 300), ("b.mp4", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    return [Video(name, str(tmp_path / name)) for name in ("a.mp4", "b.mp4")]


def done(name: str) -> dict[str, object]:
    return {"name": name, "warnings": []}


def test_a_line_tells_the_time_that_is_left_by_bytes(two: list[Video], capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    report = Report(two, quiet=False, as_json=False, clock=lambda: now[0])
    report.begin()
    now[0] = 30
    report.line()
    for video in two:
        report.started(video)
    report.advanced(two[0], 0.5)
    report.done(two[1], done("b.mp4"))
    report.line()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "0 done, 0 failed of 2; 0.0 clips/s"
    assert second == "1 done, 0 failed of 2; 0.0 clips/s, about 18 s left"  # 250 of 400 bytes took 30 s


def test_a_line_tells_what_is_waited_for(two: list[Video], capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(two, quiet=False, as_json=False)
    report.waiting(two[0], C3DError("draining", 503, "The service is shutting down."))
    report.line()
    report.advanced(two[0], 0.1)
    report.line()
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("; waiting, the service says draining")
    assert "waiting" not in second


@pytest.mark.parametrize(("quiet", "as_json"), [(True, False), (False, True)])
def test_quiet_and_json_have_no_lines(
    two: list[Video],
    capsys: pytest.CaptureFixture[str],
    quiet: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    Report(two, quiet=quiet, as_json=as_json).line()
    assert capsys.readouterr().err == ""


def test_a_url_counts_as_the_mean_of_the_files(two: list[Video], capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    far = Video("https://example.com/c.mp4", "https://example.com/c.mp4")
    report = Report([*two, far], quiet=False, as_json=False, clock=lambda: now[0])
    now[0] = 10
    report.done(far, done(far.name))
    report.line()
    assert "about 20 s left" in capsys.readouterr().err  # 200 of 600 bytes


def on_a_terminal(service: ScriptedService, videos: Path, out: Path, **environment: str) -> str:
    """What `extract` writes to a terminal."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "c3d_video", "extract", str(videos), "-o", str(out), "--server", service.url, "-j", "2"]
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLORTERM", "FORCE_COLOR"}}
    whole = {**inherited, "PYTHONPATH": str(ROOT / "client"), "TERM": "xterm-256color", "COLUMNS": "100", **environment}
    process = subprocess.Popen(command, env=whole, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # Linux's end of a terminal whose other side is closed
        pass
    os.close(master)
    assert process.wait(timeout=60) == 0
    return written.decode()


@pytest.mark.slow
def test_a_terminal_has_a_bar_for_each_video_and_one_for_all(service: ScriptedService, videos: Path, out: Path) -> None:
    service.script = [refused(429, "overloaded", Retry_After="1")]  # so that the bars stand for a while
    written = on_a_terminal(service, videos, out)
    assert "3 videos" in written
    assert "Normal/Normal_1.mp4" in written
    assert "━" in written
    assert COLOUR.search(written)
    assert "3 done, 0 failed." in written


@pytest.mark.slow
def test_no_color_is_respected(service: ScriptedService, videos: Path, out: Path) -> None:
    written = on_a_terminal(service, videos, out, NO_COLOR="1")
    assert "3 videos" in written
    assert not COLOUR.search(written)


@pytest.mark.slow
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(service: ScriptedService, videos: Path, out: Path) -> None:
    written = on_a_terminal(service, videos, out, TERM="dumb")
    assert "\x1b" not in written
    assert written.splitlines() == ["3 done, 0 failed."]
