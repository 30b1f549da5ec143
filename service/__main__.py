"""python -m service [verify | calibrate VIDEO...]: read the settings, then serve or run the command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from service.commands import command_line
from service.http import request_log
from service.settings import Settings, former_names, unknown_names


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit status: 0 done, or ended by a signal; 1 it could not be done; 2 a setting is wrong.

    ``arguments`` default to the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m service", description="C3D video inference. Without a command: serve.")
    command_line.add_to(parser)
    options = parser.parse_args(arguments)
    refused = former_names(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        refused += [f"C3D_{str(e['loc'][0]).upper()}: {e['msg'].removeprefix('Value error, ')}." for e in error.errors()]
    if refused:
        print(*refused, sep="\n", file=sys.stderr)
        return 2
    if options.command:
        return command_line.run(options, settings)
    request_log.configure(settings)
    log = logging.getLogger("service")
    for line in settings.lines():
        log.info(line)
    for name in unknown_names(os.environ):
        log.warning("%s is no setting of this service; docs/settings.md lists them", name)
    from service.server import serve

    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
