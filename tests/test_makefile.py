"""make: where something cannot be done, a sentence says why. Only make's own line, "*** Error", comes after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import"], 'Which file? make import FILE=weights.h5 [OPTIONS="--name mine"]'),
        (["import", "FILE=nowhere.h5"], "There is no file nowhere.h5."),
        (["calibrate", "VIDEOS=a.mp4"], "There is no file a.mp4."),
        (["serve", "PYTHON=/nowhere/python"], "This needs Python 3.11, 3.12 or 3.13 with its venv module. Found: no Python. "),
    ],
)
def test_it_ends_with_our_sentence(arguments: list[str], said: str) -> None:
    nothing_installed = "VENV=/nowhere"
    command = ["make", nothing_installed, f"PYTHON={sys.executable}", *arguments]
    # Without what the make that may run these tests hands down: its level and its variables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    sentence, of_make = done.stderr.splitlines()[-2:]
    assert sentence.startswith(said)
    assert of_make.startswith("make: *** ")
    assert done.returncode == 2
