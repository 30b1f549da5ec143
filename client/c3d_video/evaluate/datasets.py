"""Data sets as they lie on disk: which videos, their labels, and which are for training."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

from c3d_video.commandline import UsageError
from c3d_video.extract.videos import Video

# UCF101, HMDB51-like sets: v_Archery_g07_c02 is the second piece cut from recording 7. Pieces of one recording look alike.
GROUP = r"(.*_g\d+)_c\d+"


@dataclass(frozen=True)
class Item:
    """A labelled video. ``key``: what its file is called; ``group``: videos of one group never part at a fold."""

    key: str
    label: str
    group: str


@dataclass(frozen=True)
class Split:
    """What is trained on and what is tested."""

    name: str
    train: tuple[Item, ...]
    test: tuple[Item, ...]

    def items(self) -> Iterable[Item]:
        """All of them."""
        return (*self.train, *self.test)


def ucf101(folder: Path) -> list[Split]:
    """The official splits in ``folder``: trainlist01.txt and testlist01.txt, and so on. Raises UsageError."""
    splits = []
    for train in sorted(folder.glob("trainlist*.txt")):
        test = train.with_name(train.name.replace("train", "test"))
        if not test.exists():
            raise UsageError(f"{folder} has {train.name}, but no {test.name}.")
        number = train.stem.removeprefix("trainlist").lstrip("0") or "0"
        splits.append(Split(number, _listed(train), _listed(test)))
        shared = {item.group for item in splits[-1].train} & {item.group for item in splits[-1].test}
        if shared:
            raise UsageError(f"{train.name} and {test.name} share {min(shared)}: the test would be too easy.")
    if not splits:
        raise UsageError(f"{folder} has no trainlist01.txt. Give the folder ucfTrainTestlist of UCF101.")
    return splits


def _listed(path: Path) -> tuple[Item, ...]:
    """Lines such as `Archery/v_Archery_g08_c01.avi 3`; the class is the folder."""
    lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any("/" not in line for line in lines):
        raise UsageError(f"{path}: each line names a class and a video, as Archery/v_Archery_g08_c01.avi.")
    return tuple(Item(stem(line), line.split("/")[0], group_of(stem(line), GROUP)) for line in lines)


def folders(videos: Iterable[Video], num_folds: int, pattern: str) -> list[Split]:
    """Videos in a folder for each class, parted into folds that keep groups whole and classes even. Raises UsageError."""
    from sklearn.model_selection import StratifiedGroupKFold

    items = [Item(each.name, each.name.split("/")[0], group_of(each.name, pattern)) for each in videos if "/" in each.name]
    labels, groups = [item.label for item in items], [item.group for item in items]
    by_label = {label: {item.group for item in items if item.label == label} for label in labels}
    if len(by_label) < 2:
        raise UsageError("There must be a folder for each class, and two classes at least.")
    fewest = min(by_label, key=lambda label: len(by_label[label]))
    if len(by_label[fewest]) < num_folds:
        raise UsageError(f"{fewest} has {len(by_label[fewest])} groups of videos, and --folds is {num_folds}. Give fewer folds.")
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=0).split(items, labels, groups)
    return [
        Split(str(number), tuple(items[i] for i in train), tuple(items[i] for i in test))
        for number, (train, test) in enumerate(folds, 1)
    ]


def sports1m(path: Path) -> dict[str, frozenset[int]]:
    """Class ids by video: lines of a YouTube URL or a file name, a space and ids with commas between them. Raises UsageError."""
    truth: dict[str, frozenset[int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, _, ids = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not name or not re.fullmatch(r"\d+(,\d+)*", ids):
            raise UsageError(f"{path}, line {number}: a URL or a name, a space, and class ids such as 168,169.")
        truth[video_key(name)] = frozenset(map(int, ids.split(",")))
    if not truth:
        raise UsageError(f"{path} names no video.")
    return truth


def video_key(name: str) -> str:
    """The id in a YouTube address, else the file's name without its suffix."""
    given = parse_qs(urlsplit(name).query).get("v")
    return given[0] if given else stem(name)


def stem(name: str) -> str:
    """A file's name without folders and suffix."""
    return PurePosixPath(name).stem


def group_of(name: str, pattern: str) -> str:
    """What ``pattern`` finds at the start of the name (its first group, or all), else the name: a group of its own."""
    found = re.match(pattern, name)
    if not found:
        return name
    return found[1] if found.re.groups else found[0]
