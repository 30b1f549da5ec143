"""Proof that weights were read in the right layout: the class of a clip of zeros behind the mean subtraction.

It needs no video and no mean. What runs the network is imported only when it runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from model_store import c3d, store
from model_store.formats.canonical import POOL5
from model_store.tensors import Float32, StoreError

if TYPE_CHECKING:
    from service.inference.build import ProvableNetwork

Run = Callable[[store.Model], tuple[int, float] | None]  # `run_zeros`, or a fake of it


def run_zeros(model: store.Model) -> tuple[int, float] | None:
    """Class and probability of zeros behind the mean subtraction, by the service's own network; None without classes."""
    return network(model).known_answer()


def network(model: store.Model) -> ProvableNetwork:
    """The service's own network in float32, on the engine that it would use. Raises ImportError where that is missing."""
    from service.inference.build import build

    return build(model, os.environ.get("C3D_ENGINE") or "tensorflow")


def answer(model: store.Model, run: Run = run_zeros) -> int | None:
    """The class of zeros, checked against the card's known answer where it has one.

    Raises StoreError, naming the likely cause, where the card expects another answer.
    """
    found = run(model)
    if found is None:
        return None
    expected = model.card.known_answer
    if expected is not None and found[0] != expected:
        raise StoreError(_refusal(model, found[0], expected, run))
    return found[0]


def report(model: store.Model, say: Callable[[str], None], run: Run = run_zeros) -> None:
    """Say what the model answers and what that proves. Raises StoreError where the answer is not the card's."""
    found = run(model)
    if found is None:
        say("No class layer: these weights give descriptors, and there is no known answer to compare with.")
        return
    say(f"Success, predicted class index is: {found[0]}")
    answer(model, lambda again: found if again is model else run(again))
    say(describe(model, found[0]))


def describe(model: store.Model, found: int) -> str:
    """What the answer proves, in a sentence."""
    card = model.card
    if card.known_answer is None:
        return f"No known answer is recorded for {card.name}: import it again where Keras is installed to record this one."
    if card.weights == store.SPORTS1M:
        return f'{found} ("{model.labels[found]}") is the known answer of the Sports-1M weights: they were read correctly.'
    kind = "the stand-in weights: random numbers, not a trained network" if card.weights == store.STAND_IN else card.name
    return f"{found} is the recorded answer of {kind}. The answer of the Sports-1M weights is {c3d.KNOWN_ANSWER}."


class Reread(store.Model):
    """A model as it would be had its file been read in another layout. For finding out what went wrong."""

    def __init__(self, model: store.Model, *, flip: bool, channel_rows: bool) -> None:
        """``flip`` mirrors the convolutions; ``channel_rows`` takes fc6's rows to be in (channel, row, column) order."""
        self.directory, self.card, self.mean, self.labels = model.directory, model.card, model.mean, model.labels
        self._flip, self._channel_rows = flip, channel_rows

    def tensors(self) -> Iterator[tuple[str, Float32]]:
        """The model's tensors, moved."""
        for name, tensor in super().tensors():
            yield name, reread(name, tensor, flip=self._flip, channel_rows=self._channel_rows)


def reread(name: str, tensor: Float32, *, flip: bool, channel_rows: bool) -> Float32:
    """A canonical tensor as it would be, had its file been read as `Reread` says. Float32, the same shape."""
    if tensor.ndim == 5 and flip:
        return np.ascontiguousarray(tensor[::-1, ::-1, ::-1])
    if name == "fc6/kernel" and channel_rows:
        rows = tensor.reshape(-1, *POOL5, tensor.shape[1]).transpose(1, 2, 3, 0, 4)
        return np.ascontiguousarray(rows).reshape(tensor.shape)
    return tensor


def _refusal(model: store.Model, found: int, expected: int, run: Run) -> str:
    what = "the Sports-1M weights" if model.card.weights == store.SPORTS1M else f'the weights of "{model.card.name}"'
    begin = f"Zeros behind the mean give class {found}; {what} give {expected}. "
    for flip, channel_rows, cause in (
        (False, True, "the rows of fc6 are in (channel, row, column) order"),
        (True, False, "the kernels are flipped (a true convolution's, as Theano's)"),
        (True, True, "the kernels are flipped and the rows of fc6 are in (channel, row, column) order, as Theano's"),
    ):
        if (run(Reread(model, flip=flip, channel_rows=channel_rows)) or (None,))[0] == expected:
            return f"{begin}Cause: {cause}; read so, they give {expected}. Convert the file and import it again."
    return (
        f"{begin}Likely causes: these are other weights (import them under their own --name); the rows of fc6 or the kernels "
        "are in an order that the file does not tell; or, if this service's network was changed, a symmetric pool5."
    )
