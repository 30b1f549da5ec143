"""From settings to a network that is loaded, warm, proven and running; or to the reason why it cannot be."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from model_store import calibration
from model_store.card import Card
from model_store.store import chosen, open_model
from model_store.tensors import ModelMissing, StoreError
from service import errors
from service.http.metrics import Metrics
from service.inference.batcher import Batcher
from service.inference.build import CPU_ENGINES, build, engine_for, unavailable
from service.inference.network import Network, Progress
from service.lifecycle import native_output
from service.lifecycle.readiness import InfoOut, Readiness, Serving, model_out
from service.pipeline import Pipeline
from service.settings import VERSION, Settings
from service.video import sandbox
from service.video.messages import ReadOptions
from service.video.pool import DecoderPool

log = logging.getLogger(__name__)

REFUSALS = (StoreError, errors.PrecisionUnavailable, errors.DeviceUnavailable, ImportError)  # each says what to do


LoadNetwork = Callable[[Settings, Progress], Network]


def load_network(settings: Settings, progress: Progress) -> Network:
    """Load the network, warm it up, and prove it by the known answer. Takes seconds, so it runs in a thread.

    Raises the `REFUSALS`, and KnownAnswerWrong.
    """
    model = open_model(settings.model_store, settings.model)
    network = build(model, settings.engine, settings.precision, settings.device)
    network.warm_up(progress)
    expected = model.card.known_answer
    answer = network.known_answer()
    if answer is not None and expected is not None and answer[0] != expected:
        raise errors.KnownAnswerWrong(
            f"These weights give class {answer[0]} for a clip of zeros, not {expected}: they were read in a wrong layout or are "
            "not what they claim to be. The command `verify` on the server says why."
        )
    log.debug("%r is ready; zeros give %s", network, answer)
    return network


def refusals(settings: Settings) -> list[str]:
    """Why a start with these settings can never succeed here: what can be seen without loading anything, as sentences."""
    found = []
    try:
        chosen(settings.model_store, settings.model)
    except ModelMissing as error:
        if settings.model:  # an empty store can be filled while the service runs
            found.append(f"C3D_MODEL: {error}")
    except StoreError as error:
        found.append(f"C3D_MODEL: {error}")
    engine = engine_for(settings.engine, settings.precision, settings.device)
    if why := unavailable(engine):
        whys = [unavailable("winograd"), why] if settings.engine == "auto" else [why]  # auto chose it for want of winograd
        found.append(f"C3D_ENGINE: {'; '.join(filter(None, whys))}. docs/engines.md says how to install it.")
    if engine in CPU_ENGINES and settings.device == "gpu":
        found.append(f"C3D_DEVICE: {engine} runs on the CPU. Use C3D_DEVICE=auto, or C3D_ENGINE=tensorflow.")
    if settings.precision == "int8" and engine != "openvino":
        found.append("C3D_PRECISION: int8 needs C3D_ENGINE=openvino. Use that, or bfloat16.")
    elif settings.precision == "int8" and not found:
        try:
            calibration.read(open_model(settings.model_store, settings.model))
        except ModelMissing:
            pass  # the service says so when it is asked, and goes on when there is one
        except StoreError as error:
            found.append(f"C3D_PRECISION: {error}")
    return found + _without_sandbox(settings)


def _without_sandbox(settings: Settings) -> list[str]:
    found = sandbox.available()
    if settings.sandbox != "require" or found.is_whole:
        return []
    return [
        f"C3D_SANDBOX: this kernel offers {found}, and not both Landlock and seccomp. Use C3D_SANDBOX=auto, or a newer kernel."
    ]


def _load_quietly(load: LoadNetwork, settings: Settings, progress: Progress) -> Network:
    with native_output.collected():
        return load(settings, progress)


def _in_thread(work: Callable[[], Any]) -> Awaitable[Any]:
    """Run ``work`` in a daemon thread. asyncio would wait for one of its own at exit, and loading takes seconds."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def settle(set_on: Callable[[Any], None], value: Any) -> None:
        if not future.done():  # else nobody waits any more
            set_on(value)

    def run() -> None:
        try:
            outcome = future.set_result, work()
        except BaseException as error:  # noqa: BLE001 (raised where the future is awaited)
            outcome = future.set_exception, error
        with suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="load", daemon=True).start()
    return future


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
        network = await _in_thread(lambda: _load_quietly(load, settings, progress))
        await decoder.start()
    except ModelMissing as error:
        log.error("%s", error)  # noqa: TRY400 (the sentence says all)
        readiness.refuse(errors.WeightsMissing("The service has no weights yet. docs/weights.md says how to get them."))
    except errors.KnownAnswerWrong as error:
        log.error("%s", error)  # noqa: TRY400
        readiness.refuse(error)
    except Exception as error:
        expected = isinstance(error, REFUSALS)
        if not expected:
            log.exception("the network could not be loaded")
        readiness.refuse(errors.StartFailed("The network could not be loaded. The server's log says why."))
        on_refusal(str(error) if expected else "The network could not be loaded; the log above says why.")
    else:
        batcher = Batcher(network.run, network.batch_sizes, lambda run: metrics.batch_ran(run.size, run.seconds))
        serving = _serving(network, Pipeline(decoder, batcher, read_options(settings, network.card)), str(decoder.sandbox))
        metrics.model_loaded(serving.model)
        _say_how_confined(decoder.sandbox)
        readiness.serve(serving)
        return batcher
    return None


def _say_how_confined(found: sandbox.Sandbox) -> None:
    if found.is_whole:
        log.info("decoders are locked in: %s", found)
    else:
        log.warning(
            "decoders are not locked in (%s): a file that takes one over can do what the service can, see SECURITY.md", found
        )


def read_options(settings: Settings, card: Card) -> ReadOptions:
    """How a video is read for this model, within the limits of the settings."""
    return replace(ReadOptions.of(card), max_pixels=settings.max_pixels, max_video_s=settings.max_video_s)


def _serving(network: Network, pipeline: Pipeline, sandbox_in_use: str) -> Serving:
    card = network.card
    model = model_out(card, network.precision, network.backend)
    info: InfoOut = {
        "model": card.model_dump(),
        "batch_sizes": list(network.batch_sizes),
        "precision": network.precision,
        "backend": network.backend,
        "version": VERSION,
        "sandbox": sandbox_in_use,
    }
    if network.calibration_sha256:
        model["calibration_sha256"] = info["calibration_sha256"] = network.calibration_sha256
    return Serving(pipeline, model, info, network.labels)
