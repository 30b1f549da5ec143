"""The arrows of the design hold: who imports whom, which file knows which library, and how long files and functions are."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("service", "model_store")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).glob("*.py"))
MAX_FILE_LINES = 200
MAX_FUNCTION_LINES = 50

STORE = "model_store.store"
QUANTISES = ("calibration", "fingerprint", "hashes", "tensors")  # what `model_store calibrate` needs beside
# What each file of service/ may import of ours. A new file gets its line here, by the design's picture: data flows one way.
ARROWS = {
    "__init__": set(),
    "__main__": {"journal", "server", "settings"},
    "server": {"app", "loading", "protocol", "settings"},
    "protocol": {"errors", "journal", "problems"},
    "app": {
        "access", "admission", "api", "batcher", "decoder", "door", "errors", "fetch", "loading", "metrics",
        "openapi", "probes", "problems", "readiness", "settings", "spool", "supervisor", "v2",
    },
    "loading": {
        "batcher", "c3d", "decoder", "errors", "fetch_policy", "metrics", "network", "openvino_network", "pipeline", "readiness",
        "settings", "video", STORE,
    },
    "door": {"access", "admission", "errors", "journal", "metrics", "negotiation", "problems", "settings"},
    "api": {
        "answers", "arrays", "errors", "negotiation", "openapi", "options", "pipeline", "readiness", "result", "schemas",
        "source", "stream",
    },
    "v2": {
        "answers", "c3d", "errors", "journal", "openapi", "pipeline", "probes", "readiness", "settings", "source", "v2_body",
        "v2_schemas",
    },
    "v2_body": {"c3d", "errors", "options", "v2_schemas"},
    "v2_schemas": {"c3d"},
    "probes": {"answers", "errors", "openapi", "readiness"},
    "openapi": {"access", "errors", "negotiation", "options", "problems", "schemas", "stream_schemas"},
    "problems": {"errors", "journal", "options"},
    "negotiation": {"errors"},
    "options": {"c3d", "clips", "errors"},
    "schemas": {"c3d"},
    "stream_schemas": {"schemas"},
    "stream": {"answers", "errors", "negotiation", "pipeline", "problems", "source"},
    "arrays": {"answers", "clips", "errors", "negotiation", "pipeline", "pooling", "result", "sink", "source"},
    "answers": {"c3d", "errors", "journal", "pipeline", "readiness", "result", "source", "video"},
    "result": {"clips", "options", "pipeline", "pooling", "source"},
    "readiness": {"admission", "errors", "pipeline", "video"},
    "pipeline": {"batcher", "c3d", "clips", "decoder", "errors", "video"},
    "source": {"errors", "fetch", "form", "sink", "spool"},
    "form": {"errors", "options", "sink"},
    "sink": set(),
    "fetch": {"addresses", "errors", "fetch_policy"},
    "fetch_policy": {"errors"},
    "addresses": set(),
    "spool": {"errors"},
    "access": {"errors"},
    "admission": {"errors"},
    "supervisor": {"batcher", "c3d", "errors", "readiness"},
    "decoder": {"slot", "video"},
    "slot": {"errors", "ring", "video"},  # the parent's side of ...
    "decoder_process": {"errors", "frames", "ring", "video"},  # ... what runs in a process of its own
    "ring": {"c3d"},
    "frames": {"c3d", "clock", "container", "errors", "ring", "video"},
    "container": {"errors", "video"},
    "clock": set(),
    "video": {"c3d"},
    "clips": {"c3d", "errors", "video"},
    "batcher": {"assembly", "errors", "lanes"},
    "lanes": set(),
    "assembly": set(),
    "network": {"c3d", "engines", STORE},
    "engines": {"errors"},
    "openvino_network": {"c3d", "errors", "model_store.calibration", STORE},
    "quantise": {"c3d", "errors", "openvino_network", STORE, *(f"model_store.{file}" for file in QUANTISES)},
    "metrics": {"errors"},  # the codes that may be a label
    "journal": {"settings"},
    "settings": {"video"},  # the lists of formats and codecs
    "errors": set(),
    "c3d": set(),
    "pooling": set(),
}  # fmt: skip
# Which files of service/ know a library. Nobody else does.
HOMES = {
    "fastapi": {"app", "api", "openapi", "probes", "problems", "v2"},
    "starlette": {"answers", "arrays", "door", "problems", "source", "stream"},
    "uvicorn": {"protocol", "server"},
    "keras": {"network"},
    "tensorflow": {"engines"},
    "jax": {"engines"},
    "torch": {"engines"},
    "openvino": {"openvino_network", "quantise"},
    "nncf": {"quantise"},
    "av": {"container", "frames"},
    "cv2": {"frames"},
    "python_multipart": {"form", "source"},
    "orjson": {"answers", "problems", "v2_body"},
    "mimeparse": {"negotiation"},
    "httpx2": {"fetch", "fetch_policy"},
    "httpcore2": {"fetch"},
    "h11": {"protocol"},
    "pydantic_settings": {"settings"},
    "prometheus_client": {"metrics"},
}


def imported(tree: ast.AST) -> set[str]:
    """Modules named by the imports below a node: `from service import c3d` is model_store.c3d."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in PACKAGES else {module}
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] in PACKAGES}


def service_files() -> list[Path]:
    return [path for path in FILES if path.parent.name == "service"]


def test_every_file_of_the_service_has_its_arrows() -> None:
    assert {path.stem for path in service_files()} - set(ARROWS) == set()


@pytest.mark.parametrize("path", service_files(), ids=lambda path: path.stem)
def test_the_service_imports_along_the_arrows(path: Path) -> None:
    found = {name.removeprefix("service.") for name in ours(imported(tree_of(path)))}
    assert found <= ARROWS.get(path.stem, set())


def test_the_arrows_go_in_no_circle() -> None:
    left = {name: {other for other in others if not other.startswith("model_store.")} for name, others in ARROWS.items()}
    while left:
        ends = {name for name, others in left.items() if not others & set(left)}
        assert ends, f"a circle among {sorted(left)}"
        left = {name: others for name, others in left.items() if name not in ends}


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "model_store"], ids=lambda path: path.stem)
def test_the_store_knows_of_the_service_only_the_constants(path: Path) -> None:
    """Proving weights by running them is `verify`'s business: with its helpers, and only when asked."""
    proves = path.stem in {"verify", "fingerprint", "__main__"}
    nodes = [node for node in tree_of(path).body if isinstance(node, ast.Import | ast.ImportFrom)] if proves else [tree_of(path)]
    found = {name for node in nodes for name in imported(node) if name.startswith("service")}
    assert found <= {"model_store.c3d"}


@pytest.mark.parametrize("library", sorted(HOMES))
def test_each_library_is_known_in_its_place_alone(library: str) -> None:
    users = {path.stem for path in service_files() if any(name.partition(".")[0] == library for name in imported(tree_of(path)))}
    assert users <= HOMES[library]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_no_file_is_long(path: Path) -> None:
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_FILE_LINES


def test_no_function_is_long() -> None:
    long = [
        f"{path.name}:{node.name}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("model_store.c3d", {"numpy", "pydantic", "fastapi", "keras", "av"}),
        ("service.video.frames", {"tensorflow", "keras", "fastapi", "starlette", "pydantic"}),
        ("service.settings", {"tensorflow", "keras", "fastapi", "av"}),
        ("service.app", {"tensorflow", "keras", "jax", "torch", "av", "cv2"}),
        ("model_store.__main__", {"tensorflow", "keras", "fastapi", "av", "cv2"}),
    ],
)
def test_an_import_brings_in_nothing_heavy_that_it_does_not_need(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; print(*sorted({absent} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.returncode, run.stdout.split()) == (0, []), run.stderr
