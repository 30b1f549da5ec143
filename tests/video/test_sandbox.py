"""Hostile code behind the confinement tries what an attacker would, and gets nothing; what decoding takes still works."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from service.video import sandbox
from tests.conftest import ROOT

FOUND = sandbox.available()
needs_whole = pytest.mark.skipif(not FOUND.is_whole, reason="this kernel has no Landlock or no seccomp filters")

# What each attack does once the process is locked in. All that it needs is imported and opened before, as an attacker's code,
# which is already in memory, would have it. One that is refused raises OSError.
ATTACKS = {
    "read the service's keys": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "read its own environment": "open('/proc/self/environ', 'rb').read()",
    "write the service's memory": "open(f'/proc/{os.getppid()}/mem', 'r+b')",
    "write it by the kernel's call": "call(CALLS['process_vm_writev'], os.getppid(), 0, 0, 0, 0, 0)",
    "trace the service": "call(CALLS['ptrace'], 16, os.getppid(), 0, 0)",
    "read another request's video": "open(secret, 'rb').read()",
    "list a directory": "os.listdir(os.path.dirname(secret))",
    "delete another request's video": "os.unlink(secret)",
    "rename it": "os.rename(secret, secret + '.mine')",
    "write over a file": "open(secret, 'wb').write(b'mine')",
    "create a file": "open(secret + '.new', 'xb')",
    "make a link": "os.symlink(secret, secret + '.link')",
    "connect": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "ask a name server": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "talk to a local socket": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "connect with a socket it was left": "left.connect(('127.0.0.1', 9))",
    "run a program": "os.execv(sys.executable, [sys.executable, '-c', '0'])",
    "fork": "os.fork()",
    "start a process by vfork": "call(CALLS['vfork'])",
    "end the service": "os.kill(os.getppid(), 9)",
    "stop the service's group": "os.killpg(os.getpgid(os.getppid()), 19)",
    "signal by the thread call": "call(CALLS['tgkill'], os.getppid(), os.getppid(), 9)",
    "change the service's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))",
    "use an io_uring": "call(425, 8, 0)",
    "load a kernel program": "call(CALLS['bpf'], 0, 0, 0)",
    "leave by a new namespace": "call(CALLS['unshare'], 0x10000000)",
    "take a descriptor of the service": "call(438, call(434, os.getppid(), 0), 0, 0)",
    "loosen the filter": "call(CALLS['seccomp'], 1, 0, 0)",
}
CALLS = {
    "x86_64": {"process_vm_writev": 311, "ptrace": 101, "vfork": 58, "tgkill": 234, "bpf": 321, "unshare": 272, "seccomp": 317},
    "aarch64": {"process_vm_writev": 271, "ptrace": 117, "vfork": 1071, "tgkill": 131, "bpf": 280, "unshare": 97, "seccomp": 277},
}
LOCKED_IN = """
import ctypes, os, resource, socket, sys, threading, time
from service.video import sandbox
CALLS, secret, parts, attack = eval(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
left = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
if parts == "both":
    sandbox.enter()
try:
    exec(attack)
except OSError as error:
    print("refused", error.errno)
else:
    print("done")
"""


def attempt(attack: str, secret: Path, parts: str = "both") -> subprocess.CompletedProcess[str]:
    """Run hostile code in a process of its own, behind the confinement or (parts="none") without it."""
    calls = repr(CALLS[platform.machine()])
    command = [sys.executable, "-c", LOCKED_IN, calls, str(secret), parts, attack]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "another-request" / "video"
    path.parent.mkdir()
    path.write_bytes(b"somebody else's")
    return path


@needs_whole
@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_code_gets_nothing(attack: str, secret: Path) -> None:
    run = attempt(ATTACKS[attack], secret)
    assert run.stdout.startswith("refused"), run.stdout + run.stderr
    assert secret.read_bytes() == b"somebody else's"
    assert [each.name for each in secret.parent.iterdir()] == ["video"]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["read another request's video", "connect", "fork", "read its own environment"])
def test_the_same_code_succeeds_without_the_confinement(attack: str, secret: Path) -> None:
    """So that a refusal above is the confinement's doing."""
    assert "done" in attempt(ATTACKS[attack], secret, parts="none").stdout


@needs_whole
@pytest.mark.slow
def test_what_decoding_takes_still_works(secret: Path) -> None:
    """Memory, threads, open files, clocks, random numbers, and dying by abort()."""
    program = (
        "data = bytearray(64 << 20); "
        "t = threading.Thread(target=data.extend, args=(b'x' * (1 << 20),)); t.start(); t.join(); "
        "assert len(data) == 65 << 20; time.sleep(0); os.urandom(8); os.write(2, b'a message')"
    )
    assert attempt(program, secret).stdout == "done\n"
    assert attempt("os.abort()", secret).returncode == -6


@needs_whole
def test_what_there_is_can_be_asked_without_being_locked_in() -> None:
    assert sandbox.available() == FOUND
    assert list(ROOT.iterdir())


def test_a_machine_without_a_column_is_told_to_have_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not sandbox.available().seccomp
