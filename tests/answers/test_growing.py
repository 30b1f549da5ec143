"""service/answers/growing.py: a large answer is in a file, of which its reader takes as much as he can."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.responses import FileResponse

from service.answers.growing import MEMORY_BYTES, GrowingAnswer
from service.errors import DiskFull
from service.intake.source import request_files
from service.intake.spool import Spool


def test_a_small_answer_asks_for_no_files() -> None:
    async def run() -> None:
        answer = GrowingAnswer(lambda: pytest.fail("asked for files"))
        await answer.add(b"small ")
        await answer.add(b"answer")
        response = await answer.response("text/plain", {"a": "b"})
        assert (response.body, response.headers["a"], answer.num_bytes) == (b"small answer", "b", 12)

    asyncio.run(run())


def test_a_large_answer_is_a_file_that_counts_and_is_gone_with_its_request(tmp_path: Path) -> None:
    piece = bytes(range(256)) * 64
    spool = Spool(tmp_path, 10 * MEMORY_BYTES)

    async def run() -> None:
        with request_files(spool) as files:
            answer = GrowingAnswer(lambda: files)
            for _ in range(4 * MEMORY_BYTES // len(piece)):
                await answer.add(piece)
            response = await answer.response("text/plain", {})
            assert isinstance(response, FileResponse)
            assert await asyncio.to_thread(Path(response.path).read_bytes) == piece * (4 * MEMORY_BYTES // len(piece))
            assert spool.used_bytes == answer.num_bytes == 4 * MEMORY_BYTES

    asyncio.run(run())
    assert (list(tmp_path.iterdir()), spool.used_bytes) == ([], 0)


def test_all_answers_together_are_bounded(tmp_path: Path) -> None:
    async def run() -> None:
        spool = Spool(tmp_path, 3 * MEMORY_BYTES)
        with request_files(spool) as mine, request_files(spool) as others:
            await _grown(GrowingAnswer(lambda: mine))
            with pytest.raises(DiskFull):
                await _grown(GrowingAnswer(lambda: others))

    asyncio.run(run())


async def _grown(answer: GrowingAnswer) -> None:
    await answer.add(bytes(2 * MEMORY_BYTES))
    await answer.response("text/plain", {})
