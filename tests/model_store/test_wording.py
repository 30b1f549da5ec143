"""Commands that run as printed, sizes and corrections."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from model_store import wording
from model_store.wording import Parser, command, did_you_mean, size
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(wording.STORE, raising=False)


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process runs in the checkout, by its environment's interpreter, as make starts it."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv" / "bin" / "python"))


@pytest.mark.usefixtures("checkout")
def test_in_a_checkout_commands_are_make_lines() -> None:
    assert command("model_store", "pull") == "make pull"
    assert command("model_store", "import", "w.h5", "--name", "mine") == 'make import FILE=w.h5 OPTIONS="--name mine"'
    assert command("service", "calibrate", "a.mp4") == "make calibrate VIDEOS=a.mp4"
    assert command("service", C3D_MODEL="mine") == "C3D_MODEL=mine make serve"


@pytest.mark.usefixtures("checkout")
def test_every_make_line_has_its_target_and_variable() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {word for line in re.findall(r"^([\w -]+):", makefile, flags=re.MULTILINE) for word in line.split()}
    assert targets >= wording.MADE
    for name, variable in wording.VARIABLES.items():
        assert f"make {name} {variable}=" in makefile
        assert f"$({variable})" in makefile


@pytest.mark.usefixtures("checkout")
def test_the_store_of_the_process_is_the_store_of_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wording.STORE, "/my models")
    assert command("model_store", "list") == "C3D_MODEL_STORE='/my models' make list"


def test_elsewhere_commands_have_the_interpreters_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = command("model_store", "import", "my weights.h5")
    assert shlex.split(typed) == [sys.executable, "-m", "model_store", "import", "my weights.h5"]
    assert Path(shlex.split(typed)[0]).exists()


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [
        (0, "0 kB"),
        (1, "1 kB"),
        (7046, "8 kB"),
        (999_000, "999 kB"),
        (999_999, "1.0 MB"),
        (4_200_000, "4.2 MB"),
        (319_964_060, "320 MB"),
        (4 * 10**9, "4,000 MB"),
    ],
)
def test_sizes(num_bytes: int, said: str) -> None:
    assert size(num_bytes) == said


def test_a_near_word_is_meant_and_a_far_one_is_not() -> None:
    assert did_you_mean("topk", ["top_k", "layer"]) == 'Did you mean "top_k"?'
    assert did_you_mean("colour", ["top_k", "layer"]) == ""


@pytest.mark.parametrize(("word", "meant"), [("pul", 'Did you mean "pull"?'), ("zzz", "")])
def test_a_mistyped_choice_ends_with_what_it_may_have_meant(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="program")
    parser.add_argument("command", choices=["pull", "stand-in"])
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([word])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert meant in said
    assert ("Did you mean" in said) == bool(meant)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["run", "--nmae", "x"], "unrecognized arguments: --nmae x. Did you mean --name?"),
        (["run", "--nmae=x"], "unrecognized arguments: --nmae=x. Did you mean --name?"),
        (["--verson", "run"], "Did you mean --version?"),
        (["run", "--colour"], "unrecognized arguments: --colour"),
        (["run", "--out"], "argument --output: expected one argument"),
    ],
)
def test_a_mistyped_option_ends_with_what_it_may_have_meant(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser(prog="program")
    parser.add_argument("--version", action="store_true")
    command = parser.add_subparsers().add_parser("run")
    command.add_argument("--name")
    command.add_argument("--output")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(given)
    assert capsys.readouterr().err.rstrip().endswith(said)


def test_a_mistyped_option_that_is_required_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="program")
    parser.add_argument("--out", required=True)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--ouput", "x"])
    assert capsys.readouterr().err.rstrip().endswith("required: --out. Did you mean --out?")
