"""python -m model_store pull | import FILE | stand-in | list | summary

The store is the directory in C3D_MODEL_STORE, else model_store/files beside this package. Exit status 0: done, or nothing to
do; 1: it could not be done, and the last line on stderr says why; 2: the command line makes no sense.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_store import listing, pull, store
from model_store.download import manifest
from model_store.download.web import Web
from model_store.preprocessing import PRESETS
from model_store.tensors import StoreError
from model_store.wording import STORE, Parser, command

PACKAGE_STORE = Path(__file__).with_name("files")
QUICK_S = 3.0  # for what is nice to have


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` default to the command line's. Returns the exit status."""
    options = _parser().parse_args(arguments)
    directory = Path(os.environ.get(STORE) or PACKAGE_STORE)
    commands = {
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
        _say("model_store: stopped. Run it again to go on where it stopped.")
    else:
        return 0
    return 1


def _parser() -> Parser:
    parser = Parser(prog="python -m model_store", description="Weights, mean and labels of the C3D service.")
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
    importing.add_argument("--licence", help="for the model's card")
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _pull(directory: Path, options: argparse.Namespace) -> None:
    addresses = manifest.load(options.manifest)
    if model := pull.present(directory, options.preprocessing):
        print(f"Already there: {listing.line(model.card)}.")
        return
    with store.hold(directory, _say):
        model = pull.present(directory, options.preprocessing)  # by the command that we waited for
        if model is None:
            puller = pull.Puller(directory, addresses, Web(), sys.stderr)
            model = puller.model(options.preprocessing or "c3d-sports1m", options.source)
    print(f"Pulled: {listing.line(model.card)}.")
    _next_steps(model.card.name)


def _next_steps(name: str) -> None:
    print(f"Prove that the weights were read correctly: {command('service', 'verify', '--name', name)}")
    print(f"Serve them: {command('service', C3D_MODEL=name)}")
    print("A service that is running goes on with the weights it has loaded: restart it.")


def _import(directory: Path, options: argparse.Namespace) -> None:
    from model_store import import_file

    given = import_file.Given(*(getattr(options, field) for field in import_file.Given._fields))
    known = manifest.load()
    with store.hold(directory, _say):
        puller = pull.Puller(directory, known, Web(), sys.stderr)
        model = import_file.take(directory, given, puller, known)
    for note in import_file.notes(model):
        _say(note)
    print(f"Imported: {listing.line(model.card)}.")
    _next_steps(model.card.name)


def _stand_in(directory: Path, options: argparse.Namespace) -> None:
    from model_store import standin

    with store.hold(directory, _say):
        if model := standin.present(directory):
            _say(standin.WARNING)
            print(f"Already there: {listing.line(model.card)}.")
            return
        try:
            labels = pull.Puller(directory, manifest.load(), Web(answer_s=QUICK_S), sys.stderr).labels().labels
        except StoreError as error:
            _say(f"{error} The classes are numbered instead.")
            labels = None
        model = standin.write(directory, labels)
    _say(standin.WARNING)
    _say(f"The published weights: {command('model_store', 'pull')}")
    print(f"Made: {listing.line(model.card)}.")


def _list(directory: Path, options: argparse.Namespace) -> None:
    wanted = os.environ.get("C3D_MODEL", "")
    found = listing.rows(directory, wanted)
    print(json.dumps(found, indent=2) if options.json else "\n".join(listing.table(found, directory, wanted)))


def _summary(directory: Path, options: argparse.Namespace) -> None:
    card = store.open_model(directory, options.name).card if options.name else None
    print(*(listing.summary(card.num_classes, card.pool5) if card else listing.summary()), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
