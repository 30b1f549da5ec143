"""The command line of `c3d-video evaluate`: extract as `extract` does, then train, test and report."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from c3d_video import commandline
from c3d_video.commandline import DONE, SOME_FAILED, Stopped, UsageError
from c3d_video.evaluate import datasets, hits, measures, report, splits, vectors
from c3d_video.evaluate.datasets import Split
from c3d_video.extract import videos
from c3d_video.extract.job import Job, extract
from c3d_video.extract.videos import Video
from c3d_video.options import Options

FEATURES = "features"  # below OUT
FORM = "evaluation"
OF_CLIPS = ("clip_stride", "tail", "start_sec", "end_sec", "max_clips", "fps")
SPORTS1M_CLIPS = 10  # the paper's clips a video


def add_parser(commands: Any) -> None:
    """``evaluate`` among the commands."""
    parser = commands.add_parser("evaluate", help="the accuracy of the features on a data set, beside the paper's")
    sets = parser.add_subparsers(required=True, metavar="DATA")
    one = sets.add_parser("ucf101", help="UCF101 by its official splits")
    one.add_argument("--videos", type=Path, required=True, metavar="DIR", help="the folder of the videos")
    one.add_argument("--splits", type=Path, required=True, metavar="DIR", help="ucfTrainTestlist, with its lists")
    _add_common(one, of_svm=True)
    _runs(one, _ucf101)

    two = sets.add_parser("folders", help="your own videos, a folder for each class")
    two.add_argument("videos", type=Path, metavar="DIR", help="DIR/class/video")
    two.add_argument("--folds", type=_folds, default=5, metavar="N", help="parts, each tested once (default 5)")
    two.add_argument("--group", default=datasets.GROUP, metavar="REGEX", help="what names of one recording begin with")
    _add_common(two, of_svm=True)
    _runs(two, _folders)

    three = sets.add_parser("sports1m", help="hits of the labels on Sports-1M")
    three.add_argument("--videos", type=Path, required=True, metavar="DIR", help="the folder of the videos, each named by its id")
    three.add_argument("--truth", type=Path, required=True, metavar="FILE", help="test_partition.txt: a URL and class ids a line")
    _add_common(three, of_svm=False)
    _runs(three, _sports1m)

    four = sets.add_parser("compare", help="whether two evaluations differ by more than luck")
    four.add_argument("outs", nargs=2, type=Path, metavar="OUT", help="of an evaluation")
    _runs(four, _compare)


def _runs(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], int]) -> None:
    """Have the command do this, with a sentence for whatever goes wrong."""
    parser.set_defaults(run=lambda arguments: commandline.guarded(lambda: work(arguments)))


def _add_common(parser: argparse.ArgumentParser, *, of_svm: bool) -> None:
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the features and the report")
    commandline.add_service(parser, several=True)
    parser.add_argument("-j", "--jobs", type=commandline.count, default=4, metavar="N", help="videos in flight (default 4)")
    commandline.add_clips(parser)
    parser.add_argument("--allow-stand-in", action="store_true", help="accept random weights, whose features mean nothing")
    parser.add_argument("-q", "--quiet", action="store_true", help="only the report")
    if of_svm:
        parser.add_argument("--layer", help="fc6 (default), fc7 or pool5")
        cores = os.cpu_count() or 1
        parser.add_argument("--cores", type=commandline.count, default=cores, metavar="N", help=f"of the SVM (default {cores})")


def _ucf101(arguments: argparse.Namespace) -> int:
    found = datasets.ucf101(arguments.splits)
    keys = {item.key for split in found for item in split.items()}
    return _by_svm(arguments, found, datasets.stem, lambda video: datasets.stem(video.name) in keys, is_ucf101=True)


def _folders(arguments: argparse.Namespace) -> int:
    _needs("sklearn", "scikit-learn")
    there = videos.find([str(arguments.videos)], [], [], arguments.out)
    found = datasets.folders(there, arguments.folds, arguments.group)
    return _by_svm(arguments, found, str, lambda video: "/" in video.name, is_ucf101=False)


def _by_svm(
    arguments: argparse.Namespace,
    found: list[Split],
    key_of: Callable[[str], str],
    wanted: Callable[[Video], bool],
    *,
    is_ucf101: bool,
) -> int:
    """Descriptors, then an SVM a split. The exit status."""
    _needs("sklearn", "scikit-learn")
    _needs("matplotlib", "matplotlib")
    options: Options = {
        "normalize": "none",
        "vectors": "video",
        **_clips(arguments),
        **({"layer": arguments.layer} if arguments.layer else {}),
    }
    status = _extracted(arguments, options, wanted, key_of)
    if status not in {DONE, SOME_FAILED}:
        return status
    extracted = vectors.read(arguments.out / FEATURES, key_of)
    say = (lambda _text: None) if arguments.quiet else commandline.say
    results = splits.evaluate(found, extracted, arguments.cores, say)
    data = report.of_splits(results, extracted.model, extracted.failed, is_ucf101=is_ucf101)
    rows = [
        (each.name, item.key, item.label, label, item.label == label)
        for each in results
        for item, label in zip(each.test, each.predicted, strict=True)
    ]
    _write(arguments.out, data, report.splits_text(data), rows)
    report.draw(data["confusion"]["counts"], data["confusion"]["labels"], arguments.out / report.PICTURE)
    return status


def _sports1m(arguments: argparse.Namespace) -> int:
    truth = datasets.sports1m(arguments.truth)
    options: Options = {
        "include": "predictions",
        "vectors": "video",
        "top_k": hits.TOP,
        "max_clips": SPORTS1M_CLIPS,
        **_clips(arguments),
    }
    status = _extracted(arguments, options, lambda video: datasets.stem(video.name) in truth, datasets.stem)
    if status not in {DONE, SOME_FAILED}:
        return status
    extracted = vectors.read(arguments.out / FEATURES, datasets.stem)
    found = hits.count(truth, extracted)
    data = report.of_hits(found, extracted.model, extracted.failed, len(truth) - len(found.right))
    rows = [
        ("test", key, " ".join(map(str, sorted(truth[key]))), str(found.first.get(key, "")), right)
        for key, right in found.right.items()
    ]
    _write(arguments.out, data, report.hits_text(data), rows)
    return status


def _compare(arguments: argparse.Namespace) -> int:
    first, second = (report.right_by_video(out) for out in arguments.outs)
    if not first.keys() & second.keys():
        raise UsageError("The two evaluations have no video in common.")
    if first.keys() != second.keys():
        commandline.say(f"{len(first.keys() ^ second.keys())} videos are in one of them only, and left out.")
    print(report.compared_text((arguments.outs[0].name, arguments.outs[1].name), measures.mcnemar(first, second)), end="")
    return DONE


def _extracted(
    arguments: argparse.Namespace, options: Options, wanted: Callable[[Video], bool], key_of: Callable[[str], str]
) -> int:
    """Extract what is wanted of the folder into OUT/features; the exit status. Raises UsageError."""
    there = [video for video in videos.find([str(arguments.videos)], [], [], arguments.out) if wanted(video)]
    keys = [key_of(video.name) for video in there]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UsageError(f"Two files are called {twice}. The data set names its videos by that: leave one of them out.")
    if not there:
        raise UsageError(f"{arguments.videos} holds none of the data set's videos.")
    job = Job(
        [str(arguments.videos)],
        arguments.out / FEATURES,
        commandline.servers_of(arguments),
        arguments.api_key,
        arguments.patience,
        FORM,
        "{dir}/{name}.npz",
        options,
        {**options, "to": FORM},
        num_jobs=arguments.jobs,
        allow_stand_in=arguments.allow_stand_in,
        quiet=arguments.quiet,
        wanted=wanted,
    )
    return commandline.run(lambda: extract(job))


def _write(out: Path, data: dict[str, Any], text: str, rows: list[tuple[str, str, str, str, bool]]) -> None:
    try:
        report.write(out, data, text, rows)
    except OSError as error:
        raise Stopped(f"{out} cannot be written: {error.strerror}.", SOME_FAILED) from error
    print(text, end="")


def _clips(arguments: argparse.Namespace) -> Options:
    given = {name: getattr(arguments, name) for name in OF_CLIPS}
    return cast("Options", {name: value for name, value in given.items() if value is not None})


def _needs(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"evaluate needs {package}: pip install 'c3d-video[evaluate]'.")


def _folds(text: str) -> int:
    if commandline.count(text) < 2:
        raise argparse.ArgumentTypeError("two folds at least")
    return int(text)
