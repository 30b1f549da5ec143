"""Published hashes, against what other tools print for the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store.download import hashes


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("sha256", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        ("md5", "5d41402abc4b2a76b9719d911017c592"),
        ("git-blob", "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"),  # printf hello | git hash-object --stdin
    ],
)
def test_of_file(kind: hashes.Kind, expected: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    assert hashes.of_file(tmp_path / "file", kind) == expected
    assert len(expected) == hashes.LENGTHS[kind]
