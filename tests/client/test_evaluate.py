"""`c3d-video evaluate` on made data: results known in closed form or from scikit-learn; whole runs on a scripted service."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c3d_video.__main__ import main
from c3d_video.commandline import UsageError
from c3d_video.evaluate import datasets, measures, published, svm
from c3d_video.extract.videos import Video
from tests.support.scripted_service import MODEL, ScriptedService, refused

Evaluate = Callable[..., int]
CLASSES = ("Archery", "Bowling", "Diving")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def evaluate(service: ScriptedService, tmp_path: Path) -> Evaluate:
    def run(*arguments: str, out: str = "out") -> int:
        return main(["evaluate", *arguments, "-o", str(tmp_path / out), "--server", service.url, "-q"])

    return run


# The measures, in closed form.


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [(8, 10, 0.4901625, 0.9433178), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0), (3111, 3783, 0.8098, 0.8343)],
)
def test_wilsons_interval(right: int, of: int, low: float, high: float) -> None:
    found = measures.wilson(right, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.value == right / of


def test_nothing_counted_says_nothing() -> None:
    assert (measures.wilson(0, 0).low, measures.wilson(0, 0).high) == (0, 1)


@pytest.mark.parametrize(("b", "c", "p"), [(1, 6, 0.125), (0, 0, 1.0), (5, 5, 1.0), (0, 10, 2 / 1024), (10, 0, 2 / 1024)])
def test_mcnemars_exact_p(b: int, c: int, p: float) -> None:
    both = 4
    first = {str(i): i < both + b for i in range(both + b + c)}
    second = {str(i): i < both or i >= both + b for i in range(both + b + c)}
    found = measures.mcnemar(first, second)
    assert (found.num_both, found.num_first_only, found.num_second_only, found.num_neither) == (both, b, c, 0)
    assert found.p == pytest.approx(p)


@pytest.mark.slow
def test_the_confusion_matrix_is_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    truth, found = ([CLASSES[i] for i in random.integers(0, 3, 50)] for _ in range(2))
    expected = sklearn.confusion_matrix(truth, found, labels=CLASSES)
    np.testing.assert_array_equal(measures.confusion(truth, found, CLASSES), expected)
    assert measures.confusion(["Diving"], [""], CLASSES).sum() == 0


# The SVM.


def noisy(num_groups: int = 6, per_group: int = 4, width: int = 20, seed: int = 0) -> svm.Part:
    """Three classes, each recording with an offset of its own, so that pieces of one recording look alike."""
    random = np.random.default_rng(seed)
    vectors, labels, groups = [], [], []
    for number, label in enumerate(CLASSES):
        for group in range(num_groups):
            centre = np.eye(3, width)[number] + random.normal(0, 0.6, width)
            for _ in range(per_group):
                vectors.append(centre + random.normal(0, 0.1, width))
                labels.append(label)
                groups.append(f"{label}_g{group}")
    rows = np.array(vectors)
    return svm.Part((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), np.array(labels), np.array(groups))


@pytest.mark.slow
def test_c_is_chosen_without_parting_a_group() -> None:
    pytest.importorskip("sklearn")
    train = noisy()
    parts = svm.folds(train)
    assert len(parts) == svm.NUM_FOLDS
    for learnt, tested in parts:
        assert not set(train.groups[learnt]) & set(train.groups[tested])
        assert set(train.labels[learnt]) == set(CLASSES)


@pytest.mark.slow
def test_c_is_the_one_that_a_plain_loop_finds() -> None:
    pytest.importorskip("sklearn")
    from sklearn.svm import LinearSVC

    train = noisy()
    means = []
    for c in svm.C_GRID:
        scores = []
        for learnt, tested in svm.folds(train):
            one = LinearSVC(C=c, dual="auto", random_state=0, max_iter=10_000).fit(train.vectors[learnt], train.labels[learnt])
            scores.append(one.score(train.vectors[tested], train.labels[tested]))
        means.append(np.mean(scores))
    assert svm.choose_c(train) == svm.C_GRID[int(np.argmax(means))]


@pytest.mark.slow
def test_predictions_are_scikit_learns_one_against_the_rest() -> None:
    pytest.importorskip("sklearn")
    from sklearn.svm import LinearSVC

    train, test = noisy(), noisy(seed=1)
    found, c = svm.predict(train, test.vectors)
    columns = []
    for label in CLASSES:
        one = LinearSVC(C=c, dual="auto", random_state=0, max_iter=10_000).fit(train.vectors, train.labels == label)
        columns.append(one.decision_function(test.vectors))
    assert found.tolist() == [CLASSES[i] for i in np.argmax(columns, axis=0)]


@pytest.mark.slow
def test_too_few_groups_leave_the_usual_c() -> None:
    pytest.importorskip("sklearn")
    assert svm.choose_c(noisy(num_groups=1)) == svm.DEFAULT_C


@pytest.mark.slow
def test_components_are_those_of_the_training_part() -> None:
    pytest.importorskip("sklearn")
    train, test = noisy(), noisy(seed=1)
    [(part, rows)] = svm.reduced(train, test.vectors, (4, 500)).values()  # 500 are more than there are
    mean = train.vectors.mean(axis=0)
    axes = np.linalg.svd(train.vectors - mean, full_matrices=False)[2][:4]
    expected = (test.vectors - mean) @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(rows), np.abs(expected), atol=1e-4)  # an axis may point either way
    assert part.vectors.shape == (len(train.vectors), 4)


# The data sets.


def write_lists(folder: Path, num_groups: int = 4, per_group: int = 2) -> dict[int, tuple[list[str], list[str]]]:
    """Two splits as UCF101 has them: the second tests other recordings."""
    folder.mkdir()
    (folder / "classInd.txt").write_text("".join(f"{i} {label}\n" for i, label in enumerate(CLASSES, 1)))
    found = {}
    for number in (1, 2):
        train: list[str] = []
        test: list[str] = []
        for label in CLASSES:
            for group in range(1, num_groups + 1):
                names = [f"{label}/v_{label}_g{group:02d}_c{piece:02d}.avi" for piece in range(1, per_group + 1)]
                (test if group == number else train).extend(names)
        places = {label: i for i, label in enumerate(CLASSES, 1)}
        (folder / f"trainlist{number:02d}.txt").write_text("".join(f"{name} {places[name.split('/')[0]]}\r\n" for name in train))
        (folder / f"testlist{number:02d}.txt").write_text("".join(f"{name}\r\n" for name in test))
        found[number] = (train, test)
    return found


def write_videos(folder: Path, names: set[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def telling(body: bytes, num_clips: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Vectors that tell the class of a body, which is its name; two of three clips lie on the class's axis."""
    place = next(i for i, label in enumerate(CLASSES) if label.encode() in body)
    rows = np.zeros((num_clips, 8), np.float32)
    rows[:, place] = 1
    rows[0] = np.linspace(0.1, 0.2, 8)
    return rows


def test_the_official_lists_are_read(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    one, two = datasets.ucf101(tmp_path / "lists")
    assert [one.name, two.name] == ["1", "2"]
    assert [item.key for item in one.test] == [Path(name).stem for name in lists[1][1]]
    assert one.train[0] == datasets.Item("v_Archery_g02_c01", "Archery", "v_Archery_g02")
    assert {item.key for item in one.items()} == {item.key for item in two.items()}


def test_lists_that_share_a_recording_are_refused(tmp_path: Path) -> None:
    write_lists(tmp_path / "lists")
    with (tmp_path / "lists/testlist01.txt").open("a") as file:
        file.write("Archery/v_Archery_g02_c09.avi\n")
    with pytest.raises(UsageError, match="share v_Archery_g02"):
        datasets.ucf101(tmp_path / "lists")


@pytest.mark.slow
def test_folds_keep_recordings_whole_and_test_each_video_once() -> None:
    pytest.importorskip("sklearn")
    names = [f"{label}/v_{label}_g{group:02d}_c{piece:02d}.avi" for label in CLASSES for group in range(6) for piece in range(3)]
    found = datasets.folders([Video(name, name) for name in names], 3, datasets.GROUP)
    assert sorted(item.key for split in found for item in split.test) == sorted(names)
    for split in found:
        assert not {item.group for item in split.train} & {item.group for item in split.test}
        assert {item.label for item in split.test} == set(CLASSES)
    with pytest.raises(UsageError, match="has 6 groups"):
        datasets.folders([Video(name, name) for name in names], 7, datasets.GROUP)


def test_sports1ms_truth_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.txt"
    path.write_text("https://www.youtube.com/watch?v=UDqivjS-lpI 168,169\nclips/abc.mp4 7\n\n")
    assert datasets.sports1m(path) == {"UDqivjS-lpI": {168, 169}, "abc": {7}}
    path.write_text("https://www.youtube.com/watch?v=x rowing\n")
    with pytest.raises(UsageError, match="line 1"):
        datasets.sports1m(path)


# Whole runs.


@pytest.mark.slow
@pytest.mark.slow
def test_ucf101_from_videos_to_report(evaluate: Evaluate, service: ScriptedService, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    service.rows_of = telling
    lists = write_lists(tmp_path / "lists")
    videos = write_videos(tmp_path / "videos", {*lists[1][0], *lists[1][1]})
    write_videos(videos, {"Other/not_of_ucf101.avi"})
    service.script = [refused(422, "undecodable_video")]  # the first video sent, by name: v_Archery_g01_c01
    asked = ("ucf101", "--videos", str(videos), "--splits", str(tmp_path / "lists"), "--cores", "1", "-j", "1")
    assert evaluate(*asked) == 1
    assert len(service.asked) == 24
    assert all(query["normalize"] == "none" for _, query in service.asked)
    data = json.loads((tmp_path / "out/report.json").read_text())
    one, two = data["splits"]
    assert (one["accuracy"]["right"], one["accuracy"]["all"], one["test_missing"]) == (5, 6, 1)  # what failed counts as wrong
    assert (two["accuracy"]["right"], two["accuracy"]["all"], two["train_missing"]) == (6, 6, 1)
    assert data["mean"]["value"] == pytest.approx((5 / 6 + 1) / 2)
    assert (data["mean"]["low"], data["mean"]["high"]) == pytest.approx(measures.wilson(11, 12)[2:])
    assert data["classes"]["Archery"]["right"] == 3
    assert data["confusion"]["counts"] == [[3, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert data["model"]["weights_sha256"] == MODEL["weights_sha256"]
    assert (tmp_path / "out/confusion.png").read_bytes().startswith(PNG)
    text = (tmp_path / "out/report.md").read_text()
    assert "82.3 %" in text
    assert "83.1, 79.8, 82.5" in text
    with (tmp_path / "out/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert [row["right"] for row in rows].count("0") == 1
    service.asked.clear()
    assert evaluate(*asked) == 1
    assert service.asked == []  # all was extracted before


@pytest.mark.slow
def test_descriptors_are_the_mean_over_clips_at_length_one(evaluate: Evaluate, service: ScriptedService, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    from c3d_video.evaluate import vectors

    service.rows_of = telling
    lists = write_lists(tmp_path / "lists")
    write_videos(tmp_path / "videos", {*lists[1][0], *lists[1][1]})
    evaluate("ucf101", "--videos", str(tmp_path / "videos"), "--splits", str(tmp_path / "lists"), "--cores", "1")
    extracted = vectors.read(tmp_path / "out/features", datasets.stem)
    mean = telling(b"Bowling", 3).mean(axis=0)
    np.testing.assert_allclose(extracted.descriptor("v_Bowling_g01_c01"), mean / np.linalg.norm(mean), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.slow
def test_folders_and_a_comparison_of_two_runs(
    evaluate: Evaluate, service: ScriptedService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    names = {f"{label}/take{number}.avi" for label in CLASSES for number in range(6)}
    videos = write_videos(tmp_path / "videos", names)
    service.rows_of = telling
    assert evaluate("folders", str(videos), "--folds", "2", "--cores", "1", out="good") == 0
    service.rows_of = lambda body, num_clips: telling(b"Archery" if b"Diving" in body else body, num_clips)
    assert evaluate("folders", str(videos), "--folds", "2", "--cores", "1", out="bad") == 0
    good, bad = (json.loads((tmp_path / each / "report.json").read_text()) for each in ("good", "bad"))
    assert good["mean"]["value"] == 1
    assert good["published"] == {}  # the paper says nothing of one's own videos
    wrong = 18 - sum(each["accuracy"]["right"] for each in bad["splits"])
    assert wrong == 6  # two classes with one vector: one of them is always taken for the other
    capsys.readouterr()
    assert main(["evaluate", "compare", str(tmp_path / "good"), str(tmp_path / "bad")]) == 0
    said = capsys.readouterr().out
    assert "Both right: 12. Only good: 6. Only bad: 0. Neither: 0." in said
    assert f"p = {2 / 2**6:.4g}" in said
    assert main(["evaluate", "compare", str(tmp_path / "good"), str(tmp_path / "nothing")]) == 2


def test_sports1m_counts_hits(evaluate: Evaluate, service: ScriptedService, tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", {"a.mp4", "b.mp4", "c.mp4", "d.mp4", "extra.mp4"})
    truth = "https://www.youtube.com/watch?v=a 7,8\nb 5\nc 7\nd 9\nhttps://www.youtube.com/watch?v=gone 7\n"
    (tmp_path / "truth.txt").write_text(truth)
    service.ranked = {
        b"a.mp4": [[8, 1, 2, 3, 4], [8, 1], [7, 1], [1, 7]],  # right; two of three clips
        b"b.mp4": [[1, 2, 3, 4, 5], [1, 5], [2, 5], [5, 1]],  # right among five; one clip
        b"c.mp4": [[1, 2, 3, 4, 5], [1, 7], [1, 7], [1, 7]],  # wrong
    }
    service.script = []
    service.refused = {b"d.mp4": "undecodable_video"}
    assert evaluate("sports1m", "--videos", str(videos), "--truth", str(tmp_path / "truth.txt")) == 1
    assert sorted(body for body, _ in service.asked) == [b"a.mp4", b"b.mp4", b"c.mp4", b"d.mp4"]
    assert service.asked[0][1].items() >= {"top_k": "5", "max_clips": "10"}.items()
    data = json.loads((tmp_path / "out/report.json").read_text())
    assert (data["video_hit_1"]["right"], data["video_hit_1"]["all"]) == (1, 4)  # what failed counts as wrong
    assert (data["video_hit_5"]["right"], data["video_hit_5"]["all"]) == (2, 4)
    assert (data["clip_hit_1"]["right"], data["clip_hit_1"]["all"]) == (3, 10)
    assert data["not_to_be_had"] == 1
    assert "video hit@5" in (tmp_path / "out/report.md").read_text()


def test_no_video_and_two_of_one_name_are_refused(evaluate: Evaluate, tmp_path: Path, service: ScriptedService) -> None:
    write_lists(tmp_path / "lists")
    (tmp_path / "videos").mkdir()
    asked = ("ucf101", "--videos", str(tmp_path / "videos"), "--splits", str(tmp_path / "lists"))
    assert evaluate(*asked) == 2
    write_videos(tmp_path / "videos", {"Archery/v_Archery_g01_c01.avi", "copy/v_Archery_g01_c01.mp4"})
    assert evaluate(*asked) == 2
    assert evaluate("ucf101", "--videos", str(tmp_path / "videos"), "--splits", str(tmp_path)) == 2
    assert service.asked == []


def test_stand_ins_are_refused_unless_allowed(evaluate: Evaluate, service: ScriptedService, tmp_path: Path) -> None:
    service.info = {**service.info, "model": {**MODEL, "weights": "stand-in"}}
    write_videos(tmp_path / "videos", {"a.mp4"})
    (tmp_path / "truth.txt").write_text("a 7\n")
    asked = ("sports1m", "--videos", str(tmp_path / "videos"), "--truth", str(tmp_path / "truth.txt"))
    assert evaluate(*asked) == 3
    assert evaluate(*asked, "--allow-stand-in") == 0
    assert "stand-ins" in json.loads((tmp_path / "out/report.json").read_text())["diagnosis"]


# What a result means.


@pytest.mark.parametrize(
    ("accuracy", "says"),
    [
        (0.012, "guessing"),
        (0.55, "the mean: UCF101's"),
        (0.74, "few percent below"),
        (0.82, "what others had"),
        (0.97, "Better than"),
    ],
)
def test_the_diagnosis_of_ucf101(accuracy: float, says: str) -> None:
    assert says in published.diagnosis(accuracy, 101, {}, is_ucf101=True)


def test_the_diagnosis_of_other_data_and_of_stand_ins() -> None:
    assert published.diagnosis(0.55, 3, {}, is_ucf101=False) != ""
    assert published.diagnosis(0.8, 3, {}, is_ucf101=False) == ""
    assert "stand-ins" in published.diagnosis(0.82, 101, {"weights": "stand-in"}, is_ucf101=True)
