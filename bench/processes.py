"""What is measured runs in processes of its own: starting them, talking to them, stopping them while it is another one's turn."""

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

from bench.usage import family

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 300  # the slowest peer compiles for a minute
KEPT = {"C3D_MODEL_STORE", "C3D_MODEL", "C3D_ENGINE", "C3D_PRECISION"}  # of the service's settings


def pause(pid: int) -> None:
    """Stop a process and all below it where they are."""
    _signal(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Let them go on."""
    _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    for each in family(pid):
        with suppress(ProcessLookupError):
            os.kill(each, number)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment_of(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours, with the repository on the path; of the service's settings only those that choose the network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("C3D_") or name in KEPT}
    return kept | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"} | dict(extra)


@contextmanager
def process(command: list[str], environment: Mapping[str, str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command, its stderr in a file that is shown where it fails. It and all below it are gone at the end."""
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(
            command, cwd=ROOT, env=environment_of(environment), stderr=log, text=True, start_new_session=True, **options
        )
        try:
            yield running
        except BaseException:
            log.seek(0)
            print(f"{' '.join(command)} said:\n{log.read()[-4000:]}", file=sys.stderr)
            raise
        finally:
            resume(running.pid)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                running.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # what outlived its parent
            running.wait()
            for pipe in filter(None, (running.stdin, running.stdout)):
                pipe.close()


class Worker:
    """A child that answers JSON lines, one a command. ``first_answer``: what it said when it was ready."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.process, self.pid = running, running.pid
        self.first_answer = self.ask()

    def ask(self, **command: Any) -> dict[str, Any]:
        """One command, and its answer. Raises RuntimeError where the child has ended."""
        assert self.process.stdin is not None  # noqa: S101 (it was started with pipes)
        assert self.process.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a measured process has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def worker(module: str, *arguments: str, python: str = sys.executable, **environment: str) -> Iterator[Worker]:
    """``python -m module`` as a Worker, warm: it answers once it is ready."""
    command = [python, "-m", module, *arguments]
    with process(command, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        yield Worker(running)


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


def at_port(port: int) -> dict[str, str]:
    """The environment of a service that listens there, to this machine alone."""
    return {"C3D_PORT": str(port), "C3D_HOST": "127.0.0.1", "C3D_DRAIN_DELAY_S": "0"}


class Server(NamedTuple):
    """A server that is ready."""

    pid: int
    port: int


@contextmanager
def server(module: str, *, path: str = "/readyz", python: str = sys.executable, **environment: str) -> Iterator[Server]:
    """``python -m module`` on a free port, which it finds in C3D_PORT, once a GET of ``path`` is answered."""
    port = free_port()
    environment = at_port(port) | environment
    with process([python, "-m", module], environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        wait_until_ready(running, port, path)
        yield Server(running.pid, port)


@contextmanager
def serving_worker(module: str, *arguments: str, **environment: str) -> Iterator[tuple[Worker, Server]]:
    """``python -m module`` as a Worker that is a server too, once it is ready as both."""
    port = free_port()
    with worker(module, *arguments, **(at_port(port) | environment)) as child:
        wait_until_ready(child.process, port)
        yield child, Server(child.pid, port)
