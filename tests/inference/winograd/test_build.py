"""The library builds without a warning, and its layers' tests pass under AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from service.inference.winograd import library
from tests.conftest import ROOT
from tests.inference.winograd.conftest import CAN, SANITIZED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None or shutil.which("g++") is None, reason="no C++ compiler"),
]


def build(directory: Path, extra: str, names: Iterable[str] = library.INSTRUCTION_SETS) -> None:
    targets = [f"{directory}/{name}.so" for name in names]
    command = ["make", "-s", "-j2", "-C", str(library.DIRECTORY), *targets, f"OUT={directory}", f"EXTRA={extra}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_builds_without_a_warning_and_needs_only_libc(tmp_path: Path) -> None:
    build(tmp_path, "-Werror")
    for name in library.INSTRUCTION_SETS:
        needed = subprocess.run(["ldd", tmp_path / f"{name}.so"], capture_output=True, text=True, check=True).stdout
        assert "libstdc++" not in needed
        assert "libgcc" not in needed


def runtime(name: str) -> str:
    """Where the compiler has this library."""
    return subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not CAN, reason="this CPU cannot run the library")
def test_layers_pass_under_the_sanitizers(tmp_path: Path) -> None:
    build(tmp_path, "-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1", CAN)  # compiling one takes minutes
    environment = os.environ | {
        # Python has neither: the sanitizer has to come first, and finds only in what is loaded with it how exceptions are thrown.
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libstdc++.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python itself leaks; an allocation may fail
        SANITIZED: str(tmp_path),
    }
    tests = Path(__file__).with_name("test_layers.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
