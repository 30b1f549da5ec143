"""What a card may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from model_store.card import sealed, unsealed
from model_store.preprocessing import PRESETS
from tests.support import store_fakes


def test_card_survives_its_file() -> None:
    card = store_fakes.card("mine", known_answer=7)
    assert unsealed(sealed(card).encode()) == card


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"1e999", b'{"card_sha256": null}'])
def test_what_is_no_card(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (whatever it says: a file is damaged)
        unsealed(content)


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "abc"},
        {"crop_left": 60},
        {"preprocessing": "mine"},
        {"channel_order": "GBR"},
        {"num_classes": -1},
        {"x": 1},
    ],
)
def test_what_no_card_says(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        store_fakes.card("mine", **change)


def test_crop_columns() -> None:
    assert {name: preset.crop_left for name, preset in PRESETS.items()} == {
        "c3d-sports1m": 29,
        "c3d-ucf101-mean": 30,
        "c3d-pytorch": 44,
        "mmaction2": 29,
        "jfzhang95": 30,
        "c3d-tensorflow": 29,
    }
