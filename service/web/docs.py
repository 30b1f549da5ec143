"""Swagger UI at /docs, from our own copies, so that it works without internet, below any path prefix, and where keys are set."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, Request, Response

from service.errors import NotFound
from service.http.endpoints import DOCS, DOCS_FILES, DOCS_FOLDER
from service.web.files import bundle, text

# fastapi-offline brings the files of Swagger UI, in a version that is locked. All of them are loaded from here, and nothing else.
STATIC = resources.files("fastapi_offline") / "static"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
TYPES = {"css": "text/css", "js": "text/javascript", "png": "image/png"}

router = APIRouter(include_in_schema=False)


@router.get(DOCS)
async def docs(request: Request) -> Response:
    """The page. Links are relative, since a proxy in front may have put the service below a prefix."""
    links = '<a href="./">Try a video</a>' if request.app.state.settings.page == "on" else ""
    content = text("docs.html").replace("{{style}}", text("look.css")).replace("{{links}}", links)
    return Response(content, headers=SECURITY, media_type="text/html")


@router.get(DOCS_FOLDER)
async def docs_folder() -> Response:
    """To the page, by a link that a path prefix in front does not change: from here the page's own links would lead astray."""
    return Response(status_code=307, headers={"Location": f"..{DOCS}"})


@router.get(f"{DOCS}/{{name}}")
async def docs_file(name: str) -> Response:
    """A file of the page."""
    if f"{DOCS}/{name}" not in DOCS_FILES:
        raise NotFound("There is nothing at this path. See /docs for what there is.")
    content = bundle("docs").encode() if name == "start.js" else (STATIC / name).read_bytes()
    return Response(content, headers=SECURITY, media_type=TYPES[name.rpartition(".")[2]])
