"""Models in the store: written whole or not at all, read with their hashes, chosen by a rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model_store import c3d, store, tensors
from model_store.card import numbers_of
from model_store.importer import numbered_labels
from model_store.preprocessing import Preprocessing
from model_store.tensors import ModelMissing, StoreError
from tests.support import store_fakes


@pytest.mark.parametrize(
    ("present", "asked", "chosen"),
    [
        (["stand-in"], "", "stand-in"),
        (["stand-in", "mine"], "", "mine"),
        (["stand-in", "mine", "sports1m", "other"], "", "sports1m"),
        (["stand-in", "mine", "sports1m"], "stand-in", "stand-in"),
    ],
)
def test_choice(present: list[str], asked: str, chosen: str, tmp_path: Path) -> None:
    for name in present:
        store_fakes.model(tmp_path, name)
    assert store.open_model(tmp_path, asked).card.name == chosen


def test_no_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="pull` downloads them"):
        store.open_model(tmp_path / "nowhere")
    store_fakes.model(tmp_path, "mine")
    with pytest.raises(ModelMissing, match="There are: mine"):
        store.open_model(tmp_path, "other")


def test_open_choice_is_an_error(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        store_fakes.model(tmp_path, name)
    with pytest.raises(StoreError, match="set C3D_MODEL to one of mine, other"):
        store.open_model(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"crop_left": 30}, {"labels_sha256": "0" * 64}, {"known_answer": 7}, {"card_sha256": "0" * 64}, {"card_sha256": None}],
)
def test_an_edited_card_is_noticed(change: dict[str, object], tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    path = model.directory / store.CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}, indent=4))
    with pytest.raises(StoreError, match="is not whole: it was changed after it was written"):
        store.open_model(tmp_path)


def test_a_card_may_be_written_otherwise(tmp_path: Path) -> None:
    """The hash is over what the card says, not over its spaces."""
    path = store_fakes.model(tmp_path, "mine").directory / store.CARD
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert store.open_model(tmp_path).card.name == "mine"


def test_a_model_is_pinned_by_its_cards_hash(tmp_path: Path) -> None:
    """Whoever can write the store can write a card with its hash. What lies elsewhere he does not reach."""
    model = store_fakes.model(tmp_path, "mine")
    pinned = f"mine@{model.card_sha256}"
    for name in (pinned, pinned[:17]):
        assert store.open_model(tmp_path, name).card.name == "mine"
    for name in ("mine@", f"mine@{model.card_sha256[:11]}", f"mine@{'0' * 64}"):
        with pytest.raises(StoreError, match="Somebody has changed or replaced the model"):
            store.open_model(tmp_path, name)
    store.write_card(model.directory, model.card.model_copy(update={"crop_left": 30}))
    with pytest.raises(StoreError, match="Somebody has changed or replaced the model"):
        store.open_model(tmp_path, pinned)


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    store_fakes.model(tmp_path, "mine").directory.rename(tmp_path / "yours")
    with pytest.raises(StoreError, match=r'yours is that of "mine"\. Import the model under its own name'):
        store.open_model(tmp_path, "yours")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "A", "a" * 65])
def test_names_that_are_no_directory(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        store_fakes.card(name)


@pytest.mark.parametrize("file", [store.CARD, store.MEAN, store.LABELS])
def test_damaged_model_is_said(file: str, tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    (model.directory / file).write_bytes(b"\xff")
    with pytest.raises(StoreError):
        store.Model(model.directory)


def test_mean_of_another_model_is_said(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    np.save(model.directory / store.MEAN, store_fakes.cube(50))
    with pytest.raises(StoreError, match="is not the mean that its card names"):
        store.Model(model.directory)


def test_room(tmp_path: Path) -> None:
    store.check_room(tmp_path, 0)
    with pytest.raises(store.NoRoom, match=r"needs 1,000,000,000 MB .* set C3D_MODEL_STORE to a directory on a larger disk"):
        store.check_room(tmp_path, 10**15)


def zeros(classes: int = 3) -> dict[str, tensors.Float32]:
    return {name: np.zeros(shape, np.float32) for name, shape in c3d.weight_shapes(classes).items()}


def write(directory: Path, weights: dict[str, tensors.Float32]) -> store.Model:
    card = store_fakes.card("mine", num_classes=3, weights_sha256=tensors.identity(weights))
    return store.write(directory, card, weights, store_fakes.cube(), numbered_labels(3))


@pytest.mark.slow
def test_written_model_is_read_and_replaced(tmp_path: Path) -> None:
    weights = zeros()
    weights["fc8/bias"] += [1, 2, 3]
    write(tmp_path, zeros())
    model = write(tmp_path, weights)
    with pytest.raises(StoreError, match="conv1/bias holds values that are not finite"):
        write(tmp_path, {**zeros(), "conv1/bias": np.full(64, np.nan, np.float32)})
    assert store.record_answer(model, 2).card.known_answer == 2
    (model.directory / store.LABELS).write_text("a\nb\nc\n")
    with pytest.raises(StoreError, match=r"labels.txt was changed after the import"):
        store.open_model(tmp_path)
    (model.directory / store.LABELS).write_text("class 0\nclass 1\nclass 2\n")
    model = store.open_model(tmp_path)
    for name, tensor in model.tensors():
        np.testing.assert_array_equal(tensor, weights[name])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert model.directory.stat().st_mode & 0o777 == 0o755

    damaged = bytearray((model.directory / store.WEIGHTS).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (model.directory / store.WEIGHTS).write_bytes(damaged)
    with pytest.raises(StoreError, match="Make it again: `"):
        list(model.tensors())


@pytest.mark.slow
def test_weights_that_are_not_the_cards(tmp_path: Path) -> None:
    card = store_fakes.card("mine", num_classes=3)
    with pytest.raises(StoreError, match="other weights than its card names"):
        store.write(tmp_path, card, zeros(), store_fakes.cube(), numbered_labels(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_rgb_weights_of_scaled_levels_are_given_for_bgr_levels(tmp_path: Path) -> None:
    weights = zeros()
    weights["conv1/kernel"] = np.arange(5184, dtype=np.float32).reshape(3, 3, 3, 3, 64)
    changes = {"channel_order": "RGB", "scale": 0.5, "weights_sha256": tensors.identity(weights), "num_classes": 3}
    model = store.write(tmp_path, store_fakes.card("mine", **changes), weights, store_fakes.cube(), numbered_labels(3))
    given = dict(model.tensors())
    np.testing.assert_array_equal(given["conv1/kernel"], weights["conv1/kernel"][:, :, :, ::-1] / 2)
    assert model.card.weights_sha256 == tensors.identity(weights)


@pytest.mark.parametrize("preprocessing", ["c3d-pytorch", "mmaction2"])
def test_a_cube_fits_no_other_frames(preprocessing: Preprocessing) -> None:
    card = store_fakes.card("mine", **numbers_of(preprocessing))
    with pytest.raises(StoreError, match="no mean cube fits: give three numbers"):
        store.check_mean_fits(card, store_fakes.cube())
    store.check_mean_fits(card, np.full_like(store_fakes.cube(), 104))
