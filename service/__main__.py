"""python -m service: read the settings, run the server."""

from __future__ import annotations

import logging
import os
import sys

from pydantic import ValidationError

from service.http import request_log
from service.settings import Settings, former_names, unknown_names


def main() -> int:
    """The process's exit status: 0 after a signal, 1 where the start was refused, 2 where a setting is wrong."""
    refused = former_names(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        refused += [f"C3D_{str(e['loc'][0]).upper()}: {e['msg'].removeprefix('Value error, ')}." for e in error.errors()]
    if refused:
        print(*refused, sep="\n", file=sys.stderr)
        return 2
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
