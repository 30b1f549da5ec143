"""The answer as one piece of JSON. orjson writes float32 in the shortest digits that read back exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from service.answers.answer import Answer
from service.answers.growing import GrowingAnswer
from service.answers.result import Result, provenance_headers
from service.errors import AnswerTooLarge
from service.pipeline import ClipDone, Opened, Summary

MAX_JSON_BYTES = 32 * 1024 * 1024  # of one answer: about 700 clips with their vectors; more is better streamed
MIN_NUMBER_BYTES = 4  # "0.0,"


class JsonWriter:
    """Writes clips as text, as they come. Where there are clips, they are the first member of the answer."""

    def __init__(self, result: Result, max_bytes: int) -> None:
        self._result, self._max_bytes = result, max_bytes
        self._answer = GrowingAnswer(lambda: result.source)

    def begin(self, opened: Opened) -> None:
        """Raises AnswerTooLarge where the answer is sure to be, before anything is computed."""
        options = self._result.options
        if options.wants("clips") and options.wants_clip_vectors():
            number = MIN_NUMBER_BYTES if options.encoding_format == "float" else np.float32().nbytes
            self._check(opened.num_clips * sum(options.layer_sizes().values()) * number)

    async def add(self, done: ClipDone) -> None:
        """Take one clip. Raises AnswerTooLarge, DiskFull."""
        if self._result.options.wants("clips"):
            begin = b"," if self._answer.num_bytes else b'{"clips":['
            await self._answer.add(begin + to_json(self._result.clip(done)))
            self._check(self._answer.num_bytes)

    async def response(self, opened: Opened, summary: Summary) -> Response:
        """The whole answer. Raises DiskFull."""
        result = self._result
        answer: Answer = {**result.ids(), **result.outputs(), **result.provenance(opened.info, summary)}
        headers = provenance_headers(answer["model"], answer["warnings"])
        if not result.options.wants("clips"):
            return json_response(answer, headers)
        await self._answer.add(b"]," + to_json(answer)[1:] + b"\n")
        return await self._answer.response("application/json", headers)

    def _check(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise AnswerTooLarge(
                f"The answer is over {self._max_bytes} bytes as JSON. Ask for a stream (Accept: application/x-ndjson) or "
                "for arrays (Accept: application/zip), or for fewer clips (max_clips)."
            )


def to_json(content: Any) -> bytes:
    """Arrays and NumPy numbers included."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """The same as an answer."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    return Response(body, headers=headers, media_type="application/json")
