"""The figures of a run as Markdown, printed or put into a page: python -m bench.report [JSON] [--page docs/performance.md].

In the page they stand between two comments, BEGIN and END, and replace what is there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.claims import Table

RESULTS = Path("bench/results.json")
BEGIN, END = "<!-- figures: python -m bench.report --page docs/performance.md -->", "<!-- end of figures -->"


def markdown(results: dict[str, Any]) -> str:
    """All tables, what they were measured on, and which aims were met."""
    about = results["machine"]
    parts = [f"Measured on {machine.sentence(about)}\n"]
    parts += [
        f"{claim['name']}: measured on {when['date']} at commit {when['commit']}, load {when['load_average_at_start']:.1f}.\n"
        for claim in results["claims"]
        if (when := claim.get("when")) and when["commit"] != about["commit"]
    ]
    parts += [Table(**table).markdown() for claim in results["claims"] for table in claim["tables"]]
    aims = [aim for claim in results["claims"] for aim in claim["aims"]]
    rows = [[aim["what"], aim["aim"], aim["found"], "yes" if aim["met"] else "**no**"] for aim in aims]
    parts.append(Table("Aims", ("what", "aim", "found", "met"), rows).markdown())
    parts += [f"{claim['name']} could not be measured: {claim['failed']}\n" for claim in results["claims"] if claim.get("failed")]
    return "\n".join(parts)


def put(text: str, into: str) -> str:
    """The page with these figures. Raises ValueError where it has no place for them."""
    before, _, rest = into.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the file has no place for figures: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, nargs="?", default=RESULTS, help="what `make bench` wrote")
    parser.add_argument("--page", type=Path, help="put the figures into this file")
    given = parser.parse_args(arguments)
    text = markdown(json.loads(given.json.read_text(encoding="utf-8")))
    if given.page is None:
        print(text)
        return
    given.page.write_text(put(text, given.page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
