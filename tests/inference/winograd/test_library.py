"""Which library a CPU gets, and what is said where it gets none or where the library is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.inference.winograd import library
from tests.inference.winograd.conftest import CAN, make

AVX2 = "flags\t\t: fpu " + " ".join(sorted(library.V3))
AVX512 = AVX2 + " avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("cpu_info", "expected"),
    [
        ("processor\t: 0\n" + AVX512, ["avx512", "avx2"]),
        (AVX2, ["avx2"]),
        (AVX2 + " avx512f", ["avx2"]),  # Knights Landing: not all that the compiler was allowed
        (AVX2.replace(" fma", ""), []),
        (AVX2.replace(" avx2", ""), []),
        (AVX2.replace(" bmi2", ""), []),
        ("Features\t: fp asimd bf16", []),  # not x86
        ("", []),
    ],
)
def test_flags_are_looked_at_before_anything_is_loaded(cpu_info: str, expected: list[str]) -> None:
    assert library.instruction_sets(cpu_info) == expected


def built(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / f"{name}.so").touch()
    return directory


def cpu(directory: Path, text: str) -> Path:
    path = directory / "cpuinfo"
    path.write_text(text)
    return path


def test_the_best_that_the_cpu_has_and_that_is_built(tmp_path: Path) -> None:
    both = built(tmp_path, "avx2", "avx512")
    assert library.find(cpu(tmp_path, AVX512), both).name == "avx512.so"
    assert library.find(cpu(tmp_path, AVX2), both).name == "avx2.so"
    (tmp_path / "avx512.so").unlink()
    assert library.find(cpu(tmp_path, AVX512), both).name == "avx2.so"


def test_a_library_that_cannot_be_loaded_is_one_that_is_missing(tmp_path: Path) -> None:
    broken = tmp_path / "avx2.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(ImportError, match=r"does not run here .*file too short"):
        library.load(broken)
    with pytest.raises(ImportError, match=r"does not run here .*No such file"):
        library.load(tmp_path / "avx512.so")


@pytest.mark.skipif(not CAN, reason="this CPU cannot run the library")
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_a_library_that_was_cut_off_does_not_end_this_process(libraries: Path, tmp_path: Path, share: float) -> None:
    """Loading it is a bus error: only another process can find that out."""
    whole = (libraries / "avx2.so").read_bytes()
    cut = tmp_path / "avx2.so"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImportError, match=r"does not run here .* Run `make install` to build it again"):
        library.load(cut)


@pytest.mark.skipif(not CAN, reason="this CPU cannot run the library")
def test_an_instruction_that_the_cpu_has_not_does_not_end_this_process(tmp_path: Path) -> None:
    source = tmp_path / "avx2.cpp"
    source.write_text('extern "C" int winograd_new(int, int, void**) { __builtin_trap(); }')  # ud2: SIGILL
    make("-C", str(tmp_path), "-f", "/dev/null", "avx2", "CXXFLAGS=-shared -fPIC", "LDFLAGS=")
    with pytest.raises(ImportError, match=r"does not run here \(it ended with -4\)"):
        library.load(tmp_path / "avx2")


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="needs an x86-64 CPU with AVX2"):
        library.find(cpu(tmp_path, "flags\t: fpu sse2"), built(tmp_path, "avx2"))
    with pytest.raises(ImportError, match="needs an x86-64 CPU with AVX2"):
        library.find(tmp_path / "none", tmp_path)
    (tmp_path / "avx2.so").unlink()
    with pytest.raises(ImportError, match=r"install a C[+][+] compiler .* and run `make install`"):
        library.find(cpu(tmp_path, AVX2), tmp_path)


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", 2),
        ("9999900000 100000", None),
        ("", None),
    ],
)
def test_no_more_threads_than_a_container_may_use(tmp_path: Path, limit: str, most: int | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(limit)
    everything = library.threads(tmp_path / "none")
    assert everything >= 1
    assert library.threads(path) == (everything if most is None else min(most, everything))
