"""What a figure was measured on: without it the figure says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import inputs
from bench.claims import Options, cores
from bench.contenders import ENGINES, store
from bench.installed import versions
from bench.processes import ROOT
from model_store.store import open_model

PACKAGES = ("tensorflow-cpu", "keras", "numpy", "av", "opencv-python-headless", "fastapi", "uvicorn")
PEERS = ("torch", "onnx", "onnxruntime", "openvino", "litserve", "ray")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8")  # that decide the speed
QUIET = 0.3  # load average of the last minute at the start, above which the machine is called busy


def cpu() -> dict[str, Any]:
    """The processor as Linux names it."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    found = {name.strip(): value.strip() for name, _, value in lines}
    flags = found.get("flags", "").split()
    number = f"family {found.get('cpu family')}, model {found.get('model')}"
    return {"name": found.get("model name", platform.machine()), "number": number, "flags": [f for f in FLAGS if f in flags]}


def describe(options: Options) -> dict[str, Any]:
    """Machine, versions, settings."""
    model = open_model(store())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": cpu(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_at_start": os.getloadavg()[0],
        "commit": commit.stdout.strip(),
        "versions": versions(Path(sys.executable), PACKAGES) | versions(options.peers_python, PEERS),
        "weights": model.card.weights,
        "videos": inputs.sources() or ["a moving pattern"],
        "rounds": options.rounds,
        "settings": {name: value for name, value in os.environ.items() if name.startswith("C3D_") and name != "C3D_MODEL_STORE"},
        "engines": {name: engine.setup for name, engine in ENGINES.items()},
    }


def sentence(found: dict[str, Any]) -> str:
    """For the page of figures."""
    cpu_of = found["cpu"]
    busy = found["load_average_at_start"] > QUIET
    return (
        f"{found['date']}, {found['cores']} cores of {cpu_of['name']} ({cpu_of['number']}; {', '.join(cpu_of['flags'])}), "
        f"{found['memory_gib']} GiB, Python {found['python']}, "
        + ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        + f"; {found['weights']} weights; {found['rounds']} rounds; commit {found['commit']}."
        + (f" THE MACHINE WAS BUSY when this began (load {found['load_average_at_start']:.1f})." if busy else "")
    )
