"""python -m service: its arguments, what it says, how it starts and how it ends. Real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from model_store import standin
from service.__main__ import main
from service.inference.build import engine_for
from service.settings import VERSION
from tests.conftest import ROOT
from tests.support import store_fakes
from tests.support.service_process import Service, start

ENGINE = engine_for("auto", "float32", "auto")
STAND_INS = f"stand-in, float32, {ENGINE} on cpu"


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("C3D_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_a_question_is_answered_and_nothing_starts(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert VERSION in said or "--settings" in said


@pytest.mark.parametrize("arguments", [["--prot"], ["serve"], ["--port", "80"], ["verify", "--vidoe", "x"]])
def test_a_wrong_argument_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m service" in capsys.readouterr().err


def test_settings_are_listed_and_those_that_changed_are_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("C3D_PORT", "8001")
    assert main(["--settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "* C3D_PORT=8001" in lines
    assert [line for line in lines if not line.startswith("  C3D_")] == ["* C3D_PORT=8001"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"C3D_MODEL": "stand_in"}, 'C3D_MODEL: There is no model "stand_in" in {store}. Did you mean "stand-in"? There are: '),
        ({"C3D_MODEL": "mine"}, 'C3D_MODEL: There is no model "mine" in {store}. There are: stand-in.'),
        ({"C3D_DEVICE": "gpu", "C3D_ENGINE": "openvino"}, "C3D_DEVICE: openvino runs on the CPU. Use C3D_DEVICE=auto, or "),
        ({"C3D_ENGINE": "jax"}, "C3D_ENGINE: jax is not installed here. docs/engines.md says how to install it."),
        ({"C3D_PRECISION": "int8"}, "C3D_PRECISION: int8 needs C3D_ENGINE=openvino. Use that, or bfloat16."),
        (
            {"C3D_PRECISION": "int8", "C3D_ENGINE": "openvino"},
            'C3D_PRECISION: "stand-in" is not calibrated for int8.',
        ),
    ],
)
def test_what_can_never_start_ends_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    store_fakes.model(tmp_path, "stand-in")
    for name, value in {"C3D_MODEL_STORE": str(tmp_path), **settings}.items():
        monkeypatch.setenv(name, value)
    assert main([]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(said.format(store=tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("C3D_PORT", "x", "C3D_PORT must be a valid integer.\n"),
        ("C3D_PORT", "99999", "C3D_PORT must be less than or equal to 65535.\n"),
        ("C3D_LOG_LEVEL", "loud", "C3D_LOG_LEVEL must be 'debug', 'info', 'warning' or 'error'.\n"),
        ("C3D_API_KEY", "short", "C3D_API_KEY: each key has at least 16 characters, visible ASCII without commas.\n"),
    ],
)
def test_a_wrong_value_ends_with_a_sentence(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main([]) == 2
    assert capsys.readouterr().err == said


@pytest.mark.slow
@pytest.mark.parametrize("command", [["service", "--settings"], ["model_store", "summary"]])
def test_a_reader_that_leaves_gets_no_stack(command: list[str]) -> None:
    """As with `| head`."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    assert process.stdout
    process.stdout.close()  # before the imports are done
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (-signal.SIGPIPE, b"")


def taken_port() -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


@pytest.mark.slow
def test_a_taken_port_ends_the_start_before_anything_is_loaded(tmp_path: Path) -> None:
    listener, port = taken_port()
    environment = {"C3D_PORT": str(port), "C3D_MODEL_STORE": str(tmp_path), "C3D_LOG_FORMAT": "text", "PYTHONPATH": str(ROOT)}
    with listener:
        done = subprocess.run(
            [sys.executable, "-m", "service"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"Choose another port, for example: C3D_PORT={port + 1} make serve")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("store")
    standin.write(directory, None)
    return directory


@pytest.fixture
def started(tmp_path: Path, store: Path) -> Iterator[Service]:
    service = start(tmp_path, C3D_MODEL_STORE=str(store), C3D_DRAIN_DELAY_S="3600", C3D_LOG_FORMAT="json")
    yield service
    service.process.kill()
    service.process.wait()


@pytest.mark.slow
def test_the_start_says_what_changed_and_ends_with_a_line_for_people(started: Service) -> None:
    for _ in range(50):
        httpx2.get(f"{started.url}/readyz")  # probes during the warm-up write nothing
    started.wait_for("Ready in")
    said = [json.loads(line) for line in started.lines]  # every line is the service's own
    messages = [each["message"] for each in said]
    assert [message for message in messages if message.startswith("C3D_")] == [
        "C3D_PORT=0",
        *[message for message in messages if message.startswith(("C3D_MODEL_STORE=", "C3D_SPOOL_DIR="))],
        "C3D_DRAIN_DELAY_S=3600.0",
        "C3D_LOG_FORMAT=json",
    ]
    running, _, warning, ready = said[-4:]  # between them: what decoders are locked in by
    assert running["message"].startswith("running on ")
    assert (warning["level"], "random numbers" in warning["message"]) == ("WARNING", True)
    assert ready["message"].endswith(f"{started.url}  ({STAND_INS})")
    assert has_mapped(started.process, "libtensorflow") == (ENGINE == "tensorflow")


def has_mapped(process: subprocess.Popen[str], library: str) -> bool:
    """Whether the process has begun to load a library."""
    return library in Path(f"/proc/{process.pid}/maps").read_text()


MOMENTS: dict[str, Callable[[Service], bool]] = {
    "as soon as it listens": lambda service: True,
    "importing TensorFlow": lambda service: has_mapped(service.process, "libtensorflow"),
    "warming up": lambda service: "% done" in httpx2.get(f"{service.url}/startupz").text,
}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_while_it_loads_a_signal_ends_it_before_it_has_loaded(
    tmp_path: Path, store: Path, number: signal.Signals, moment: str
) -> None:
    service = start(
        tmp_path, C3D_ENGINE="tensorflow", C3D_MODEL_STORE=str(store), C3D_DRAIN_DELAY_S="3600", C3D_LOG_LEVEL="debug"
    )
    while not MOMENTS[moment](service):
        assert service.process.poll() is None
    assert service.end(number) == 0
    service.wait_for("<end>")
    said = "".join(service.lines)
    assert "is ready; zeros give" not in said, "it waited for the thread that loads the network"
    assert "Traceback" not in said
    assert list(service.spool.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_with_nothing_running_does_not_wait_for_a_load_balancer(started: Service) -> None:
    started.wait_for("Ready in")
    assert started.end(signal.SIGINT) == 0  # the delay is an hour
    started.wait_for("stopping")
    assert "Traceback" not in "".join(started.lines)


@pytest.mark.slow
def test_ctrl_c_during_the_imports_leaves_no_stack(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={"C3D_MODEL_STORE": str(tmp_path)})
    while not has_mapped(process, "pydantic_core"):  # then `service.__main__` runs
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "Traceback" not in said
