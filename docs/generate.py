"""Write the tables of docs/ that the code knows: `make docs`. A test compares.

A table stands between two comments, <!-- generated: NAME --> and <!-- end of NAME -->.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from service.errors import BY_CODE
from service.options import ClassifyOptions, FeaturesOptions
from service.settings import PREFIX, Settings
from service.video.messages import WARNINGS

DOCS = Path(__file__).parent


def settings() -> str:
    """A row for each setting: its variable, default, range and meaning."""
    rows = (
        (f"`{PREFIX}{name.upper()}`", _default(field), _range(field), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return _table(("name", "default", "range", "meaning"), rows)


def options() -> str:
    """A row for each option of a request. One that differs between the endpoints has a row for each."""
    rows = []
    both = {"/classify": ClassifyOptions.model_fields, "/features": FeaturesOptions.model_fields}
    for name in dict.fromkeys(name for fields in both.values() for name in fields):
        found = {endpoint: fields[name] for endpoint, fields in both.items() if name in fields}
        about = {endpoint: (_default(field), _range(field), field.description or "") for endpoint, field in found.items()}
        if len(set(about.values())) == 1:
            rows.append((f"`{name}`", *next(iter(about.values()))))
        else:
            rows += [(f"`{name}` of {endpoint}", *cells) for endpoint, cells in about.items()]
    return _table(("option", "default", "range", "meaning"), rows)


def warnings() -> str:
    """A row for each warning that an answer can hold."""
    return _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in WARNINGS.items()))


def errors() -> str:
    """A row for each error, by its status."""
    found = sorted(BY_CODE.values(), key=lambda error: error.status)
    return _table(
        ("code", "status", "when"),
        ((f"`{error.code}`", str(error.status), " ".join((inspect.getdoc(error) or "").split())) for error in found),
    )


# By page: the tables on it, by name.
PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "settings": {"settings": settings},
    "http-api": {"options": options, "warnings": warnings, "errors": errors},
}


def filled(page: str) -> str:
    """The text of docs/PAGE.md with its tables as the code has them now. Raises ValueError where it has no place for one."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for name, table in PAGES[page].items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise ValueError(f"docs/{page}.md has no place for a table: {begin} ... {end}")
        text = f"{before}{begin}\n\n{table()}\n{end}{after}"
    return text


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(re.sub(r"  +", " ", f"| {' | '.join(line)} |") + "\n" for line in lines)


def _default(field: FieldInfo) -> str:
    """As a user would write it; nothing where that is nothing."""
    value = ",".join(field.default) if isinstance(field.default, list | tuple) else field.default
    if value is None or str(value) == "":
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _range(field: FieldInfo) -> str:
    """`a`, `b` for words; `1 to 64`, `over 0, to 60`, `1 and up` for numbers."""
    words = [word for kind in (field.annotation, *get_args(field.annotation)) if _is_literal(kind) for word in get_args(kind)]
    if words:
        return ", ".join(f"`{word}`" for word in words)
    bounds = {
        name: getattr(bound, name)
        for bound in field.metadata
        for name in ("ge", "gt", "le", "max_length")
        if hasattr(bound, name)
    }
    if "max_length" in bounds:
        return f"up to {bounds['max_length']} characters"
    low = str(bounds["ge"]) if "ge" in bounds else f"over {bounds['gt']}" if "gt" in bounds else ""
    if "le" in bounds:
        return f"{low}{',' if 'gt' in bounds else ''} to {bounds['le']}"
    return f"{low} and up" if "ge" in bounds else low


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


if __name__ == "__main__":
    for each in PAGES:
        (DOCS / f"{each}.md").write_text(filled(each), encoding="utf-8")
