"""Which interpreter has what: the peers' libraries are in a virtual environment of their own, and may be missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.claims import Options


def versions(python: Path, packages: Iterable[str]) -> dict[str, str]:
    """What an interpreter has of these packages."""
    program = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        "print(json.dumps({name: have[name] for name in sys.argv[1:] if name in have}))"
    )
    if not python.exists():
        return {}
    run = subprocess.run([str(python), "-c", program, *packages], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(run.stdout)
    return found


def missing(python: Path, needs: Iterable[str]) -> str:
    """Which of these packages are not there, as a sentence for the table; empty where all are."""
    needs = list(needs)
    absent = sorted(set(needs) - versions(python, needs).keys())
    return f"not installed: {', '.join(absent)}" if absent else ""


def interpreter(options: Options, needs: Iterable[str]) -> Path:
    """The service's own where it has all that is needed, else the peers'."""
    own = Path(sys.executable)
    return own if not missing(own, needs) else options.peers_python
