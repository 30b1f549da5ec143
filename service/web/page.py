"""The page at /: made of the files in page/ at the first request, and one answer from then on."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from service.http.endpoints import PAGE
from service.web.files import bundle, text

router = APIRouter(include_in_schema=False)


class Page(NamedTuple):
    """What is sent, and how."""

    content: bytes
    headers: dict[str, str]


@router.get(PAGE)
async def page(request: Request) -> Response:
    """The page, or 304 where the browser has this one."""
    content, headers = built()
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="text/html")


@cache
def built() -> Page:
    """One file, so that it works below any path prefix. A browser runs the script and the style in it, and no others."""
    style, script = text("look.css") + text("page.css"), bundle("main")
    content = text("page.html").replace("{{style}}", style).replace("{{script}}", script).encode()
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; connect-src 'self'; img-src data: blob:; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",  # kept, and asked for again: an update of the service is seen at once
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    }
    return Page(content, headers)


def _source(content: str) -> str:
    """As a Content-Security-Policy names what is allowed: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
