"""`prepare`: the store has a model that this version serves, or the last line says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_store import standin, store
from model_store.__main__ import main
from model_store.card import Card, OtherVersion, how_to_remake, sealed
from model_store.download import manifest
from model_store.wording import command
from tests.support import layout_writers, store_fakes
from tests.support.pulls import LABELS, MEAN, Case, serving


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setenv("C3D_MODEL_STORE", str(tmp_path))
    monkeypatch.delenv("C3D_MODEL", raising=False)
    with serving(tmp_path) as served:
        (tmp_path / "manifest.json").write_text(served.manifest().model_dump_json())
        yield served


@pytest.fixture
def prepare(case: Case) -> Callable[[], int]:
    return lambda: main(["prepare", "--manifest", str(case.directory / "manifest.json")])


def age(model: store.Model, **changes: Any) -> None:
    """Make it a model of the version before cards were sealed, as that wrote its card."""
    card = json.loads(sealed(model.card))
    for later in ("card_sha256", "labels_sha256", "authenticity", "keep_aspect", "long_side"):
        del card[later]
    (model.directory / store.CARD).write_text(json.dumps({**card, **changes}))


@pytest.mark.parametrize("wanted", ["", "mine"])
def test_a_model_that_is_there_is_left_alone(
    case: Case, prepare: Callable[[], int], wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_fakes.model(case.directory, "mine")
    monkeypatch.setenv("C3D_MODEL", wanted)
    assert prepare() == 0
    assert (case.asked(), *capsys.readouterr()) == ([], "", "")


def test_a_mistyped_model_downloads_nothing(
    case: Case, prepare: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("C3D_MODEL", "mime")
    store_fakes.model(case.directory, "mine")
    assert prepare() == 1
    assert 'Did you mean "mine"?' in capsys.readouterr().err.splitlines()[-1]
    assert case.asked() == []


def test_a_model_of_an_older_version_is_not_called_damaged(case: Case) -> None:
    age(store_fakes.model(case.directory, "mine"), source="weights.h5")
    with pytest.raises(OtherVersion, match=r"was made by another version of this program\. Make it again: `"):
        store.open_model(case.directory)


def test_a_model_of_a_newer_version_is_not_called_damaged(case: Case) -> None:
    model = store_fakes.model(case.directory, "mine")

    class Newer(Card):
        depth: int = 3

    (model.directory / store.CARD).write_text(sealed(Newer(**model.card.model_dump())))
    with pytest.raises(OtherVersion):
        store.open_model(case.directory)


def test_an_imported_one_names_the_command_that_imports_it_again(
    case: Case, prepare: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    age(store_fakes.model(case.directory, "mine"), source="weights.h5", mean="mine.npy")
    assert prepare() == 1
    again = command("model_store", "import", "weights.h5", "--name", "mine", "--mean", "mine.npy", "--licence", "none")
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"Make it again: `{again}`.")
    assert case.asked() == []


def test_a_pinned_one_is_left_to_a_person(
    case: Case, prepare: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("C3D_MODEL", "stand-in@3fb2c9d01a77")
    age(store_fakes.model(case.directory, "stand-in"))
    assert prepare() == 1
    assert f"`{command('model_store', 'stand-in')}`" in capsys.readouterr().err


def test_a_model_that_was_changed_by_hand_is_refused(
    case: Case, prepare: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    card = store_fakes.model(case.directory, "stand-in").directory / store.CARD
    card.write_text(card.read_text().replace('"crop_left": 29', '"crop_left": 30'))
    assert prepare() == 1
    assert "it was changed after it was written. Make it again: `" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"name": "stand-in"}, ["stand-in"]),
        ({"name": "sports1m"}, ["pull"]),
        ({"name": "sports1m", "source": "deepnetA"}, ["import", "deepnetA", "--name", "sports1m"]),
        ({"name": "mine"}, ["import", "FILE", "--name", "mine"]),
        (
            {"name": "mine", "source": "c.pickle", "preprocessing": "c3d-pytorch", "mean": "0,0,0 (RGB)"},
            ["import", "c.pickle", "--name", "mine", "--preprocessing", "c3d-pytorch"],
        ),
        (
            {"name": "mine", "source": "w.h5", "labels": "l.txt", "scale": 0.5, "color_tags": "ignore", "mean": "1,2,3 (BGR)"},
            [
                "import",
                "w.h5",
                "--name",
                "mine",
                "--mean",
                "1,2,3",
                "--labels",
                "l.txt",
                "--scale",
                "0.5",
                "--color-tags",
                "ignore",
            ],
        ),
    ],
)
def test_the_command_is_the_one_that_made_it(card: dict[str, Any], words: list[str]) -> None:
    assert how_to_remake(card) == command("model_store", *words)


def test_a_source_that_is_used_only_when_asked_is_asked_for() -> None:
    for source in manifest.load().weights:
        again = how_to_remake({"name": "sports1m", "source": source.url, "preprocessing": "c3d-sports1m"})
        assert again == command("model_store", "pull", *(("--source", source.name) if source.only_when_asked else ()))


@pytest.mark.slow
def test_stand_ins_of_an_older_version_are_made_again(
    case: Case, prepare: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    age(store_fakes.model(case.directory, "stand-in"))
    assert prepare() == 0
    said = capsys.readouterr().err
    assert said.startswith("stand-in was made by another version of this program. It is made again.\n")
    assert store.open_model(case.directory).card.weights_sha256 == standin.IDENTITY


@pytest.mark.slow
def test_a_pulled_model_of_an_older_version_is_made_again_from_its_kept_download(
    case: Case, prepare: Callable[[], int], stand_in: store.Model
) -> None:
    kept = case.directory / ".downloads"
    kept.mkdir()
    layout_writers.keras_hdf5(layout_writers.as_keras(dict(stand_in.tensors())), kept / "weights.bin")
    for name, content in (("mean", MEAN), ("labels", LABELS)):
        (kept / f"{name}.bin").write_bytes(content)
    age(store_fakes.model(case.directory, "sports1m"), source=case.server.url("/weights"))
    assert prepare() == 0
    assert case.asked() == []
    assert store.open_model(case.directory).card.weights_sha256 == stand_in.card.weights_sha256
