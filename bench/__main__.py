"""Every claim, one after the other: python -m bench. Prints their tables and writes bench/results.json.

Ten to twenty minutes on 2 cores that do nothing else; --long does the long videos too. --only measures single claims: what the
file has of the others is kept, if it is from this CPU. Each is also a command of its own: python -m bench.ladder and so on.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import claims, cold_start, engines, ladder, machine, overhead, parts, peers, report, scale, transport
from bench.claims import Measure, Options

CLAIMS: dict[str, Measure] = {
    "ladder": ladder.measure,
    "engines": engines.measure,
    "peers": peers.measure,
    "overhead": overhead.measure,
    "transport": transport.measure,
    "parts": parts.measure,
    "cold_start": cold_start.measure,
    "scale": scale.measure,
}


def measured(name: str, options: Options) -> dict[str, Any]:
    """One claim's content, with the seconds it took. One that fails says so and spoils no other."""
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as directory:
            content = CLAIMS[name](options, Path(directory)).content()
    except Exception as error:  # noqa: BLE001 (told below, in the JSON and by the exit status)
        traceback.print_exc()
        content = {"name": name, "tables": [], "figures": {}, "aims": [], "failed": repr(error)}
    print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return content | {"took_s": time.perf_counter() - started}


def kept(results: dict[str, Any], cpu: dict[str, Any], but: Sequence[str]) -> list[dict[str, Any]]:
    """The claims of an earlier run on this CPU, but for those."""
    if results.get("machine", {}).get("cpu") != cpu:
        return []
    return [claim for claim in results["claims"] if claim["name"] not in but]


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit status: 1 where something could not be measured. Aims that were missed are told, not failed."""
    given = claims.options(arguments, __doc__, tuple(CLAIMS))
    options = Options(given.rounds, given.peers_python, given.long)
    about = machine.describe(options)
    if about["load_average_at_start"] > machine.QUIET:
        print(f"The machine is busy (load {about['load_average_at_start']:.1f}): absolutes will be too low.", file=sys.stderr)
    path: Path = given.json or report.RESULTS
    names = given.only or list(CLAIMS)
    when = {name: about[name] for name in ("date", "commit", "load_average_at_start")}
    found = [measured(name, options) | {"when": when} for name in names]
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    claims_by_name = {claim["name"]: claim for claim in [*kept(earlier, about["cpu"], names), *found]}
    results = {"machine": about, "claims": [claims_by_name[name] for name in CLAIMS if name in claims_by_name]}
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report.markdown(results))
    return int(any("failed" in claim for claim in found))


if __name__ == "__main__":
    sys.exit(main())
