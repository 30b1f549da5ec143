"""Proof that weights were read in the right layout: the class of a clip of zeros behind the mean subtraction.

It needs no video and no mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from model_store import c3d, store
from model_store.card import SPORTS1M, STAND_IN, UNAUTHENTICATED
from model_store.formats.canonical import POOL5, Fc6Rows
from model_store.tensors import Float32, StoreError

# Class and probability of zeros behind the mean subtraction, by the service's own network; None without a class layer.
Run = Callable[[store.Model], tuple[int, float] | None]


def report(model: store.Model, say: Callable[[str], None], run: Run) -> None:
    """Say what the model answers and what that proves; record the answer in the card where it has none.

    Raises StoreError, naming the likely cause, where the card expects another answer; OSError where the card cannot be written.
    """
    found = run(model)
    if found is None:
        say("No class layer: these weights give descriptors, and there is no known answer to compare with.")
        return
    answer, expected = found[0], model.card.known_answer
    if expected is not None and answer != expected:
        raise StoreError(_refusal(model, answer, expected, run))
    say(f"Success, predicted class index is: {answer}")
    if expected is None:
        with store.hold(model.directory.parent, say):
            model = store.record_answer(model, answer)
        say("The card had no known answer. This one is recorded: from now on, every start of the service compares with it.")
    say(describe(model))
    if model.card.authenticity == UNAUTHENTICATED:
        say(
            "Their file is unauthenticated: nobody published its hash. The answer shows that they were read in the right layout, "
            "not that nobody changed them."
        )


def describe(model: store.Model) -> str:
    """What the model's known answer proves, in a sentence or two."""
    card = model.card
    if card.weights == SPORTS1M:
        label = model.labels[c3d.KNOWN_ANSWER]
        return f'{card.known_answer} ("{label}") is the known answer of the Sports-1M weights: they were read correctly.'
    kind = "the stand-in weights: random numbers, not a trained network" if card.weights == STAND_IN else card.name
    recorded = f"{card.known_answer} is the recorded answer of {kind}. The answer of the Sports-1M weights is {c3d.KNOWN_ANSWER}."
    if card.num_classes != c3d.NUM_CLASSES or card.weights == STAND_IN:
        return recorded
    return (
        f"{recorded} These have {c3d.NUM_CLASSES} classes too. If they should be the Sports-1M weights, import them again with "
        f"--name {SPORTS1M}, and run this again to learn what is wrong."
    )


class Reread(store.Model):
    """A model as it would be had its file been read in another layout. For finding out what went wrong."""

    def __init__(self, model: store.Model, *, flip: bool, fc6_rows: Fc6Rows | None) -> None:
        """``flip`` mirrors the convolutions; ``fc6_rows``: see `reread`."""
        self.directory, self.card, self.mean, self.labels = model.directory, model.card, model.mean, model.labels
        self.flip, self.fc6_rows = flip, fc6_rows

    def tensors(self) -> Iterator[tuple[str, Float32]]:
        """The model's tensors, moved."""
        for name, tensor in super().tensors():
            yield name, reread(name, tensor, flip=self.flip, fc6_rows=self.fc6_rows)


def reread(name: str, tensor: Float32, *, flip: bool, fc6_rows: Fc6Rows | None) -> Float32:
    """A canonical tensor as it would be, had its file been read as `Reread` says. Float32, the same shape.

    ``fc6_rows``: "channels-first" takes fc6's rows, which were read as (row, column, channel), to be in (channel, row, column)
    order; "channels-last" the other way round; None leaves them.
    """
    if tensor.ndim == 5 and flip:
        return np.ascontiguousarray(tensor[::-1, ::-1, ::-1])
    if name == "fc6/kernel" and fc6_rows == "channels-last":
        rows = tensor.reshape(*POOL5, -1, tensor.shape[1]).transpose(3, 0, 1, 2, 4)
        return np.ascontiguousarray(rows).reshape(tensor.shape)
    if name == "fc6/kernel" and fc6_rows == "channels-first":
        rows = tensor.reshape(-1, *POOL5, tensor.shape[1]).transpose(1, 2, 3, 0, 4)
        return np.ascontiguousarray(rows).reshape(tensor.shape)
    return tensor


LAYOUTS: tuple[tuple[bool, Fc6Rows | None, str], ...] = (
    (False, "channels-first", "the rows of fc6 are in (channel, row, column) order (--fc6-rows channels-first)"),
    (False, "channels-last", "the rows of fc6 are in (row, column, channel) order (--fc6-rows channels-last)"),
    (True, None, "the kernels are flipped, as Theano's (--kernels mirrored)"),
    (
        True,
        "channels-first",
        "kernels are flipped, fc6's rows are in (channel, row, column) order (--kernels mirrored --fc6-rows channels-first)",
    ),
)


def _refusal(model: store.Model, found: int, expected: int, run: Run) -> str:
    what = "the Sports-1M weights" if model.card.weights == SPORTS1M else f'the weights of "{model.card.name}"'
    begin = f"Zeros behind the mean give class {found}; {what} give {expected}. "
    for flip, fc6_rows, cause in LAYOUTS:
        if (run(Reread(model, flip=flip, fc6_rows=fc6_rows)) or (None,))[0] == expected:
            return f"{begin}Cause: {cause}; read so, they give {expected}. Import the file again with what is in brackets."
    return (
        f"{begin}Likely causes: these are other weights (import them under their own --name); the rows of fc6 or the kernels "
        "are in an order that the file does not tell; or, if this service's network was changed, a symmetric pool5."
    )
