"""The command `c3d-video`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from c3d_video import __version__, classify
from c3d_video.commandline import Parser
from c3d_video.evaluate import command as evaluate
from c3d_video.extract import command as extract


def parser() -> Parser:
    """The whole command line."""
    whole = Parser(prog="c3d-video", description="C3D features and labels of videos, from a C3D service.")
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    extract.add_parser(commands)
    classify.add_parser(commands)
    evaluate.add_parser(commands)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit status. 0: all done, 1: some failed, 2: usage, 3: no service or stand-ins, 130: stopped."""
    arguments = parser().parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
