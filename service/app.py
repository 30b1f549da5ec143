"""Wires everything: settings -> store -> network -> batcher -> pipeline -> routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service import api, errors, loading, probes, problems, spool
from service.decoder import Decoder
from service.door import Door
from service.fetch import Fetcher
from service.loading import LoadNetwork, load_network
from service.readiness import Readiness
from service.settings import VERSION, Settings

log = logging.getLogger(__name__)


def create_app(settings: Settings, load: LoadNetwork = load_network, on_refusal: Callable[[str], None] = log.error) -> FastAPI:
    """The application. ``on_refusal`` hears, in a sentence, why a start with these settings can never succeed here."""
    readiness = Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        decoder = Decoder(settings.decoders, settings.max_decoders, settings.decoder_memory_bytes, settings.decoder_timeout_s)
        with spool.directory(settings.spool_dir) as app.state.spool_dir:
            starting = asyncio.create_task(loading.start(settings, load, readiness, decoder, on_refusal))
            try:
                yield
            finally:
                readiness.refuse(errors.Draining("The service is shutting down. Ask another instance."))
                starting.cancel()  # which does nothing where it is done
                await asyncio.wait([starting])
                if not starting.cancelled() and (batcher := starting.result()):
                    await asyncio.to_thread(batcher.stop)
                await decoder.close()

    app = FastAPI(
        title="C3D video inference",
        version=VERSION,
        summary="What C3D (Tran et al., ICCV 2015) sees in a video: its Sports-1M labels, its fc6 descriptor.",
        lifespan=lifespan,
        redirect_slashes=False,  # a redirected upload would be sent twice
        redoc_url=None,
    )
    app.state.settings, app.state.readiness = settings, readiness
    app.state.fetcher = Fetcher(loading.fetch_policy(settings))
    app.include_router(api.router)
    app.include_router(probes.router)
    app.add_middleware(Door, settings=settings)
    problems.install(app)
    return app
