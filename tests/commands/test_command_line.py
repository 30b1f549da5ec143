"""`python -m service verify | calibrate`: exit statuses, one sentence an error, and verify on the real network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from model_store import store
from service.__main__ import main


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of the commands."""
    monkeypatch.setenv("C3D_MODEL_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("C3D_MODEL", raising=False)
    return tmp_path / "store"


@pytest.mark.parametrize("arguments", [["verify", "mine"], ["calibrate"], ["serve"], ["calibrate", "v.mp4", "--max-drift", "x"]])
def test_senseless_command_lines(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.parametrize("more", [[], ["--name", "mine"]])
def test_verify_without_models(more: list[str], directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *more]) == 1
    assert capsys.readouterr().err.startswith("verify: There ")


def test_calibrate_names_a_file_that_is_not_there(directory: Path, clip_mp4: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(clip_mp4), "nowhere.mp4"]) == 1
    assert capsys.readouterr().err == "calibrate: There is no file nowhere.mp4.\n"


@pytest.mark.slow
def test_verify_proves_what_it_recorded(
    directory: Path, stand_in: store.Model, clip_mp4: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stand-ins under another name, with a card that knows no answer, as `import` writes it."""
    shutil.copytree(stand_in.directory, directory / "mine", copy_function=os.link)
    card = stand_in.card.model_copy(update={"name": "mine", "weights": "mine", "known_answer": None})
    store.write_card(directory / "mine", card)
    assert main(["verify"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Success, predicted class index is: 396"
    assert said[2].startswith("396 is the recorded answer of mine.")
    assert store.open_model(directory).card.known_answer == 396

    assert main(["verify", "--video", str(clip_mp4)]) == 0
    assert f"{clip_mp4.name}: 4 clips" in capsys.readouterr().out
