"""What a measurement hands back: its figures for the JSON, its table, and the aims that it was held against."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.stats import Interval

INTERVAL_SLACK = 0.02  # how far below its aim the lower end of an interval may lie


@dataclass(frozen=True)
class Aim:
    """What was to be reached, what was found, and whether that is it."""

    what: str
    aim: str
    found: str
    met: bool


def at_least(what: str, aim: float, found: Interval) -> Aim:
    """A ratio that should reach ``aim``, its interval ending not more than 0.02 below."""
    return Aim(what, f"{aim:.2f}", str(found), found.value >= aim and found.low >= aim - INTERVAL_SLACK)


def at_most(what: str, aim: float, found: float, unit: str) -> Aim:
    """A value that should not be over ``aim``."""
    return Aim(what, f"<= {aim:g} {unit}", f"{found:.3g} {unit}", found <= aim)


@dataclass
class Table:
    """A heading, what the columns are, and the rows."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""

    def markdown(self) -> str:
        """As GitHub shows it."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")


@dataclass
class Claim:
    """One measurement's outcome. ``figures`` are plain numbers, strings, lists and dicts."""

    name: str
    tables: list[Table]
    figures: dict[str, Any]
    aims: list[Aim] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """For the JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Options:
    """What every measurement may be told: rounds, the interpreter that has the peers' libraries, and whether it may take long."""

    rounds: int
    peers_python: Path
    long: bool


Measure = Callable[[Options, Path], Claim]  # the path: an empty directory for what it makes


def options(arguments: Sequence[str] | None, description: str | None, extra: Sequence[str] = ()) -> argparse.Namespace:
    """The command line that all have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5); fewer give no honest interval")
    parser.add_argument("--long", action="store_true", help="take as long as it needs: `make bench-long`")
    parser.add_argument(
        "--peers-python", type=Path, default=Path(".venv-bench/bin/python"), help="the interpreter that has the peers' libraries"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    if extra:
        parser.add_argument("--only", nargs="+", choices=extra, help="only these")
    return parser.parse_args(arguments)


def run(measure: Measure, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """The command of one claim: measure, print its tables, say which aims were met."""
    given = options(arguments, description)
    with tempfile.TemporaryDirectory() as directory:
        claim = measure(Options(given.rounds, given.peers_python, given.long), Path(directory))
    show(claim)
    if given.json:
        given.json.write_text(json.dumps(claim.content(), indent=1) + "\n")


def show(claim: Claim) -> None:
    """Print it."""
    for table in claim.tables:
        print(table.markdown())
    for aim in claim.aims:
        print(f"{'met    ' if aim.met else 'MISSED '} {aim.what}: {aim.found} (aim {aim.aim})")
    print(flush=True)


def plural(count: int, what: str) -> str:
    """`1 client`, `4 clients`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))
