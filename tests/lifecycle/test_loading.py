"""From settings to what is served, or to the reason why nothing is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from model_store.tensors import ModelMissing, StoreError
from service.errors import DeviceUnavailable, KnownAnswerWrong, PrecisionUnavailable, ServiceError, StartFailed, WeightsMissing
from service.http.metrics import Metrics
from service.lifecycle import loading
from service.lifecycle.readiness import Readiness
from service.settings import Settings
from service.video.sandbox import NONE
from tests.support.fakes import FakeNetwork


class NoDecoder:
    """A pool without processes."""

    sandbox = NONE

    async def start(self) -> None:
        """Nothing to start."""


def start(load: Any, **settings: Any) -> tuple[Readiness, list[str], Any]:
    readiness, refusals = Readiness(), list[str]()

    async def run() -> Any:
        return await loading.start(Settings(**settings), load, readiness, NoDecoder(), Metrics(), refusals.append)  # type: ignore[arg-type]

    return readiness, refusals, asyncio.run(run())


def test_a_loaded_network_is_served_with_its_model(tmp_path: Path) -> None:
    readiness, refusals, batcher = start(lambda settings, progress: FakeNetwork())
    serving = readiness.serving()
    batcher.stop()
    assert refusals == []
    assert serving.model == {
        "name": "stand-in",
        "weights": "stand-in",
        "weights_sha256": FakeNetwork().card.weights_sha256,
        "preprocessing": "c3d-sports1m",
        "keep_aspect": False,
        "frame_rows": 128,
        "frame_columns": 171,
        "crop_top": 8,
        "crop_left": 29,
        "long_side": "rounded",
        "color_tags": "honour",
        "channel_order": "BGR",
        "scale": 1.0,
        "mean": "stand-in",
        "mean_sha256": FakeNetwork().card.mean_sha256,
        "pool5": "caffe",
        "precision": "float32",
        "backend": "fake 1.0 on cpu",
        "version": serving.info["version"],
    }
    assert [notice.code for notice in serving.warnings()] == ["stand_in_weights"]
    assert len(serving.labels) == 487


@pytest.mark.parametrize(
    ("error", "reason", "fatal"),
    [
        (ModelMissing("nothing is there"), WeightsMissing, False),
        (KnownAnswerWrong("class 3"), KnownAnswerWrong, False),
        (StoreError("damaged"), StartFailed, True),
        (PrecisionUnavailable("no AVX-512"), StartFailed, True),
        (DeviceUnavailable("no GPU"), StartFailed, True),
        (RuntimeError("a secret"), StartFailed, True),
    ],
)
def test_a_reason_why_not(error: Exception, reason: type[ServiceError], *, fatal: bool) -> None:
    def load(settings: Settings, progress: Any) -> Any:
        raise error

    readiness, refusals, batcher = start(load)
    assert batcher is None
    with pytest.raises(reason) as caught:
        readiness.serving()
    assert "secret" not in str(caught.value)
    assert bool(refusals) == fatal


def test_reading_is_as_the_settings_and_the_model_have_it() -> None:
    settings = Settings(max_pixels=7, max_video_s=8.0)
    card = FakeNetwork(preprocessing="c3d-ucf101-mean", crop_left=30, color_tags="ignore").card
    reading = loading.read_options(settings, card)
    assert (reading.max_pixels, reading.max_video_s) == (7, 8.0)
    assert (reading.honour_color_tags, reading.crop_left) == (False, 30)
