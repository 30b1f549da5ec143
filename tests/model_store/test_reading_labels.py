"""Labels, one a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store import importer
from model_store.tensors import StoreError
from tests.conftest import SHARED


@pytest.mark.parametrize("content", ["boxe\nvélo\n", "boxe\nvélo", "boxe\r\nvélo\r\n", "\ufeffboxe\n vélo \n\n"])
def test_read(content: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(content.encode())
    assert importer.read_labels(tmp_path / "l", 2) == ("boxe", "vélo")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\nb\n", "number of labels is 2, the number of classes 3"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(content)
    with pytest.raises(StoreError, match=said):
        importer.read_labels(tmp_path / "l", 3)


def test_sports1m() -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")
    read = importer.read_labels(SHARED / "labels.txt", 487)
    assert (read[0], read[54], read[184], read[367], read[486]) == (
        "boomerang", "tennis", "sandboarding", "basketball", "model aircraft"
    )  # fmt: skip


def test_numbered() -> None:
    assert importer.numbered_labels(2) == ("class 0", "class 1")
