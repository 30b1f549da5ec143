"""What many tests need."""

from __future__ import annotations

from pathlib import Path

import pytest
from videos import write_video

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def clip_mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of H.264 at 25/s, 128x96: four clips, no frame left over."""
    return write_video(tmp_path_factory.mktemp("videos") / "clip.mp4", 40)


@pytest.fixture(scope="session")
def eye_makeup() -> Path:
    """The real video of UCF101: 164 frames at 25/s, 320x240, Xvid AVI with B-frames."""
    path = SHARED / "v_ApplyEyeMakeup_g01_c01.avi"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    return path
