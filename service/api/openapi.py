"""The OpenAPI document, exact enough to generate clients from: every form of the answer, every option, every error."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from service.answers.answer import Line
from service.errors import At, raised_at
from service.http.admission import ApiKeys
from service.http.problems import MEDIA_TYPE, TYPE, ProblemOut
from service.options import NDJSON, NPY, NPZ

# The forms of an answer beside JSON.
FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, in the form that the header Accept asks for.",
        "content": {
            NDJSON: {
                "schema": {
                    "type": "string",
                    "description": "A line for the video, one for each clip as it is computed, and one for the whole.",
                    "contentMediaType": NDJSON,
                    "contentSchema": {"$ref": "#/components/schemas/Line"},  # of each line
                },
                "example": '{"type":"heartbeat"}\n',
            },
            NPY: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "A float32 array: (4096,) on /features, (487,) on /classify; with include=clips a row a clip.",
                },
                "example": "the bytes of an npy file",
            },
            NPZ: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "All arrays of the clips and of the video, and their provenance; docs/http-api.md names them.",
                },
                "example": "the bytes of an npz file",
            },
        },
    }
}


def responses(at: At) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of what can go wrong there: for each status its codes, and the first of them as the example."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in sorted(raised_at(at), key=lambda error: error.status):
        entry = found.setdefault(error.status, {"model": ProblemOut, "description": "Problem:"})
        entry["description"] += f" `{error.code}` ({error.title.lower()})."
        example = {"type": TYPE, "title": error.title, "status": error.status, "code": error.code}
        example |= {"detail": "What to do about it.", "request_id": "0f4c2b7de1a94a57a6a2b1d9c3e85f60"}
        entry.setdefault("content", {"application/json": {"example": example}})
    return found


def body_of() -> dict[str, Any]:
    """The request body in OpenAPI. It is declared, not parsed, by FastAPI: the handlers stream it to disk themselves."""
    video = {"type": "string", "format": "binary", "description": "The video file."}
    url = {"type": "string", "example": "", "description": "Where the video is, if it is not sent: the service fetches it."}
    form = {
        "type": "object",
        "description": "One of them. Options may be fields beside it, by the names that they have in the query.",
        "properties": {"file": video, "url": url},
        "additionalProperties": False,  # options are not listed: Swagger UI would send a sample of each, beside the query's
    }
    raw = {"schema": video, "example": "the bytes of clip.mp4"}
    content = {
        "multipart/form-data": {"schema": form, "example": {"file": "the bytes of clip.mp4", "url": ""}},
        "application/octet-stream": raw,
        "video/mp4": raw,
    }
    # JSON is taken too, and is not among them: generators such as openapi-ts would choose it, and their clients could then send
    # no file at all.
    text = 'One video: a form\'s `file` or `url`, or the body itself. JSON is taken too: `{"url": "https://...", "top_k": 3}`.'
    return {"requestBody": {"required": True, "description": text, "content": content}}


def document(app: FastAPI, api_keys: ApiKeys) -> dict[str, Any]:
    """FastAPI's, with problems under their own media type, the lines of streams, and what needs a key."""
    if not app.openapi_schema:
        found = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, license_info=app.license_info
        )
        for path in found["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        parts = response["content"].values()  # the schema may stand under the media type of the good answer
                        response["content"] = {MEDIA_TYPE: {key: value for part in parts for key, value in part.items()}}
        lines = TypeAdapter(Line).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        found["components"]["schemas"] |= lines.pop("$defs") | {"Line": lines}
        found["servers"] = [{"url": "."}]  # where this document is, so that a path prefix in front changes nothing
        api_keys.describe(found)
        app.openapi_schema = found
    return app.openapi_schema
