"""A scripted service for each test, and the command as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from c3d_video.__main__ import main
from tests.support.scripted_service import ScriptedService, scripted

Extract = Callable[..., int]


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with scripted() as running:
        yield running


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with three videos as the scripted service takes them: any bytes."""
    folder = tmp_path / "videos"
    for name in ("Abuse/Abuse001_x264.mp4", "Normal/Normal_1.mp4", "v_top.avi"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def extract(service: ScriptedService, videos: Path, out: Path) -> Extract:
    """`c3d-video extract videos -o out --server ...` with more options; its exit status."""

    def run(*options: str, paths: tuple[str, ...] = (str(videos),)) -> int:
        return main(["extract", *paths, "-o", str(out), "--server", service.url, "-q", *options])

    return run
