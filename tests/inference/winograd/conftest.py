"""The compiled library, for the tests of its layers and of the network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from service.inference.winograd import library

SANITIZED = (
    "WINOGRAD_SANITIZED"  # a directory of libraries that were built with the sanitizers: test_build.py runs the tests with it
)
CAN = library.instruction_sets(library.CPU_INFO.read_text()) if library.CPU_INFO.exists() else []


EMULATED = Path(__file__).with_name("avx512_emulated.h")


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The directory of the libraries, up to date."""
    if SANITIZED in os.environ:
        return Path(os.environ[SANITIZED])
    make("-C", str(library.DIRECTORY))
    return library.DIRECTORY


@pytest.fixture(scope="session")
def avx512(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library for AVX-512; on a CPU without it, the same sources with each of its instructions made of two of AVX2."""
    if "avx512" in CAN or SANITIZED in os.environ:
        return libraries / "avx512.so"
    directory = tmp_path_factory.mktemp("emulated")
    extra = f"-march=x86-64-v3 -O2 -Wno-psabi -include {EMULATED}"
    make("-C", str(library.DIRECTORY), f"{directory}/avx512.so", f"OUT={directory}", f"EXTRA={extra}")
    return directory / "avx512.so"


@pytest.fixture(params=list(library.INSTRUCTION_SETS))
def path(request: pytest.FixtureRequest, libraries: Path) -> Path:
    """Each library."""
    if not CAN:
        pytest.skip("this CPU has no AVX2")
    if request.param == "avx2":
        return libraries / "avx2.so"
    if SANITIZED in os.environ and "avx512" not in CAN:
        pytest.skip("emulated, it would show what AVX2 shows")
    found: Path = request.getfixturevalue("avx512")
    return found


def make(*arguments: str) -> None:
    """Run make; skip the test where it or a compiler is missing."""
    if shutil.which("make") is None or shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler")
    subprocess.run(["make", "-s", *arguments], check=True)
