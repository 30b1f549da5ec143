"""What import-linter cannot see: which file knows which heavy library, what an import brings along, how long things are."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("service", "model_store")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50

# Which files and rooms know a library. Nobody else does, so that the tests of the rest need it not.
HOMES = {
    "fastapi": {"service/app.py", "service/http/", "service/api/", "service/v2/", "service/web/"},
    "uvicorn": {"service/server.py", "service/http/connection.py"},
    "keras": {"service/inference/keras_network.py"},
    "tensorflow": {"service/inference/engines.py"},
    "jax": {"service/inference/engines.py"},
    "torch": {"service/inference/engines.py"},
    "openvino": {"service/inference/openvino_network.py", "service/commands/calibrate.py"},
    "nncf": {"service/commands/calibrate.py"},
    "av": {
        *(f"service/video/{name}.py" for name in ("container", "timeline", "decoder", "frames", "picture")),
        "service/commands/sample.py",
    },
    "cv2": {"service/video/picture.py"},
    "python_multipart": {"service/intake/form.py", "service/intake/source.py"},
    "httpx2": {"service/intake/fetch.py", "service/intake/fetch_policy.py", "model_store/download/web.py"},
    "tqdm": {"model_store/download/progress.py"},
    "httpcore2": {"service/intake/fetch.py"},
    "h11": {"service/http/connection.py"},
    "pydantic_settings": {"service/settings.py"},
    "prometheus_client": {"service/http/metrics.py"},
    "pythonjsonlogger": {"service/http/request_log.py"},
    "h5py": {"model_store/formats/"},
    "google": {"model_store/formats/"},
}


def imported(tree: ast.AST) -> set[str]:
    """Modules named by the imports below a node."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            found.add(node.module or "")
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def libraries_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(tree_of(path))}


@pytest.mark.parametrize("library", sorted(HOMES))
def test_each_library_is_known_in_its_place_alone(library: str) -> None:
    users = {name_of(path) for path in FILES if library in libraries_of(path)}
    assert [user for user in users if not user.startswith(tuple(HOMES[library]))] == []


def test_every_room_names_its_files_in_order_and_holds_no_code() -> None:
    for path in (path for path in FILES if path.name == "__init__.py"):
        assert len(tree_of(path).body) == 1, f"{name_of(path)} has a docstring and nothing else"
        text = ast.get_docstring(tree_of(path)) or ""
        names = {each.stem for each in path.parent.glob("*.py")} - {"__init__", "__main__"}
        assert [name for name in sorted(names) if name not in text] == [], name_of(path)


def test_the_top_of_each_package_is_short() -> None:
    counts = {package: len([*(ROOT / package).glob("[!_]*.py"), *(ROOT / package).glob("*/__init__.py")]) for package in PACKAGES}
    assert counts["service"] <= 16
    assert counts["model_store"] <= 13


def test_no_file_is_long() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: number for name, number in lines.items() if number > MAX_FILE_LINES} == {}


def test_no_function_is_long() -> None:
    long = [
        f"{name_of(path)}:{node.name}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("model_store.c3d", {"numpy", "pydantic", "fastapi", "keras", "av"}),
        ("service.video.frames", {"tensorflow", "keras", "fastapi", "starlette", "pydantic"}),
        ("service.settings", {"tensorflow", "keras", "fastapi", "av"}),
        ("service.app", {"tensorflow", "keras", "jax", "torch", "av", "cv2"}),
        ("model_store.standin", {"pydantic", "fastapi", "keras", "av"}),
        ("model_store.__main__", {"tensorflow", "keras", "fastapi", "av", "cv2"}),
    ],
)
def test_an_import_brings_in_nothing_heavy_that_it_does_not_need(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; print(*sorted({absent} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.returncode, run.stdout.split()) == (0, []), run.stderr
