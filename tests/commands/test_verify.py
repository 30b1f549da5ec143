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
        ("mine", None, "No known answer is recorded for mine"),
    ],
)
def test_other_answers(name: str, known: int | None, said: str, tmp_path: Path) -> None:
    lines: list[str] = []
    verify.report(store_fakes.model(tmp_path, name, known_answer=known), lines.append, lambda _: (7, 0.1))
    assert lines[0] == "Success, predicted class index is: 7"
    assert lines[1].startswith(said)


def test_no_class_layer(tmp_path: Path) -> None:
    lines: list[str] = []
    model = store_fakes.model(tmp_path, "openmmlab", num_classes=0)
    verify.report(model, lines.append, lambda _: None)
    assert lines == ["No class layer: these weights give descriptors, and there is no known answer to compare with."]
    assert verify.answer(model, lambda _: None) is None


@pytest.mark.parametrize(
    ("right", "cause"),
    [
        ((False, True), "Cause: the rows of fc6 are in"),
        ((True, False), "Cause: the kernels are flipped"),
        ((True, True), "Cause: the kernels are flipped and the rows of fc6 are in"),
        (None, "Likely causes: these are other weights .* rows of fc6 or the kernels .* symmetric pool5"),
    ],
)
def test_wrong_answer_names_its_cause(right: tuple[bool, bool] | None, cause: str, tmp_path: Path) -> None:
    """The other readings are tried, and the one that gives the known answer is the cause."""
    model = store_fakes.model(tmp_path, "sports1m", known_answer=184)

    def run(asked: store.Model) -> tuple[int, float]:
        reading = (asked._flip, asked._channel_rows) if isinstance(asked, verify.Reread) else (False, False)
        return (184 if reading == right else 5), 0.5

    with pytest.raises(StoreError, match=f"give class 5; the Sports-1M weights give 184. {cause}"):
        verify.answer(model, run)


def test_a_wrongly_read_file_reread_is_right() -> None:
    tensors = layout_writers.seeded(layout_writers.small_shapes())
    wrong = {**tensors, "fc6/kernel": layout_writers.channel_rows(tensors["fc6/kernel"])}
    for name, tensor in tensors.items():
        reread = verify.reread(
            name, np.flip(wrong[name], (0, 1, 2)) if tensor.ndim == 5 else wrong[name], flip=True, channel_rows=True
        )
        np.testing.assert_array_equal(reread, tensor, err_msg=name)
        assert verify.reread(name, tensor, flip=False, channel_rows=False) is tensor
