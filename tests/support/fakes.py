"""Real implementations of the service's small interfaces, without what makes them heavy."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model_store import c3d, standin
from model_store.card import Card
from service.inference.network import Network
from service.lifecycle.readiness import InfoOut, ModelOut, Serving, model_out
from service.settings import VERSION
from service.video.frames import read_video
from service.video.messages import ReadOptions
from service.video.pool import DecoderPool
from service.video.process import Decoded

WAVES = np.cos(np.outer(np.arange(1, 49), np.arange(c3d.DESCRIPTOR_SIZE)))
LABELS = tuple(f"class {i}" for i in range(c3d.NUM_CLASSES))


def card(**changes: object) -> Card:
    """A card as the stand-in weights have it."""
    values = {
        "name": "stand-in",
        "weights": "stand-in",
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
        "num_classes": c3d.NUM_CLASSES,
        "preprocessing": "c3d-sports1m",
        "crop_left": c3d.CROP_LEFT,
        "mean": "stand-in",
        "mean_sha256": hashlib.sha256(b"mean").hexdigest(),
        "labels": "numbered",
        "known_answer": standin.KNOWN_ANSWER,
        "source": "tests/support/fakes.py",
        "form": "seeded",
        "licence": "none needed",
        "created": "2026-11-23",
    }
    return Card.model_validate(values | changes)


def model_block(**changes: Any) -> ModelOut:
    """The block `model` of an answer that was made with the weights of `card`."""
    block = model_out(card(), "float32", "fake 1.0 on cpu")
    block.update(changes)  # type: ignore[typeddict-item]
    return block


def fake_serving(pipeline: Any, weights: str = "sports1m") -> Serving:
    """What answers requests, with this pipeline."""
    info: InfoOut = {
        "model": {},
        "backend": "",
        "precision": "float32",
        "batch_sizes": [1],
        "version": VERSION,
        "sandbox": "none",
    }
    return Serving(pipeline, model_block(weights=weights), info, ())


class FakeNetwork(Network):
    """A network of ten lines: each clip's outputs depend on every one of its frames and their order, and on no other clip."""

    def __init__(self, **changes: object) -> None:
        self.card = card(**changes)  # it has no weights, so there is no Model to take it from
        self.labels = LABELS[: self.card.num_classes]
        self.precision = "float32"
        self.backend = "fake 1.0 on cpu"
        self.calibration_sha256: str | None = None
        self.batch_sizes: tuple[int, ...] = (1, 2, 4)
        self.batches: list[int] = []

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        self.batches.append(len(clips))
        return fake_outputs(clips, self.card.num_classes)

    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        return fake_outputs(np.zeros((1, *c3d.CLIP_SHAPE), np.uint8), self.card.num_classes)


def fake_outputs(clips: NDArray[np.uint8], num_classes: int = c3d.NUM_CLASSES) -> c3d.ClipOutputs:
    """What FakeNetwork computes of clips uint8 (b, 16, 112, 112, 3)."""
    frames = clips.reshape(-1, *clips.shape[2:])
    levels = np.array([cv2.mean(frame)[:3] for frame in frames]).reshape(len(clips), -1)  # (b, 48): means by frame and channel
    fc6 = np.stack([np.abs(row @ WAVES) for row in levels]).astype(np.float32)  # row by row: the same in any batch
    logits = fc6[:, :num_classes] / 500
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=0))
    pool5 = np.concatenate([fc6 * 3, fc6[:, ::-1]], axis=1)
    return c3d.ClipOutputs(pool5, fc6, fc6[:, ::-1] * 2, powers / powers.sum(axis=1, keepdims=True))


class InlineDecoder(DecoderPool):
    """A pool without processes: it decodes in this process and thread."""

    def __init__(self, most: int = 0) -> None:
        super().__init__(most=0)

    @asynccontextmanager
    async def open(self, path: Path, options: ReadOptions) -> AsyncGenerator[AsyncIterator[Decoded]]:
        async with aclosing(self._read(path, options)) as messages:
            yield messages

    async def _read(self, path: Path, options: ReadOptions) -> AsyncGenerator[Decoded]:
        with closing(read_video(path, options)) as messages:
            for message in messages:
                yield Decoded(message, 0.001)
