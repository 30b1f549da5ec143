"""A private directory while it is needed, and nothing of it, nor of a crash, afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from service import spool


def test_lives_as_long_as_its_context(tmp_path: Path) -> None:
    with spool.directory(tmp_path / "new" / "parent") as own:
        (own / "request-1").mkdir()
        (own / "request-1" / "video").write_bytes(b"video")
        assert own.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "new" / "parent").iterdir()) == []


def test_is_gone_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), spool.directory(tmp_path):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_several_services_share_a_parent(tmp_path: Path) -> None:
    with spool.directory(tmp_path) as first, spool.directory(tmp_path) as second:
        assert first != second
        assert first.is_dir()


def test_what_a_crash_left_is_swept(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from service import spool
with spool.directory(Path({str(tmp_path)!r})) as own:
    (own / "video").write_bytes(b"somebody's video")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    assert (left / "video").exists()
    with spool.directory(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{spool.PREFIX}file").write_text("no directory")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / f"{spool.PREFIX}link").symlink_to(elsewhere)
    with spool.directory(tmp_path):
        assert (elsewhere / "kept").exists()
        assert (tmp_path / "mine").exists()
