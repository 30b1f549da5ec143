"""The README promises nothing that is not there: its commands run, its answer is a real one, its tables are whole."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from conftest import ROOT
from fakes import FakeNetwork
from model_store.__main__ import main as model_store_main
from service.app import create_app
from service.options import ClassifyOptions, FeaturesOptions
from service.schemas import ClassifyAnswer
from service.settings import Settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def example_com(clip_mp4: Path) -> Iterator[int]:
    """The port of a server on this machine that has the clip: the README's example.com."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(clip_mp4.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, example_com: int) -> Iterator[str]:
    """A real server with a network of ten lines."""
    ready = threading.Event()

    def load(settings: Any, progress: Any) -> FakeNetwork:
        return FakeNetwork()

    settings = Settings(spool_dir=tmp_path_factory.mktemp("spool"), urls="private", url_ports=str(example_com))
    app = create_app(settings, load)
    original = app.state.readiness.serve

    def serve(serving: Any) -> None:
        original(serving)
        ready.set()

    app.state.readiness.serve = serve
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ready.wait(60)
    while not server.started:
        pass
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def directory(tmp_path: Path, clip_mp4: Path) -> Path:
    shutil.copy(clip_mp4, tmp_path / "clip.mp4")
    return tmp_path


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("curl")])
def test_curl_commands_are_answered(command: str, address: str, directory: Path, example_com: int) -> None:
    here = command.replace("localhost:8000", address).replace("https://example.com", f"http://127.0.0.1:{example_com}")
    words = shlex.split(here)
    done = subprocess.run([*words, "--fail-with-body", "-sS"], cwd=directory, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert {"model", "video", "warnings", "timings_ms"} < json.loads(done.stdout).keys()


def test_the_python_snippet_gives_a_unit_vector(address: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [snippet] = [block for language, block in BLOCKS if language == "python"]
    monkeypatch.chdir(directory)
    names: dict[str, Any] = {}
    exec(snippet.replace("localhost:8000", address), names)  # noqa: S102 (the README is ours)
    assert names["descriptor"].shape == (4096,)
    assert np.isclose(np.linalg.norm(names["descriptor"]), 1, atol=1e-6)


def test_make_commands_are_targets() -> None:
    wanted = {word for command in COMMANDS if command.startswith("make") for word in shlex.split(command)[1:]}
    wanted -= {word for word in wanted if "=" in word}  # variables
    wanted |= set(re.findall(r"`make (\w+)", README))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert wanted
    assert wanted <= targets


def test_every_command_is_of_a_kind_that_is_tried() -> None:
    assert {command.split()[0] for command in COMMANDS} <= {"make", "curl", ".venv/bin/python"}


def test_store_commands_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [shlex.split(command)[1:] for command in COMMANDS if command.startswith(".venv/bin/python")]
    assert {tuple(words[:2]) for words in wanted} == {("-m", "model_store")}
    for command in {words[2] for words in wanted}:
        with pytest.raises(SystemExit) as ended:
            model_store_main([command, "--help"])
        assert ended.value.code == 0
    assert capsys.readouterr().out


def test_the_answer_is_a_real_one() -> None:
    [block] = [block for language, block in BLOCKS if language == "json"]
    answer = ClassifyAnswer.model_validate_json(block)
    assert answer.model.weights == "stand-in"
    assert answer.warnings[0].code == "stand_in_weights"
    assert json.loads(block).keys() == ClassifyAnswer.model_fields.keys() - {"clips"}


def test_options_are_those_of_the_endpoints() -> None:
    table = README.split("Options go into")[1].split("An answer holds")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| ?`?(\w*)`? ?\|", table, flags=re.MULTILINE))
    fields = ClassifyOptions.model_fields | FeaturesOptions.model_fields
    assert listed == {
        name: ""
        if field.default in ([], None)
        else f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
        for name, field in fields.items()
    }


def test_warnings_are_all_listed() -> None:
    source = "".join(path.read_text() for path in (ROOT / "service").glob("*.py"))
    raised = set(re.findall(r'Notice\(\s*"(\w+)"', source))
    table = README.split("### Warnings")[1].split("### Errors")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == raised


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
