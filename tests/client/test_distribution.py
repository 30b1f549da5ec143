"""The client stands alone: it imports nothing of the service, keeps to the house's sizes and says one version."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

import c3d_video
from tests.conftest import ROOT
from tests.test_imports import MAX_FILE_LINES, MAX_FUNCTION_LINES, imported

FILES = sorted((ROOT / "client" / "c3d_video").rglob("*.py"))
ALLOWED = {"c3d_video", "httpx2", "numpy", "rich", "h5py", "pyarrow", "sklearn", "scipy", "matplotlib"}
ALLOWED |= {"typing_extensions"}  # for type checkers alone, which bring it along


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_short_and_imports_only_what_the_distribution_names(path: Path) -> None:
    import sys

    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    tops = {name.partition(".")[0] for name in imported(tree)}
    assert tops - ALLOWED - sys.stdlib_module_names == set()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert [each.name for each in functions if (each.end_lineno or 0) - each.lineno >= MAX_FUNCTION_LINES] == []


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    assert project["version"] == c3d_video.__version__
