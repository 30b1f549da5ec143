"""Whether requests can be answered now, by which model, and if not, why: one truth for the probes and for everybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from model_store.card import Card
from service.errors import Draining, ServiceError, Warming, WorkerDown
from service.http.admission import Queue
from service.pipeline import Pipeline
from service.settings import VERSION
from service.video.messages import VideoWarning

READY = "ready"
STAND_IN_WARNING = VideoWarning(
    "stand_in_weights",
    "The weights are random numbers to try the service with: labels and vectors mean nothing. docs/weights.md says how to get "
    "real ones.",
)


class ModelOut(TypedDict):
    """What computed the answer. The same bytes and the same block give the same numbers again."""

    name: Annotated[str, Field(description="Of the model in the store.", examples=["sports1m"])]
    weights: Annotated[str, Field(description="`sports1m`, `stand-in` (random numbers), or another name.", examples=["sports1m"])]
    weights_sha256: Annotated[str, Field(description="Over the tensors, whatever file they came from.", examples=["9f" * 32])]
    preprocessing: Annotated[
        str,
        Field(
            description="The preset that the fields below come from: the original's, or a port's by name.",
            examples=["c3d-sports1m"],
        ),
    ]
    keep_aspect: Annotated[
        bool, Field(description="Whether frames keep their aspect: the short side becomes frame_rows.", examples=[False])
    ]
    frame_rows: Annotated[int, Field(description="Rows that a frame is resized to.", examples=[128])]
    frame_columns: Annotated[int, Field(description="Columns that a frame is resized to.", examples=[171])]
    crop_top: Annotated[
        int, Field(description="Row where the crop of 112x112 starts; central where the aspect is kept.", examples=[8])
    ]
    crop_left: Annotated[int, Field(description="Column where the crop starts, likewise.", examples=[29])]
    long_side: Annotated[
        str,
        Field(
            description="Where the aspect is kept: the other side is `rounded`, or the `next` whole number above.",
            examples=["rounded"],
        ),
    ]
    color_tags: Annotated[
        str, Field(description="`honour` a file's colour matrix, or `ignore` it: BT.601 always.", examples=["honour"])
    ]
    channel_order: Annotated[str, Field(description="What the network was trained on.", examples=["BGR"])]
    scale: Annotated[float, Field(description="What grey levels are multiplied by behind the mean.", examples=[1.0])]
    mean: Annotated[str, Field(description="The mean that is subtracted.", examples=["sports1m"])]
    mean_sha256: Annotated[str, Field(description="Of the mean that is subtracted.", examples=["3b" * 32])]
    pool5: Annotated[
        str, Field(description="`caffe`: padded on the right and bottom only; `symmetric`: all round.", examples=["caffe"])
    ]
    precision: Annotated[str, Field(description="What the network computed in.", examples=["float32"])]
    backend: Annotated[str, Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])]
    calibration_sha256: NotRequired[Annotated[str, Field(description="Of int8: which calibration.", examples=["5c" * 32])]]
    version: Annotated[str, Field(description="Of this service.", examples=["0.1.0"])]


def model_out(card: Card, precision: str, backend: str) -> ModelOut:
    """The block for a network of the model with this card, which computes in ``precision`` on ``backend``."""
    return {
        "name": card.name,
        "weights": card.weights,
        "weights_sha256": card.weights_sha256,
        "preprocessing": card.preprocessing,
        "keep_aspect": card.keep_aspect,
        "frame_rows": card.frame_rows,
        "frame_columns": card.frame_columns,
        "crop_top": card.crop_top,
        "crop_left": card.crop_left,
        "long_side": card.long_side,
        "color_tags": card.color_tags,
        "channel_order": card.channel_order,
        "scale": card.scale,
        "mean": card.mean,
        "mean_sha256": card.mean_sha256,
        "pool5": card.pool5,
        "precision": precision,
        "backend": backend,
        "version": VERSION,
    }


class InfoOut(TypedDict):
    """What runs here. All but the version only once the network is loaded."""

    model: NotRequired[
        Annotated[
            dict[str, Any],
            Field(description="The card of the loaded model.", examples=[{"name": "sports1m", "num_classes": 487}]),
        ]
    ]
    backend: NotRequired[
        Annotated[str, Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])]
    ]
    precision: NotRequired[Annotated[str, Field(description="What the network computes in.", examples=["float32"])]]
    calibration_sha256: NotRequired[Annotated[str, Field(description="Of int8: which calibration.", examples=["5c" * 32])]]
    batch_sizes: NotRequired[Annotated[list[int], Field(description="Clips that may run together.", examples=[[1, 2, 3, 4]])]]
    version: Annotated[str, Field(description="Of this service.", examples=["0.1.0"])]
    sandbox: NotRequired[
        Annotated[
            str,
            Field(
                description="What decoders are locked in by: Landlock and a seccomp filter, or less.",
                examples=["landlock 7, seccomp"],
            ),
        ]
    ]


@dataclass(frozen=True)
class Serving:
    """What answers requests: the pipeline, and the model behind it as answers and /info show it."""

    pipeline: Pipeline
    model: ModelOut  # a block of every answer
    info: InfoOut  # the answer of /info
    labels: tuple[str, ...]  # by class; none where the weights have no class layer

    def warnings(self) -> list[VideoWarning]:
        """What every answer made with this model must say."""
        return [STAND_IN_WARNING] if self.model["weights"] == "stand-in" else []


class Readiness:
    """Begins as warming; becomes serving, or a reason why not. Changed and read in the event loop's thread."""

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self._reason: ServiceError = Warming("The network is being loaded. Ask again in a few seconds.")
        self._draining = self._failing = self._given_up = False
        self._started = False

    def serving(self) -> Serving:
        """What answers requests. Raises the reason, a ServiceError of status 503, where they cannot be answered."""
        if self._serving is None:
            raise self._reason.with_traceback(None)
        if not self._serving.pipeline.is_alive():
            raise WorkerDown("The worker that runs the network has stopped. Restart this instance, or ask another one.")
        return self._serving

    def queue(self) -> Queue:
        """What waits for the network."""
        return Queue(*self._serving.pipeline.queue()) if self._serving else Queue(0, 0.0)

    def check_ready(self) -> None:
        """Raises the reason why no more requests should be sent here, though they may still be answered."""
        self.serving()
        if self._draining:
            raise Draining("The service is shutting down. Ask another instance.")
        if self._failing:
            raise WorkerDown("The network fails for every clip. Ask another instance; this one goes on trying.")

    def status(self) -> str:
        """READY, or the code of what `check_ready` raises."""
        try:
            self.check_ready()
        except ServiceError as error:
            return error.code
        return READY

    def is_ready(self) -> bool:
        """Whether `check_ready` raises nothing."""
        return self.status() == READY

    def info(self) -> InfoOut:
        """What runs here, as far as it is known."""
        return self._serving.info if self._serving else {"version": VERSION}

    def check_started(self) -> None:
        """Raises the reason why the network has never been ready yet."""
        if not self._started:
            raise self._reason.with_traceback(None)

    def check_alive(self) -> None:
        """Raises WorkerDown where only a new process would help."""
        if self._given_up:
            raise WorkerDown("The worker that runs the network has stopped. This instance is about to exit: ask another one.")

    def warming(self, share: float) -> None:
        """Say how much of the warm-up is done, 0..1."""
        if isinstance(self._reason, Warming):  # news of a start that has failed meanwhile may still arrive
            self._reason = Warming(f"The network is warming up, {share:.0%} done. Ask again in a few seconds.")

    def serve(self, serving: Serving) -> None:
        """Requests can be answered from now on."""
        self._serving, self._started = serving, True

    def refuse(self, reason: ServiceError) -> None:
        """Requests cannot be answered from now on, for this reason."""
        self._serving, self._reason = None, reason

    def is_draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    def drain(self) -> None:
        """No more requests should be sent here; those that come are still answered."""
        self._draining = True

    def set_failing(self, failing: bool) -> None:  # noqa: FBT001 (it is all that is said)
        """Say whether the network fails for everybody, so that no more requests should be sent here for now."""
        self._failing = failing

    def give_up(self) -> None:
        """The process is lost."""
        self._given_up = True
