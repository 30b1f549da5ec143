"""What an evaluation leaves in OUT: report.md for people, report.json, predictions.csv and confusion.png."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c3d_video.commandline import UsageError
from c3d_video.evaluate import published
from c3d_video.evaluate.hits import TOP, Hits
from c3d_video.evaluate.measures import McNemar, Share, confusion, wilson
from c3d_video.evaluate.splits import SplitResult

REPORT, DATA, PREDICTIONS, PICTURE = "report.md", "report.json", "predictions.csv", "confusion.png"
COLUMNS = ("split", "video", "truth", "predicted", "right")


def of_splits(
    results: Sequence[SplitResult], model: dict[str, Any], failed: dict[str, str], *, is_ucf101: bool
) -> dict[str, Any]:
    """All numbers of an evaluation by SVM, as JSON can hold them."""
    pooled = wilson(sum(each.accuracy.num_right for each in results), sum(each.accuracy.num_all for each in results))
    mean = sum(each.accuracy.value for each in results) / len(results)
    labels = sorted({item.label for each in results for item in each.test})
    truth = [item.label for each in results for item in each.test]
    counts = confusion(truth, [label for each in results for label in each.predicted], labels)
    return {
        "model": model,
        "splits": [
            {"name": each.name, "accuracy": share(each.accuracy), "C": each.c, "trained_on": each.num_train}
            | {"train_missing": each.num_train_missing, "test_missing": each.predicted.count("")}
            for each in results
        ],
        "mean": {"value": mean, "low": pooled.low, "high": pooled.high},
        "classes": {label: share(wilson(int(counts[i, i]), truth.count(label))) for i, label in enumerate(labels)},
        "confusion": {"labels": labels, "counts": counts.tolist()},
        "pca": {
            str(size): sum(each.by_size[size].value for each in results) / len(results)
            for size in sorted(set.intersection(*(set(each.by_size) for each in results)))
        },
        "failed": failed,
        "published": {"ucf101": published.UCF101, "others": published.UCF101_OTHERS, "pca": published.UCF101_PCA}
        if is_ucf101
        else {},
        "diagnosis": published.diagnosis(mean, len(labels), model, is_ucf101=is_ucf101),
    }


def of_hits(hits: Hits, model: dict[str, Any], failed: dict[str, str], num_missing: int) -> dict[str, Any]:
    """All numbers of Sports-1M."""
    stand_in = model.get("weights") == "stand-in"
    return {
        "model": model,
        "clip_hit_1": share(hits.clip_1),
        "video_hit_1": share(hits.video_1),
        "video_hit_5": share(hits.video_5),
        "not_to_be_had": num_missing,
        "failed": failed,
        "published": {"sports1m": published.SPORTS1M},
        "diagnosis": published.diagnosis(0.0, 1, model, is_ucf101=False) if stand_in else "",
    }


def share(of: Share) -> dict[str, Any]:
    """As JSON has it."""
    return {"value": of.value, "low": of.low, "high": of.high, "right": of.num_right, "all": of.num_all}


def splits_text(data: dict[str, Any]) -> str:
    """report.md of an evaluation by SVM."""
    lines = ["| split | accuracy | 95 % interval | right | C | trained on | without features |", "|---|---|---|---|---|---|---|"]
    for each in data["splits"]:
        accuracy, missing = each["accuracy"], f"{each['train_missing']} + {each['test_missing']}"
        right = f"{accuracy['right']} of {accuracy['all']}"
        lines.append(f"| {each['name']} | {_line(accuracy)} | {right} | {each['C']:g} | {each['trained_on']} | {missing} |")
    lines.append(f"| mean | {_line(data['mean'])} | | | | |")
    lines += ["", "The mean's interval is that of all test videos together. Test videos without features count as wrong.", ""]
    if data["published"]:
        others = ", ".join(f"{each}" for each in published.UCF101_OTHERS)
        lines += [f"The paper has {published.UCF101} % for UCF101 (fc6, one network); others had {others} %.", ""]
    if data["pca"]:
        paper = published.UCF101_PCA if data["published"] else {}
        lines += ["| principal components | accuracy | the paper |", "|---|---|---|"]
        for size, accuracy in data["pca"].items():
            lines.append(f"| {size} | {accuracy:.1%} | {f'{paper[int(size)]} %' if int(size) in paper else ''} |")
        lines.append("")
    lines += ["| class | accuracy | 95 % interval | most often taken for |", "|---|---|---|---|"]
    for label, accuracy in sorted(data["classes"].items(), key=lambda pair: (pair[1]["value"], pair[0])):
        lines.append(f"| {label} | {_line(accuracy)} | {_taken_for(data, label)} |")
    return _whole(lines, data)


def hits_text(data: dict[str, Any]) -> str:
    """report.md of Sports-1M."""
    lines = ["| | share | 95 % interval | right |", "|---|---|---|---|"]
    for name, said in (("clip_hit_1", "clip hit@1"), ("video_hit_1", "video hit@1"), ("video_hit_5", f"video hit@{TOP}")):
        lines.append(f"| {said} | {_line(data[name])} | {data[name]['right']} of {data[name]['all']} |")
    paper = ", ".join(f"{name} {value} %" for name, value in published.SPORTS1M.items())
    lines += ["", f"The paper has {paper}. {data['not_to_be_had']} videos of the list were not in the folder.", ""]
    return _whole(lines, data)


def compared_text(names: tuple[str, str], found: McNemar) -> str:
    """What McNemar's test says of two runs."""
    first, second = names
    even = "so even that luck alone explains it" if found.p > 0.05 else "too uneven for luck alone"
    return (
        f"Both right: {found.num_both}. Only {first}: {found.num_first_only}. Only {second}: {found.num_second_only}. "
        f"Neither: {found.num_neither}.\nMcNemar, exact, two-sided: p = {found.p:.4g}. The changes are {even}.\n"
    )


def write(out: Path, data: dict[str, Any], text: str, rows: Sequence[tuple[str, str, str, str, bool]]) -> None:
    """The files. ``rows``: COLUMNS. Raises OSError."""
    (out / DATA).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (out / REPORT).write_text(text, encoding="utf-8")
    with (out / PREDICTIONS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([*row[:4], int(row[4])] for row in rows)


def right_by_video(out: Path) -> dict[str, bool]:
    """Whether each video of each split was right, of an earlier evaluation. Raises UsageError."""
    try:
        with (out / PREDICTIONS).open(newline="", encoding="utf-8") as file:
            return {f"{row['split']} {row['video']}": row["right"] == "1" for row in csv.DictReader(file)}
    except (OSError, KeyError) as error:
        raise UsageError(f"{out} holds no evaluation: {PREDICTIONS} is missing or not from here.") from error


def draw(counts: Sequence[Sequence[int]], labels: Sequence[str], path: Path) -> None:
    """The confusion matrix as a picture, each row as shares of its class."""
    import numpy as np
    from matplotlib.figure import Figure

    matrix = np.asarray(counts, float)
    totals = matrix.sum(axis=1, keepdims=True)
    inches = max(5.0, 0.16 * len(labels) + 2)  # so that 101 names of 6 points stay apart
    figure = Figure((inches, inches), layout="constrained")
    axes = figure.add_subplot(xlabel="taken for", ylabel="true class")
    picture = axes.imshow(matrix / np.where(totals, totals, 1), cmap="viridis", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6)
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    figure.colorbar(picture, shrink=0.6, label="share of the class")
    figure.savefig(path, dpi=120)


def _line(of: dict[str, Any]) -> str:
    return f"{of['value']:.1%} | {of['low']:.1%} to {of['high']:.1%}"


def _taken_for(data: dict[str, Any], label: str) -> str:
    labels, row = data["confusion"]["labels"], data["confusion"]["counts"][data["confusion"]["labels"].index(label)]
    wrong = [(count, other) for other, count in zip(labels, row, strict=True) if count and other != label]
    return "{1} ({0})".format(*max(wrong)) if wrong else ""


def _whole(lines: list[str], data: dict[str, Any]) -> str:
    said = ["", data["diagnosis"]] if data["diagnosis"] else []
    failed = ["", f"{len(data['failed'])} videos failed: {', '.join(sorted(data['failed'])[:10])}."] if data["failed"] else []
    model = ["", "```json", json.dumps(data["model"], indent=1), "```"]
    return "\n".join([*lines, *said, *failed, *model]) + "\n"
