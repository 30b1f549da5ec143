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


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The directory of the libraries, up to date."""
    if SANITIZED in os.environ:
        return Path(os.environ[SANITIZED])
    if shutil.which("make") is None or shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler")
    subprocess.run(["make", "-s", "-C", library.DIRECTORY], check=True)
    return library.DIRECTORY


@pytest.fixture(params=list(library.INSTRUCTION_SETS))
def path(request: pytest.FixtureRequest, libraries: Path) -> Path:
    """Each library that this CPU can run."""
    if request.param not in CAN:
        pytest.skip(f"this CPU has no {request.param}")
    return libraries / f"{request.param}.so"
