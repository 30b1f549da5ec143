"""python -m service [verify | calibrate VIDEO... | sample]: read the settings, then serve or run the command."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":  # until the server takes over, Ctrl-C ends the process at once, and without a stack
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:]:  # a command, never the server: `... | head` ends it without a stack
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

import logging
import os
import time
from collections.abc import Sequence

from pydantic import ValidationError

from model_store.wording import Parser
from service.commands import command_line
from service.errors import about_value
from service.settings import PREFIX, VERSION, Settings, about_unknown, former_names, unknown_names

STARTED = time.monotonic()
DESCRIPTION = (
    "C3D video inference. Without a command it serves, on port 8000 of this machine unless C3D_HOST and C3D_PORT say otherwise. "
    "Everything is set by environment variables: --settings lists them, docs/settings.md explains them."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit status: 0 done, or ended by a signal; 1 it could not be done; 2 a setting or an argument is wrong.

    ``arguments`` default to the command line's.
    """
    parser = Parser(prog="python -m service", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"c3d-service {VERSION}")
    parser.add_argument("--settings", action="store_true", help="print all settings and end; * marks what is not the default")
    command_line.add_to(parser)
    options = parser.parse_args(arguments)
    refused = former_names(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        refused += [about_value(f"{PREFIX}{str(found['loc'][0]).upper()}", found["msg"]) for found in error.errors()]
    if refused:
        print(*refused, sep="\n", file=sys.stderr)
        return 2
    if options.settings:
        changed = settings.changed()
        print(*(f"{'*' if line in changed else ' '} {line}" for line in settings.lines()), sep="\n")
        return 0
    if options.command:
        return command_line.run(options, settings)
    return _serve(settings)


def _serve(settings: Settings) -> int:
    from service.http import request_log
    from service.lifecycle import loading, native_output
    from service.server import serve

    refused = loading.refusals(settings)
    if refused:
        print(*refused, sep="\n", file=sys.stderr)
        return 2
    native_output.keep_stderr()
    request_log.configure(settings)
    log = logging.getLogger("service")
    for line in settings.changed():
        log.info(line)
    for name in unknown_names(os.environ):
        log.warning("%s", about_unknown(name))
    status = serve(settings, started=STARTED)
    logging.shutdown()
    # Everything of ours is closed. The interpreter would take seconds to take TensorFlow apart, or to wait while it loads.
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
