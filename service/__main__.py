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
from service.settings import Settings, unknown_names


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit status: 0 done, or ended by a signal; 1 it could not be done; 2 a setting is wrong.

    ``arguments`` default to the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m service", description="C3D video inference. Without a command: serve.")
    command_line.add_to(parser)
    options = parser.parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors():
            print(f"C3D_{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}.", file=sys.stderr)
        return 2
    if options.command:
        return command_line.run(options, settings)
    request_log.configure(settings)
    log = logging.getLogger("service")
    for line in settings.lines():
        log.info(line)
    for name in unknown_names(os.environ):
        log.warning("%s is no setting of this service; the README lists them", name)
    from service.server import serve

    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
