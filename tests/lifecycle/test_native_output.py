"""What C++ libraries print while the network loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# A process like the service's: its log is JSON, and a library writes to descriptor 2 behind Python's back.
PROCESS = """
import logging, os, sys
from service.http import request_log
from service.lifecycle import native_output
from service.settings import Settings

native_output.keep_stderr()
request_log.configure(Settings(log_format="json", log_level=sys.argv[1]))
try:
    with native_output.collected():
        os.write(2, b"I0000 cpu_feature_guard.cc:227] This binary is optimized\\nE0000 no CUDA\\n")
        logging.getLogger("service").info("from Python")
        if sys.argv[2] == "fail":
            raise RuntimeError
except RuntimeError:
    pass
logging.getLogger().handlers[0].flush()
os.write(2, b"behind it\\n")
"""


def said(level: str, outcome: str) -> list[str]:
    command = [sys.executable, "-c", PROCESS, level, outcome]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr.splitlines()


@pytest.mark.slow
def test_it_is_kept_out_of_the_log_and_python_is_not() -> None:
    from_python, behind = said("info", "work")
    assert json.loads(from_python)["message"] == "from Python"
    assert behind == "behind it"


@pytest.mark.slow
def test_where_loading_fails_it_is_in_the_log() -> None:
    _, first, second, behind = said("info", "fail")
    assert (json.loads(first)["level"], json.loads(second)["message"]) == ("WARNING", "E0000 no CUDA")
    assert behind == "behind it"


@pytest.mark.slow
def test_who_wants_to_know_can_see_it() -> None:
    assert [json.loads(line)["level"] for line in said("debug", "work")[1:3]] == ["DEBUG", "DEBUG"]
