"""Whether requests can be answered now, by which model, and if not, why: one truth for the probes and for everybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.errors import Draining, ServiceError, Warming, WorkerDown
from service.http.admission import Queue
from service.pipeline import Pipeline
from service.video.messages import VideoWarning

STAND_IN_WARNING = VideoWarning(
    "stand_in_weights",
    "The weights are seeded random numbers, to try the service with: labels and vectors mean nothing. "
    "`python -m model_store pull` gets the real ones.",
)


@dataclass(frozen=True)
class Serving:
    """What answers requests: the pipeline, and the model behind it as answers and /info show it."""

    pipeline: Pipeline
    model: dict[str, Any]  # the block of every answer, `schemas.ModelOut`
    info: dict[str, Any]  # the answer of /info, `schemas.InfoOut`
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

    def is_ready(self) -> bool:
        """Whether `check_ready` raises nothing."""
        try:
            self.check_ready()
        except ServiceError:
            return False
        return True

    def check_started(self) -> None:
        """Raises the reason why the network has never been ready yet."""
        if not self._started:
            raise self._reason.with_traceback(None)

    def check_alive(self) -> None:
        """Raises WorkerDown where only a new process would help."""
        if self._given_up:
            raise WorkerDown("The worker that runs the network is lost. The process is about to end.")

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

    def drain(self) -> None:
        """No more requests should be sent here; those that come are still answered."""
        self._draining = True

    def set_failing(self, failing: bool) -> None:  # noqa: FBT001 (it is all that is said)
        """Say whether the network fails for everybody, so that no more requests should be sent here for now."""
        self._failing = failing

    def give_up(self) -> None:
        """The process is lost."""
        self._given_up = True
