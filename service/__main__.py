"""python -m service: read the settings, run the server."""

from __future__ import annotations

import logging
import os
import sys

from pydantic import ValidationError

from service.http import request_log
from service.settings import Settings, unknown_names


def main() -> int:
    """The process's exit status: 0 after a signal, 1 where the start was refused, 2 where a setting is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors():
            print(f"C3D_{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}.", file=sys.stderr)
        return 2
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
