"""The page's JavaScript: linted, and its pure functions tested, under Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

NODE = shutil.which("node")
SCRIPTS = ("service/web/page", "tests/web/page")


def run(*command: str) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}  # NumPy reads what the page writes
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scripts_are_linted() -> None:
    oxlint = shutil.which("oxlint", path=str(Path(sys.executable).parent))
    assert oxlint, "it is among the requirements for development"
    run(oxlint, "--deny-warnings", *SCRIPTS)


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="no Node here")
def test_the_pure_functions_do_what_their_tests_say() -> None:
    assert NODE
    run(NODE, "--test", "tests/web/page")
