"""A private directory while it is needed, and nothing of it, nor of a crash, afterwards."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import DiskFull
from service.intake import spool
from tests.conftest import ROOT


def test_lives_as_long_as_its_context(tmp_path: Path) -> None:
    with spool.opened(tmp_path / "new" / "parent", 100) as opened:
        own = opened.path
        (own / "request-1").mkdir()
        (own / "request-1" / "video").write_bytes(b"video")
        assert own.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "new" / "parent").iterdir()) == []


def test_is_gone_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), spool.opened(tmp_path, 100):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_several_services_share_a_parent(tmp_path: Path) -> None:
    with spool.opened(tmp_path, 100) as first, spool.opened(tmp_path, 100) as second:
        assert first.path != second.path
        assert first.path.is_dir()


def test_what_a_crash_left_is_swept(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from service.intake import spool
from service.errors import DiskFull
with spool.opened(Path({str(tmp_path)!r}), 100) as own:
    (own.path / "video").write_bytes(b"somebody's video")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    assert (left / "video").exists()
    with spool.opened(tmp_path, 100) as own:
        assert list(tmp_path.iterdir()) == [own.path]


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{spool.PREFIX}file").write_text("no directory")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / f"{spool.PREFIX}link").symlink_to(elsewhere)
    with spool.opened(tmp_path, 100):
        assert (elsewhere / "kept").exists()
        assert (tmp_path / "mine").exists()


def test_counts_bytes_and_refuses_too_many(tmp_path: Path) -> None:
    with spool.opened(tmp_path, 100) as own:
        with own.share() as mine:
            with own.share() as others:
                mine(60)
                others(40)
                with pytest.raises(DiskFull):
                    mine(1)
            mine(40)
            assert own.used_bytes == 100
        assert own.used_bytes == 0


def test_a_strangers_lock_on_the_parent_holds_nobody_up(tmp_path: Path) -> None:
    """Whoever may read /tmp may lock it; the start waited for that."""
    with _locked(tmp_path), spool.opened(tmp_path, 1) as own:
        assert own.path.parent == tmp_path


def test_a_directory_that_another_start_removes_before_it_is_locked_is_made_again(tmp_path: Path) -> None:
    """Many starts at once, each sweeping what it finds: every one has a directory of its own that stays."""

    def start(_: int) -> bool:
        with spool.opened(tmp_path, 1) as own:
            (own.path / "file").write_bytes(b"x")
            return (own.path / "file").exists()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(start, range(200)))
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)
