"""The command line: exit statuses, one sentence per error, and the whole way of a file into the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model_store import pull, store
from model_store.__main__ import main
from model_store.download import manifest
from model_store.wording import command
from tests.support import layout_writers, store_fakes


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of the commands; nothing else of the environment counts."""
    monkeypatch.setenv("C3D_MODEL_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("C3D_MODEL", raising=False)
    return tmp_path / "store"


@pytest.fixture
def dead(tmp_path: Path) -> str:
    """A manifest of addresses where nobody listens."""
    content = json.loads(manifest.SHIPPED.read_text())
    for sources in (content["weights"], content["labels"], *content["means"].values()):
        for source in sources:
            source["url"] = "http://127.0.0.1:9/gone"
    (tmp_path / "m.json").write_text(json.dumps(content))
    return str(tmp_path / "m.json")


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["import"], ["pull", "--preprocessing", "mine"], ["list", "--all"]])
def test_senseless_command_lines(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_pull_offline_fails_with_a_sentence(directory: Path, dead: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "--manifest", dead]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("model_store: No source delivers the mean cube sports1m")
    assert store.names(directory) == []


def test_pull_of_what_is_there(directory: Path, dead: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = store_fakes.model(directory, "sports1m")
    with (model.directory / store.WEIGHTS).open("wb") as file:
        file.truncate(pull.MODEL_BYTES + 1)
    assert main(["pull", "--manifest", dead]) == 0
    assert capsys.readouterr().out.startswith("Already there: sports1m (487 classes, c3d-sports1m")
    assert main(["pull", "--manifest", dead, "--preprocessing", "c3d-ucf101-mean"]) == 1


def test_list_is_a_table_or_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    store_fakes.model(directory, "mine", num_classes=0)
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("*  mine  000000000000  sha256     ")
    assert main(["list", "--json"]) == 0
    [model] = json.loads(capsys.readouterr().out)
    assert (model["name"], model["served"], model["num_classes"], model["int8"]) == ("mine", True, 0, False)
    assert model["bytes"] > 4 * 3 * 16 * 128 * 171


def test_list_marks_what_the_environment_chooses(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sports1m", "mine"):
        store_fakes.model(directory, name)
    monkeypatch.setenv("C3D_MODEL", "mine")
    assert main(["list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out) if row["served"]] == ["mine"]


def test_summary_of_the_paper_and_of_a_model(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary"]) == 0
    assert "79,991,015 parameters" in capsys.readouterr().out
    store_fakes.model(directory, "mine", num_classes=101)
    assert main(["summary", "--name", "mine"]) == 0
    assert "101 classes" in capsys.readouterr().out
    assert main(["summary", "--name", "mime"]) == 1
    assert 'Did you mean "mine"?' in capsys.readouterr().err


def test_a_near_source_is_meant(directory: Path, dead: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = json.loads(Path(dead).read_text())["weights"][0]["name"]
    assert main(["pull", "--manifest", dead, "--source", name[:-1]]) == 1
    assert f'Did you mean "{name}"?' in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_that_is_no_c3d_is_refused_before_anything_is_downloaded(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.h5").write_bytes(b"this is no file of weights")
    assert main(["import", str(tmp_path / "w.h5")]) == 1
    said = capsys.readouterr().err
    assert "mean cube" not in said
    assert "http" not in said
    assert not (directory / pull.DOWNLOADS).exists()


def test_import_of_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "nowhere.h5"]) == 1
    assert capsys.readouterr().err == "model_store: There is no file nowhere.h5.\n"


def test_store_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("C3D_MODEL_STORE", str(tmp_path / "file" / "store"))
    assert main(["import", "x"]) == 1
    assert capsys.readouterr().err.startswith("model_store: Not a directory: ")


@pytest.mark.slow
def test_import_ends_by_saying_how_to_prove_and_serve(
    directory: Path, stand_in: store.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Caffe file with the stand-in weights: the same identity, and no claim to be Sports-1M."""
    layout_writers.caffe(dict(stand_in.tensors()), tmp_path / "deepnetA")
    (tmp_path / "mean").write_bytes(layout_writers.blob(stand_in.mean))
    (tmp_path / "labels").write_text("".join(f"sport {i}\n" for i in range(487)))
    given = ["--mean", str(tmp_path / "mean"), "--labels", str(tmp_path / "labels")]
    assert main(["import", str(tmp_path / "deepnetA"), *given]) == 0
    said = capsys.readouterr().out
    proving, serving, restart = said.splitlines()[-3:]
    assert proving.endswith(command("service", "verify", "--name", "deepneta"))
    assert serving.endswith(command("service", C3D_MODEL="deepneta"))
    assert restart.endswith("restart it.")
    model = store.open_model(directory)
    assert (model.card.name, model.card.form, model.card.known_answer) == ("deepneta", "caffe", None)
    assert model.card.weights_sha256 == stand_in.card.weights_sha256
    np.testing.assert_array_equal(model.mean, stand_in.mean)
