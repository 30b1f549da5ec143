"""What a device can be asked for. (The engines at work: test_network.py.)"""

from __future__ import annotations

import pytest

from service.errors import DeviceUnavailable, PrecisionUnavailable
from service.inference.engines import ENGINES, chosen_device, is_slower_in_bfloat16, multiplies_bfloat16


def test_every_engine_says_the_same_three_things() -> None:
    assert set(ENGINES) == {"tensorflow", "jax", "torch"}
    for engine in ENGINES.values():
        assert {"version", "configure", "compile"} <= set(vars(engine))


def test_tf32_wants_a_gpu() -> None:
    assert chosen_device("tf32", "auto", on_gpu=True) == "gpu"
    with pytest.raises(PrecisionUnavailable, match="Use float32"):
        chosen_device("tf32", "auto", on_gpu=False)


@pytest.mark.parametrize("precision", ["float32", "tf32", "float16"])
def test_a_gpu_that_is_demanded_and_not_there_refuses(precision: str) -> None:
    assert chosen_device(precision, "gpu", on_gpu=True) == "gpu"
    with pytest.raises(DeviceUnavailable, match="C3D_DEVICE=gpu, but the engine finds no GPU here"):
        chosen_device(precision, "gpu", on_gpu=False)


def test_int8_wants_another_engine() -> None:
    with pytest.raises(PrecisionUnavailable, match="C3D_ENGINE=openvino"):
        chosen_device("int8", "auto", on_gpu=True)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_other_precisions_are_the_engines_business(precision: str) -> None:
    assert chosen_device(precision, "auto", on_gpu=False) == "cpu"


@pytest.mark.parametrize(
    ("cpu_info", "can"),
    [
        ("flags\t\t: fpu avx avx2 fma", False),
        ("flags\t\t: fpu avx2 avx512f avx512vl", True),
        ("flags\t\t: fpu avx2 avx_ne_convert", True),
        ("Features\t: fp asimd bf16", True),  # not x86: left to the engine
    ],
)
def test_bfloat16_wants_a_cpu_that_adds_up_in_float32(cpu_info: str, *, can: bool) -> None:
    assert multiplies_bfloat16(f"processor\t: 0\n{cpu_info}\nbugs\t: none\n") == can


@pytest.mark.parametrize(
    ("cpu_info", "slower"),
    [
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx512f avx512_bf16", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx512f avx512_bf16 amx_bf16 amx_tile", False),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: avx512f avx512_bf16", False),
        ("Features\t: fp asimd bf16", False),
    ],
)
def test_bfloat16_without_amx_is_slower_on_intel(cpu_info: str, *, slower: bool) -> None:
    assert is_slower_in_bfloat16(cpu_info) == slower
