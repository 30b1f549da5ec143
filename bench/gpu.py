"""What the network makes of a GPU: python -m bench.gpu. Needs the repository, Keras and one of TensorFlow, JAX or PyTorch.

For each engine that is installed, precision and batch size: clips a second from data on the device, and from host frames (one
batch after the other, as `KerasNetwork.run`; overlapped; overlapped and each frame sent once), the share of the matrix product's
peak that was measured in the same process, memory, the error against float32 on the CPU; then the time of each group of layers,
and other exact forms of the network (bench/candidates.py). Runs without a GPU too: python -m bench.gpu --sizes 1,2 --seconds 1

Each engine and precision has a process of its own. --minutes bounds the whole; what there was no time for is told. Everything
found is in the file of --json, one finding a line, as soon as it is found.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model_store import c3d, standin

REFERENCE_CLIPS = 4
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
ROWS = slice(c3d.CROP_TOP, c3d.CROP_TOP + c3d.CROP_SIZE)
COLUMNS = slice(c3d.CROP_LEFT, c3d.CROP_LEFT + c3d.CROP_SIZE)
ROOT = Path(__file__).parent.parent
FORMATS = {
    "error": "{backend}: error of fc6 {fc6:.1e}, of the probabilities {probabilities:.1e}, against float32 on the CPU",
    "peak": "matrix product: {tflops:.2f} TFLOP/s",
    "batch": "batch {size:3d}: {resident:8.1f} clips/s from the device, {share:6.1%} of the matrix product's peak",
    "host": "           {run:8.1f} clips/s from the host, {overlapped:.1f} overlapped, {unique_frames:.1f} each frame sent once",
    "memory": "           {mib:.0f} MiB at most so far",
    "group": "up to {last:5s}: {ms:8.3f} ms a clip (batch {size})",
    "candidate": "{name:28s} {rate:8.1f} clips/s (batch {size}), {error:.1e} from network.py's",
    "refused": "{why}",
    "failed": "{what} FAILED: {why}",
    "left": "{what}: left out, there was no time",
    "died": "the process died with status {status}: {why}",
}


def findings(
    engine: str, precision: str, directory: Path, options: list[str], environment: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """What a child process says, as it says it."""
    command = [sys.executable, "-m", "bench.gpu_child", engine, precision, str(directory), *options]
    with (directory / "errors").open("w+b") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=os.environ | environment)
        for line in child.stdout or ():
            if line.startswith(b"{"):
                yield json.loads(line)
        if child.wait():
            errors.seek(0)
            yield {"kind": "died", "status": child.returncode, "why": errors.read()[-1000:].decode(errors="replace")}


def describe(finding: dict[str, Any]) -> str:
    """One line for people."""
    return FORMATS[finding["kind"]].format(**finding)


def main() -> None:
    """Measure every engine at every precision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engines", help="default: those that are installed")
    parser.add_argument("--precisions", default="bfloat16,float32,float16,tf32")
    parser.add_argument("--sizes", default="1,2,4,8,16,32,64,128")
    parser.add_argument("--seconds", type=float, default=0.7, help="for each figure")
    parser.add_argument("--minutes", type=float, default=9, help="for everything")
    parser.add_argument("--no-candidates", action="store_true")
    parser.add_argument("--json", type=Path, default=Path(os.devnull))
    options = parser.parse_args()
    engines = (options.engines or ",".join(e for e in ("jax", "torch", "tensorflow") if importlib.util.find_spec(e))).split(",")
    runs = [(engine, precision) for precision in options.precisions.split(",") for engine in engines]
    ends = time.time() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as name, options.json.open("w") as file:
        directory = Path(name)
        np.savez(directory / "weights.npz", allow_pickle=False, **standin.tensors())
        np.save(directory / "mean.npy", standin.mean()[:, :, ROWS, COLUMNS].transpose(1, 2, 3, 0))
        versions = {package: importlib.metadata.version(package) for package in ("keras", "numpy")}
        print(f"{platform.platform()}, Python {platform.python_version()}, {versions}, {os.cpu_count()} cores", flush=True)
        for finding in findings(engines[0], "float32", directory, ["--reference", str(REFERENCE_CLIPS)], NO_GPU):
            print(describe(finding))
        for index, (engine, precision) in enumerate(runs):
            until = time.time() + (ends - time.time()) / (len(runs) - index)
            print(f"\n{engine}, {precision}", flush=True)
            given = ["--sizes", options.sizes, "--seconds", str(options.seconds), "--until", str(until)]
            given += [] if options.no_candidates else ["--candidates"]
            for finding in findings(engine, precision, directory, given, {}):
                file.write(json.dumps({"engine": engine, "precision": precision, **finding}) + "\n")
                file.flush()
                print(describe(finding), flush=True)


if __name__ == "__main__":
    main()
