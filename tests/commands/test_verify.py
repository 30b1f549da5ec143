"""What a network's answer to zeros proves, and what is said when it is another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store import store
from model_store.tensors import StoreError
from service.commands import verify
from tests.support import layout_writers, store_fakes


def test_known_answer_of_sports1m(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "sports1m", known_answer=184)
    said: list[str] = []
    verify.report(model, said.append, lambda _: (184, 0.9))
    assert said == [
        "Success, predicted class index is: 184",
        '184 ("class 184") is the known answer of the Sports-1M weights: they were read correctly.',
    ]


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("stand-in", 7, "7 is the recorded answer of the stand-in weights: random numbers, not a trained network."),
        ("mine", 7, "7 is the recorded answer of mine."),
    ],
)
def test_other_answers(name: str, known: int, said: str, tmp_path: Path) -> None:
    lines: list[str] = []
    verify.report(store_fakes.model(tmp_path, name, known_answer=known), lines.append, lambda _: (7, 0.1))
    assert lines[0] == "Success, predicted class index is: 7"
    assert lines[1].startswith(said)


def test_no_class_layer(tmp_path: Path) -> None:
    lines: list[str] = []
    model = store_fakes.model(tmp_path, "openmmlab", num_classes=0)
    verify.report(model, lines.append, lambda _: None)
    assert lines == ["No class layer: these weights give descriptors, and there is no known answer to compare with."]
    assert store.Model(model.directory).card == model.card


@pytest.mark.parametrize(
    ("name", "num_classes", "answer", "whose"),
    [
        ("mine", 487, 184, "sports1m"),
        ("mine", 487, 7, "mine"),
        ("mine", 500, 184, "mine"),
    ],
)
def test_an_answer_is_recorded_once_and_compared_from_then_on(
    name: str, num_classes: int, answer: int, whose: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    verify.report(store_fakes.model(tmp_path, name, num_classes=num_classes), lines.append, lambda _: (answer, 0.1))
    card = store.Model(tmp_path / name).card
    assert (card.known_answer, card.weights) == (answer, whose)
    assert "This one is recorded" in lines[1]
    lines.clear()
    verify.report(store.Model(tmp_path / name), lines.append, lambda _: (answer, 0.1))
    assert len(lines) == 2
    with pytest.raises(StoreError, match=f"give class 9; .* give {answer}"):
        verify.report(store.Model(tmp_path / name), lines.append, lambda _: (9, 0.1))


def test_unauthenticated_weights_are_called_so(tmp_path: Path) -> None:
    for authenticity in ("unauthenticated", "sha256"):
        changes = {"known_answer": 184, "weights": "sports1m", "authenticity": authenticity}
        model = store_fakes.model(tmp_path / authenticity, "sports1m", **changes)
        lines: list[str] = []
        verify.report(model, lines.append, lambda _: (184, 0.1))
        assert ("unauthenticated" in lines[-1]) == (authenticity == "unauthenticated")


def test_a_model_that_was_replaced_meanwhile_keeps_its_card(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")

    def replaced(_: store.Model) -> tuple[int, float]:
        card = model.card.model_copy(update={"weights_sha256": "1" * 64})
        store.write_card(model.directory, card)
        return 7, 0.5

    with pytest.raises(StoreError, match='Another command has replaced "mine"'):
        verify.report(model, print, replaced)
    assert store.Model(model.directory).card.known_answer is None


def test_487_other_classes_say_how_to_find_out_what_is_wrong(tmp_path: Path) -> None:
    lines: list[str] = []
    verify.report(store_fakes.model(tmp_path, "mine"), lines.append, lambda _: (7, 0.1))
    assert "import them again with --name sports1m" in lines[-1]


@pytest.mark.parametrize(
    ("right", "cause"),
    [
        ((False, "channels-first"), "Cause: the rows of fc6 are in .*--fc6-rows channels-first"),
        ((False, "channels-last"), "Cause: the rows of fc6 are in .*--fc6-rows channels-last"),
        ((True, None), "Cause: the kernels are flipped, .*--kernels mirrored"),
        ((True, "channels-first"), "Cause: kernels are flipped, fc6's rows are in"),
        (None, "Likely causes: these are other weights .* rows of fc6 or the kernels .* symmetric pool5"),
    ],
)
def test_wrong_answer_names_its_cause(right: tuple[bool, str | None] | None, cause: str, tmp_path: Path) -> None:
    """The other readings are tried, and the one that gives the known answer is the cause."""
    model = store_fakes.model(tmp_path, "sports1m", known_answer=184)

    def run(asked: store.Model) -> tuple[int, float]:
        reading = (asked.flip, asked.fc6_rows) if isinstance(asked, verify.Reread) else (False, None)
        return (184 if reading == right else 5), 0.5

    with pytest.raises(StoreError, match=f"give class 5; the Sports-1M weights give 184. {cause}"):
        verify.report(model, print, run)


def test_a_wrongly_read_file_reread_is_right() -> None:
    tensors = layout_writers.seeded(layout_writers.small_shapes())
    wrong = {**tensors, "fc6/kernel": layout_writers.channel_rows(tensors["fc6/kernel"])}
    for name, tensor in tensors.items():
        mirrored = np.flip(wrong[name], (0, 1, 2)) if tensor.ndim == 5 else wrong[name]
        reread = verify.reread(name, mirrored, flip=True, fc6_rows="channels-first")
        np.testing.assert_array_equal(reread, tensor, err_msg=name)
        back = verify.reread(name, tensor, flip=False, fc6_rows="channels-last")
        np.testing.assert_array_equal(back, wrong[name], err_msg=name)
        assert verify.reread(name, tensor, flip=False, fc6_rows=None) is tensor
