"""In which form the client wants its answer: the request's Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import mimeparse

from service.errors import NotAcceptable

JSON, NDJSON, NPY, NPZ = "application/json", "application/x-ndjson", "application/x-npy", "application/zip"


def media_type(accept: str | None) -> str:
    """One of the four. JSON where the client does not care. Raises NotAcceptable where it wants none of them."""
    if accept is None:
        return JSON
    try:
        chosen: str = mimeparse.best_match([NPZ, NPY, NDJSON, JSON], accept.lower())  # of equals the last one
    except mimeparse.MimeTypeParseException:
        chosen = ""
    if not chosen:
        raise NotAcceptable(f"The header Accept asks for what is not made here. There is {JSON}, {NDJSON}, {NPY} and {NPZ}.")
    return chosen
