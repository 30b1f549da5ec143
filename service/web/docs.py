"""Swagger UI at /docs, from our own copies, so that it works without internet, below any path prefix, and where keys are set."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from service.errors import NotFound
from service.http.endpoints import DOCS, DOCS_FILES, DOCS_FOLDER

# fastapi-offline brings the files of Swagger UI, in a version that is locked. All of them are loaded from here, and nothing else.
STATIC = files("fastapi_offline") / "static"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Links are relative, since a proxy in front may have put the service below a prefix.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>C3D video inference: API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""
TYPES = {"css": "text/css", "js": "text/javascript", "png": "image/png"}

router = APIRouter(include_in_schema=False)


@router.get(DOCS)
async def docs() -> Response:
    """The page."""
    return Response(PAGE, headers=SECURITY, media_type="text/html")


@router.get(DOCS_FOLDER)
async def docs_folder() -> Response:
    """To the page, by a link that a path prefix in front does not change: from here the page's own links would lead astray."""
    return Response(status_code=307, headers={"Location": f"..{DOCS}"})


@router.get(f"{DOCS}/{{name}}")
async def docs_file(name: str) -> Response:
    """A file of the page."""
    if f"{DOCS}/{name}" not in DOCS_FILES:
        raise NotFound("There is nothing at this path. See /docs for what there is.")
    content = START.encode() if name == "start.js" else (STATIC / name).read_bytes()
    return Response(content, headers=SECURITY, media_type=TYPES[name.rpartition(".")[2]])
