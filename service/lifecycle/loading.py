"""From settings to a network that is loaded, warm, proven and at work; or to the reason why there is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from model_store.card import Card
from model_store.store import open_model
from model_store.tensors import ModelMissing, StoreError
from service import errors
from service.http.metrics import Metrics
from service.inference.batcher import Batcher
from service.inference.build import LoadedNetwork, build
from service.inference.network import Progress
from service.lifecycle.readiness import InfoOut, Readiness, Serving, model_out
from service.pipeline import Pipeline
from service.settings import VERSION, Settings
from service.video.messages import ReadOptions
from service.video.pool import DecoderPool

log = logging.getLogger(__name__)


LoadNetwork = Callable[[Settings, Progress], LoadedNetwork]


def load_network(settings: Settings, progress: Progress) -> LoadedNetwork:
    """Load the network, warm it up, and prove it by the known answer. Takes seconds, so it runs in a thread.

    Raises StoreError, PrecisionUnavailable, KnownAnswerWrong, ImportError.
    """
    model = open_model(settings.model_store, settings.model)
    network = build(model, settings.engine, settings.precision)
    network.warm_up(progress)
    expected = model.card.known_answer
    answer = network.known_answer()
    if answer is not None and expected is not None and answer[0] != expected:
        raise errors.KnownAnswerWrong(
            f"These weights see class {answer[0]} in a clip of zeros, not {expected}: they were read in a wrong layout or are "
            "not what they claim to be. Run `python -m service verify` to learn why."
        )
    log.info("%r is ready; zeros give %s", network, answer)
    return network


async def start(
    settings: Settings,
    load: LoadNetwork,
    readiness: Readiness,
    decoder: DecoderPool,
    metrics: Metrics,
    on_refusal: Callable[[str], None],
) -> Batcher | None:
    """Load the network in a thread and set it to work; ``readiness`` says how it goes. The batcher is to be stopped."""
    loop = asyncio.get_running_loop()

    def progress(share: float) -> None:
        loop.call_soon_threadsafe(readiness.warming, share)

    try:
        network = await asyncio.to_thread(load, settings, progress)
        await decoder.start()
    except ModelMissing as error:
        log.error("%s", error)  # noqa: TRY400 (the sentence says all)
        readiness.refuse(errors.WeightsMissing("There are no weights. Run `python -m model_store pull` on the server."))
    except errors.KnownAnswerWrong as error:
        log.error("%s", error)  # noqa: TRY400
        readiness.refuse(error)
    except Exception as error:
        expected = isinstance(error, StoreError | errors.PrecisionUnavailable | ImportError)
        if not expected:
            log.exception("the network could not be loaded")
        readiness.refuse(errors.StartFailed("The network could not be loaded. The server's log says why."))
        on_refusal(str(error) if expected else "The network could not be loaded; the log above says why.")
    else:
        batcher = Batcher(network.run, network.batch_sizes, lambda run: metrics.batch_ran(run.size, run.seconds))
        serving = _serving(network, Pipeline(decoder, batcher, _reading(settings, network.card)))
        metrics.model_loaded(serving.model)
        readiness.serve(serving)
        return batcher
    return None


def _reading(settings: Settings, card: Card) -> ReadOptions:
    return replace(
        ReadOptions.of(card),
        max_pixels=settings.max_pixels,
        max_video_s=settings.max_video_s,
        max_fps=settings.max_fps,
    )


def _serving(network: LoadedNetwork, pipeline: Pipeline) -> Serving:
    card = network.card
    model = model_out(card, network.precision, network.backend)
    info: InfoOut = {
        "model": card.model_dump(),
        "batch_sizes": list(network.batch_sizes),
        "precision": network.precision,
        "backend": network.backend,
        "version": VERSION,
    }
    if network.calibration_sha256:
        model["calibration_sha256"] = info["calibration_sha256"] = network.calibration_sha256
    return Serving(pipeline, model, info, network.labels)
