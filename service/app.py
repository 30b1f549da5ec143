"""Wires everything: settings -> store -> network -> batcher -> pipeline -> routes."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from model_store.store import SPORTS1M, Card, ModelMissing, StoreError, open_model
from service import api, c3d, errors, probes
from service.answers import problem
from service.batcher import Batcher
from service.decoder import Decoder
from service.door import Door
from service.pipeline import Pipeline
from service.readiness import Readiness, Serving
from service.settings import VERSION, Settings

log = logging.getLogger(__name__)


class LoadedNetwork(Protocol):
    """What the service needs of a network; `network.Network` is the real one."""

    card: Card
    labels: tuple[str, ...]
    precision: str
    backend: str  # engine, version, device
    batch_sizes: tuple[int, ...]

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs: ...


LoadNetwork = Callable[[Settings, Callable[[float], None]], LoadedNetwork]


def load_network(settings: Settings, progress: Callable[[float], None]) -> LoadedNetwork:
    """Load the network, warm it up, and prove it by the known answer. Takes seconds, so it runs in a thread.

    Raises StoreError, PrecisionUnavailable, KnownAnswerWrong.
    """
    model = open_model(settings.model_store, settings.model)
    from service.network import Network  # imports TensorFlow

    network = Network(model, settings.precision)
    network.warm_up(progress)
    expected = c3d.KNOWN_ANSWER if model.card.weights == SPORTS1M else model.card.known_answer
    answer = network.known_answer()
    if answer is not None and expected is not None and answer[0] != expected:
        raise errors.KnownAnswerWrong(
            f"These weights see class {answer[0]} in a clip of zeros, not {expected}: they were read in a wrong layout or are "
            "not what they claim to be. Get them anew with `python -m model_store pull`."
        )
    log.info("%r is ready; zeros give %s", network, answer)
    return network


def create_app(settings: Settings, load: LoadNetwork = load_network, on_refusal: Callable[[str], None] = log.error) -> FastAPI:
    """The application. ``on_refusal`` hears, in a sentence, why a start with these settings can never succeed here."""
    readiness = Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        spool = Path(tempfile.mkdtemp(dir=settings.spool_dir, prefix="c3d-"))
        app.state.spool_dir = spool
        stack: list[Callable[[], None]] = []
        loading = asyncio.create_task(_load(settings, load, readiness, stack, on_refusal))
        try:
            yield
        finally:
            readiness.refuse(errors.Draining("The service is shutting down. Ask another instance."))
            loading.cancel()
            for close in stack:
                await asyncio.to_thread(close)
            shutil.rmtree(spool, ignore_errors=True)

    app = FastAPI(
        title="C3D video inference",
        version=VERSION,
        summary="What C3D (Tran et al., ICCV 2015) sees in a video: its Sports-1M labels, its fc6 descriptor.",
        lifespan=lifespan,
    )
    app.state.settings, app.state.readiness = settings, readiness
    app.include_router(api.router)
    app.include_router(probes.router)
    app.add_middleware(Door, max_body_bytes=settings.max_upload_bytes)
    app.add_exception_handler(errors.ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def _load(
    settings: Settings,
    load: LoadNetwork,
    readiness: Readiness,
    stack: list[Callable[[], None]],
    on_refusal: Callable[[str], None],
) -> None:
    """Load the network in a thread, and say in ``readiness`` how it went. What is to be closed goes on the stack."""
    loop = asyncio.get_running_loop()

    def progress(share: float) -> None:
        loop.call_soon_threadsafe(readiness.warming, share)

    try:
        network = await asyncio.to_thread(load, settings, progress)
    except ModelMissing as error:
        log.error("%s", error)  # noqa: TRY400 (the sentence says all)
        readiness.refuse(errors.WeightsMissing("There are no weights. Run `python -m model_store pull` on the server."))
    except errors.KnownAnswerWrong as error:
        log.error("%s", error)  # noqa: TRY400
        readiness.refuse(error)
    except (StoreError, errors.PrecisionUnavailable) as error:
        readiness.refuse(errors.StartFailed("The network could not be loaded. The server's log says why."))
        on_refusal(str(error))
    except Exception:
        log.exception("the network could not be loaded")
        readiness.refuse(errors.StartFailed("The network could not be loaded. The server's log says why."))
        on_refusal("The network could not be loaded; the log above says why.")
    else:
        decoder = Decoder(settings.decoders, network.card.crop_left)
        batcher = Batcher(network.run, network.batch_sizes)
        stack += [batcher.stop, decoder.close]
        readiness.serve(_serving(network, Pipeline(decoder, batcher)))


def _serving(network: LoadedNetwork, pipeline: Pipeline) -> Serving:
    run = {"precision": network.precision, "backend": network.backend, "version": VERSION}
    keys = ("name", "weights", "weights_sha256", "preprocessing", "mean")
    info = {"model": network.card.model_dump(), "batch_sizes": list(network.batch_sizes), **run}
    return Serving(pipeline, {key: getattr(network.card, key) for key in keys} | run, info, network.labels)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServiceError)  # noqa: S101 (registered for nothing else)
    request_id = request.state.request_id
    if error.status >= 500:  # a cause of ours; 503 says nothing new each time
        log.log(
            logging.INFO if error.status == 503 else logging.ERROR,
            "%s %s: %s",
            request_id,
            error.code,
            error,
            exc_info=error.__cause__,
        )
    else:
        log.info("%s %s: %s", request_id, error.code, error.__cause__ or error)
    return problem(error, request_id)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return await _on_service_error(request, api.invalid_option(error.errors()))


async def _on_http(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our words."""
    assert isinstance(error, HTTPException)  # noqa: S101
    ours: errors.ServiceError = errors.MalformedRequest("The request cannot be understood. See /docs.")
    if error.status_code == 404:
        ours = errors.NotFound("There is nothing at this path. See /docs for what there is.")
    if error.status_code == 405:
        ours = errors.MethodNotAllowed(f"This path does not take {request.method}. See /docs for what it takes.")
    ours.headers = dict(error.headers or {})
    return await _on_service_error(request, ours)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with problems under their own media type (RFC 9457)."""
    if not app.openapi_schema:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        response["content"] = {"application/problem+json": response["content"]["application/json"]}
        app.openapi_schema = document
    return app.openapi_schema
