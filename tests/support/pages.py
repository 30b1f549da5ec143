"""README.md, CONTRIBUTING.md and docs/*.md, as tests read them: alike."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))


def page(name: str) -> str:
    """The text of docs/NAME.md."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def blocks(language: str, page: Path | None = None) -> list[str]:
    """All fenced blocks of this language, of one page or of all, in order."""
    texts = [path.read_text(encoding="utf-8") for path in ([page] if page else PAGES)]
    return [block for text in texts for block in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)]


def section(name: str, heading: str) -> str:
    """What stands below ``heading`` in docs/NAME.md, up to the next heading of its level."""
    [text] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page(name), flags=re.MULTILINE | re.DOTALL)
    return str(text)


def rows(text: str) -> dict[str, list[str]]:
    """First cell, without its backticks, to the other cells of every row of every table in a text."""
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip("`"): row[1:] for row in cells}
