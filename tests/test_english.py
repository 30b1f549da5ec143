"""Words that make a sentence hard to read stay out of what people read: the docs, and the texts that the code prints or sends."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Each was found in a message or a page, and made somebody read it twice.
STILTED = re.compile(
    r"\b(whoever|whosoever|anew|of which|whereof|thereof|is none that|are none that|is none of)\b", re.IGNORECASE
)
# A number, a noun and a verb that do not agree.
DISAGREEING = re.compile(
    r"\b1 (frames|clips|videos|files|models|classes|packages)\b|\b1 (frame|clip|video|file|model) (fill|are|were)\b"
)
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile"]
CODE = [path for package in ("service", "model_store", "client/c3d_video", "corpus") for path in ROOT.glob(f"{package}/**/*.py")]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Each text of a module that a person may read, and its line: all string constants of two words and more but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and id(node) not in statements:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_read_plainly(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [f"{number}: {line}" for number, line in enumerate(lines, 1) if STILTED.search(line) or DISAGREEING.search(line)] == []


def test_messages_read_plainly() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in CODE
        for line, text in texts(path)
        if STILTED.search(text) or DISAGREEING.search(text)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["Whoever asks", "started anew", "videos, two of which are cut", "1 frames fill", "1 clip are"])
def test_what_is_found(text: str) -> None:
    assert STILTED.search(text) or DISAGREEING.search(text)


@pytest.mark.parametrize("text", ["1 frame fills no clip", "version 1 of the protocol", "Frame 1 is shown", "11 frames fill"])
def test_what_is_not_found(text: str) -> None:
    assert not STILTED.search(text)
    assert not DISAGREEING.search(text)
