"""What is measured runs in processes of its own, one at a time: starting them, talking to them, and what /proc says of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

ROOT = Path(__file__).parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 300  # the slowest peer compiles for a minute
MIB = 1024.0  # KiB in /proc
STORE = "C3D_MODEL_STORE"
SELF = os.getpid()


def family(pid: int) -> list[int]:
    """The process and all below it that live now."""
    found, left = [], [pid]
    while left:
        each = left.pop()
        found.append(each)
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has just ended
                left += map(int, children.read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """Seconds of processor of one process so far, and of those children of it that have ended; 0 if it has itself."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS_PER_S  # utime, stime, cutime, cstime: proc(5)
    return 0.0


def fine_cpu_s(pid: int) -> float:
    """Seconds of processor of a process's living threads, to the nanosecond where `cpu_s` counts ticks of 10 ms."""
    total = 0
    for statistics in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            total += int(statistics.read_text().split()[0])
    return total / 1e9


def family_cpu_s(pid: int) -> float:
    """Seconds of processor of a process and all below it."""
    return sum(map(cpu_s, family(pid)))


def idle_share(pid: int, seconds: float) -> float:
    """How much of one core a process and all below it take while nobody asks anything of them."""
    before, started = family_cpu_s(pid), time.perf_counter()
    time.sleep(seconds)
    return (family_cpu_s(pid) - before) / (time.perf_counter() - started)


def peak_mib(pid: int) -> float:
    """The most memory that a process has held at once, since its start or the last `forget_peak`."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / MIB
    return 0.0


def family_peak_mib(pid: int) -> float:
    """The sum of the peaks of a process and all below it: an upper bound, pages that they share count more than once."""
    return sum(map(peak_mib, family(pid)))


def forget_peak(pid: int) -> None:
    """Let `peak_mib` begin anew, for a process and all below it."""
    for each in family(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours, without settings of a service but for the store's, and with the repository on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("C3D_") or name in {STORE, "C3D_MODEL"}}
    return kept | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"} | dict(extra)


@contextmanager
def process(command: list[str], environment: Mapping[str, str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command, its stderr in a file that is shown where it fails. It and all below it are gone at the end."""
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(
            command, cwd=ROOT, env=_environment(environment), stderr=log, text=True, start_new_session=True, **options
        )
        try:
            yield running
        except BaseException:
            log.seek(0)
            print(f"{' '.join(command)} said:\n{log.read()[-4000:]}", file=sys.stderr)
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                running.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # what outlived its parent
            running.wait()


class Worker:
    """A child that answers JSON lines, one a command."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._process, self.pid = running, running.pid

    def ask(self, **command: Any) -> dict[str, Any]:
        """One command, and its answer. Raises RuntimeError where the child has ended."""
        assert self._process.stdin is not None  # noqa: S101 (it was started with pipes)
        assert self._process.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a measured process has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def worker(module: str, *arguments: str, python: str = sys.executable, **environment: str) -> Iterator[Worker]:
    """``python -m module`` as a Worker, warm: its first line is an answer too, said once it is ready."""
    command = [python, "-m", module, *arguments]
    with process(command, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        child = Worker(running)
        child.ask()
        yield child


def ready(port: int, path: str = "/readyz") -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def wait_until_ready(running: subprocess.Popen[str], port: int, path: str = "/readyz", every_s: float = 0.1) -> None:
    """Until it answers. Raises RuntimeError where it ends first, TimeoutError where it takes minutes."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready(port, path):
        if running.poll() is not None:
            raise RuntimeError(f"a server ended with status {running.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise TimeoutError("a server did not get ready")
        time.sleep(every_s)


class Server(NamedTuple):
    """A server that is ready."""

    pid: int
    port: int


@contextmanager
def server(module: str, *, path: str = "/readyz", python: str = sys.executable, **environment: str) -> Iterator[Server]:
    """``python -m module`` on a free port, which it finds in C3D_PORT, once a GET of ``path`` is answered."""
    port = free_port()
    environment = {"C3D_PORT": str(port), "C3D_HOST": "127.0.0.1", "C3D_DRAIN_DELAY_S": "0"} | environment
    with process([python, "-m", module], environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        wait_until_ready(running, port, path)
        yield Server(running.pid, port)
