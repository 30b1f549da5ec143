"""Wires everything: settings -> store -> network -> batcher -> pipeline -> routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from service import errors
from service.answers.json_answer import MAX_JSON_BYTES
from service.answers.result import WARNINGS_HEADER, WEIGHTS_HEADER
from service.api import openapi, probes, videos
from service.http import problems
from service.http.admission import MAX_WAITING_CLIPS, Admission, ApiKeys
from service.http.compression import Compression
from service.http.log_writer import num_dropped
from service.http.metrics import Metrics
from service.http.middleware import RequestMiddleware
from service.inference.batcher import Batcher
from service.intake import spool
from service.intake.fetch import Fetcher
from service.intake.fetch_policy import FetchPolicy
from service.lifecycle import loading
from service.lifecycle.loading import LoadNetwork, load_network
from service.lifecycle.readiness import Readiness, Serving
from service.lifecycle.supervisor import WORKER_TIMEOUT_S, Supervisor
from service.settings import VERSION, Settings
from service.v2 import routes
from service.v2.schemas import JSON_LENGTH
from service.video.pool import DecoderPool
from service.web import docs, page

log = logging.getLogger(__name__)

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST"],
    "allow_headers": ["*"],
    "expose_headers": [
        *("X-Request-Id", "Server-Timing", "Retry-After", "Content-Disposition", "WWW-Authenticate"),
        *(WEIGHTS_HEADER, WARNINGS_HEADER, JSON_LENGTH),
    ],
    "max_age": 600,  # seconds that a browser may keep the answer to a preflight
}
LAST_BATCH_S = 2.0  # for a batch that nobody waits for any more; a thread that takes longer ends with the process


def create_app(
    settings: Settings,
    load: LoadNetwork = load_network,
    on_refusal: Callable[[str], None] = log.error,
    on_ready: Callable[[Serving], None] = lambda serving: None,
    *,
    decoder_pool: Callable[[int], DecoderPool] | None = None,
    worker_timeout_s: float = WORKER_TIMEOUT_S,
) -> FastAPI:
    """The application. ``on_refusal`` is called with a sentence where a start with these settings can never succeed here.

    ``on_ready`` is called with what is served, once requests can be answered. ``decoder_pool`` makes the pool of this many
    processes at most.
    """
    readiness = Readiness()
    metrics = Metrics(len(settings.api_keys()))
    api_keys = ApiKeys(settings.api_keys())
    admission = Admission(settings.max_requests, readiness.queue, max_per_client=settings.max_requests_per_client)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        make_pool = decoder_pool or partial(DecoderPool, sandboxed=settings.sandbox != "off")
        decoder = make_pool(settings.max_decoders)
        start = partial(loading.start, settings, load, readiness, decoder, metrics, on_refusal)
        watch = partial(Supervisor, readiness=readiness, on_death=on_refusal, worker_timeout_s=worker_timeout_s)
        with spool.opened(settings.spool_dir, settings.max_spool_bytes) as app.state.spool:
            metrics.watch(**_gauges(settings, readiness, decoder, app.state.spool))
            working = asyncio.create_task(_work(start, watch, lambda: on_ready(readiness.serving())))
            try:
                yield
            finally:
                readiness.refuse(errors.Draining("The service is shutting down. Ask another instance."))
                working.cancel()
                await asyncio.wait([working])
                await decoder.close()

    app = _application(lifespan, with_page=settings.page == "on")
    app.state.settings, app.state.readiness, app.state.admission = settings, readiness, admission
    app.state.metrics, app.state.max_json_bytes = metrics, MAX_JSON_BYTES
    app.state.fetcher = Fetcher(FetchPolicy.of(settings))
    app.add_middleware(Compression)
    draining = readiness.is_draining
    app.add_middleware(
        RequestMiddleware, settings=settings, api_keys=api_keys, admission=admission, metrics=metrics, is_draining=draining
    )
    if settings.allowed_origins():  # the outermost layer, so that refusals can be read too
        app.add_middleware(CORSMiddleware, allow_origins=settings.allowed_origins(), **CORS)
    problems.install(app)
    app.openapi = lambda: openapi.document(app, api_keys)  # type: ignore[method-assign]
    return app


def _application(lifespan: Lifespan[FastAPI], *, with_page: bool) -> FastAPI:
    return FastAPI(
        title="C3D video inference",
        version=VERSION,
        summary="What C3D (Tran et al., ICCV 2015) sees in a video: its Sports-1M labels, its fc6 descriptor.",
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        routes=_routes(with_page=with_page),
        redirect_slashes=False,  # a redirected upload would be sent twice
        docs_url=None,  # service.web.docs has its own, without a foreign host
        redoc_url=None,
    )


@cache  # FastAPI builds the schemas of all routes again for each application that includes them, which takes 0.1 s
def _routes(*, with_page: bool) -> list[BaseRoute]:
    router = APIRouter(
        generate_unique_id_function=lambda route: route.name,  # a generated client's functions: classify, features
        responses=openapi.responses(errors.At.OTHER),
    )
    for each in (videos.router, routes.router, probes.router, docs.router, *([page.router] if with_page else [])):
        router.include_router(each)
    return router.routes


def _gauges(settings: Settings, readiness: Readiness, decoder: DecoderPool, files: spool.Spool) -> dict[str, Callable[[], float]]:
    """What the metrics ask at every scrape."""
    return {
        "waiting_clips": lambda: readiness.queue().waiting_clips,
        "max_waiting_clips": lambda: MAX_WAITING_CLIPS,
        "max_requests": lambda: settings.max_requests,
        "spool_bytes": lambda: files.used_bytes,
        "max_spool_bytes": lambda: settings.max_spool_bytes,
        "decoders": lambda: decoder.num_processes,
        "max_decoders": lambda: settings.max_decoders,
        "worker_up": readiness.is_ready,
        "decoder_restarts": lambda: decoder.num_replaced,
        "sandbox_up": lambda: decoder.sandbox.is_whole,
        "log_lines_dropped": num_dropped,
    }


async def _work(
    start: Callable[[], Awaitable[Batcher | None]], watch: Callable[[Batcher], Supervisor], on_ready: Callable[[], None]
) -> None:
    """Load the network, then watch its worker, until this is cancelled."""
    batcher = await start()
    if batcher is None:
        return
    try:
        on_ready()
        await watch(batcher).run()
    finally:
        batcher.stop(LAST_BATCH_S)
