"""python -m model_store prepare | pull | import FILE | stand-in | list | summary

The store is the directory in C3D_MODEL_STORE, else model_store/files beside this package. Exit status 0: done, or nothing to
do; 1: it could not be done, and the last line on stderr says why; 2: the command line makes no sense.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from model_store import c3d, calibration, pull, store
from model_store.card import DEFAULT, SPORTS1M, STAND_IN, UNAUTHENTICATED, Card, OtherVersion, preprocessing_of, source_of
from model_store.download import manifest
from model_store.download.web import Web
from model_store.preprocessing import PRESETS, Preprocessing
from model_store.tensors import ModelMissing, StoreError
from model_store.wording import STORE, Parser, command, size

PACKAGE_STORE = Path(__file__).with_name("files")
QUICK_S = 3.0  # for what is nice to have
SERVED = "*"  # the mark of the model that the service would serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` default to the command line's. Returns the exit status."""
    options = _parser().parse_args(arguments)
    directory = Path(os.environ.get(STORE) or PACKAGE_STORE)
    commands = {
        "prepare": _prepare,
        "pull": _pull,
        "import": _import,
        "stand-in": _stand_in,
        "list": _list,
        "summary": _summary,
    }
    try:
        commands[options.command](directory, options)
    except (StoreError, ImportError) as error:
        _say(f"model_store: {error}")
    except OSError as error:
        _say(f"model_store: {error.strerror or error}: {error.filename or directory}.")
    except KeyboardInterrupt:
        _say("model_store: stopped. Run it again to go on from there.")
    else:
        return 0
    return 1


def _parser() -> Parser:
    parser = Parser(prog="python -m model_store", description="Weights, mean and labels of the C3D service.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    preparing = commands.add_parser(
        "prepare",
        help="have a model to serve: pull one into an empty store, make again what another version of this program made",
    )
    pulling = commands.add_parser("pull", help="download the Sports-1M model, unless it is there")
    pulling.add_argument("--source", default="", help="the one source of weights to use, by its name in the manifest")
    for each in (preparing, pulling):
        each.add_argument("--manifest", type=Path, default=manifest.SHIPPED, help="another list of addresses (a mirror's)")
    importing = commands.add_parser(
        "import", help="take weights from a file: Keras, Caffe, PyTorch, TensorFlow 1, safetensors, NumPy"
    )
    _add_import(importing)
    for each in (pulling, importing):
        each.add_argument(
            "--preprocessing",
            choices=list(PRESETS),
            help="whose network and reading of frames; default: by the file's names, else c3d-sports1m",
        )
    commands.add_parser("stand-in", help="make seeded RANDOM weights, to try the service without real ones")
    listed = commands.add_parser("list", help="a table of the models in the store, with a mark at what the service serves")
    listed.add_argument("--json", action="store_true", help="for programs: all that is known of each")
    summing = commands.add_parser("summary", help="the layers of the network: what each does, shapes, parameters")
    summing.add_argument("--name", help="of a model in the store; default: the network of the paper")
    return parser


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--mean", help="file (binaryproto, .npy, .npy.bz2) or three numbers in the channels' order; default: the preprocessing's"
    )
    parser.add_argument("--labels", type=Path, help="text file, one label a line")
    parser.add_argument("--name", help='name in the store; "sports1m" claims to be just that; default: from the file\'s')
    parser.add_argument(
        "--kernels",
        choices=["plain", "mirrored"],
        help="whether convolutions are mirrored, as Theano's; default: as the file tells",
    )
    parser.add_argument(
        "--fc6-rows",
        choices=["channels-first", "channels-last"],
        help="the order of fc6's inputs: channel, row, column, or row, column, channel; default: as the file tells",
    )
    parser.add_argument(
        "--scale", type=_positive, help="what grey levels are multiplied by behind the mean, 0.00392157 for x/255; default: 1"
    )
    parser.add_argument(
        "--color-tags",
        choices=["honour", "ignore"],
        help="whether a video's colour matrix counts, or BT.601 always, as in OpenCV up to 4.12; default: honour",
    )
    parser.add_argument("--licence", help="for the model's card")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _prepare(directory: Path, options: argparse.Namespace) -> None:
    wanted, known = os.environ.get("C3D_MODEL", ""), manifest.load(options.manifest)
    try:
        store.open_model(directory, wanted)
    except ModelMissing:
        _fill(directory, wanted, known)
    except OtherVersion as error:
        name, source = error.card["name"], source_of(error.card, known)
        if "@" in wanted or not (source or name == STAND_IN):
            raise
        _say(f"{name} was made by another version of this program. It is made again.")
        if source:
            _pulled(directory, known, preprocessing_of(error.card), source.name)
        else:
            _stand_in(directory)


def _fill(directory: Path, wanted: str, known: manifest.Manifest) -> None:
    """Put the model called ``wanted`` into the store, if it is one of ours; for "" the published one, else stand-ins."""
    if wanted not in {"", SPORTS1M, STAND_IN}:
        store.chosen(directory, wanted)  # raises what is there instead
    if wanted != STAND_IN:
        try:
            _pulled(directory, known)
        except StoreError as error:
            if wanted or isinstance(error, store.NoRoom):
                raise
            _say(str(error))
        else:
            return
    _stand_in(directory)


def _pull(directory: Path, options: argparse.Namespace) -> None:
    name = _pulled(directory, manifest.load(options.manifest), options.preprocessing, options.source)
    if name:
        _next_steps(name)


def _pulled(directory: Path, known: manifest.Manifest, preprocessing: Preprocessing | None = None, source: str = "") -> str:
    """Pull the Sports-1M model and return its name; an empty one where it was already there."""
    if model := pull.present(directory, preprocessing):
        print(f"Already there: {_line(model.card)}.")
        return ""
    with store.hold(directory, _say):
        model = pull.present(directory, preprocessing)  # by the command that we waited for
        if model is None:
            model = pull.Puller(directory, known, Web(), sys.stderr).model(preprocessing or DEFAULT, source)
    print(f"Pulled: {_line(model.card)}.")
    return model.card.name


def _next_steps(name: str) -> None:
    print(f"Prove that the weights were read correctly: {command('service', 'verify', '--name', name)}")
    print(f"Serve them: {command('service', C3D_MODEL=name)}")
    print("A running service keeps the weights it has loaded: restart it.")


def _import(directory: Path, options: argparse.Namespace) -> None:
    from model_store import import_file

    given = import_file.Given(*(getattr(options, field) for field in import_file.Given._fields))
    known = manifest.load()
    with store.hold(directory, _say):
        puller = pull.Puller(directory, known, Web(), sys.stderr)
        model = import_file.take(directory, given, puller, known)
    for note in import_file.notes(model):
        _say(note)
    print(f"Imported: {_line(model.card)}.")
    _next_steps(model.card.name)


def _stand_in(directory: Path, options: argparse.Namespace | None = None) -> None:
    from model_store import standin

    with store.hold(directory, _say):
        if model := standin.present(directory):
            _say(standin.WARNING)
            print(f"Already there: {_line(model.card)}.")
            return
        try:
            labels = pull.Puller(directory, manifest.load(), Web(answer_s=QUICK_S), sys.stderr).labels().labels
        except StoreError:
            _say("The labels cannot be downloaded: the classes are numbered instead.")
            labels = None
        model = standin.write(directory, labels)
    _say(standin.WARNING)
    _say(f"The published weights: {command('model_store', 'pull')}")
    print(f"Made: {_line(model.card)}.")


def _list(directory: Path, options: argparse.Namespace) -> None:
    wanted = os.environ.get("C3D_MODEL", "")
    found = models(directory, wanted)
    print(json.dumps(found, indent=2) if options.json else "\n".join(table(found, directory, wanted)))


def _summary(directory: Path, options: argparse.Namespace) -> None:
    card = store.open_model(directory, options.name).card if options.name else None
    print(*(summary(card.num_classes, card.pool5) if card else summary()), sep="\n")


def models(directory: Path, wanted: str = "") -> list[dict[str, Any]]:
    """A row for each model: its card's fields, ``name``, ``served``, ``bytes`` on disk and ``int8``, whether it is calibrated.

    ``wanted`` is the service's C3D_MODEL. A model that is not whole has ``name``, ``served`` and ``error`` alone.
    """
    try:
        served = store.chosen(directory, wanted)
    except StoreError:
        served = ""
    return [{"name": name, "served": name == served, **_about(directory / name)} for name in store.names(directory)]


def _about(place: Path) -> dict[str, Any]:
    try:
        model = store.Model(place)
    except StoreError as error:
        return {"error": str(error)}
    num_bytes = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return {
        **model.card.model_dump(),
        "card_sha256": model.card_sha256,
        "bytes": num_bytes,
        "int8": (place / calibration.PLACE).exists(),
    }


def table(found: Sequence[dict[str, Any]], directory: Path, wanted: str = "") -> list[str]:
    """The rows as lines for people, and below them what the mark means, or why there is none."""
    if not found:
        return [f"There are no models in {directory}. `{command('model_store', 'pull')}` downloads one."]
    head = ("", "NAME", "WEIGHTS", "PROVEN BY", "CARD", "CLASSES", "PREPROCESSING", "MEAN", "INT8", "SIZE")
    lines = _columns([head, *(_cells(row) for row in found if "error" not in row)])
    unusable = [row for row in found if "error" in row]
    lines += [f"{row['name']} cannot be used. {row['error']}" for row in unusable]
    if any(row["served"] for row in unusable):
        return [*lines, "The service would not start."]
    return [*lines, _mark(directory, wanted)]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    classes = str(row["num_classes"] or "descriptors only")
    mark, int8 = SERVED if row["served"] else "", "yes" if row["int8"] else "no"
    hashes = row["weights_sha256"][:12], row["authenticity"], row["card_sha256"][:12]
    return (mark, row["name"], *hashes, classes, row["preprocessing"], row["mean"], int8, size(row["bytes"]))


def _mark(directory: Path, wanted: str) -> str:
    try:
        store.chosen(directory, wanted)
    except StoreError as error:
        return f"The service would not start. {error}"
    others = [name for name in store.names(directory) if name != store.chosen(directory, wanted)]
    other = f" Another one: {command('service', C3D_MODEL=others[0])}" if others else ""
    return f"{SERVED} is what the service serves.{other}"


def _line(card: Card) -> str:
    """A model in one line, for what has just been made."""
    classes = f"{card.num_classes} classes" if card.num_classes else "descriptors only"
    proof = ", unauthenticated" if card.authenticity == UNAUTHENTICATED else ""
    return f"{card.name} ({classes}, {card.preprocessing}, mean {card.mean}, from {card.form} {card.source}{proof})"


def summary(num_classes: int = c3d.NUM_CLASSES, pool5: c3d.Pool5 = "caffe") -> list[str]:
    """The layers of the network, in the order of the paper's figure 3: what each does, its output's shape, its parameters."""
    shapes = c3d.weight_shapes(num_classes)
    layers = [layer for layer in c3d.layers(pool5) if layer.kind != "softmax" or num_classes]
    rows = [("LAYER", "WHAT IT DOES", "OUTPUT", "PARAMETERS"), ("clip", "input, BGR", _shape(c3d.CLIP_SHAPE), "")]
    total = 0
    for layer in layers:
        parameters = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(f"{layer.name}/"))
        output = (num_classes,) if layer.kind == "softmax" else layer.output
        rows.append((layer.name, _does(layer, num_classes), _shape(output), f"{parameters:,}" if parameters else ""))
        total += parameters
    lines = _columns([(*row[:3], row[3].rjust(11)) for row in rows])
    return [*lines, f"{total:,} parameters in float32: {size(4 * total)}"]


def _does(layer: c3d.Layer, num_classes: int) -> str:
    argument: Any = layer.argument
    match layer.kind:
        case "conv":
            return f"3x3x3 convolution, {argument} filters, ReLU"
        case "pool":
            return f"max pooling {_shape(argument)}"
        case "pad":
            return "zeros: " + ", ".join(
                f"{before}+{after} {axis}" for axis, (before, after) in zip(("frames", "rows", "columns"), argument, strict=True)
            )
        case "flatten":
            return "row, column, channel in one row"
        case "dense":
            return f"fully connected, {argument} outputs, ReLU"
        case _:
            return f"fully connected, {num_classes} classes, softmax"


def _shape(numbers: Iterable[int]) -> str:
    return "x".join(map(str, numbers))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it without a stack
    sys.exit(main())
