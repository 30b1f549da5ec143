"""python -m model_store pull | import FILE | stand-in | list

The store is the directory in C3D_MODEL_STORE, else model_store/files beside this package. Exit status 0: done, or nothing to
do; 1: it could not be done, and the last line on stderr says why; 2: the command line makes no sense.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_store import pull, store
from model_store.download import manifest
from model_store.download.web import Web
from model_store.preprocessing import PRESETS
from model_store.tensors import StoreError

PACKAGE_STORE = Path(__file__).with_name("files")
QUICK_S = 3.0  # for what is nice to have


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` default to the command line's. Returns the exit status."""
    options = _parser().parse_args(arguments)
    directory = Path(os.environ.get("C3D_MODEL_STORE") or PACKAGE_STORE)
    commands = {
        "pull": _pull,
        "import": _import,
        "stand-in": _stand_in,
        "list": _list,
    }
    try:
        commands[options.command](directory, options)
    except (StoreError, ImportError) as error:
        _say(f"model_store: {error}")
    except OSError as error:
        _say(f"model_store: {error.strerror or error}: {error.filename or directory}.")
    except KeyboardInterrupt:
        _say("model_store: stopped. Run it again to go on where it stopped.")
    else:
        return 0
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_store", description="Weights, mean and labels of the C3D service.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pulling = commands.add_parser("pull", help="download the Sports-1M model; nothing to do where it is already there")
    pulling.add_argument("--source", default="", help="the one source of weights to use, by its name in the manifest")
    pulling.add_argument("--manifest", type=Path, default=manifest.SHIPPED, help="another list of addresses (a mirror's)")
    importing = commands.add_parser(
        "import", help="take weights from a file: Keras, Caffe, PyTorch, TensorFlow 1, safetensors, NumPy"
    )
    importing.add_argument("file", type=Path)
    importing.add_argument(
        "--mean", help="file (binaryproto, .npy, .npy.bz2) or three numbers in the channels' order; default: the preprocessing's"
    )
    importing.add_argument("--labels", type=Path, help="text file, one label a line")
    importing.add_argument("--name", help='name in the store; "sports1m" claims to be just that; default: from the file\'s')
    importing.add_argument(
        "--kernels",
        choices=["plain", "mirrored"],
        help="whether convolutions are mirrored, as Theano's; default: as the file tells",
    )
    importing.add_argument(
        "--fc6-rows",
        choices=["channels-first", "channels-last"],
        help="the order of fc6's inputs: channel, row, column, or row, column, channel; default: as the file tells",
    )
    importing.add_argument(
        "--scale", type=_positive, help="what grey levels are multiplied by behind the mean, 0.00392157 for x/255; default: 1"
    )
    importing.add_argument(
        "--color-tags",
        choices=["honour", "ignore"],
        help="whether a video's colour matrix counts, or BT.601 always, as in OpenCV up to 4.12; default: honour",
    )
    importing.add_argument("--licence", help="for the model's card")
    for command in (pulling, importing):
        command.add_argument(
            "--preprocessing",
            choices=list(PRESETS),
            help="whose network and reading of frames; default: by the file's names, else c3d-sports1m",
        )
    commands.add_parser("stand-in", help="make seeded RANDOM weights, to try the service without real ones")
    commands.add_parser("list", help="say what is in the store")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _pull(directory: Path, options: argparse.Namespace) -> None:
    addresses = manifest.load(options.manifest)
    if model := pull.present(directory, options.preprocessing):
        print(f"Already there: {_line(model)}")
        return
    with store.hold(directory, _say):
        model = pull.present(directory, options.preprocessing)  # by the command that we waited for
        if model is None:
            puller = pull.Puller(directory, addresses, Web(), sys.stderr)
            model = puller.model(options.preprocessing or "c3d-sports1m", options.source)
    print(f"Pulled: {_line(model)}")
    print("Run `python -m service verify` to prove that they were read correctly; every start of the service does too.")


def _import(directory: Path, options: argparse.Namespace) -> None:
    from model_store import import_file

    given = import_file.Given(*(getattr(options, field) for field in import_file.Given._fields))
    known = manifest.load()
    with store.hold(directory, _say):
        puller = pull.Puller(directory, known, Web(), sys.stderr)
        model = import_file.take(directory, given, puller, known)
    for note in import_file.notes(model):
        _say(note)
    print(f"Imported: {_line(model)}")
    name = model.card.name
    print(f"Run `python -m service verify --name {name}` to prove that they were read correctly.")
    print(f"Then `C3D_MODEL={name} python -m service` serves them.")


def _stand_in(directory: Path, options: argparse.Namespace) -> None:
    from model_store import standin

    with store.hold(directory, _say):
        if model := standin.present(directory):
            _say(standin.WARNING)
            print(f"Already there: {_line(model)}")
            return
        try:
            labels = pull.Puller(directory, manifest.load(), Web(answer_s=QUICK_S), sys.stderr).labels().labels
        except StoreError as error:
            _say(f"{error} The classes are numbered instead.")
            labels = None
        model = standin.write(directory, labels)
    _say(standin.WARNING)
    print(f"Made: {_line(model)}")


def _list(directory: Path, options: argparse.Namespace) -> None:
    for name in store.names(directory):
        try:
            print(_line(store.Model(directory / name)))
        except StoreError as error:
            print(f"{name}: {error}")
    if not store.names(directory):
        print(f"There are no models in {directory}. `python -m model_store pull` downloads one.")


def _line(model: store.Model) -> str:
    card = model.card
    classes = f"{card.num_classes} classes" if card.num_classes else "descriptors only"
    mean = f"{card.preprocessing} (mean {card.mean}, {'centre crop' if card.keep_aspect else f'columns from {card.crop_left}'})"
    return f"{card.name}: {card.weights} weights {card.weights_sha256[:12]}, {classes}, {mean}, from {card.form} {card.source}"


if __name__ == "__main__":
    sys.exit(main())
