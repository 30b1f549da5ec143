"""Each layer of the compiled library against a direct convolution in float64, and what may not change a bit."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import c3d
from service.inference.winograd import library
from service.inference.winograd.layers import Layers
from tests.inference.winograd.conftest import SANITIZED
from tests.support import direct

pytestmark = pytest.mark.slow
Floats = NDArray[np.float32]
# A sum of n float32 is wrong by less than this on its way through the transforms. Measured: at most 1.1e-6.
ROUNDING = 3e-6


class Case(NamedTuple):
    frames: int
    size: int
    channels: int
    outputs: int
    pool: tuple[int, int, int]


CASES = {
    "as conv2, F(4,3) everywhere": Case(4, 16, 64, 128, (2, 2, 2)),
    "as conv3a": Case(8, 12, 128, 64, (1, 1, 1)),
    "pooled in space alone": Case(4, 8, 64, 64, (1, 2, 2)),
    "as conv4a, F(2,3) in space": Case(4, 14, 64, 128, (1, 1, 1)),
    "as conv4b": Case(4, 14, 128, 64, (2, 2, 2)),
    "as conv5, two frames": Case(2, 7, 512, 64, (1, 1, 1)),
    "two frames, pooled": Case(2, 6, 64, 64, (2, 2, 2)),
    "one tile and a bit": Case(4, 5, 64, 64, (1, 1, 1)),
    "less than a tile": Case(4, 1, 64, 64, (1, 1, 1)),
    "one group of outputs too few to share": Case(4, 9, 64, 192, (1, 1, 1)),
}


def arrays(case: Case, clips: int = 3) -> tuple[Floats, Floats, Floats]:
    """Frames as a ReLU leaves them, a kernel and a bias."""
    random = np.random.default_rng(case.size)
    frames = np.maximum(random.standard_normal((clips, case.frames, case.size, case.size, case.channels)), 0)
    kernel = random.standard_normal((3, 3, 3, case.channels, case.outputs)) / np.sqrt(27 * case.channels)
    bias = random.standard_normal(case.outputs) / 4
    return frames.astype(np.float32), kernel.astype(np.float32), bias.astype(np.float32)


def convolved(path: Path, case: Case, frames: Floats, kernel: Floats, bias: Floats, threads: int = 2) -> Floats:
    layers = Layers(path, threads, 4)
    layers.add_frames(case.frames, case.size, case.channels)
    number = layers.add_convolution(kernel, bias, case.pool)
    layers.run_frames(frames)
    return layers.read(number)


def error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", CASES)
def test_a_convolution(path: Path, name: str) -> None:
    case = CASES[name]
    given = arrays(case)
    expected = direct.max_pool(direct.convolution(*given), case.pool)
    found = convolved(path, case, *given)
    assert error(found, expected) < ROUNDING
    assert np.abs(found - expected).max() < 10 * ROUNDING  # no single output is off, as one at an edge would be


def test_the_first_convolution(path: Path) -> None:
    random = np.random.default_rng(1)
    clips = random.integers(0, 256, (2, *c3d.CLIP_SHAPE), np.uint8)
    mean = random.uniform(80, 120, c3d.CLIP_SHAPE).astype(np.float32)
    kernel = (random.standard_normal((3, 3, 3, 3, 64)) / 9).astype(np.float32)
    bias = random.standard_normal(64).astype(np.float32)
    layers = Layers(path, 2, 4)
    layers.add_clips()
    number = layers.add_convolution(kernel, bias, (1, 2, 2))
    layers.run_clips(clips, mean)
    expected = direct.max_pool(direct.convolution(clips - mean.astype(np.float64), kernel, bias), (1, 2, 2))
    assert error(layers.read(number), expected) < ROUNDING
    assert np.abs(layers.read(number) - expected).max() < 10 * ROUNDING * expected.std()


@pytest.mark.parametrize("pads", [((0, 0), (0, 1), (0, 1)), ((0, 0), (1, 1), (1, 1))], ids=["caffe", "symmetric"])
def test_pool5(path: Path, pads: tuple[tuple[int, int], ...]) -> None:
    frames, _, _ = arrays(Case(2, 7, 64, 64, (1, 1, 1)))
    layers = Layers(path, 2, 4)
    layers.add_frames(2, 7, 64)
    number = layers.add_pool(pads[1][0], 4)
    layers.run_frames(frames)
    padded = np.pad(frames.astype(np.float64), ((0, 0), *pads, (0, 0)))
    assert np.array_equal(layers.read(number), direct.max_pool(padded, (2, 2, 2)))


@pytest.mark.parametrize("outputs", [64, 101, 487, 7])
@pytest.mark.parametrize("relu", [True, False])
def test_a_dense_layer_behind_frames_and_behind_another(path: Path, outputs: int, *, relu: bool) -> None:
    random = np.random.default_rng(outputs)
    frames = random.standard_normal((3, 1, 4, 4, 64)).astype(np.float32)
    first = (random.standard_normal((1024, 96)) / 32).astype(np.float32), random.standard_normal(96).astype(np.float32)
    second = (random.standard_normal((96, outputs)) / 10).astype(np.float32), random.standard_normal(outputs).astype(np.float32)
    layers = Layers(path, 2, 4)
    layers.add_frames(1, 4, 64)
    numbers = layers.add_dense(*first, relu=True), layers.add_dense(*second, relu=relu)
    layers.run_frames(frames)
    hidden = np.maximum(frames.reshape(3, -1).astype(np.float64) @ first[0] + first[1], 0)
    expected = hidden @ second[0].astype(np.float64) + second[1]
    assert error(layers.read(numbers[0]), hidden) < ROUNDING
    assert error(layers.read(numbers[1]), np.maximum(expected, 0) if relu else expected) < ROUNDING


# 294 tiles of F(4,3), which two threads cut into blocks of their own and sixteen share; 36 of F(2,3), which two share.
SPLITS = {"many tiles": Case(8, 28, 64, 128, (2, 2, 2)), "few tiles": Case(2, 7, 64, 256, (1, 1, 1))}


@pytest.mark.parametrize("name", SPLITS)
def test_no_bit_depends_on_the_threads(path: Path, name: str) -> None:
    case = SPLITS[name]
    given = arrays(case)
    alone = convolved(path, case, *given, threads=1)
    assert error(alone, direct.max_pool(direct.convolution(*given), case.pool)) < ROUNDING
    for threads in (2, 3, 4, 5, 6, 7, 8, 16, 37):
        assert np.array_equal(convolved(path, case, *given, threads=threads), alone), threads


@pytest.mark.parametrize("name", SPLITS)
def test_no_bit_depends_on_the_batch_or_on_the_run(path: Path, name: str) -> None:
    case = SPLITS[name]
    frames, kernel, bias = arrays(case, clips=4)
    layers = Layers(path, 2, 4)
    layers.add_frames(case.frames, case.size, case.channels)
    number = layers.add_convolution(kernel, bias, case.pool)
    layers.run_frames(frames)
    together = layers.read(number)
    for some in ([0], [3], [1, 2], [2, 1, 0], [3, 3, 0, 3], [0, 1, 2, 3]):
        layers.run_frames(np.ascontiguousarray(frames[some]))
        assert np.array_equal(layers.read(number), together[some]), some


@pytest.mark.skipif(SANITIZED in os.environ, reason="shown without the sanitizers")
@pytest.mark.parametrize("name", CASES)
def test_no_bit_depends_on_the_instruction_set(libraries: Path, avx512: Path, name: str) -> None:
    case = CASES[name]
    given = arrays(case)
    assert np.array_equal(convolved(libraries / "avx2.so", case, *given), convolved(avx512, case, *given))


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", CASES)
def test_what_is_not_a_number_is_never_made_one(path: Path, name: str, value: float) -> None:
    """Where the direct convolution gives no finite number, so it does here. (One infinity makes the rest of its tile NaN.)"""
    case = CASES[name]
    frames, kernel, bias = arrays(case, clips=2)
    frames[0, case.frames // 2, case.size // 2, case.size // 2, 3] = value
    with np.errstate(invalid="ignore"):
        expected = direct.max_pool(direct.convolution(frames, kernel, bias), case.pool)
        found = convolved(path, case, frames, kernel, bias)
    assert not np.isfinite(expected).all()
    assert not np.isfinite(found[~np.isfinite(expected)]).any()
    assert np.isfinite(found[1]).all()  # the other clip
    assert error(found[1], expected[1]) < ROUNDING


def test_a_bias_that_is_not_a_number_stays_in_its_channel(path: Path) -> None:
    case = CASES["as conv2, F(4,3) everywhere"]
    frames, kernel, bias = arrays(case)
    bias[5], bias[6] = np.nan, np.inf
    found = convolved(path, case, frames, kernel, bias)
    assert np.isnan(found[..., 5]).all()
    assert np.isposinf(found[..., 6]).all()
    assert np.isfinite(found[..., [0, 1, 2, 3, 4, 7]]).all()


def test_two_stacks_run_at_the_same_time(path: Path) -> None:
    """Each in a thread of its own, as two networks in one process would."""
    cases = [CASES["as conv2, F(4,3) everywhere"], CASES["as conv5, two frames"]]
    alone = [convolved(path, case, *arrays(case)) for case in cases]
    found: dict[int, list[Floats]] = {0: [], 1: []}

    def run(which: int) -> None:
        found[which] += [convolved(path, cases[which], *arrays(cases[which])) for _ in range(3)]

    workers = [threading.Thread(target=run, args=(which,)) for which in found]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(len(found[which]) == 3 and all(np.array_equal(each, alone[which]) for each in found[which]) for which in found)


def small(path: Path) -> Layers:
    layers = Layers(path, 1, 2)
    layers.add_frames(4, 4, 64)
    return layers


KERNEL, BIAS = np.zeros((3, 3, 3, 64, 64), np.float32), np.zeros(64, np.float32)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda path: Layers(path, 0, 2),
        lambda path: Layers(path, 1, 0),
        lambda path: Layers(path, 1, 100),
        lambda path: Layers(path, 1, 2).add_convolution(KERNEL, BIAS),
        lambda path: small(path).add_clips(),
        lambda path: small(path).add_convolution(KERNEL.astype(np.float64), BIAS),
        lambda path: small(path).add_convolution(KERNEL[:, :, :, :32], BIAS),
        lambda path: small(path).add_convolution(KERNEL[::-1], BIAS),
        lambda path: small(path).add_convolution(KERNEL[..., :33].copy(), BIAS[:33]),
        lambda path: small(path).add_convolution(KERNEL, BIAS, (2, 1, 1)),
        lambda path: small(path).add_convolution(KERNEL, BIAS, (4, 2, 2)),
        lambda path: small(path).add_pool(0, 9),
        lambda path: small(path).add_dense(np.zeros((63, 8), np.float32), np.zeros(8, np.float32), relu=True),
        lambda path: small(path).run_frames(np.zeros((3, 4, 4, 4, 64), np.float32)),
        lambda path: small(path).run_frames(np.zeros((0, 4, 4, 4, 64), np.float32)),
        lambda path: small(path).run_frames(np.zeros((1, 4, 4, 64, 4), np.float32)),
        lambda path: small(path).run_clips(np.zeros((1, *c3d.CLIP_SHAPE), np.uint8), np.zeros(c3d.CLIP_SHAPE, np.float32)),
    ],
)
def test_a_wrong_shape_is_an_error_and_no_access(path: Path, wrong: Any) -> None:
    with pytest.raises((ValueError, IndexError)):
        wrong(path)


def test_the_library_checks_for_itself(path: Path) -> None:
    """Called past Layers: numbers that do not fit come back as a code."""
    functions, handle = library.load(path), ctypes.c_void_p()
    assert functions.winograd_new(1, 2, ctypes.byref(handle)) == 0
    out = np.zeros(4 * 4 * 4 * 64, np.float32)
    assert functions.winograd_add_dense(handle, 8, 1, out.ctypes.data, out.ctypes.data) == 2  # there is nothing to read
    assert functions.winograd_add_frames(handle, 64, 4, 4) == 0
    assert functions.winograd_run_frames(handle, out.ctypes.data, 0) == 2
    assert functions.winograd_run_frames(handle, out.ctypes.data, 3) == 2
    assert functions.winograd_read(handle, 0, out.ctypes.data, out.size - 1) == 2
    assert functions.winograd_read(handle, 1, out.ctypes.data, out.size) == 2
    assert functions.winograd_run_clips(handle, out.ctypes.data, out.ctypes.data, 1) == 2
    functions.winograd_free(handle)


def test_too_little_memory_is_an_error(path: Path) -> None:
    with pytest.raises(MemoryError):
        Layers(path, 1, 4).add_frames(4096, 4096, 1024)
