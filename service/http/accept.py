"""The header Accept: which of the forms of an answer the client wants (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from service.errors import NotAcceptable
from service.options import JSON, NDJSON, NPY, NPZ

FORMS = (JSON, NDJSON, NPY, NPZ)  # where a client likes several equally well, the first of them
MAX_ACCEPT_LENGTH = 4096  # browsers send 150 characters


def media_type(accept: str) -> str:
    """One of FORMS; JSON where ``accept`` is empty. Raises NotAcceptable where the client wants none of them.

    Takes time in proportion to the header's length. A quoted parameter with a comma in it is not understood: no form has one.
    """
    if len(accept) > MAX_ACCEPT_LENGTH:
        raise NotAcceptable(f"The header Accept is over {MAX_ACCEPT_LENGTH} characters. Name the one form that you want.")
    if not accept.strip(" ,"):
        return JSON
    wanted: dict[str, float] = {}
    for each in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in each.split(";"))
        wanted["*/*" if media_range == "*" else media_range] = _quality(parameters)  # Java's clients send a single star
    quality = {form: _first(wanted, form, f"{form.partition('/')[0]}/*", "*/*") for form in FORMS}
    chosen = max(FORMS, key=quality.__getitem__)
    if not quality[chosen]:
        raise NotAcceptable(f"Unsupported Accept header. Supported: {JSON}, {NDJSON}, {NPY}, {NPZ}.")
    return chosen


def _quality(parameters: list[str]) -> float:
    """The value of ``q``, 0 to 1; 1 where there is none or it is no such number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 1.0
            return quality if 0 <= quality <= 1 else 1.0
    return 1.0


def _first(wanted: dict[str, float], *ranges: str) -> float:
    """The quality of the most precise range that names a form; 0 where none does."""
    return next((wanted[each] for each in ranges if each in wanted), 0.0)
