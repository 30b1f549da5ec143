"""The files in page/ that the service's pages are made of."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

FILES = resources.files("service.web") / "page"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.mjs";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ", re.MULTILINE)


@cache
def text(name: str) -> str:
    """A file of page/."""
    return (FILES / name).read_text(encoding="utf-8")


@cache
def bundle(module: str) -> str:
    """A module and all that it imports, each once and before those that need it, as one script.

    The modules import each other by name, in no circle, and have no name twice (tests hold that), so that their imports and the
    word "export" can simply be left out.
    """
    done: dict[str, str] = {}

    def add(name: str) -> None:
        source = text(f"{name}.mjs")
        for each in IMPORT.findall(source):
            if each not in done:
                add(each)
        done[name] = EXPORT.sub("", IMPORT.sub("", source))

    add(module)
    return "".join(done.values())
