"""README.md and docs/ promise nothing that is not there: commands run, answers are real ones, tables are whole."""

from __future__ import annotations

import contextlib
import importlib.util
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
from pydantic import TypeAdapter

from c3d_video.__main__ import main as client_main
from c3d_video.__main__ import parser as client_parser
from corpus.command import parser as corpus_parser
from docs import generate
from model_store.__main__ import main as model_store_main
from service.__main__ import main as service_main
from service.answers.answer import ClassifyAnswer
from service.errors import BY_CODE
from service.http.metrics import COUNTERS, GAUGES
from service.lifecycle.readiness import STAND_IN_WARNING
from service.options import ClassifyOptions, FeaturesOptions
from service.video.messages import WARNINGS
from tests.conftest import ROOT
from tests.support.fakes import fake_outputs
from tests.support.http_helpers import fake_app
from tests.support.live_server import live
from tests.support.pages import PAGES, blocks, page, rows, section

COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line]
PROSE = "".join(path.read_text(encoding="utf-8") for path in PAGES)
README_LINES = 140  # two screens


@pytest.fixture(scope="module")
def example_com(clip_mp4: Path) -> Iterator[int]:
    """The port of a server on this machine that has the clip: example.com in the docs."""
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
    spool_dir = tmp_path_factory.mktemp("spool")
    with live(fake_app(spool_dir, urls="private", url_ports=str(example_com))) as address:
        yield address


@pytest.fixture
def directory(tmp_path: Path, clip_mp4: Path) -> Path:
    shutil.copy(clip_mp4, tmp_path / "clip.mp4")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("curl")])
def test_curl_commands_are_answered(command: str, address: str, directory: Path, example_com: int) -> None:
    here = command.replace("localhost:8000", address).replace("https://example.com", f"http://127.0.0.1:{example_com}")
    words = shlex.split(here)
    done = subprocess.run([*words, "--fail-with-body", "-sS"], cwd=directory, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    if "-o" in words:
        found = np.load(directory / words[-1])
        assert found.shape == (4, 4096) if words[-1].endswith(".npy") else "provenance" in found.files
    else:
        *_, last = done.stdout.splitlines()  # of a stream the summary
        assert {"model", "video", "warnings", "timings_ms"} < json.loads(last).keys()


@pytest.fixture(scope="module")
def recipes(address: str, tmp_path_factory: pytest.TempPathFactory, clip_mp4: Path) -> dict[str, Any]:
    """What all Python blocks, and the recipes' commands, have made, run one after the other where a clip lies."""
    directory = tmp_path_factory.mktemp("recipes")
    (directory / "videos").mkdir()
    shutil.copy(clip_mp4, directory / "clip.mp4")
    shutil.copy(clip_mp4, directory / "videos" / "clip.mp4")
    names: dict[str, Any] = {}
    with contextlib.chdir(directory):
        for block in blocks("python"):
            exec(block.replace("localhost:8000", address), names)  # noqa: S102 (the docs are ours)
        for block in blocks("sh", ROOT / "docs" / "recipes.md"):
            assert client_main([*shlex.split(block)[1:], "--server", f"http://{address}", "--allow-stand-in", "-q"]) == 0
    return names | {"directory": directory}


@pytest.mark.slow
def test_a_vector_has_length_one(recipes: dict[str, Any]) -> None:
    assert recipes["descriptor"].shape == (4096,)
    assert np.isclose(np.linalg.norm(recipes["descriptor"]), 1, atol=1e-6)


@pytest.mark.slow
def test_rows_lie_where_they_say(recipes: dict[str, Any]) -> None:
    assert recipes["rows"].shape == (2, 4096)
    assert recipes["seconds"].tolist() == [0, 0.64]
    assert np.array_equal(np.load(recipes["directory"] / "rows" / "clip.npy"), recipes["rows"])


@pytest.mark.slow
def test_the_client_and_plain_http_give_the_same_vector(recipes: dict[str, Any]) -> None:
    assert np.array_equal(recipes["descriptor"], recipes["same_descriptor"])


@pytest.mark.slow
def test_the_32_parts_are_a_file_of_unit_vectors(recipes: dict[str, Any]) -> None:
    parts = np.loadtxt(recipes["directory"] / "parts" / "clip_C.txt")
    assert parts.shape == (32, 4096)
    assert np.allclose(np.linalg.norm(parts, axis=1), 1, atol=1e-3)


@pytest.mark.slow
def test_the_database_holds_each_clip_once(recipes: dict[str, Any]) -> None:
    recipes["database"].upsert("clips", recipes["points"])
    assert recipes["database"].count("clips").count == 4
    [nearest] = recipes["database"].query_points("clips", query=recipes["points"][2].vector, limit=1).points
    assert nearest.id == recipes["points"][2].id


@pytest.mark.slow
def test_tritonclient_gets_a_row_for_each_clip(recipes: dict[str, Any]) -> None:
    assert np.array_equal(recipes["fc6"], fake_outputs(recipes["cut"]).fc6)


def test_make_commands_are_targets() -> None:
    wanted = {word for command in COMMANDS if command.startswith("make") for word in shlex.split(command)[1:]}
    wanted -= {word for word in wanted if "=" in word}  # variables
    wanted |= set(re.findall(r"`make ([\w-]+)", PROSE))
    heads = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    targets = {target for head in heads for target in head.split()}
    assert wanted
    assert wanted <= targets


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("c3d-video")])
def test_client_commands_are_understood(command: str) -> None:
    assert client_parser().parse_args(shlex.split(command.partition(" > ")[0])[1:]).run


def test_corpus_commands_are_understood() -> None:
    wanted = [shlex.split(command) for command in COMMANDS if command.startswith(".venv/bin/python -m corpus")]
    assert [corpus_parser().parse_args(words[3:]).listing for words in wanted] == [words[3] for words in wanted] != []


def test_every_command_is_of_a_kind_that_is_tried() -> None:
    assert {command.split()[0] for command in COMMANDS} <= {
        "make",
        "curl",
        ".venv/bin/opentelemetry-instrument",  # by hand
        ".venv/bin/pip",
        ".venv/bin/python",
        "docker",
        "c3d-video",
        "pip",
        "uvx",
        "kubectl",
    }


def test_kubectl_applies_what_is_there() -> None:
    words = [command.split() for command in COMMANDS if command.startswith("kubectl apply")]
    assert words
    for *_, option, path in words:
        assert (ROOT / path / "kustomization.yaml" if option == "-k" else ROOT / path).is_file(), path


PYTHON_COMMANDS = [command for command in COMMANDS if command.startswith(".venv/bin/python -m ")]
MAINS = {"model_store": model_store_main, "service": service_main}


@pytest.mark.parametrize("command", PYTHON_COMMANDS)
def test_python_commands_are_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, module, *words = shlex.split(command)
    if module in MAINS:
        with pytest.raises(SystemExit) as ended:
            MAINS[module]([words[0], "--help"])
        assert ended.value.code == 0
        assert words[0] in capsys.readouterr().out
    else:
        assert importlib.util.find_spec(module)
        assert [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()] == []


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if " python -m " in command and command.startswith("docker")]
)
def test_commands_in_containers_are_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.partition(">")[0])
    module, *words = words[words.index("-m") + 1 :]
    with pytest.raises(SystemExit) as ended:
        MAINS[module]([words[0], "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out


def test_no_page_prints_a_command_that_is_not_found() -> None:
    """`python` is nobody's command in a checkout: its interpreter lies in .venv, and make knows it."""
    assert re.findall(r"`python3? -m [^`]*`", PROSE) == []


def test_metrics_are_those_of_the_service() -> None:
    known = set(re.findall(r'"(c3d_\w+)"', (ROOT / "service" / "http" / "metrics.py").read_text(encoding="utf-8")))
    known |= {f"c3d_{name}" for name in GAUGES} | {f"c3d_{name}_total" for name in COUNTERS} | {"c3d_model_info"}
    assert set(re.findall(r"`(c3d_\w+)`", page("operate"))) == known - {"c3d_model"}


def test_the_answer_is_a_real_one() -> None:
    [block] = blocks("json", ROOT / "docs" / "http-api.md")
    answer = TypeAdapter(ClassifyAnswer).validate_json(block)
    assert answer["model"]["weights"] == "stand-in"
    assert answer["warnings"][0]["code"] == "stand_in_weights"
    assert json.loads(block).keys() == ClassifyAnswer.__annotations__.keys() - {"custom_id", "descriptor", "segments", "clips"}


def test_the_readme_shows_a_part_of_that_answer() -> None:
    [whole] = blocks("json", ROOT / "docs" / "http-api.md")
    [part] = blocks("json", ROOT / "README.md")
    answer, shown = json.loads(whole), json.loads(part)
    assert shown["predictions"] == answer["predictions"][: len(shown["predictions"])]
    assert {name: answer[name] for name in shown} | {"predictions": shown["predictions"]} == shown


@pytest.mark.parametrize("page", generate.PAGES)
def test_generated_tables_are_as_the_code_has_them(page: str) -> None:
    """`make docs` writes them."""
    assert (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") == generate.filled(page)


def test_every_code_option_and_setting_has_one_row_and_no_more() -> None:
    """What the generated tables hold is what the code knows, by another way."""
    table = section("http-api", "A video in")
    named = [name.partition("`")[0] for name in rows(table)]
    assert set(named) - {"option", "---"} == set(ClassifyOptions.model_fields) | set(FeaturesOptions.model_fields)
    assert rows(section("http-api", "Errors")).keys() - {"code", "---"} == BY_CODE.keys()
    assert rows(section("http-api", "Warnings")).keys() - {"code", "---"} == WARNINGS.keys()


def test_the_warning_in_the_examples_is_the_one_that_answers_have() -> None:
    [part] = blocks("json", ROOT / "README.md")
    assert json.loads(part)["warnings"][0] == STAND_IN_WARNING._asdict()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            found = page.parent / target if target else page
            assert found.exists(), target
            assert not heading or heading in anchors(found), f"{target}#{heading}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {str(path.relative_to(ROOT)) for path in PAGES[1:]} <= set(re.findall(r"\]\(([\w/-]+\.md)", readme))


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES
