"""Hostile code in a decoder process, where a bug of FFmpeg's would let it run: it has the one file, and nothing else."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.video import ring, sandbox
from tests.conftest import ROOT
from tests.video.test_sandbox import ATTACKS, CALLS, FOUND, needs_whole

pytestmark = pytest.mark.slow

# The worker as it is, but for the reader of videos: that is what an attacker has taken over.
TAKEN_OVER = """
import ctypes, os, resource, socket, sys
from service.errors import UndecodableVideo
from service.video import worker
CALLS, ATTACKS, secret = eval(sys.argv.pop()), eval(sys.argv.pop()), sys.argv.pop()
libc = ctypes.CDLL(None, use_errno=True)
left = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
def call(*arguments):
    result = libc.syscall(*map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
decode = worker.read_video
def read_video(file, options):
    worker.read_video = taken_over  # behind the picture that all libraries are loaded by
    yield from decode(file, options)
def taken_over(file, options):
    yield from ()
    done = []
    for name, attack in ATTACKS.items():
        try:
            exec(attack)
            done.append(name)
        except OSError:
            pass
    raise UndecodableVideo(repr((os.pread(file, 100, 0), done)))
worker.read_video = read_video
worker.main()
"""


@needs_whole
def test_code_that_runs_in_a_decoder_has_one_file_and_nothing_else(tmp_path: Path) -> None:
    secret, video = tmp_path / "another-request" / "video", tmp_path / "video"
    secret.parent.mkdir()
    secret.write_bytes(b"somebody else's")
    video.write_bytes(b"the attacker's own")
    memory = ring.create()
    ours, theirs = socket.socketpair()
    arguments = [memory, theirs.fileno(), 3 * 1024**3 // 2, 1]
    hostile = [str(secret), repr(ATTACKS), repr(CALLS[platform.machine()])]
    with (
        ours,
        theirs,
        video.open("rb") as file,
        subprocess.Popen(
            [sys.executable, "-c", TAKEN_OVER, *map(str, arguments), *hostile],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(memory, theirs.fileno()),
        ) as process,
    ):
        socket.send_fds(ours, [b"v"], [file.fileno()])
        said, _ = process.communicate(json.dumps({"options": {}}).encode() + b"\n", timeout=60)
    os.close(memory)
    message = json.loads(said)
    assert message["error"] == "undecodable_video"
    assert message["detail"] == repr((b"the attacker's own", []))
    assert secret.read_bytes() == b"somebody else's"


def test_what_this_kernel_offers_is_named() -> None:
    assert str(sandbox.Sandbox(7, seccomp=True)) == "landlock 7, seccomp"
    assert str(sandbox.NONE) == "none"
    assert ("landlock" in str(FOUND)) == (FOUND.landlock > 0)
