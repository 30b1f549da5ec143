"""Commands, sizes and corrections as people read them."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

CHECKOUT = Path(__file__).parent.parent
MADE = frozenset({"pull", "import", "stand-in", "list", "summary", "verify", "calibrate", "sample"})  # targets of the Makefile
VARIABLES = {"import": "FILE", "calibrate": "VIDEOS"}  # of these targets, for the first word behind the command
STORE = "C3D_MODEL_STORE"


def command(module: str, *words: str, **settings: str) -> str:
    """What to type for ``python -m module words``, so that it runs where this process runs, on the same model store.

    In a checkout with its own environment that is a line with make, elsewhere the interpreter's path. ``settings`` stand
    before it, as C3D_MODEL="mine".
    """
    if store := os.environ.get(STORE):
        settings = {STORE: store, **settings}
    before = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return " ".join([*before, _made(module, words) or shlex.join([sys.executable, "-m", module, *words])])


def _made(module: str, words: tuple[str, ...]) -> str:
    """The line with make; empty where make would not run this interpreter here, or has no such target."""
    here = Path.cwd()
    if here != CHECKOUT or not (here / "Makefile").exists() or not Path(sys.executable).is_relative_to(here / ".venv"):
        return ""
    if not words:
        return "make serve" if module == "service" else ""
    name, *rest = words
    if name not in MADE:
        return ""
    line = f"make {name}"
    if name in VARIABLES and rest:
        first, *rest = rest
        line += f" {VARIABLES[name]}={shlex.quote(first)}"
    return f'{line} OPTIONS="{shlex.join(rest)}"' if rest else line


def size(num_bytes: int) -> str:
    """`320 MB`, `4.2 MB`, `7 kB`: decimal, as disks and downloads are counted."""
    if num_bytes < 999_500:
        return f"{math.ceil(num_bytes / 1000)} kB"
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes < 10_000_000 else f"{num_bytes / 1e6:,.0f} MB"


def did_you_mean(word: str, known: Iterable[str], quote: str = '"') -> str:
    """A sentence with the known word that ``word`` is most like; empty where it is like none."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"Did you mean {quote}{near[0]}{quote}?" if near else ""


class Parser(argparse.ArgumentParser):
    """argparse's, which also says what a mistyped choice or option may have meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As argparse's, but an unknown argument ends the parser that reads it: it knows which options there are."""
        self._given = sys.argv[1:] if args is None else list(args)
        read, unknown = super().parse_known_args(self._given, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return read, unknown

    def error(self, message: str) -> NoReturn:
        """End with status 2, the usage, and a sentence."""
        meant = ""
        if wrong := re.search(r"invalid choice: '([^']*)' \(choose from ([^)]*)\)", message):
            meant = did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2]))
        meant = meant or self._meant_option()
        super().error(f"{message}. {meant}" if meant else message)

    def _meant_option(self) -> str:
        """The sentence for the first option given that this parser does not have."""
        known = re.findall(r"--([a-z][\w-]*)", self.format_help())
        given = [word[2:].partition("=")[0] for word in self._given if word.startswith("--")]
        mistyped = next((word for word in given if not any(option.startswith(word) for option in known)), "")
        return did_you_mean(mistyped, known, quote="").replace("mean ", "mean --")
